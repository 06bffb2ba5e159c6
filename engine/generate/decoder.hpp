// Token by token generation with a key-value cache.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "kernels/cpu/router.hpp"

namespace moescope::engine {

/// Buffers of one decoder; the same call plans and places (see arena.hpp).
struct DecoderState {
    static DecoderState place(Arena& arena, const ModelConfig& model);

    // Grouped attention: [layers][G][context][C]. Latent attention keeps the code of a token instead of its keys and
    // values: keys holds the normed codes [layers][context][kv_rank], values the turned RoPE part
    // [layers][context][rope].
    float *keys = nullptr, *values = nullptr;
    float *cos_SP = nullptr, *sin_SP = nullptr;  ///< [context][rope / 2]
    float *x_D = nullptr, *norm_D = nullptr, *wide = nullptr, *code = nullptr, *q = nullptr, *k = nullptr;
    float* attention = nullptr;  ///< [H Cv]
    float* latent = nullptr;     ///< [kv_rank], one head's query or output in the space of the codes
    float* scores = nullptr;     ///< [context]
    float *z_E = nullptr, *s_E = nullptr, *weights_LK = nullptr;
    std::int32_t* ids_LK = nullptr;  ///< [layers][K]
    std::uint8_t* kept_K = nullptr;
    std::uint32_t *counts_E = nullptr, *choices_E = nullptr;
    double* router_scratch = nullptr;
    float *gu_2F = nullptr, *h_F = nullptr, *y_D = nullptr;
    float* logits_V = nullptr;
};

/// Not thread safe. `parameters`, `layout` and the memory behind `state` are owned by the caller and outlive the
/// decoder. A model whose experts choose their tokens needs the whole text to do so; token by token it takes the K best
/// experts of each token instead.
class Decoder {
 public:
    Decoder(const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
            const DecoderState& state);

    /// Appends a token; gives the logits [V] of the one after it, valid until the next call. Throws Error when the
    /// context is full or the token is not in the vocabulary.
    std::span<const float> decode(std::int32_t token);
    /// Forgets everything decoded so far.
    void reset() { position_ = 0; }
    /// Tokens decoded since reset.
    int position() const { return position_; }
    int context() const { return model_.context; }

    /// Routing of the last token: [layers][K] expert ids, most probable first (-1 in dense layers), and their applied
    /// weights.
    std::span<const std::int32_t> expert_ids() const;
    std::span<const float> expert_weights() const;

 private:
    void attend(const LayerOffsets& at, std::size_t layer);
    void attend_grouped(const LayerOffsets& at, std::size_t layer);
    void attend_latent(const LayerOffsets& at, std::size_t layer);
    void feed(const LayerOffsets& at, std::size_t layer, std::int32_t token);
    void mix_experts(const LayerOffsets& at, std::size_t layer, std::int32_t token);
    /// x_D += weight x one SwiGLU of norm_D.
    void add_swiglu(const float* gate_up, const float* down, const float* gate_up_bias, const float* down_bias,
                    std::int64_t width, kernels::Activation activation, float weight);
    /// Scores of the positions [first, position_] become probabilities; a sink takes its share.
    void softmax(int first, const float* sink, double scale);
    int first_seen(std::size_t layer) const;

    ModelConfig model_;
    const ParameterLayout& layout_;
    const float* parameters_;
    DecoderState state_;
    int position_ = 0;
};

/// A token drawn from softmax(logits / temperature); temperature 0 takes the largest, a tie the lower id. `unit` is in
/// (0, 1).
std::int32_t draw_token(std::span<const float> logits, double temperature, double unit);

}  // namespace moescope::engine
