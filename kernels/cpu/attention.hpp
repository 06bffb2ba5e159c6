// Causal grouped-query attention: softmax(scale q k^T) v, each position seeing itself and what came before, at most
// `window` positions in all when that is set. With sinks, each head's softmax has one more score, sinks_H[h], that
// takes probability and gives nothing (gpt-oss).
// Shapes: B sequences, S positions, H query heads, G key-value heads (H a multiple of G), C query and key width, Cv
// value width. q_BHSC [B,H,S,C], k_BGSC [B,G,S,C]; v and dv stay in their projection: head g of token t at v + t R + g
// stride. o_THC [B S, H Cv] token-major, ready for the output projection. lse_BHS: log of the softmax sum (sink
// included), kept for the backward. The scores are made again in the backward, so no [S,S] matrix outlives a block of
// rows.
#pragma once

#include <cstdint>

namespace moescope::kernels {

struct AttentionShape {
    std::int64_t B = 0, S = 0, H = 0, G = 0, C = 0, Cv = 0;
    std::int64_t R = 0, stride = 0;  ///< of v and dv, floats
    double scale = 0;                ///< of the scores, usually 1 / sqrt(C)
    std::int64_t window = 0;         ///< 0: all that came before
    // Of Ops alone; the functions below compute what they are given.
    bool rounded = false;  ///< operands and results are rounded to bfloat16 (rounded_attention.hpp)
    bool sinks = false;    ///< what scratch depends on: whether sinks_H is given
};

/// Scratch floats each worker needs: forward one score block, backward two.
std::int64_t attention_scratch(std::int64_t S);

/// `scratch` is [workers][attention_scratch(S)]. `sinks_H` may be null.
void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const float* sinks_H, float* scratch, const AttentionShape& shape);
/// Writes dq_BHSC, dk_BGSC, dv (stride R), and dsinks_H when sinks are given; `sink_partial` is scratch of B H floats.
void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                        const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                        const float* sinks_H, const float* lse_BHS, float* scratch, const AttentionShape& shape);

namespace reference {
void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const float* sinks_H, const AttentionShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
