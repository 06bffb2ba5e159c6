// Output projection and softmax cross-entropy in one: the logits exist for a chunk of rows at a time only.
// Shapes: T tokens, D width, V vocabulary, Cr = cross_entropy_rows(T) rows per chunk. x_TD [T,D], w_VD [V,D], targets_T
// [T].
#pragma once

#include <cstdint>

#include "kernels/cpu/linear.hpp"

namespace moescope::kernels {

/// Rows per chunk; `logits` scratch is this times V floats.
std::int64_t cross_entropy_rows(std::int64_t T);

/// Mean over tokens of -log softmax(x w^T)[target], nats. losses_T gets each token's. Tokens with a negative target are
/// left out (loss 0, no gradient); 0 when none is left.
double cross_entropy_forward(float* losses_T, const float* x_TD, const float* w_VD, const std::int32_t* targets_T,
                             float* logits, std::int64_t T, std::int64_t D, std::int64_t V);
/// The same loss, and the gradient of scale x mean: writes dx_TD, and writes or adds to dw_VD. One pass, because the
/// logits are not kept.
double cross_entropy_forward_backward(float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD, const float* w_VD,
                                      const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                                      std::int64_t V, double scale = 1.0, Write write = Write::assign);

namespace reference {
double cross_entropy(const float* x_TD, const float* w_VD, const std::int32_t* targets_T, std::int64_t T,
                     std::int64_t D, std::int64_t V);
}  // namespace reference

}  // namespace moescope::kernels
