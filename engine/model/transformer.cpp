#include "engine/model/transformer.hpp"

#include <algorithm>

#include "engine/train/trainer.hpp"  // Part
#include "kernels/cpu/combine.hpp"
#include "kernels/cpu/cross_entropy.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rope.hpp"

namespace moescope::engine {
namespace {

using namespace kernels;

/// The sizes of the legend, for a number of tokens.
struct Sizes {
    std::uint64_t T, V, D, Q, KV, QKV, H, G, C, E, K, F, R;

    Sizes(const ModelConfig& m, std::uint64_t tokens)
        : T(tokens),
          V(static_cast<std::uint64_t>(m.vocabulary)),
          D(static_cast<std::uint64_t>(m.width)),
          Q(static_cast<std::uint64_t>(m.heads) * static_cast<std::uint64_t>(m.head_width)),
          KV(static_cast<std::uint64_t>(m.kv_heads) * static_cast<std::uint64_t>(m.head_width)),
          QKV(Q + 2 * KV),
          H(static_cast<std::uint64_t>(m.heads)),
          G(static_cast<std::uint64_t>(m.kv_heads)),
          C(static_cast<std::uint64_t>(m.head_width)),
          E(static_cast<std::uint64_t>(m.experts)),
          K(static_cast<std::uint64_t>(m.experts_per_token)),
          F(static_cast<std::uint64_t>(m.expert_width)),
          R(checked_product(tokens, K, "the expert rows")) {}
};

float* floats(Arena& arena, std::uint64_t a, std::uint64_t b) {
    return arena.take<float>(checked_product(a, b, "an activation buffer"));
}

LayerState place_layer(Arena& arena, const Sizes& n) {
    LayerState s;
    s.norm1_TD = floats(arena, n.T, n.D);
    s.rstd1_T = floats(arena, n.T, 1);
    s.qkv_TR = floats(arena, n.T, n.QKV);
    s.q_BHSC = floats(arena, n.T, n.Q);
    s.k_BGSC = floats(arena, n.T, n.KV);
    s.q_rstd = floats(arena, n.T, n.H);
    s.k_rstd = floats(arena, n.T, n.G);
    s.lse_BHS = floats(arena, n.T, n.H);
    s.attention_THC = floats(arena, n.T, n.Q);
    s.middle_TD = floats(arena, n.T, n.D);
    s.norm2_TD = floats(arena, n.T, n.D);
    s.rstd2_T = floats(arena, n.T, 1);
    s.p_TE = floats(arena, n.T, n.E);
    s.router_lse_T = floats(arena, n.T, 1);
    s.ids_TK = arena.take<std::int32_t>(n.R);
    s.w_TK = floats(arena, n.R, 1);
    s.counts_E = arena.take<std::uint32_t>(n.E);
    s.offsets_E1 = arena.take<std::int32_t>(n.E + 1);
    s.row_of_TK = arena.take<std::int32_t>(n.R);
    s.token_of_R = arena.take<std::int32_t>(n.R);
    s.rows_RD = floats(arena, n.R, n.D);
    s.gu_R2F = floats(arena, n.R, 2 * n.F);
    s.h_RF = floats(arena, n.R, n.F);
    s.y_RD = floats(arena, n.R, n.D);
    return s;
}

void place_training(Arena& arena, ModelState& s, const Sizes& n) {
    s.losses_T = floats(arena, n.T, 1);
    s.logits = floats(arena, static_cast<std::uint64_t>(cross_entropy_rows(static_cast<std::int64_t>(n.T))), n.V);
    s.dx_TD = floats(arena, n.T, n.D);
    s.dnorm_TD = floats(arena, n.T, n.D);
    s.dattention_THC = floats(arena, n.T, n.Q);
    s.dqkv_TR = floats(arena, n.T, n.QKV);
    s.dq_BHSC = floats(arena, n.T, n.Q);
    s.dk_BGSC = floats(arena, n.T, n.KV);
    s.head_partial = floats(arena, n.T, n.Q);  // at most B x heads x C is used
    s.dy_RD = floats(arena, n.R, n.D);
    s.drows_RD = floats(arena, n.R, n.D);
    s.dgu_R2F = floats(arena, n.R, 2 * n.F);
    s.dh_RF = floats(arena, n.R, n.F);
    s.dw_TK = floats(arena, n.R, 1);
}

}  // namespace

ModelState ModelState::place(Arena& arena, const ModelConfig& model, int batch, int length, int threads, Mode mode) {
    const Sizes n(model,
                  checked_product(static_cast<std::uint64_t>(batch), static_cast<std::uint64_t>(length), "the batch"));
    ModelState s;
    float* x[2] = {nullptr, nullptr};  // in inference the residual stream goes back and forth between two buffers
    LayerState shared;
    if (mode == Mode::inference) {
        x[0] = floats(arena, n.T, n.D);
        x[1] = floats(arena, n.T, n.D);
        shared = place_layer(arena, n);
    }
    for (int layer = 0; layer < model.layers; ++layer) {
        s.layers.push_back(mode == Mode::inference ? shared : place_layer(arena, n));
        s.layers.back().x_TD = mode == Mode::inference ? x[layer % 2] : floats(arena, n.T, n.D);
    }
    s.last_TD = mode == Mode::inference ? x[model.layers % 2] : floats(arena, n.T, n.D);
    s.final_TD = floats(arena, n.T, n.D);
    s.final_rstd_T = floats(arena, n.T, 1);
    s.cos_SP = floats(arena, static_cast<std::uint64_t>(length), n.C / 2);
    s.sin_SP = floats(arena, static_cast<std::uint64_t>(length), n.C / 2);
    s.z_TE = floats(arena, n.T, n.E);
    const RouterShape router{static_cast<std::int64_t>(n.T), static_cast<std::int64_t>(n.E),
                             static_cast<std::int64_t>(n.K), true};
    s.router_scratch = arena.take<double>(static_cast<std::uint64_t>(kernels::router_scratch(router)));
    s.attention_scratch = floats(arena, static_cast<std::uint64_t>(kernels::attention_scratch(length)),
                                 static_cast<std::uint64_t>(threads));
    if (mode == Mode::train) {
        place_training(arena, s, n);
    }
    if (s.cos_SP != nullptr) {
        rope_tables(s.cos_SP, s.sin_SP, length, static_cast<std::int64_t>(n.C), model.rope_theta);
    }
    return s;
}

Transformer::Transformer(const ModelConfig& model, const ParameterLayout& layout, ModelState& state)
    : model_(model), layout_(layout), state_(state) {}

HeadShape Transformer::head_shape(int batch, int length, int heads) const {
    return {batch,
            length,
            heads,
            model_.head_width,
            (model_.heads + 2 * model_.kv_heads) * model_.head_width,
            model_.rms_epsilon};
}

AttentionShape Transformer::attention_shape(int batch, int length) const {
    return {batch,
            length,
            model_.heads,
            model_.kv_heads,
            model_.head_width,
            (model_.heads + 2 * model_.kv_heads) * model_.head_width};
}

RouterShape Transformer::router_shape(std::int64_t T) const {
    return {T, model_.experts, model_.experts_per_token, model_.normalise_weights};
}

void Transformer::attention_forward(const float* p, const LayerOffsets& at, LayerState& s, int batch, int length) {
    const Sizes n(model_, static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length));
    const auto T = static_cast<std::int64_t>(n.T), D = static_cast<std::int64_t>(n.D),
               Q = static_cast<std::int64_t>(n.Q);
    rms_norm_forward(s.norm1_TD, s.rstd1_T, s.x_TD, p + at.input_norm, T, D, model_.rms_epsilon);
    linear_forward(s.qkv_TR, s.norm1_TD, p + at.qkv, T, D, static_cast<std::int64_t>(n.QKV), Write::assign);
    head_norm_forward(s.q_BHSC, s.q_rstd, s.qkv_TR, p + at.q_norm, state_.cos_SP, state_.sin_SP,
                      head_shape(batch, length, model_.heads));
    head_norm_forward(s.k_BGSC, s.k_rstd, s.qkv_TR + n.Q, p + at.k_norm, state_.cos_SP, state_.sin_SP,
                      head_shape(batch, length, model_.kv_heads));
    kernels::attention_forward(s.attention_THC, s.lse_BHS, s.q_BHSC, s.k_BGSC, s.qkv_TR + n.Q + n.KV,
                               state_.attention_scratch, attention_shape(batch, length));
    std::copy(s.x_TD, s.x_TD + n.T * n.D, s.middle_TD);
    linear_forward(s.middle_TD, s.attention_THC, p + at.output, T, Q, D, Write::add);
}

