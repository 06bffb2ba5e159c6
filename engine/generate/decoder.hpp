// Generation with a key-value cache: one text token by token, several texts side by side, a prompt in blocks of rows.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "kernels/cpu/router.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// Buffers of one decoder for N texts (sequences) of which R tokens (rows) are computed at once, in the memory of the
/// device that computes; the same call plans and places (see arena.hpp).
struct DecoderState {
    /// `sequences` at least 1.
    static DecoderState place(Arena& arena, const kernels::Ops& ops, const ModelConfig& model, int sequences);

    int sequences = 0, rows = 0;  ///< N, R
    // Grouped attention: [layers][N][G][context][C]. Latent attention keeps the latent of a token instead of its keys
    // and values: keys holds the normed latents [layers][N][context][kv_rank], values the turned RoPE part
    // [layers][N][context][rope].
    float *keys = nullptr, *values = nullptr;
    float *cos_SP = nullptr, *sin_SP = nullptr;  ///< [context][rope / 2]
    kernels::CachePlace* places_R = nullptr;
    std::int32_t* tokens_R = nullptr;
    float *x_RD = nullptr, *norm_RD = nullptr, *rstd_R = nullptr, *wide = nullptr, *query_latent = nullptr,
          *q = nullptr;
    float* attention = nullptr;  ///< [R][H Cv]
    float* attention_scratch = nullptr;
    float *z_RE = nullptr, *s_RE = nullptr, *lse_R = nullptr, *weights_LRK = nullptr;
    std::int32_t *ids_LRK = nullptr, *given_RK = nullptr;
    std::uint8_t* kept_RK = nullptr;
    std::uint32_t *counts_E = nullptr, *choices_E = nullptr;
    double* router_scratch = nullptr;
    kernels::RouterLosses* losses = nullptr;
    std::int32_t *offsets_E1 = nullptr, *row_of_RK = nullptr, *token_of = nullptr;
    // Of the R K rows that experts work on.
    float *sorted_D = nullptr, *gu_2F = nullptr, *h_F = nullptr, *y_D = nullptr;
    float* logits_NV = nullptr;
};

/// Bytes of keys and values of one text with `context` tokens.
std::uint64_t cache_bytes(const ModelConfig& model, int context);

/// One token to come, and the text that it continues.
struct DecoderRow {
    int sequence = 0;
    std::int32_t token = 0;
};

/// What one row's router decided in one layer. Valid during the call.
struct RoutedRow {
    int layer = 0, row = 0;           ///< row of the call in progress
    int sequence = 0, position = 0;   ///< of the text
    bool by_token = false;            ///< a hash layer: the ids do not come from scores
    std::span<const float> z_E, s_E;  ///< logits and scores
    std::span<const float> bias_E;    ///< added to the scores for the choice; empty: none
    std::span<std::int32_t> ids_K;    ///< best first; -1: not used
    std::span<float> weights_K;
};

/// Sees what the routers of a decoder decide, and may change it.
class RouterTap {
 public:
    virtual ~RouterTap() = default;
    /// After the router has chosen. True: it wrote other ids (-1: a place that is not used, after all others), which
    /// are then weighed as the router's own.
    virtual bool choose(const RoutedRow& row) = 0;
    /// Once the weights of the choice stand. It may change them; ids stay.
    virtual void weighed(const RoutedRow& row) = 0;
};

/// Not thread safe. `ops`, `parameters` (of the device), `layout` and the memory behind `state` are owned by the caller
/// and outlive the decoder. Who calls has entered `ops`, or uses the thread's own settings of the CPU. A model whose
/// experts choose their tokens, or whose router balances over the batch, needs the whole text to do so; here every
/// token is routed for itself. What a text gets does not depend on the other texts.
class Decoder {
 public:
    Decoder(kernels::Ops& ops, const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
            const DecoderState& state);

