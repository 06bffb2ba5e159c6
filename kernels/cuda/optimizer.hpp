// AdamW and the norm of a gradient on a GPU; see kernels/cpu/adamw.hpp.
#pragma once

#include <cstdint>

#include "kernels/cpu/adamw_factors.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void adamw(simt::Stream stream, float* p, float* m, float* v, const float* gradient, std::int64_t n,
           const AdamWFactors* factors);

/// Doubles of scratch.
std::int64_t sum_of_squares_scratch(std::int64_t n);
/// *sum = sum of x^2, in double and in an order that n fixes.
void sum_of_squares(simt::Stream stream, double* sum, const float* x, std::int64_t n, double* scratch);

}  // namespace moescope::kernels::cuda
