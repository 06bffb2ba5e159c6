// How finely the matrices of a GGUF file can be kept: the names that people say, and llama.cpp's numbers for them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace moescope::engine {

struct GgufPrecision {
    std::string_view name;
    std::uint32_t file_type;  ///< llama_ftype: which tensors get which type; the value of general.file_type
    std::uint32_t type;       ///< ggml_type that most matrices get
    std::uint32_t narrow;     ///< ggml_type in its place where rows do not fit its blocks

    bool is_float() const { return type == 0 || type == 1 || type == 30; }  // F32, F16, BF16
};

/// Those that need no importance matrix. A name without an ending is the usual mixture ("_m").
inline constexpr auto kGgufPrecisions = std::to_array<GgufPrecision>({
    {"f32", 0, 0, 0},      {"f16", 1, 1, 1},       {"bf16", 32, 30, 30},  {"q8_0", 7, 8, 1},     {"q6_k", 18, 14, 8},
    {"q5_k", 17, 13, 7},   {"q5_k_m", 17, 13, 7},  {"q5_k_s", 16, 13, 7}, {"q5_1", 9, 7, 1},     {"q5_0", 8, 6, 1},
    {"q4_k", 15, 12, 6},   {"q4_k_m", 15, 12, 6},  {"q4_k_s", 14, 12, 6}, {"q4_1", 3, 3, 1},     {"q4_0", 2, 2, 1},
    {"iq4_nl", 25, 20, 1}, {"iq4_xs", 30, 23, 20}, {"q3_k", 12, 11, 2},   {"q3_k_l", 13, 11, 2}, {"q3_k_m", 12, 11, 2},
    {"q3_k_s", 11, 11, 2}, {"q2_k", 10, 10, 2},    {"mxfp4", 38, 39, 1},
});

/// Null when there is none of that name.
inline const GgufPrecision* find_gguf_precision(std::string_view name) {
    const auto* found = std::find_if(kGgufPrecisions.begin(), kGgufPrecisions.end(),
                                     [&](const GgufPrecision& one) { return one.name == name; });
    return found == kGgufPrecisions.end() ? nullptr : found;
}

}  // namespace moescope::engine
