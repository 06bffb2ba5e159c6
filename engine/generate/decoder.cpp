#include "engine/generate/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.hpp"
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

}  // namespace

DecoderState DecoderState::place(Arena& arena, const ModelConfig& m) {
    DecoderState s;
    const std::uint64_t D = u(m.width), Q = u(m.heads) * u(m.head_width), KV = u(m.kv_heads) * u(m.head_width),
                        E = u(m.experts);
    const std::uint64_t cache =
        checked_product(checked_product(u(m.layers), KV, "the key-value cache"), u(m.context), "the key-value cache");
    s.keys = arena.take<float>(cache);
    s.values = arena.take<float>(cache);
    s.cos_SP = arena.take<float>(u(m.context) * u(m.head_width / 2));
    s.sin_SP = arena.take<float>(u(m.context) * u(m.head_width / 2));
    s.x_D = arena.take<float>(D);
    s.norm_D = arena.take<float>(D);
    s.qkv = arena.take<float>(Q + 2 * KV);
    s.q = arena.take<float>(Q);
    s.k = arena.take<float>(KV);
    s.attention = arena.take<float>(Q);
    s.scores = arena.take<float>(u(m.context));
    s.z_E = arena.take<float>(E);
    s.p_E = arena.take<float>(E);
    s.weights_LK = arena.take<float>(u(m.layers) * u(m.experts_per_token));
    s.ids_LK = arena.take<std::int32_t>(u(m.layers) * u(m.experts_per_token));
    s.counts_E = arena.take<std::uint32_t>(E);
    s.router_scratch =
        arena.take<double>(u(static_cast<int>(kernels::router_scratch({1, m.experts, m.experts_per_token, true}))));
    s.gu_2F = arena.take<float>(2 * u(m.expert_width));
    s.h_F = arena.take<float>(u(m.expert_width));
    s.y_D = arena.take<float>(D);
    s.logits_V = arena.take<float>(u(m.vocabulary));
    if (s.cos_SP != nullptr) {
        rope_tables(s.cos_SP, s.sin_SP, m.context, m.head_width, m.rope_theta);
    }
    return s;
}

Decoder::Decoder(const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
                 const DecoderState& state)
    : model_(model), layout_(layout), parameters_(parameters), state_(state) {}

std::span<const std::int32_t> Decoder::expert_ids() const {
    return {state_.ids_LK, u(model_.layers) * u(model_.experts_per_token)};
}

std::span<const float> Decoder::expert_weights() const {
    return {state_.weights_LK, u(model_.layers) * u(model_.experts_per_token)};
}

void Decoder::attend(const LayerOffsets& at, std::size_t layer) {
    const int C = model_.head_width, H = model_.heads, G = model_.kv_heads, S = model_.context, D = model_.width;
    const int Q = H * C, KV = G * C, seen = position_ + 1;
    DecoderState& s = state_;
    float rstd[256];  // heads are at most 256 (validate)
    rms_norm_forward(s.norm_D, rstd, s.x_D, parameters_ + at.input_norm, 1, D, model_.rms_epsilon);
    linear_forward(s.qkv, s.norm_D, parameters_ + at.qkv, 1, D, Q + 2 * KV, Write::assign);
    const float *cosines = s.cos_SP + position_ * (C / 2), *sines = s.sin_SP + position_ * (C / 2);
    head_norm_forward(s.q, rstd, s.qkv, parameters_ + at.q_norm, cosines, sines,
                      {1, 1, H, C, Q + 2 * KV, model_.rms_epsilon});
    head_norm_forward(s.k, rstd, s.qkv + Q, parameters_ + at.k_norm, cosines, sines,
                      {1, 1, G, C, Q + 2 * KV, model_.rms_epsilon});
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(C)));
    for (int g = 0; g < G; ++g) {
        float* keys = s.keys + (static_cast<std::int64_t>(layer) * G + g) * S * C;
        float* values = s.values + (static_cast<std::int64_t>(layer) * G + g) * S * C;
        std::copy_n(s.k + g * C, C, keys + position_ * C);
        std::copy_n(s.qkv + Q + KV + g * C, C, values + position_ * C);
        for (int h = g * (H / G); h < (g + 1) * (H / G); ++h) {
            linear_forward(s.scores, s.q + h * C, keys, 1, C, seen, Write::assign);
            const float top = *std::max_element(s.scores, s.scores + seen);
            float sum = 0;
            for (int j = 0; j < seen; ++j) {
                s.scores[j] = std::exp(scale * (s.scores[j] - top));
                sum += s.scores[j];
            }
            float* out = s.attention + h * C;
            std::fill_n(out, C, 0.0f);
            for (int j = 0; j < seen; ++j) {
                const float p = s.scores[j] / sum;
                for (int c = 0; c < C; ++c) {
                    out[c] += p * values[j * C + c];
                }
            }
        }
    }
    linear_forward(s.x_D, s.attention, parameters_ + at.output, 1, Q, D, Write::add);
}

void Decoder::mix_experts(const LayerOffsets& at, std::size_t layer) {
    const std::int64_t D = model_.width, E = model_.experts, K = model_.experts_per_token, F = model_.expert_width;
    DecoderState& s = state_;
    std::int32_t* ids = s.ids_LK + static_cast<std::int64_t>(layer) * K;
    float* weights = s.weights_LK + static_cast<std::int64_t>(layer) * K;
    float rstd = 0, lse = 0;
    rms_norm_forward(s.norm_D, &rstd, s.x_D, parameters_ + at.post_norm, 1, D, model_.rms_epsilon);
    linear_forward(s.z_E, s.norm_D, parameters_ + at.router, 1, D, E, Write::assign);
    router_forward(s.p_E, &lse, ids, weights, s.counts_E, s.z_E, s.router_scratch, {1, E, K, model_.normalise_weights});
    for (std::int64_t k = 0; k < K; ++k) {
        linear_forward(s.gu_2F, s.norm_D, parameters_ + at.gate_up + static_cast<std::uint64_t>(ids[k] * 2 * F * D), 1,
                       D, 2 * F, Write::assign);
        swiglu_row(s.h_F, s.gu_2F, F);
        linear_forward(s.y_D, s.h_F, parameters_ + at.down + static_cast<std::uint64_t>(ids[k] * D * F), 1, F, D,
                       Write::assign);
        for (std::int64_t d = 0; d < D; ++d) {
            s.x_D[d] += weights[k] * s.y_D[d];
        }
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
    for (std::size_t layer = 0; layer < layout_.layers.size(); ++layer) {
        attend(layout_.layers[layer], layer);
        mix_experts(layout_.layers[layer], layer);
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
