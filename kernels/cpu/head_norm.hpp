// Query and key preparation of Qwen3 attention: RMSNorm over each head, then RoPE, and the move from token-major to
// head-major. Shapes: B sequences, S positions, N heads (query or key), C head width (at most kMaxHeadWidth), R row
// stride of the fused projection. x: heads of token t = b S + s stand at x + t R + n C. y_BNSC [B,N,S,C]. w_C [C].
// rstd_BNS [B,N,S].
#pragma once

#include <cstdint>

namespace moescope::kernels {

inline constexpr std::int64_t kMaxHeadWidth = 512;

struct HeadShape {
    std::int64_t B = 0, S = 0, N = 0, C = 0, R = 0;
    double epsilon = 1e-6;
};

void head_norm_forward(float* y_BNSC, float* rstd_BNS, const float* x, const float* w_C, const float* cos_SP,
                       const float* sin_SP, const HeadShape& shape);
/// Writes dx at the same places as x (stride R), and dw_C. `partial` is scratch of B N C floats.
void head_norm_backward(float* dx, float* dw_C, float* partial, const float* dy_BNSC, const float* x,
                        const float* rstd_BNS, const float* w_C, const float* cos_SP, const float* sin_SP,
                        const HeadShape& shape);

namespace reference {
void head_norm_forward(float* y_BNSC, float* rstd_BNS, const float* x, const float* w_C, double theta,
                       const HeadShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
