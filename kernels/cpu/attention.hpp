// Causal grouped-query attention: softmax(q k^T / sqrt(C)) v, each position seeing itself and what came before.
// Shapes: B sequences, S positions, H query heads, G key-value heads (H a multiple of G), C head width.
// q_BHSC [B,H,S,C], k_BGSC [B,G,S,C]; v and dv stay in the fused projection: head g of token t at v + t R + g C.
// o_THC [B S, H C] token-major, ready for the output projection. lse_BHS: log of the softmax sum, kept for the
// backward. The scores are made again in the backward, so no [S,S] matrix outlives a block of rows.
#pragma once

#include <cstdint>

namespace moescope::kernels {

struct AttentionShape {
    std::int64_t B = 0, S = 0, H = 0, G = 0, C = 0;
    std::int64_t R = 0;  ///< row stride of v and dv, floats
};

/// Scratch floats each worker needs: forward one score block, backward two.
std::int64_t attention_scratch(std::int64_t S);

/// `scratch` is [workers][attention_scratch(S)].
void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       float* scratch, const AttentionShape& shape);
/// Writes dq_BHSC, dk_BGSC and dv (stride R).
void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, const float* do_THC, const float* q_BHSC,
                        const float* k_BGSC, const float* v, const float* lse_BHS, float* scratch,
                        const AttentionShape& shape);

namespace reference {
void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const AttentionShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
