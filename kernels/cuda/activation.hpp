// The activation of experts on a GPU, between their two products; formulas: kernels/cpu/experts.hpp. Rows below
// `rows_end` (device memory; null: all `most` rows) count.
#pragma once

#include <cstdint>

#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// h_RF = act(gu_R2F).
void activate(simt::Stream stream, float* h_RF, const float* gu_R2F, const std::int32_t* rows_end, std::int64_t most,
              const ExpertShape& shape);
/// Writes dgu_R2F.
void activate_backward(simt::Stream stream, float* dgu_R2F, const float* dh_RF, const float* gu_R2F,
                       const std::int32_t* rows_end, std::int64_t most, const ExpertShape& shape);
/// y_RN[row] += bias of the row's expert; offsets_E1 as in dispatch (null: one expert has all rows).
void add_bias(simt::Stream stream, float* y_RN, const float* bias_EN, const std::int32_t* offsets_E1, std::int64_t most,
              std::int64_t E, std::int64_t N);
/// dbias_EN[e] = (or +=) sum over the rows of e, in their order, of dy_RN; 0 for an expert without rows.
void bias_gradient(simt::Stream stream, float* dbias_EN, const float* dy_RN, const std::int32_t* offsets_E1,
                   std::int64_t most, std::int64_t E, std::int64_t N, Write write);

}  // namespace moescope::kernels::cuda
