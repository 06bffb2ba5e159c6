// The experts on rows sorted by expert: y = act(x Wg^T + bg, x Wu^T + bu) Wd^T + bd, each row with the matrices of its
// expert. With E = 1 and offsets {0, T} it is a dense layer or a shared expert. Shapes: R rows, E experts, D width, F
// expert width. x_RD, y_RD [R,D]; gu_R2F [R,2F] gate then up; h_RF [R,F]; gate_up_E2FD [E,2F,D] gate rows first;
// down_EDF [E,D,F]; offsets_E1 from dispatch_plan. Biases gate_up_bias_E2F [E,2F] and down_bias_ED [E,D] may be null.
//
// With Operands::fp8 all products, forward and both gradients, take their operands in eight bits: rows with a scale per
// 1 x 128, weights per 128 x 128 (kernels/cpu/float8_product.hpp); the gradients of weights sum over rows, and there
// both operands have a scale per 128 rows of an expert. So does DeepSeek-V3 (arXiv 2412.19437, 3.3.1: Fprop, Dgrad and
// Wgrad are executed in FP8; 3.3.2: the tiles; e4m3 on all tensors).
//
// swiglu: silu(gate) x up. clamped_swiglu (gpt-oss): gate' = min(gate, limit), up' = clamp(up, -limit, limit), h =
// gate' sigmoid(alpha gate') (up' + 1).
#pragma once

#include <cstdint>

namespace moescope::kernels {

enum class Activation { swiglu, clamped_swiglu };

struct ExpertShape {
    std::int64_t E = 0, D = 0, F = 0;
    Activation activation = Activation::swiglu;
    float alpha = 1.702f, limit = 7.0f;
    /// Rows of all experts of the layer, where these are only some of them: work is cut, and rounded, as for all. 0:
    /// these are all.
    std::int64_t rows_of_all = 0;
};

struct ExpertWeights {
    const float *gate_up_E2FD = nullptr, *down_EDF = nullptr;
    const float *gate_up_bias_E2F = nullptr, *down_bias_ED = nullptr;
};
struct ExpertGradients {
    float *gate_up_E2FD = nullptr, *down_EDF = nullptr;
    float *gate_up_bias_E2F = nullptr, *down_bias_ED = nullptr;
};

/// Writes gu_R2F (before the activation, bias included), h_RF and y_RD.
void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                     const std::int32_t* offsets_E1, const ExpertShape& shape);
/// Writes dx_RD and all gradients (zero for experts without rows); dh_RF and dgu_R2F are scratch.
void experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF, const float* dy_RD,
                      const float* x_RD, const float* gu_R2F, const float* h_RF, const ExpertWeights& w,
                      const std::int32_t* offsets_E1, const ExpertShape& shape);

/// h_F = act(gate, up) of one row, gu = gate then up.
void activate_row(float* h_F, const float* gu_2F, const ExpertShape& shape);

namespace reference {
void experts_forward(float* y_RD, const float* x_RD, const ExpertWeights& w, const std::int32_t* offsets_E1,
                     const ExpertShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
