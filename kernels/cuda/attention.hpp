// Causal grouped-query attention on a GPU with sinks and windows; formulas and shapes: kernels/cpu/attention.hpp. A
// warp per query (forward, dq) and per key (dk, dv); scores are made again in the backward; no atomics. For sizes and
// widths that a library's attention does not take, and for tests without one.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// Widest head, of C and Cv.
inline constexpr std::int64_t kMaxAttentionWidth = 512;

/// sinks_H may be null.
void attention_forward(simt::Stream stream, float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC,
                       const float* v, const float* sinks_H, const AttentionShape& shape);
/// `scratch` holds B H S floats. dsinks_H may be null.
void attention_backward(simt::Stream stream, float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H,
                        const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                        const float* sinks_H, const float* lse_BHS, float* scratch, const AttentionShape& shape);

/// The part of it that is the sinks' own gradient: delta_BHS is sum over keys of p dp, which is sum over c of do o.
void attention_backward_sinks(simt::Stream stream, float* dsinks_H, const float* sinks_H, const float* delta_BHS,
                              const float* lse_BHS, const AttentionShape& shape);

}  // namespace moescope::kernels::cuda
