// Writer of GGUF files (version 3): metadata, tensor descriptions, tensors on multiples of 32 bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace moescope::engine {

using GgufValue = std::variant<std::uint32_t, std::int32_t, float, bool, std::string, std::vector<std::string>,
                               std::vector<float>, std::vector<std::int32_t>, std::vector<std::uint8_t>, std::uint16_t>;
using GgufValues = std::vector<std::pair<std::string, GgufValue>>;

enum class GgufFloat { f32, f16, bf16 };

struct GgufOutput {
    std::string name;
    std::vector<std::uint64_t> shape;  ///< row-major; stored reversed, the fastest dimension first
    GgufFloat type = GgufFloat::f32;
    std::function<void(std::span<float>)> fill;  ///< gives the values when their turn comes
};

/// Writes beside the path and renames, so that the path never holds half a file. Throws Error, also for sizes that
/// overflow, an empty shape and more than 4 dimensions.
void write_gguf(const std::filesystem::path& path, const GgufValues& values, const std::vector<GgufOutput>& tensors);

}  // namespace moescope::engine
