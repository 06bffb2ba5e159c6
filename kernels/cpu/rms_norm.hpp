// RMSNorm: y = x / sqrt(mean(x^2) + epsilon) * w. Source: Zhang and Sennrich, 2019 (arXiv 1910.07467).
// Shapes: T tokens, D width. x_TD, y_TD [T,D], w_D [D], rstd_T [T] = 1 / sqrt(mean(x^2) + epsilon).
#pragma once

#include <cstdint>

#include "kernels/cpu/linear.hpp"

namespace moescope::kernels {

/// Writes y_TD and rstd_T.
void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T, std::int64_t D,
                      double epsilon);
/// Writes (or adds to) dx_TD, and writes dw_D. dx_TD may be the same buffer as the residual's gradient (Write::add),
/// not dy_TD.
void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                       const float* w_D, std::int64_t T, std::int64_t D, Write write);

namespace reference {
void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T, std::int64_t D,
                      double epsilon);
}  // namespace reference

}  // namespace moescope::kernels