void Transformer::experts_forward(const float* p, const LayerOffsets& at, LayerState& s, float* out_TD,
                                  std::int64_t T) {
    const std::int64_t D = model_.width, E = model_.experts, K = model_.experts_per_token, F = model_.expert_width;
    dispatch_plan(s.offsets_E1, s.row_of_TK, s.token_of_R, s.ids_TK, s.counts_E, T, E, K);
    gather_forward(s.rows_RD, s.norm2_TD, s.token_of_R, T * K, D);
    kernels::experts_forward(s.y_RD, s.gu_R2F, s.h_RF, s.rows_RD, p + at.gate_up, p + at.down, s.offsets_E1, {E, D, F});
    combine_forward(out_TD, s.middle_TD, s.y_RD, s.w_TK, s.row_of_TK, T, K, D);
}

void Transformer::forward(const float* parameters, const std::int32_t* tokens_T, int batch, int length,
                          std::vector<RouterLosses>& router, const PartClock& clock) {
    const std::int64_t T = static_cast<std::int64_t>(batch) * length, D = model_.width, E = model_.experts;
    embedding_forward(state_.layers[0].x_TD, parameters + layout_.embedding, tokens_T, T, D);
    clock(Part::embedding);
    for (std::size_t layer = 0; layer < state_.layers.size(); ++layer) {
        LayerState& s = state_.layers[layer];
        const LayerOffsets& at = layout_.layers[layer];
        attention_forward(parameters, at, s, batch, length);
        clock(Part::attention);
        rms_norm_forward(s.norm2_TD, s.rstd2_T, s.middle_TD, parameters + at.post_norm, T, D, model_.rms_epsilon);
        linear_forward(state_.z_TE, s.norm2_TD, parameters + at.router, T, D, E, Write::assign);
        router[layer] = router_forward(s.p_TE, s.router_lse_T, s.ids_TK, s.w_TK, s.counts_E, state_.z_TE,
                                       state_.router_scratch, router_shape(T));
        clock(Part::router);
        experts_forward(parameters, at, s, output_of(layer), T);
        clock(Part::experts);
    }
    rms_norm_forward(state_.final_TD, state_.final_rstd_T, state_.last_TD, parameters + layout_.final_norm, T, D,
                     model_.rms_epsilon);
    clock(Part::head);
}

