// Combine: out = (residual +) sum over the kept slots, in rank order, of weight x expert output.
// Shapes: T tokens, J slots, D width, R rows sorted by expert (see dispatch.hpp); row_of_TJ is -1 for slots not kept.
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// `residual_TD` may be `out_TD` itself, or null for none.
void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                     const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D);
/// Writes dy_RD (weight x dout) and dw_TJ (dout . y, 0 where not kept). The residual's gradient is dout itself.
void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD, const float* w_TJ,
                      const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D);

}  // namespace moescope::kernels
