// Rounding to bfloat16 on a device: to nearest, ties to even; NaN stays NaN.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

__device__ inline std::uint16_t bfloat16_bits(float value) {
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // the part that is kept may be 0, which is infinity's
    }
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
/// The same number as a float.
__device__ inline float bfloat16_rounded(float value) {
    return __uint_as_float(static_cast<unsigned>(bfloat16_bits(value)) << 16);
}

}  // namespace moescope::kernels::cuda
