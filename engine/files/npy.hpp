// NumPy's .npy, versions 1 and 2, little-endian, C order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace moescope::engine {

struct NpyHeader {
    std::string dtype;  ///< "<i4", "<f4", ...
    std::vector<std::uint64_t> shape;
    std::uint64_t data_begin = 0, count = 0, item_bytes = 0;
};

/// `prefix` is the file's beginning, header included. Sizes are checked against `file_bytes`. Throws Error naming
/// `source`.
NpyHeader parse_npy(std::span<const std::byte> prefix, std::uint64_t file_bytes, const std::string& source);

/// A one-dimensional array of whole numbers (int32, int64, uint16, uint32 or uint8). Throws Error, also for values
/// beyond int32.
std::vector<std::int32_t> read_npy_tokens(const std::filesystem::path& path);

/// Throws Error.
void write_npy(const std::filesystem::path& path, std::span<const float> values,
               const std::vector<std::uint64_t>& shape);
void write_npy(const std::filesystem::path& path, std::span<const std::int32_t> values,
               const std::vector<std::uint64_t>& shape);

}  // namespace moescope::engine