    /// Appends a token to the first text; gives the logits [V] of the one after it, valid until the next call. Throws
    /// Error when the context is full or the token is not in the vocabulary; nothing is appended then.
    std::span<const float> decode(std::int32_t token);
    /// Appends one token to each of several different texts; gives their logits [rows.size()][V]. As above.
    std::span<const float> decode(std::span<const DecoderRow> rows);
    /// Appends several tokens to one text; gives the logits [V] after the last of them, or nothing when there are no
    /// tokens or `cancel` (may be null) turned true meanwhile. As above.
    std::span<const float> read(int sequence, std::span<const std::int32_t> tokens,
                                const std::atomic<bool>* cancel = nullptr);
    /// Appends at most most_rows() tokens to one text; gives the logits of each, [tokens.size()][V], valid until the
    /// next call. As above.
    std::span<const float> read_each(int sequence, std::span<const std::int32_t> tokens);
    int most_rows() const { return state_.rows; }
    /// From now on; null: nobody looks. Outlives the calls.
    void set_tap(RouterTap* tap) { tap_ = tap; }
    /// Of the device, [layers][E], 1: the expert is never chosen; null: all may be. Outlives the calls.
    void set_disabled(const std::uint8_t* disabled_LE) { disabled_LE_ = disabled_LE; }
    /// Text `to` goes on from where `from` stands.
    void copy(int from, int to);
    /// Forgets everything decoded so far.
    void reset();
    /// Tokens of a text since reset.
    int position(int sequence = 0) const { return lengths_N_[static_cast<std::size_t>(sequence)]; }
    int context() const { return model_.context; }
    int sequences() const { return state_.sequences; }

    /// Routing of row `row` of the last call in one layer: [K] expert ids, most probable first (-1 in dense layers),
    /// and their applied weights. Valid until the next call.
    std::span<const std::int32_t> expert_ids(int layer, int row = 0);
    std::span<const float> expert_weights(int layer, int row = 0);

 private:
    /// A token on its way through the layers.
    struct Row {
        int sequence = 0, position = 0;
        std::int32_t token = 0;
    };
    using Rows = std::span<const Row>;
    /// Room of the host for numbers of the device.
    template <class Value>
    using Room = std::vector<Value>;

    /// Throws Error unless the text exists, has room for `tokens` and the token is one of the model's.
    void check(const DecoderRow& row, std::size_t tokens) const;
    /// All layers: leaves x_RD; the texts have grown.
    void compute(Rows rows);
    /// Logits of x_RD's rows [first, first + count), into `logits` of the device; as the host can read them.
    std::span<const float> head(std::int64_t first, std::int64_t count, float* logits);

    void attend(Rows rows, const LayerOffsets& at, std::size_t layer);
    void attend_grouped(Rows rows, const LayerOffsets& at, std::size_t layer);
    void attend_latent(Rows rows, const LayerOffsets& at, std::size_t layer);
    void feed(Rows rows, const LayerOffsets& at, std::size_t layer);
    void route(Rows rows, const LayerOffsets& at, std::size_t layer);
    /// Shows the rows of the layer to the tap; the router weighs anew where it wrote other ids. Whether it did.
    bool show_tap(Rows rows, std::size_t layer, const kernels::RouterOutput& out, const kernels::RouterInput& in,
                  const kernels::RouterShape& shape);
    /// counts_E of what is kept.
    void count_again(std::int64_t R, std::size_t layer);
    void mix_experts(Rows rows, const LayerOffsets& at, std::size_t layer);
    /// x_RD += SwiGLU of norm_RD.
    void add_swiglu(std::int64_t R, const float* gate_up, const float* down, std::int64_t width);

    /// `count` values of the device as the host may read and write them: themselves where it can, a copy otherwise.
    template <class Value>
    std::span<Value> on_host(Value* device, std::size_t count, Room<std::remove_const_t<Value>>& room);
    /// The same without waiting: they have come once on_host() or Ops::wait() was called.
    template <class Value>
    std::span<Value> fetch(Value* device, std::size_t count, Room<std::remove_const_t<Value>>& room);
    /// What was written to such a copy goes to the device.
    template <class Value>
    void to_device(Value* device, std::span<const Value> host);

    kernels::Ops& ops_;
    ModelConfig model_;
    const ParameterLayout& layout_;
    const float* parameters_;
    DecoderState state_;
    std::vector<int> lengths_N_;  ///< tokens of each text so far
    std::vector<Row> rows_;       ///< of the call in progress
    std::vector<kernels::CachePlace> places_;
    std::vector<std::int32_t> tokens_;
    RouterTap* tap_ = nullptr;
    const std::uint8_t* disabled_LE_ = nullptr;
    Block each_;  ///< logits of read_each; empty until it is asked for
    // Copies for the host.
    Room<float> logits_, z_, s_, bias_, weights_, all_weights_;
    Room<std::int32_t> ids_, all_ids_;
    Room<std::uint8_t> kept_;
    Room<std::uint32_t> counts_;
};

/// A token drawn from softmax(logits / temperature); temperature 0 takes the largest, a tie the lower id. `unit` is in
/// (0, 1).
std::int32_t draw_token(std::span<const float> logits, double temperature, double unit);

}  // namespace moescope::engine