double Transformer::loss(const float* parameters, const std::int32_t* targets_T, int tokens) {
    return cross_entropy_forward(state_.losses_T, state_.final_TD, parameters + layout_.head, targets_T, state_.logits,
                                 tokens, model_.width, model_.vocabulary);
}

void Transformer::experts_backward(const float* p, float* g, const LayerOffsets& at, LayerState& s, std::int64_t T,
                                   double balance_scale, double z_scale, const PartClock& clock) {
    const std::int64_t D = model_.width, E = model_.experts, K = model_.experts_per_token, F = model_.expert_width;
    combine_backward(state_.dy_RD, state_.dw_TK, state_.dx_TD, s.y_RD, s.w_TK, s.row_of_TK, T, K, D);
    kernels::experts_backward(state_.drows_RD, g + at.gate_up, g + at.down, state_.dgu_R2F, state_.dh_RF, state_.dy_RD,
                              s.rows_RD, s.gu_R2F, s.h_RF, p + at.gate_up, p + at.down, s.offsets_E1, {E, D, F});
    gather_backward(state_.dnorm_TD, state_.drows_RD, s.row_of_TK, T, K, D);
    clock(Part::experts);
    router_backward(state_.z_TE, state_.dw_TK, s.p_TE, s.router_lse_T, s.ids_TK, s.w_TK, s.counts_E, balance_scale,
                    z_scale, router_shape(T));
    linear_backward_weight(g + at.router, state_.z_TE, s.norm2_TD, T, D, E, Write::assign);
    linear_backward_input(state_.dnorm_TD, state_.z_TE, p + at.router, T, D, E, Write::add);
    rms_norm_backward(state_.dx_TD, g + at.post_norm, state_.dnorm_TD, s.middle_TD, s.rstd2_T, p + at.post_norm, T, D,
                      Write::add);
    clock(Part::router);
}

