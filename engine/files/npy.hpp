// NumPy's .npy files: tokens in, logits and tokens out. What their header says: base/npy.hpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/npy.hpp"

namespace moescope::engine {

using base::NpyHeader;
using base::parse_npy;

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
