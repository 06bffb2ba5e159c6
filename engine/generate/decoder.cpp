#include "engine/generate/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.hpp"
#include "engine/model/model_state.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/head_norm.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rope.hpp"
#include "kernels/cpu/router.hpp"

namespace moescope::engine {

using namespace kernels;

namespace {

std::uint64_t u(int value) {
    return static_cast<std::uint64_t>(value);
}

/// p + block + inside, or null where the model has no such tensor.
const float* maybe(const float* p, std::uint64_t block, std::uint64_t inside = 0) {
    return block == kNoTensor ? nullptr : p + block + inside;
}

RouterShape token_shape(const ModelConfig& m, std::size_t layer) {
    RouterShape shape = router_shape(m, {Balance::none, false}, layer, 1, 1);
    if (shape.choice == Choice::expert) {
        shape.choice = Choice::token;
        shape.capacity_factor = 0;
    }
    return shape;
}

HeadShape head_shape(const ModelConfig& m, int heads, std::int64_t stride) {
    HeadShape shape;
    shape.B = shape.S = 1;
    shape.N = heads;
    shape.C = query_width(m);
    shape.R = stride;
    shape.epsilon = m.rms_epsilon;
    shape.rope = rope_width(m);
    shape.norm = m.head_norm;
    shape.order = m.rope_order;
    return shape;
}

}  // namespace

DecoderState DecoderState::place(Arena& arena, const ModelConfig& m) {
    DecoderState s;
    const bool latent = m.attention == AttentionKind::latent;
    const std::uint64_t D = u(m.width), Q = u(m.heads) * u(query_width(m)), KV = u(m.kv_heads) * u(m.head_width),
                        O = u(m.heads) * u(value_width(m)), E = u(m.experts),
                        slots = u(m.layers) * u(m.experts_per_token);
    const auto cache = [&](std::uint64_t width) {
        return checked_product(checked_product(u(m.layers), width, "the key-value cache"), u(m.context),
                               "the key-value cache");
    };
    s.keys = arena.take<float>(cache(latent ? u(m.kv_rank) : KV));
    s.values = arena.take<float>(cache(latent ? u(m.rope_width) : KV));
    const std::uint64_t half = u(rope_width(m) / 2);
    s.cos_SP = arena.take<float>(u(m.context) * half);
    s.sin_SP = arena.take<float>(u(m.context) * half);
    s.x_D = arena.take<float>(D);
    s.norm_D = arena.take<float>(D);
    s.wide = arena.take<float>(latent ? std::max(Q, u(m.kv_rank) + u(m.rope_width)) : Q + 2 * KV);
    s.code = arena.take<float>(std::max(u(m.query_rank), u(m.kv_rank)));
    s.q = arena.take<float>(Q);
    s.k = arena.take<float>(KV);
    s.attention = arena.take<float>(O);
    s.latent = arena.take<float>(u(m.kv_rank));
    s.scores = arena.take<float>(u(m.context));
    s.z_E = arena.take<float>(E);
    s.s_E = arena.take<float>(E);
    s.weights_LK = arena.take<float>(slots);
    s.ids_LK = arena.take<std::int32_t>(slots);
    s.kept_K = arena.take<std::uint8_t>(u(m.experts_per_token));
    s.counts_E = arena.take<std::uint32_t>(E);
    s.choices_E = arena.take<std::uint32_t>(E);
    s.router_scratch = arena.take<double>(static_cast<std::uint64_t>(kernels::router_scratch(token_shape(m, 0))));
    const std::uint64_t inner =
        std::max({u(m.expert_width), u(m.shared_experts) * u(m.expert_width), u(m.dense_width)});
    s.gu_2F = arena.take<float>(2 * inner);
    s.h_F = arena.take<float>(inner);
    s.y_D = arena.take<float>(D);
    s.logits_V = arena.take<float>(u(m.vocabulary));
    if (s.cos_SP != nullptr) {
        rope_tables(s.cos_SP, s.sin_SP, m.context, rope_width(m), rope_spec(m));
    }
    return s;
}

Decoder::Decoder(const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
                 const DecoderState& state)
    : model_(model), layout_(layout), parameters_(parameters), state_(state) {
    std::fill_n(state_.ids_LK, u(model_.layers) * u(model_.experts_per_token), -1);
}

std::span<const std::int32_t> Decoder::expert_ids() const {
    return {state_.ids_LK, u(model_.layers) * u(model_.experts_per_token)};
}

std::span<const float> Decoder::expert_weights() const {
    return {state_.weights_LK, u(model_.layers) * u(model_.experts_per_token)};
}

int Decoder::first_seen(std::size_t layer) const {
    return slides(model_, layer) ? std::max(0, position_ + 1 - model_.sliding_window) : 0;
}

void Decoder::softmax(int first, const float* sink, double scale) {
    float* scores = state_.scores;
    const float factor = static_cast<float>(scale);
    float top = factor * *std::max_element(scores + first, scores + position_ + 1);
    top = sink != nullptr ? std::max(top, *sink) : top;
    float sum = sink != nullptr ? std::exp(*sink - top) : 0.0f;
    for (int j = first; j <= position_; ++j) {
        scores[j] = std::exp(factor * scores[j] - top);
        sum += scores[j];
    }
    for (int j = first; j <= position_; ++j) {
        scores[j] /= sum;
    }
}

namespace {

/// out = sum over positions of probability x row.
void weighted_rows(float* out, const float* probabilities, const float* rows, int first, int last, std::int64_t width) {
    std::fill_n(out, width, 0.0f);
    for (int j = first; j <= last; ++j) {
        const float* row = rows + j * width;
        for (std::int64_t c = 0; c < width; ++c) {
            out[c] += probabilities[j] * row[c];
        }
    }
}

}  // namespace

void Decoder::attend_grouped(const LayerOffsets& at, std::size_t layer) {
    const int C = model_.head_width, H = model_.heads, G = model_.kv_heads, S = model_.context, D = model_.width;
    const int Q = H * C, KV = G * C, first = first_seen(layer);
    DecoderState& s = state_;
    float rstd[256];  // heads are at most 256 (validate)
    linear_forward(s.wide, s.norm_D, parameters_ + at.qkv, maybe(parameters_, at.qkv_bias), 1, D, Q + 2 * KV,
                   Write::assign);
    const float *cosines = s.cos_SP + position_ * (C / 2), *sines = s.sin_SP + position_ * (C / 2);
    head_norm_forward(s.q, rstd, s.wide, maybe(parameters_, at.q_norm), cosines, sines,
                      head_shape(model_, H, Q + 2 * KV));
    head_norm_forward(s.k, rstd, s.wide + Q, maybe(parameters_, at.k_norm), cosines, sines,
                      head_shape(model_, G, Q + 2 * KV));
    for (int g = 0; g < G; ++g) {
        float* keys = s.keys + (static_cast<std::int64_t>(layer) * G + g) * S * C;
        float* values = s.values + (static_cast<std::int64_t>(layer) * G + g) * S * C;
        std::copy_n(s.k + g * C, C, keys + position_ * C);
        std::copy_n(s.wide + Q + KV + g * C, C, values + position_ * C);
        for (int h = g * (H / G); h < (g + 1) * (H / G); ++h) {
            linear_forward(s.scores + first, s.q + h * C, keys + first * C, 1, C, position_ + 1 - first, Write::assign);
            softmax(first, at.sinks == kNoTensor ? nullptr : parameters_ + at.sinks + h, attention_scale(model_));
            weighted_rows(s.attention + h * C, s.scores, values, first, position_, C);
        }
    }
}

/// The query is carried into the space of the codes (q W_up), compared with the codes themselves, and the mixed code
/// carried out again: keys and values of earlier tokens are never rebuilt (DeepSeek-V2, arXiv 2405.04434, 2.1.2).
void Decoder::attend_latent(const LayerOffsets& at, std::size_t layer) {
    const int H = model_.heads, S = model_.context, D = model_.width, nope = model_.nope_width,
              rope = model_.rope_width, rank = model_.kv_rank, Cv = model_.value_width, C = nope + rope,
              first = first_seen(layer);
    DecoderState& s = state_;
    float rstd = 0;
    const float* query_input = s.norm_D;
    if (model_.query_rank > 0) {
        linear_forward(s.wide, s.norm_D, parameters_ + at.query_down, 1, D, model_.query_rank, Write::assign);
        rms_norm_forward(s.code, &rstd, s.wide, parameters_ + at.query_down_norm, 1, model_.query_rank,
                         model_.rms_epsilon);
        query_input = s.code;
    }
    linear_forward(s.wide, query_input, parameters_ + at.query_up, 1, model_.query_rank > 0 ? model_.query_rank : D,
                   H * C, Write::assign);
    const float *cosines = s.cos_SP + position_ * (rope / 2), *sines = s.sin_SP + position_ * (rope / 2);
    head_norm_forward(s.q, nullptr, s.wide, nullptr, cosines, sines, head_shape(model_, H, H * C));
    linear_forward(s.wide, s.norm_D, parameters_ + at.kv_down, 1, D, rank + rope, Write::assign);
    float* codes = s.keys + static_cast<std::int64_t>(layer) * S * rank;
    float* turned = s.values + static_cast<std::int64_t>(layer) * S * rope;
    rms_norm_forward(codes + position_ * rank, &rstd, s.wide, parameters_ + at.kv_down_norm, 1, rank,
                     model_.rms_epsilon);
    std::copy_n(s.wide + rank, rope, turned + position_ * rope);
    rope_rotate(turned + position_ * rope, cosines, sines, rope, model_.rope_order);
    for (int h = 0; h < H; ++h) {
        const float* up = parameters_ + at.kv_up + static_cast<std::int64_t>(h) * (nope + Cv) * rank;
        const float* q = s.q + h * C;
        linear_backward_input(s.latent, q, up, 1, rank, nope, Write::assign);  // q W_up, the same product
        const int seen = position_ + 1 - first;
        linear_forward(s.scores + first, s.latent, codes + first * rank, 1, rank, seen, Write::assign);
        linear_forward(s.scores + first, q + nope, turned + first * rope, 1, rope, seen, Write::add);
        softmax(first, nullptr, attention_scale(model_));
        weighted_rows(s.latent, s.scores, codes, first, position_, rank);
        linear_forward(s.attention + h * Cv, s.latent, up + static_cast<std::int64_t>(nope) * rank, 1, rank, Cv,
                       Write::assign);
    }
}

void Decoder::attend(const LayerOffsets& at, std::size_t layer) {
    DecoderState& s = state_;
    float rstd = 0;
    rms_norm_forward(s.norm_D, &rstd, s.x_D, parameters_ + at.input_norm, 1, model_.width, model_.rms_epsilon);
    if (model_.attention == AttentionKind::latent) {
        attend_latent(at, layer);
    } else {
        attend_grouped(at, layer);
    }
    linear_forward(s.x_D, s.attention, parameters_ + at.output, maybe(parameters_, at.output_bias), 1,
                   static_cast<std::int64_t>(model_.heads) * value_width(model_), model_.width, Write::add);
}

void Decoder::add_swiglu(const float* gate_up, const float* down, const float* gate_up_bias, const float* down_bias,
                         std::int64_t width, Activation activation, float weight) {
    DecoderState& s = state_;
    const std::int64_t D = model_.width;
    ExpertShape shape;
    shape.E = 1;
    shape.D = D;
    shape.F = width;
    shape.activation = activation;
    shape.alpha = static_cast<float>(model_.swiglu_alpha);
    shape.limit = static_cast<float>(model_.swiglu_limit);
    linear_forward(s.gu_2F, s.norm_D, gate_up, gate_up_bias, 1, D, 2 * width, Write::assign);
    activate_row(s.h_F, s.gu_2F, shape);
    linear_forward(s.y_D, s.h_F, down, down_bias, 1, width, D, Write::assign);
    for (std::int64_t d = 0; d < D; ++d) {
        s.x_D[d] += weight * s.y_D[d];
    }
}

void Decoder::mix_experts(const LayerOffsets& at, std::size_t layer, std::int32_t token) {
    const std::int64_t D = model_.width, E = model_.experts, K = model_.experts_per_token, F = model_.expert_width;
    DecoderState& s = state_;
    std::int32_t* ids = s.ids_LK + static_cast<std::int64_t>(layer) * K;
    float* weights = s.weights_LK + static_cast<std::int64_t>(layer) * K;
    linear_forward(s.z_E, s.norm_D, parameters_ + at.router, maybe(parameters_, at.router_bias), 1, D, E,
                   Write::assign);
    const RouterShape shape = token_shape(model_, layer);
    float lse = 0;
    std::int32_t given[kMaxChosen];
    RouterInput in;
    in.z_TE = s.z_E;
    in.selection_bias_E = maybe(parameters_, at.selection_bias);
    if (shape.choice == Choice::hash) {
        hash_choice(given, &token, 1, E, K, hash_seed(layer));
        in.given_TK = given;
    }
    router_forward({s.s_E, &lse, ids, s.kept_K, weights, s.counts_E, s.choices_E}, in, s.router_scratch, shape);
    for (std::int64_t k = 0; k < K; ++k) {
        const auto e = static_cast<std::uint64_t>(ids[k]), width = static_cast<std::uint64_t>(F),
                   d = static_cast<std::uint64_t>(D);
        add_swiglu(parameters_ + at.gate_up + e * 2 * width * d, parameters_ + at.down + e * d * width,
                   maybe(parameters_, at.gate_up_bias, e * 2 * width), maybe(parameters_, at.down_bias, e * d), F,
                   model_.activation, weights[k]);
    }
}

void Decoder::feed(const LayerOffsets& at, std::size_t layer, std::int32_t token) {
    float rstd = 0;
    rms_norm_forward(state_.norm_D, &rstd, state_.x_D, parameters_ + at.post_norm, 1, model_.width, model_.rms_epsilon);
    if (at.shared_gate_up != kNoTensor) {
        add_swiglu(parameters_ + at.shared_gate_up, parameters_ + at.shared_down, nullptr, nullptr,
                   static_cast<std::int64_t>(model_.shared_experts) * model_.expert_width, Activation::swiglu, 1.0f);
    }
    if (at.has_experts()) {
        mix_experts(at, layer, token);
    } else {
        add_swiglu(parameters_ + at.dense_gate_up, parameters_ + at.dense_down, nullptr, nullptr, model_.dense_width,
                   Activation::swiglu, 1.0f);
    }
}

std::span<const float> Decoder::decode(std::int32_t token) {
    if (position_ >= model_.context) {
        throw Error("The context of " + std::to_string(model_.context) +
                    " tokens is full: use a shorter prompt or fewer tokens.");
    }
    if (token < 0 || token >= model_.vocabulary) {
        throw Error("Token " + std::to_string(token) + " is not in the vocabulary of " +
                    std::to_string(model_.vocabulary) + ": the tokenizer does not belong to this model.");
    }
    embedding_forward(state_.x_D, parameters_ + layout_.embedding, &token, 1, model_.width);
    for (std::size_t layer = 0; layer < u(model_.layers); ++layer) {
        attend(layout_.layers[layer], layer);
        feed(layout_.layers[layer], layer, token);
    }
    float rstd = 0;
    rms_norm_forward(state_.norm_D, &rstd, state_.x_D, parameters_ + layout_.final_norm, 1, model_.width,
                     model_.rms_epsilon);
    linear_forward(state_.logits_V, state_.norm_D, parameters_ + layout_.head, 1, model_.width, model_.vocabulary,
                   Write::assign);
    ++position_;
    return {state_.logits_V, u(model_.vocabulary)};
}

std::int32_t draw_token(std::span<const float> logits, double temperature, double unit) {
    const auto top = std::max_element(logits.begin(), logits.end());
    const auto best = static_cast<std::int32_t>(top - logits.begin());
    if (!(temperature > 0)) {
        return best;
    }
    double sum = 0;
    for (const float logit : logits) {
        sum += std::exp((static_cast<double>(logit) - *top) / temperature);
    }
    double left = unit * sum;
    for (std::size_t token = 0; token < logits.size(); ++token) {
        left -= std::exp((static_cast<double>(logits[token]) - *top) / temperature);
        if (left <= 0) {
            return static_cast<std::int32_t>(token);
        }
    }
    return best;
}

}  // namespace moescope::engine
