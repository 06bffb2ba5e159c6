// NumPy's .npy: arrays of numbers, read as numpy.save writes them on any machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace moescope::engine {

struct NpyHeader {
    std::string dtype;  ///< "<i4", ">i8", "<f4", ...
    std::vector<std::uint64_t> shape;
    bool columns_first = false;  ///< Fortran's order, which differs from C's for arrays of two dimensions and more
    std::uint64_t data_begin = 0, count = 0, item_bytes = 0;
};

/// `prefix` is the file's beginning, header included. Sizes are checked against `file_bytes`. Throws Error naming
/// `source`.
NpyHeader parse_npy(std::span<const std::byte> prefix, std::uint64_t file_bytes, const std::string& source);

inline constexpr std::uint64_t kMostNpyTokens = std::uint64_t{1} << 28;  ///< 1 GiB as int32

/// A one-dimensional array of whole numbers of any width and byte order, at most kMostNpyTokens, read in pieces of 1
/// MiB; `check` is called before each and may throw. Throws Error naming the file, also for values beyond int32.
std::vector<std::int32_t> read_npy_tokens(const std::filesystem::path& path, const std::function<void()>& check = {});

/// Throws Error.
void write_npy(const std::filesystem::path& path, std::span<const float> values,
               const std::vector<std::uint64_t>& shape);
void write_npy(const std::filesystem::path& path, std::span<const std::int32_t> values,
               const std::vector<std::uint64_t>& shape);

}  // namespace moescope::engine
