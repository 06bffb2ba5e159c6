// Eight-bit floating point as NVIDIA, Arm and Intel define it, the form e4m3 (arXiv 2209.05433): a sign, four bits of
// exponent with bias 7, three of mantissa. Largest number 448, smallest 2^-9, no infinity, NaN where all seven bits are
// set. And the scales with which DeepSeek-V3 trains in it (arXiv 2412.19437, 3.3.2): 128 values along the sum of a
// product share one (activations and gradients), or 128 x 128 of a weight matrix, each the largest magnitude divided by
// 448. The processor and the kernels of a GPU both compute with these functions, so they round alike.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/host_device.hpp"

namespace moescope::kernels {

inline constexpr float kFloat8Most = 448.0f;
inline constexpr std::int64_t kFloat8Tile = 128;  ///< values that share a scale, along one side

MOESCOPE_HOST_DEVICE inline std::uint32_t bits_of(float value) {
#ifdef __CUDA_ARCH__
    return __float_as_uint(value);
#else
    return std::bit_cast<std::uint32_t>(value);
#endif
}
MOESCOPE_HOST_DEVICE inline float float_of(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(bits);
#else
    return std::bit_cast<float>(bits);
#endif
}

/// The nearest number of the form, ties to even; beyond the largest one that (which is also what a GPU's conversion
/// does). Infinity becomes NaN: as the largest number it would hide a fault.
MOESCOPE_HOST_DEVICE inline float float8_rounded(float value) {
    constexpr std::uint32_t kInfinity = 0x7f800000u, kLeastNormal = 0x3c800000u;  // 2^-6
    constexpr float kSpacing = 16384.0f;  // floats from here on are 2^-9 apart, as the form's are below 2^-6
    const std::uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
    const std::uint32_t most = bits_of(kFloat8Most);
    std::uint32_t normal = (magnitude + 0x7ffffu + (magnitude >> 20 & 1u)) & 0xfff00000u;
    normal = normal > most ? most : normal;
    const std::uint32_t small = bits_of(float_of(magnitude) + kSpacing - kSpacing);
    std::uint32_t rounded = magnitude < kLeastNormal ? small : normal;
    rounded = magnitude >= kInfinity ? 0x7fc00000u : rounded;
    return float_of(rounded | (bits & 0x80000000u));
}

/// The code of a number of the form, as float8_rounded() gives it.
MOESCOPE_HOST_DEVICE inline std::uint8_t float8_code(float rounded) {
    const std::uint32_t bits = bits_of(rounded), magnitude = bits & 0x7fffffffu, sign = bits >> 24 & 0x80u;
    if (magnitude > 0x7f800000u) {
        return static_cast<std::uint8_t>(sign | 0x7fu);
    }
    const std::uint32_t code = magnitude >= 0x3c800000u ? (magnitude >> 20) - (120u << 3)
                                                        : static_cast<std::uint32_t>(float_of(magnitude) * 512.0f);
    return static_cast<std::uint8_t>(sign | code);
}

MOESCOPE_HOST_DEVICE inline float float8_value(std::uint8_t code) {
    const std::uint32_t magnitude = code & 0x7fu, sign = (code & 0x80u) << 24;
    if (magnitude == 0x7fu) {
        return float_of(sign | 0x7fc00000u);
    }
    const std::uint32_t bits =
        magnitude < 8 ? bits_of(static_cast<float>(magnitude) * (1.0f / 512)) : (magnitude << 20) + (120u << 23);
    return float_of(bits | sign);
}

/// What a value adds to the largest magnitude of its tile: what is not finite adds nothing, so that it spoils itself
/// alone.
MOESCOPE_HOST_DEVICE inline float float8_magnitude(float value) {
    const std::uint32_t magnitude = bits_of(value) & 0x7fffffffu;
    return float_of(magnitude < 0x7f800000u ? magnitude : 0u);
}
/// The scale of a tile by its largest magnitude. Never below the smallest normal float: what is smaller still rounds
/// within it, and zeros need some scale.
MOESCOPE_HOST_DEVICE inline float float8_scale(float most) {
    constexpr float kLeast = 0x1p-126f;
    const float scale = most / kFloat8Most;
    return scale > kLeast ? scale : kLeast;
}

}  // namespace moescope::kernels
