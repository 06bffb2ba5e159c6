// Combine: out = residual + sum over the chosen experts, in rank order, of weight x expert output.
// Shapes: T tokens, K chosen, D width, R = T K rows sorted by expert (see dispatch.hpp).
#pragma once

#include <cstdint>

namespace moescope::kernels {

void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TK,
                     const std::int32_t* row_of_TK, std::int64_t T, std::int64_t K, std::int64_t D);
/// Writes dy_RD (weight x dout) and dw_TK (dout . y). The residual's gradient is dout itself.
void combine_backward(float* dy_RD, float* dw_TK, const float* dout_TD, const float* y_RD, const float* w_TK,
                      const std::int32_t* row_of_TK, std::int64_t T, std::int64_t K, std::int64_t D);

}  // namespace moescope::kernels
