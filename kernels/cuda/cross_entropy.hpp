// The softmax half of the fused cross-entropy on a GPU; the products of a chunk's logits stand with the library's. See
// kernels/cpu/cross_entropy.hpp.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// *share = scale / how many of the targets are not negative (at least 1).
void target_share(simt::Stream stream, float* share, const std::int32_t* targets_T, std::int64_t T, double scale);
/// losses_T of `rows` rows of logits [rows, V]; with `share` the logits become the gradient, share x (softmax - 1 at
/// the target), all zero without a target.
void cross_entropy_rows(simt::Stream stream, float* losses_T, float* logits, const std::int32_t* targets_T,
                        const float* share, std::int64_t rows, std::int64_t V);
/// *loss = mean of the losses over the targets that are not negative; 0 when there is none.
void mean_loss(simt::Stream stream, double* loss, const float* losses_T, const std::int32_t* targets_T, std::int64_t T);

}  // namespace moescope::kernels::cuda
