#include "engine/model/blocks.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

using namespace kernels;

namespace {

/// p + offset, or null where the model has no such tensor.
template <class Float>
Float* maybe(Float* p, std::uint64_t offset) {
    return offset == kNoTensor || p == nullptr ? nullptr : p + offset;
}

/// Widths in floats, signed for the kernels.
struct Widths {
    std::int64_t D, H, G, C, Cv, Q, KV, QKV, nope, rope, kv_rank, query_rank, kv;

    explicit Widths(const ModelConfig& m)
        : D(m.width),
          H(m.heads),
          G(m.kv_heads),
          C(query_width(m)),
          Cv(value_width(m)),
          Q(H * C),
          KV(G * C),
          QKV(Q + 2 * KV),
          nope(m.nope_width),
          rope(m.rope_width),
          kv_rank(m.kv_rank),
          query_rank(m.query_rank),
          kv(H * (nope + Cv)) {}
};

HeadShape head_shape(const BlockPass& pass, int heads, std::int64_t stride) {
    HeadShape shape;
    shape.B = pass.batch;
    shape.S = pass.length;
    shape.N = heads;
    shape.C = query_width(pass.model);
    shape.R = stride;
    shape.epsilon = pass.model.rms_epsilon;
    shape.rope = rope_width(pass.model);
    shape.norm = pass.model.qk_norm;
    shape.order = pass.model.rope_order;
    return shape;
}

LatentKeyShape key_shape(const BlockPass& pass, const Widths& n) {
    LatentKeyShape shape;
    shape.B = pass.batch;
    shape.S = pass.length;
    shape.N = n.H;
    shape.nope = n.nope;
    shape.rope = n.rope;
    shape.R = n.kv;
    shape.stride = n.nope + n.Cv;
    shape.R_rope = n.kv_rank + n.rope;
    shape.order = pass.model.rope_order;
    return shape;
}

AttentionShape attention_shape(const BlockPass& pass, const Widths& n, std::size_t layer) {
    const bool latent = pass.model.attention == AttentionKind::latent;
    AttentionShape shape;
    shape.B = pass.batch;
    shape.S = pass.length;
    shape.H = n.H;
    shape.G = n.G;
    shape.C = n.C;
    shape.Cv = n.Cv;
    shape.R = latent ? n.kv : n.QKV;
    shape.stride = latent ? n.nope + n.Cv : n.C;
    shape.scale = attention_scale(pass.model);
    shape.window = slides(pass.model, layer) ? pass.model.sliding_window : 0;
    shape.rounded = pass.state.rounded_attention && pass.ops.operands() != Operands::f32;
    shape.sinks = pass.model.attention_sinks;
    return shape;
}

/// Where the values of a layer, or their gradients in `fused`, begin.
template <class Float>
Float* values_in(Float* fused, const ModelConfig& model, const Widths& n) {
    return fused + (model.attention == AttentionKind::latent ? n.nope : n.Q + n.KV);
}

void grouped_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, const Widths& n) {
    const Activations& state = pass.state;
    pass.ops.linear_forward(s.qkv_TR, s.norm1_TD, pass.p + at.qkv, maybe(pass.p, at.qkv_bias), pass.T(), n.D, n.QKV,
                            Write::assign);
    pass.ops.qk_norm_forward(s.q_BHSC, s.q_rstd, s.qkv_TR, maybe(pass.p, at.q_norm), state.cos_SP, state.sin_SP,
                             head_shape(pass, pass.model.heads, n.QKV));
    pass.ops.qk_norm_forward(s.k_BGSC, s.k_rstd, s.qkv_TR + n.Q, maybe(pass.p, at.k_norm), state.cos_SP, state.sin_SP,
                             head_shape(pass, pass.model.kv_heads, n.QKV));
}

