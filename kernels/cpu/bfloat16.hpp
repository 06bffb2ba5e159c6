// Rounding to bfloat16, the upper half of a float: to nearest, ties to even; NaN stays NaN, denormals may become 0.
#pragma once

#include <bit>
#include <cstdint>

namespace moescope::kernels {

inline std::uint16_t to_bfloat16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return static_cast<std::uint16_t>(bits >> 16 | 0x40U);  // a NaN whose mark stood in the lower half stays one
    }
    return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

inline float from_bfloat16(std::uint16_t x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
}

void to_bfloat16(std::uint16_t* to, const float* from, std::int64_t count);

}  // namespace moescope::kernels
