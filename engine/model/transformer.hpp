// The model: forward, and the hand-written backward, over buffers planned before the run.
//
// Legend of shapes: B sequences, S positions, T = B S tokens, V vocabulary, D model width, H query heads, G key-value
// heads, C head width, E experts, K chosen experts, F expert width, R = T K rows of expert work sorted by expert.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/head_norm.hpp"
#include "kernels/cpu/router.hpp"

namespace moescope::engine {

enum class Part;  // engine/train/trainer.hpp

/// What the forward of one layer leaves for the backward.
struct LayerState {
    float* x_TD = nullptr;  ///< residual stream before the layer
    float* norm1_TD = nullptr;
    float* rstd1_T = nullptr;
    float* qkv_TR = nullptr;  ///< [T, (H + 2 G) C]
    float* q_BHSC = nullptr;  ///< after norm and RoPE
    float* k_BGSC = nullptr;
    float* q_rstd = nullptr;  ///< [B, H, S]
    float* k_rstd = nullptr;  ///< [B, G, S]
    float* lse_BHS = nullptr;
    float* attention_THC = nullptr;
    float* middle_TD = nullptr;  ///< residual stream after attention
    float* norm2_TD = nullptr;
    float* rstd2_T = nullptr;
    float* p_TE = nullptr;  ///< router probabilities
    float* router_lse_T = nullptr;
    std::int32_t* ids_TK = nullptr;
    float* w_TK = nullptr;
    std::uint32_t* counts_E = nullptr;
    std::int32_t* offsets_E1 = nullptr;
    std::int32_t* row_of_TK = nullptr;
    std::int32_t* token_of_R = nullptr;
    float* rows_RD = nullptr;  ///< gathered inputs of the experts
    float* gu_R2F = nullptr;
    float* h_RF = nullptr;
    float* y_RD = nullptr;
};

enum class Mode { train, inference };

/// All buffers of forward and backward for at most `batch` sequences of `length` tokens. In inference one layer's
/// buffers serve all.
struct ModelState {
    /// The same call plans (arena without memory) and places (arena with memory).
    static ModelState place(Arena& arena, const ModelConfig& model, int batch, int length, int threads, Mode mode);

    std::vector<LayerState> layers;
    float* last_TD = nullptr;   ///< residual stream after the last layer
    float* final_TD = nullptr;  ///< after the final norm
    float* final_rstd_T = nullptr;
    float *cos_SP = nullptr, *sin_SP = nullptr;
    float* z_TE = nullptr;  ///< router logits, scratch of the forward and, as their gradient, of the backward
    double* router_scratch = nullptr;
    float* attention_scratch = nullptr;
    // Training only.
    float* losses_T = nullptr;
    float* logits = nullptr;  ///< a chunk of rows [rows, V]
    float *dx_TD = nullptr, *dnorm_TD = nullptr, *dattention_THC = nullptr, *dqkv_TR = nullptr;
    float *dq_BHSC = nullptr, *dk_BGSC = nullptr, *head_partial = nullptr;
    float *dy_RD = nullptr, *drows_RD = nullptr, *dgu_R2F = nullptr, *dh_RF = nullptr, *dw_TK = nullptr;
};

/// Times parts of a step: `end(part)` adds what passed since the last call. Null when nobody looks.
using PartClock = std::function<void(Part)>;

class Transformer {
 public:
    /// `parameters` is a flat buffer of `layout`, `state` one that was placed for these sizes; both outlive this
    /// object.
    Transformer(const ModelConfig& model, const ParameterLayout& layout, ModelState& state);

    /// Tokens [batch, length] to state.final_TD; router losses into `router` (one per layer).
    void forward(const float* parameters, const std::int32_t* tokens_T, int batch, int length,
                 std::vector<kernels::RouterLosses>& router, const PartClock& clock);
    /// Mean cross-entropy of what forward left, no gradient.
    double loss(const float* parameters, const std::int32_t* targets_T, int tokens);
    /// Mean cross-entropy and all gradients (written, not added) of it plus balance_scale and z_scale times each
    /// layer's router losses.
    double backward(const float* parameters, float* gradients, const std::int32_t* tokens_T,
                    const std::int32_t* targets_T, int batch, int length, double balance_scale, double z_scale,
                    const PartClock& clock);

 private:
    void attention_forward(const float* p, const LayerOffsets& at, LayerState& s, int batch, int length);
    void experts_forward(const float* p, const LayerOffsets& at, LayerState& s, float* out_TD, std::int64_t T);
    void experts_backward(const float* p, float* g, const LayerOffsets& at, LayerState& s, std::int64_t T,
                          double balance_scale, double z_scale, const PartClock& clock);
    void attention_backward(const float* p, float* g, const LayerOffsets& at, LayerState& s, int batch, int length);
    kernels::HeadShape head_shape(int batch, int length, int heads) const;
    kernels::AttentionShape attention_shape(int batch, int length) const;
    kernels::RouterShape router_shape(std::int64_t T) const;
    float* output_of(std::size_t layer) {
        return layer + 1 < state_.layers.size() ? state_.layers[layer + 1].x_TD : state_.last_TD;
    }

    const ModelConfig model_;
    const ParameterLayout& layout_;
    ModelState& state_;
};

}  // namespace moescope::engine