void latent_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, const Widths& n) {
    const Activations& state = pass.state;
    const std::int64_t T = pass.T();
    const double epsilon = pass.model.rms_epsilon;
    const float* query_input = s.norm1_TD;
    if (n.query_rank > 0) {
        pass.ops.linear_forward(s.query_latent_T, s.norm1_TD, pass.p + at.query_down, nullptr, T, n.D, n.query_rank,
                                Write::assign);
        pass.ops.rms_norm_forward(s.query_norm_T, s.query_rstd_T, s.query_latent_T, pass.p + at.query_down_norm, T,
                                  n.query_rank, epsilon);
        query_input = s.query_norm_T;
    }
    pass.ops.linear_forward(state.wide_T, query_input, pass.p + at.query_up, nullptr, T,
                            n.query_rank > 0 ? n.query_rank : n.D, n.Q, Write::assign);
    pass.ops.qk_norm_forward(s.q_BHSC, nullptr, state.wide_T, nullptr, state.cos_SP, state.sin_SP,
                             head_shape(pass, pass.model.heads, n.Q));
    const std::int64_t down = n.kv_rank + n.rope;
    pass.ops.linear_forward(state.wide_T, s.norm1_TD, pass.p + at.kv_down, nullptr, T, n.D, down, Write::assign);
    pass.ops.copy_columns(s.kv_latent_T, n.kv_rank, state.wide_T, down, T, n.kv_rank);
    pass.ops.rms_norm_forward(s.kv_norm_T, s.kv_rstd_T, s.kv_latent_T, pass.p + at.kv_down_norm, T, n.kv_rank, epsilon);
    pass.ops.linear_forward(s.kv_T, s.kv_norm_T, pass.p + at.kv_up, nullptr, T, n.kv_rank, n.kv, Write::assign);
    pass.ops.latent_key_forward(s.k_BGSC, s.kv_T, state.wide_T + n.kv_rank, state.cos_SP, state.sin_SP,
                                key_shape(pass, n));
}

/// dq, dk and the values' gradient in dwide_T to the gradients of the projections and, written, to dnorm_TD.
void grouped_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, const Widths& n) {
    Activations& state = pass.state;
    const std::int64_t T = pass.T();
    pass.ops.qk_norm_backward(state.dwide_T, maybe(pass.g, at.q_norm), state.head_scratch, state.dq_BHSC, s.qkv_TR,
                              s.q_rstd, maybe(pass.p, at.q_norm), state.cos_SP, state.sin_SP,
                              head_shape(pass, pass.model.heads, n.QKV));
    pass.ops.qk_norm_backward(state.dwide_T + n.Q, maybe(pass.g, at.k_norm), state.head_scratch, state.dk_BGSC,
                              s.qkv_TR + n.Q, s.k_rstd, maybe(pass.p, at.k_norm), state.cos_SP, state.sin_SP,
                              head_shape(pass, pass.model.kv_heads, n.QKV));
    pass.ops.linear_backward_weight(pass.g + at.qkv, state.dwide_T, s.norm1_TD, T, n.D, n.QKV, Write::assign);
    pass.ops.linear_backward_bias(maybe(pass.g, at.qkv_bias), state.dwide_T, T, n.QKV, Write::assign);
    pass.ops.linear_backward_input(state.dnorm_TD, state.dwide_T, pass.p + at.qkv, T, n.D, n.QKV, Write::assign);
}

void latent_kv_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, const Widths& n) {
    Activations& state = pass.state;
    const std::int64_t T = pass.T(), down = n.kv_rank + n.rope;
    pass.ops.latent_key_backward(state.dwide_T, state.wide_T + n.kv_rank, state.dk_BGSC, state.cos_SP, state.sin_SP,
                                 key_shape(pass, n));
    pass.ops.linear_backward_weight(pass.g + at.kv_up, state.dwide_T, s.kv_norm_T, T, n.kv_rank, n.kv, Write::assign);
    pass.ops.linear_backward_input(state.dlatent_norm_T, state.dwide_T, pass.p + at.kv_up, T, n.kv_rank, n.kv,
                                   Write::assign);
    pass.ops.rms_norm_backward(state.dlatent_T, pass.g + at.kv_down_norm, state.dlatent_norm_T, s.kv_latent_T,
                               s.kv_rstd_T, pass.p + at.kv_down_norm, T, n.kv_rank, Write::assign);
    pass.ops.copy_columns(state.wide_T, down, state.dlatent_T, n.kv_rank, T, n.kv_rank);
    pass.ops.linear_backward_weight(pass.g + at.kv_down, state.wide_T, s.norm1_TD, T, n.D, down, Write::assign);
    pass.ops.linear_backward_input(state.dnorm_TD, state.wide_T, pass.p + at.kv_down, T, n.D, down, Write::assign);
}

