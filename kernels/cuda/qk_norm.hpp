// Query and key preparation on a GPU: norm, RoPE (with YaRN's tables), the move to head-major, and the keys of latent
// attention. See kernels/cpu/qk_norm.hpp for formulas and shapes.
#pragma once

#include <cstdint>

#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void qk_norm_forward(simt::Stream stream, float* y_BNSC, float* rstd, const float* x, const float* w,
                     const float* cos_SP, const float* sin_SP, const HeadShape& shape);
/// Floats of scratch of the backward.
std::int64_t qk_norm_scratch(const HeadShape& shape);
void qk_norm_backward(simt::Stream stream, float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x,
                      const float* rstd, const float* w, const float* cos_SP, const float* sin_SP,
                      const HeadShape& shape);

void latent_key_forward(simt::Stream stream, float* k_BNSC, const float* x_nope, const float* x_rope,
                        const float* cos_SP, const float* sin_SP, const LatentKeyShape& shape);
void latent_key_backward(simt::Stream stream, float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                         const float* sin_SP, const LatentKeyShape& shape);

}  // namespace moescope::kernels::cuda