void Transformer::attention_backward(const float* p, float* g, const LayerOffsets& at, LayerState& s, int batch,
                                     int length) {
    const Sizes n(model_, static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length));
    const auto T = static_cast<std::int64_t>(n.T), D = static_cast<std::int64_t>(n.D),
               Q = static_cast<std::int64_t>(n.Q);
    const auto QKV = static_cast<std::int64_t>(n.QKV);
    linear_backward_weight(g + at.output, state_.dx_TD, s.attention_THC, T, Q, D, Write::assign);
    linear_backward_input(state_.dattention_THC, state_.dx_TD, p + at.output, T, Q, D, Write::assign);
    kernels::attention_backward(state_.dq_BHSC, state_.dk_BGSC, state_.dqkv_TR + n.Q + n.KV, state_.dattention_THC,
                                s.q_BHSC, s.k_BGSC, s.qkv_TR + n.Q + n.KV, s.lse_BHS, state_.attention_scratch,
                                attention_shape(batch, length));
    head_norm_backward(state_.dqkv_TR, g + at.q_norm, state_.head_partial, state_.dq_BHSC, s.qkv_TR, s.q_rstd,
                       p + at.q_norm, state_.cos_SP, state_.sin_SP, head_shape(batch, length, model_.heads));
    head_norm_backward(state_.dqkv_TR + n.Q, g + at.k_norm, state_.head_partial, state_.dk_BGSC, s.qkv_TR + n.Q,
                       s.k_rstd, p + at.k_norm, state_.cos_SP, state_.sin_SP,
                       head_shape(batch, length, model_.kv_heads));
    linear_backward_weight(g + at.qkv, state_.dqkv_TR, s.norm1_TD, T, D, QKV, Write::assign);
    linear_backward_input(state_.dnorm_TD, state_.dqkv_TR, p + at.qkv, T, D, QKV, Write::assign);
    rms_norm_backward(state_.dx_TD, g + at.input_norm, state_.dnorm_TD, s.x_TD, s.rstd1_T, p + at.input_norm, T, D,
                      Write::add);
}

double Transformer::backward(const float* parameters, float* gradients, const std::int32_t* tokens_T,
                             const std::int32_t* targets_T, int batch, int length, double balance_scale, double z_scale,
                             const PartClock& clock) {
    const std::int64_t T = static_cast<std::int64_t>(batch) * length, D = model_.width, V = model_.vocabulary;
    const double cross_entropy =
        cross_entropy_forward_backward(state_.losses_T, state_.dnorm_TD, gradients + layout_.head, state_.final_TD,
                                       parameters + layout_.head, targets_T, state_.logits, T, D, V);
    rms_norm_backward(state_.dx_TD, gradients + layout_.final_norm, state_.dnorm_TD, state_.last_TD,
                      state_.final_rstd_T, parameters + layout_.final_norm, T, D, Write::assign);
    clock(Part::head);
    for (std::size_t layer = state_.layers.size(); layer-- > 0;) {
        LayerState& s = state_.layers[layer];
        const LayerOffsets& at = layout_.layers[layer];
        experts_backward(parameters, gradients, at, s, T, balance_scale, z_scale, clock);
        attention_backward(parameters, gradients, at, s, batch, length);
        clock(Part::attention);
    }
    if (!model_.tied_head) {
        std::fill_n(gradients + layout_.embedding, V * D, 0.0f);
    }
    embedding_backward(gradients + layout_.embedding, state_.dx_TD, tokens_T, T, D);
    clock(Part::embedding);
    return cross_entropy;
}

}  // namespace moescope::engine
