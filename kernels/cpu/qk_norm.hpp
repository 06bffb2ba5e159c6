// Query and key preparation: optional RMSNorm, then RoPE on the last `rope` elements of each head, and the move from
// token-major to head-major. Shapes: B sequences, S positions, N heads (query or key), C head width (at most
// kMaxHeadWidth), R row stride of the projection. x: heads of token t = b S + s stand at x + t R + n C. y_BNSC
// [B,N,S,C]. cos_SP, sin_SP [S, rope / 2].
// QkNorm::head: w [C], rstd [B,N,S]. QkNorm::full: one norm over the N C elements of a token, w [N C], rstd uses
// the first B S floats. QkNorm::none: w and rstd are not touched and may be null.
#pragma once

#include <cstdint>

#include "kernels/cpu/rope.hpp"

namespace moescope::kernels {

inline constexpr std::int64_t kMaxHeadWidth = 512;

/// RMSNorm of queries and keys before RoPE: none, over each head (Qwen3), over all heads at once (OLMoE).
enum class QkNorm { none, head, full };

struct HeadShape {
    std::int64_t B = 0, S = 0, N = 0, C = 0, R = 0;
    double epsilon = 1e-6;
    std::int64_t rope = 0;  ///< elements that turn, the last ones of a head; even, at most C
    QkNorm norm = QkNorm::head;
    RopeOrder order = RopeOrder::half;
};

void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                     const float* sin_SP, const HeadShape& shape);
/// Scratch floats of the backward.
std::int64_t qk_norm_scratch(const HeadShape& shape);
/// Writes dx at the same places as x (stride R), and dw.
void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x, const float* rstd,
                      const float* w, const float* cos_SP, const float* sin_SP, const HeadShape& shape);

/// Keys of latent attention (DeepSeek MLA): head n of token t is [nope part of its own | rope part shared by all heads,
/// turned]. `nope` stands at x_nope + t R + n stride, `rope` at x_rope + t R_rope; C = nope + rope.
struct LatentKeyShape {
    std::int64_t B = 0, S = 0, N = 0, nope = 0, rope = 0;
    std::int64_t R = 0, stride = 0, R_rope = 0;
    RopeOrder order = RopeOrder::interleaved;
};
void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                        const float* sin_SP, const LatentKeyShape& shape);
/// Writes dx_nope and dx_rope at the places of x_nope and x_rope; the shared part sums over the heads in their order.
void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP, const float* sin_SP,
                         const LatentKeyShape& shape);

namespace reference {
void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, double theta, const HeadShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
