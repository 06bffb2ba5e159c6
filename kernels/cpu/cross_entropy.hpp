// Output projection and softmax cross-entropy in one: the logits exist for a chunk of rows at a time only.
// Shapes: T tokens, D width, V vocabulary, Cr = cross_entropy_rows(T) rows per chunk. x_TD [T,D], w_VD [V,D], targets_T
// [T].
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// Rows per chunk; `logits` scratch is this times V floats.
std::int64_t cross_entropy_rows(std::int64_t T);

/// Mean over tokens of -log softmax(x w^T)[target], nats. losses_T gets each token's.
double cross_entropy_forward(float* losses_T, const float* x_TD, const float* w_VD, const std::int32_t* targets_T,
                             float* logits, std::int64_t T, std::int64_t D, std::int64_t V);
/// The same loss, and the gradient of the mean: writes dx_TD and dw_VD. One pass, because the logits are not kept.
double cross_entropy_forward_backward(float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD, const float* w_VD,
                                      const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                                      std::int64_t V);

namespace reference {
double cross_entropy(const float* x_TD, const float* w_VD, const std::int32_t* targets_T, std::int64_t T,
                     std::int64_t D, std::int64_t V);
}  // namespace reference

}  // namespace moescope::kernels
