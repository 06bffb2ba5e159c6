// Attention as libraries for 16-bit operands compute it, AttentionShape::rounded: queries, keys, values and the
// gradient of the output are rounded to bfloat16 (to nearest, ties to even), and so are the output and the gradients of
// queries, keys and values. Scores, probabilities, sums, lse and sinks stay in single precision here; a library may
// round probabilities and the gradients of scores too, on their way into its second products.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention.hpp"

namespace moescope::kernels {

/// Floats that rounded copies take: of q, k, v and do, and of dv before it is put in its place.
std::int64_t rounded_attention_copies(const AttentionShape& shape);

/// `copies` holds rounded_attention_copies(shape) floats; all else as in attention.hpp.
void rounded_attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                               const float* sinks_H, float* scratch, float* copies, const AttentionShape& shape);
void rounded_attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                                const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                                const float* sinks_H, const float* lse_BHS, float* scratch, float* copies,
                                const AttentionShape& shape);

}  // namespace moescope::kernels