/// Adds to dnorm_TD.
void latent_query_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, const Widths& n) {
    Activations& state = pass.state;
    const std::int64_t T = pass.T();
    pass.ops.qk_norm_backward(state.dwide_T, nullptr, state.head_scratch, state.dq_BHSC, nullptr, nullptr, nullptr,
                              state.cos_SP, state.sin_SP, head_shape(pass, pass.model.heads, n.Q));
    if (n.query_rank == 0) {
        pass.ops.linear_backward_weight(pass.g + at.query_up, state.dwide_T, s.norm1_TD, T, n.D, n.Q, Write::assign);
        pass.ops.linear_backward_input(state.dnorm_TD, state.dwide_T, pass.p + at.query_up, T, n.D, n.Q, Write::add);
        return;
    }
    pass.ops.linear_backward_weight(pass.g + at.query_up, state.dwide_T, s.query_norm_T, T, n.query_rank, n.Q,
                                    Write::assign);
    pass.ops.linear_backward_input(state.dlatent_norm_T, state.dwide_T, pass.p + at.query_up, T, n.query_rank, n.Q,
                                   Write::assign);
    pass.ops.rms_norm_backward(state.dlatent_T, pass.g + at.query_down_norm, state.dlatent_norm_T, s.query_latent_T,
                               s.query_rstd_T, pass.p + at.query_down_norm, T, n.query_rank, Write::assign);
    pass.ops.linear_backward_weight(pass.g + at.query_down, state.dlatent_T, s.norm1_TD, T, n.D, n.query_rank,
                                    Write::assign);
    pass.ops.linear_backward_input(state.dnorm_TD, state.dlatent_T, pass.p + at.query_down, T, n.D, n.query_rank,
                                   Write::add);
}

}  // namespace

void attention_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer) {
    const Widths n(pass.model);
    const std::int64_t T = pass.T();
    pass.ops.rms_norm_forward(s.norm1_TD, s.rstd1_T, s.x_TD, pass.p + at.input_norm, T, n.D, pass.model.rms_epsilon);
    const bool latent = pass.model.attention == AttentionKind::latent;
    if (latent) {
        latent_forward(pass, at, s, n);
    } else {
        grouped_forward(pass, at, s, n);
    }
    pass.ops.attention_forward(s.attention_THC, s.lse_BHS, s.q_BHSC, s.k_BGSC,
                               values_in(latent ? s.kv_T : s.qkv_TR, pass.model, n), maybe(pass.p, at.sinks),
                               pass.state.attention_scratch, attention_shape(pass, n, layer));
    pass.ops.copy(s.middle_TD, s.x_TD, static_cast<std::uint64_t>(T * n.D) * sizeof(float));
    pass.ops.linear_forward(s.middle_TD, s.attention_THC, pass.p + at.output, maybe(pass.p, at.output_bias), T,
                            n.H * n.Cv, n.D, Write::add);
}

void attention_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer) {
    const Widths n(pass.model);
    Activations& state = pass.state;
    const std::int64_t T = pass.T(), O = n.H * n.Cv;
    pass.ops.linear_backward_weight(pass.g + at.output, state.dx_TD, s.attention_THC, T, O, n.D, Write::assign);
    pass.ops.linear_backward_bias(maybe(pass.g, at.output_bias), state.dx_TD, T, n.D, Write::assign);
    pass.ops.linear_backward_input(state.dattention_THC, state.dx_TD, pass.p + at.output, T, O, n.D, Write::assign);
    const bool latent = pass.model.attention == AttentionKind::latent;
    pass.ops.attention_backward(state.dq_BHSC, state.dk_BGSC, values_in(state.dwide_T, pass.model, n),
                                maybe(pass.g, at.sinks), state.sink_partial, state.dattention_THC, s.attention_THC,
                                s.q_BHSC, s.k_BGSC, values_in(latent ? s.kv_T : s.qkv_TR, pass.model, n),
                                maybe(pass.p, at.sinks), s.lse_BHS, state.attention_scratch,
                                attention_shape(pass, n, layer));
    if (latent) {
        latent_kv_backward(pass, at, s, n);
        latent_query_backward(pass, at, s, n);
    } else {
        grouped_backward(pass, at, s, n);
    }
    pass.ops.rms_norm_backward(state.dx_TD, pass.g + at.input_norm, state.dnorm_TD, s.x_TD, s.rstd1_T,
                               pass.p + at.input_norm, T, n.D, Write::add);
}

}  // namespace moescope::engine
