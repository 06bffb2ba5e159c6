// RMSNorm on a GPU; formulas and shapes: kernels/cpu/rms_norm.hpp. Sums are in single precision.
#pragma once

#include "kernels/cpu/linear.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void rms_norm_forward(simt::Stream stream, float* y_TD, float* rstd_T, const float* x_TD, const float* w_D,
                      std::int64_t T, std::int64_t D, double epsilon);
void rms_norm_backward(simt::Stream stream, float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD,
                       const float* rstd_T, const float* w_D, std::int64_t T, std::int64_t D, Write write);

}  // namespace moescope::kernels::cuda
