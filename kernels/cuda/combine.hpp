// Combine on a GPU; see kernels/cpu/combine.hpp. Slots are added in rank order.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void combine_forward(simt::Stream stream, float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                     const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D);
void combine_backward(simt::Stream stream, float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD,
                      const float* w_TJ, const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D);

}  // namespace moescope::kernels::cuda
