#include "engine/generate/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.hpp"
#include "engine/model/activations.hpp"

namespace moescope::engine {

using namespace kernels;

namespace {

/// Rows of a prompt per call: enough that a weight is read once for many of them.
constexpr int kPromptRows = 32;

std::uint64_t u(int value) {
    return static_cast<std::uint64_t>(value);
}
std::int64_t i64(std::size_t value) {
    return static_cast<std::int64_t>(value);
}

/// p + block + inside, or null where the model has no such tensor.
const float* maybe(const float* p, std::uint64_t block, std::uint64_t inside = 0) {
    return block == kNoTensor ? nullptr : p + block + inside;
}

/// Of the cache: floats per position in a block (a head of keys and values, or the one latent of all heads).
struct CacheWidths {
    int blocks = 0, key = 0, value = 0;

    /// One text's keys or values in all layers.
    std::uint64_t floats(const ModelConfig& m, int width, int context) const {
        base::Marked what = marked("the key-value cache");
        return checked_product(checked_product(u(m.layers) * u(blocks), u(width), what), u(context), what);
    }
};

CacheWidths cache_widths(const ModelConfig& m) {
    return m.attention == AttentionKind::latent ? CacheWidths{1, m.kv_rank, m.rope_width}
                                                : CacheWidths{m.kv_heads, m.head_width, m.head_width};
}

/// Of R tokens, each for itself. What looks at a whole batch (experts that choose, capacity) has nothing to look at.
RouterShape rows_shape(const ModelConfig& m, std::size_t layer, std::int64_t R) {
    RouterShape shape = router_shape(m, {Balance::none, false}, layer, 1, static_cast<int>(R));
    if (shape.choice == Choice::expert) {
        shape.choice = Choice::token;
    }
    shape.capacity_factor = 0;
    return shape;
}

GroupedCache grouped_cache(const ModelConfig& m, std::size_t layer, std::int64_t R) {
    GroupedCache shape;
    shape.R = R;
    shape.H = m.heads;
    shape.G = m.kv_heads;
    shape.C = m.head_width;
    shape.S = m.context;
    shape.rope = rope_width(m);
    shape.window = slides(m, layer) ? m.sliding_window : 0;
    shape.scale = attention_scale(m);
    shape.epsilon = m.rms_epsilon;
    shape.norm = m.qk_norm;
    shape.order = m.rope_order;
    return shape;
}
LatentCache latent_cache(const ModelConfig& m, std::size_t layer, std::int64_t R) {
    LatentCache shape;
    shape.R = R;
    shape.H = m.heads;
    shape.S = m.context;
    shape.nope = m.nope_width;
    shape.rope = m.rope_width;
    shape.rank = m.kv_rank;
    shape.Cv = m.value_width;
    shape.window = slides(m, layer) ? m.sliding_window : 0;
    shape.scale = attention_scale(m);
    shape.epsilon = m.rms_epsilon;
    shape.order = m.rope_order;
    return shape;
}

/// Of one row.
RouterOutput row_of(RouterOutput out, std::int64_t r, std::int64_t E, std::int64_t K) {
    out.s_TE += r * E;
    out.lse_T += r;
    out.ids_TJ += r * K;
    out.kept_TJ += r * K;
    out.w_TJ += r * K;
    return out;
}
RouterInput row_of(RouterInput in, std::int64_t r, std::int64_t E, std::int64_t K) {
    in.z_TE += r * E;
    if (in.given_TK != nullptr) {
        in.given_TK += r * K;
    }
    return in;
}

}  // namespace

std::uint64_t cache_bytes(const ModelConfig& model, int context) {
    const CacheWidths cache = cache_widths(model);
    return checked_product(cache.floats(model, cache.key + cache.value, context), sizeof(float),
                           marked("the key-value cache"));
}

DecoderState DecoderState::place(Arena& arena, const Ops& ops, const ModelConfig& m, int sequences) {
    DecoderState s;
    s.sequences = sequences;
    s.rows = std::max(sequences, std::min(kPromptRows, m.context));
    const bool latent = m.attention == AttentionKind::latent;
    const std::uint64_t N = u(sequences), R = u(s.rows), D = u(m.width), H = u(m.heads), Q = H * u(query_width(m)),
                        KV = u(m.kv_heads) * u(m.head_width), O = H * u(value_width(m)), E = u(m.experts),
                        K = u(m.experts_per_token), L = u(m.layers), rank = u(m.kv_rank);
    const auto many = [&](auto*& buffer, std::uint64_t a, std::uint64_t b) {
        buffer = arena.take<std::remove_reference_t<decltype(*buffer)>>(checked_product(a, b, marked("the decoder")));
    };
    const CacheWidths cache = cache_widths(m);
    many(s.keys, N, cache.floats(m, cache.key, m.context));
    many(s.values, N, cache.floats(m, cache.value, m.context));
    const std::uint64_t half = u(rope_width(m) / 2);
    many(s.cos_SP, u(m.context), half);
    many(s.sin_SP, u(m.context), half);
    many(s.places_R, R, 1);
    many(s.tokens_R, R, 1);
    many(s.x_RD, R, D);
    many(s.norm_RD, R, D);
    many(s.rstd_R, R, 1);
    many(s.wide, R, latent ? std::max({Q, rank + u(m.rope_width), u(m.query_rank)}) : Q + 2 * KV);
    many(s.query_latent, R, u(m.query_rank));
    many(s.q, R, Q);
    many(s.attention, R, O);
    many(s.attention_scratch,
         static_cast<std::uint64_t>(latent ? ops.latent_decoding_scratch(latent_cache(m, 0, s.rows))
                                           : ops.grouped_decoding_scratch(grouped_cache(m, 0, s.rows))),
         1);
    many(s.z_RE, R, E);
    many(s.s_RE, R, E);
    many(s.lse_R, R, 1);
    many(s.weights_LRK, L * R, K);
    many(s.ids_LRK, L * R, K);
    many(s.given_RK, R, K);
    many(s.kept_RK, R, K);
    many(s.counts_E, E, 1);
    many(s.choices_E, E, 1);
    many(s.router_scratch, static_cast<std::uint64_t>(ops.router_scratch(rows_shape(m, 0, s.rows))), 1);
    many(s.losses, 1, 1);
    many(s.offsets_E1, E + 1, 1);
    many(s.row_of_RK, R, K);
    many(s.token_of, R, K);
    const std::uint64_t always = std::max(u(m.shared_experts) * u(m.expert_width), u(m.dense_width));
    many(s.sorted_D, R * K, D);
    many(s.gu_2F, R, 2 * std::max(K * u(m.expert_width), always));
    many(s.h_F, R, std::max(K * u(m.expert_width), always));
    many(s.y_D, R * K, D);
    many(s.logits_NV, N, u(m.vocabulary));
    return s;
}

Decoder::Decoder(Ops& ops, const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
                 const DecoderState& state)
    : ops_(ops), model_(model), layout_(layout), parameters_(parameters), state_(state) {
    rows_.reserve(u(state_.rows));
    places_.reserve(u(state_.rows));
    tokens_.reserve(u(state_.rows));
    lengths_N_.resize(u(state_.sequences));
    ops_.rope_tables(state_.cos_SP, state_.sin_SP, model_.context, rope_width(model_), rope_spec(model_));
    const std::vector<std::int32_t> none(u(model_.layers) * u(state_.rows) * u(model_.experts_per_token), -1);
    ops_.upload(state_.ids_LRK, none.data(), none.size() * sizeof(std::int32_t));
    ops_.wait();  // until `none` has been read
    reset();
}

template <class Value>
std::span<Value> Decoder::on_host(Value* device, std::size_t count, Room<std::remove_const_t<Value>>& room) {
    if (ops_.host_memory()) {
        return {device, count};
    }
    room.resize(count);
    ops_.download(room.data(), device, count * sizeof(Value));
    return room;
}

template <class Value>
std::span<Value> Decoder::fetch(Value* device, std::size_t count, Room<std::remove_const_t<Value>>& room) {
    if (ops_.host_memory()) {
        return {device, count};
    }
    room.resize(count);
    ops_.download_later(room.data(), device, count * sizeof(Value));
    return room;
}

template <class Value>
void Decoder::to_device(Value* device, std::span<const Value> host) {
    if (host.data() != device) {
        ops_.upload(device, host.data(), host.size_bytes());
    }
}

void Decoder::copy(int from, int to) {
    const CacheWidths widths = cache_widths(model_);
    const std::int64_t context = model_.context, blocks = widths.blocks;
    const auto copy_cache = [&](float* cache, std::int64_t width) {
        for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
            float* texts = cache + layer * state_.sequences * blocks * context * width;
            for (std::int64_t block = 0; block < blocks; ++block) {
                ops_.copy(texts + (to * blocks + block) * context * width,
                          texts + (from * blocks + block) * context * width,
                          static_cast<std::uint64_t>(position(from) * width) * sizeof(float));
            }
        }
    };
    copy_cache(state_.keys, widths.key);
    copy_cache(state_.values, widths.value);
    lengths_N_[u(to)] = lengths_N_[u(from)];
}

void Decoder::reset() {
    std::fill(lengths_N_.begin(), lengths_N_.end(), 0);
}

std::span<const std::int32_t> Decoder::expert_ids(int layer, int row) {
    const std::size_t K = u(model_.experts_per_token);
    return on_host(state_.ids_LRK + (u(layer) * u(state_.rows) + u(row)) * K, K, all_ids_);
}

std::span<const float> Decoder::expert_weights(int layer, int row) {
    const std::size_t K = u(model_.experts_per_token);
    return on_host(state_.weights_LRK + (u(layer) * u(state_.rows) + u(row)) * K, K, all_weights_);
}

void Decoder::attend_grouped(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const GroupedCache shape = grouped_cache(model_, layer, i64(rows.size()));
    const std::int64_t of_layer = i64(layer) * state_.sequences * shape.G * shape.S * shape.C;
    DecoderState& s = state_;
    ops_.linear_forward(s.wide, s.norm_RD, parameters_ + at.qkv, maybe(parameters_, at.qkv_bias), shape.R, model_.width,
                        (shape.H + 2 * shape.G) * shape.C, Write::assign);
    ops_.cache_grouped(s.q, s.keys + of_layer, s.values + of_layer, s.attention_scratch, s.wide,
                       maybe(parameters_, at.q_norm), maybe(parameters_, at.k_norm), s.cos_SP, s.sin_SP, s.places_R,
                       shape);
    ops_.attend_grouped(s.attention, s.q, s.keys + of_layer, s.values + of_layer, maybe(parameters_, at.sinks),
                        s.attention_scratch, s.places_R, shape);
}

void Decoder::attend_latent(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const LatentCache shape = latent_cache(model_, layer, i64(rows.size()));
    const std::int64_t D = model_.width, query_rank = model_.query_rank, R = shape.R;
    const std::int64_t texts = i64(layer) * state_.sequences * shape.S;
    DecoderState& s = state_;
    float *latents = s.keys + texts * shape.rank, *turned = s.values + texts * shape.rope;
    const float* query_input = s.norm_RD;
    if (query_rank > 0) {
        ops_.linear_forward(s.wide, s.norm_RD, parameters_ + at.query_down, nullptr, R, D, query_rank, Write::assign);
        ops_.rms_norm_forward(s.query_latent, s.rstd_R, s.wide, parameters_ + at.query_down_norm, R, query_rank,
                              model_.rms_epsilon);
        query_input = s.query_latent;
    }
    ops_.linear_forward(s.wide, query_input, parameters_ + at.query_up, nullptr, R, query_rank > 0 ? query_rank : D,
                        shape.H * (shape.nope + shape.rope), Write::assign);
    ops_.turn_latent_queries(s.q, s.attention_scratch, s.wide, s.cos_SP, s.sin_SP, s.places_R, shape);
    ops_.linear_forward(s.wide, s.norm_RD, parameters_ + at.kv_down, nullptr, R, D, shape.rank + shape.rope,
                        Write::assign);
    ops_.cache_latent(latents, turned, s.attention_scratch, s.wide, parameters_ + at.kv_down_norm, s.cos_SP, s.sin_SP,
                      s.places_R, shape);
    ops_.attend_latent(s.attention, s.q, latents, turned, parameters_ + at.kv_up, s.attention_scratch, s.places_R,
                       shape);
}

void Decoder::attend(Rows rows, const LayerOffsets& at, std::size_t layer) {
    DecoderState& s = state_;
    ops_.rms_norm_forward(s.norm_RD, s.rstd_R, s.x_RD, parameters_ + at.input_norm, i64(rows.size()), model_.width,
                          model_.rms_epsilon);
    if (model_.attention == AttentionKind::latent) {
        attend_latent(rows, at, layer);
    } else {
        attend_grouped(rows, at, layer);
    }
    ops_.linear_forward(s.x_RD, s.attention, parameters_ + at.output, maybe(parameters_, at.output_bias),
                        i64(rows.size()), static_cast<std::int64_t>(model_.heads) * value_width(model_), model_.width,
                        Write::add);
}

void Decoder::add_swiglu(std::int64_t R, const float* gate_up, const float* down, std::int64_t width) {
    DecoderState& s = state_;
    const std::int64_t D = model_.width;
    ExpertShape shape;
    shape.F = width;
    ops_.linear_forward(s.gu_2F, s.norm_RD, gate_up, nullptr, R, D, 2 * width, Write::assign);
    ops_.activate_rows(s.h_F, s.gu_2F, R, shape);
    ops_.linear_forward(s.x_RD, s.h_F, down, nullptr, R, width, D, Write::add);
}

/// Each row for itself: no text's routing depends on what stands beside it.
void Decoder::route(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const std::int64_t R = i64(rows.size()), D = model_.width, E = model_.experts, K = model_.experts_per_token;
    DecoderState& s = state_;
    ops_.linear_forward(s.z_RE, s.norm_RD, parameters_ + at.router, maybe(parameters_, at.router_bias), R, D, E,
                        Write::assign);
    RouterShape shape = rows_shape(model_, layer, R);
    RouterInput in;
    in.z_TE = s.z_RE;
    in.selection_bias_E = maybe(parameters_, at.selection_bias);
    in.disabled_E = disabled_LE_ == nullptr ? nullptr : disabled_LE_ + i64(layer) * E;
    if (shape.choice == Choice::hash) {
        ops_.hash_choice(s.given_RK, s.tokens_R, R, E, K, hash_seed(layer));
        in.given_TK = s.given_RK;
    }
    const RouterOutput out = {
        s.s_RE,     s.lse_R,    s.ids_LRK + i64(layer) * s.rows * K, s.kept_RK, s.weights_LRK + i64(layer) * s.rows * K,
        s.counts_E, s.choices_E};
    bool counted = true;
    if (shape.choice == Choice::token || shape.choice == Choice::hash) {
        ops_.router_forward(s.losses, out, in, s.router_scratch, shape);
    } else {
        shape.T = shape.S = 1;  // these spread a batch evenly: alone, each row is chosen for itself
        for (std::int64_t r = 0; r < R; ++r) {
            ops_.router_forward(s.losses, row_of(out, r, E, K), row_of(in, r, E, K), s.router_scratch, shape);
        }
        counted = false;
    }
    if (tap_ != nullptr && show_tap(rows, layer, out, in, shape)) {
        counted = false;
    }
    if (!counted) {
        count_again(R, layer);
    }
}

bool Decoder::show_tap(Rows rows, std::size_t layer, const RouterOutput& out, const RouterInput& in,
                       const RouterShape& shape) {
    const std::size_t R = rows.size(), E = u(model_.experts), K = u(model_.experts_per_token);
    DecoderState& s = state_;
    const std::span<float> z = fetch(s.z_RE, R * E, z_), scores = fetch(s.s_RE, R * E, s_),
                           weights = fetch(out.w_TJ, R * K, weights_);
    const std::span<const float> bias =
        in.selection_bias_E == nullptr ? std::span<const float>() : fetch(in.selection_bias_E, E, bias_);
    const std::span<std::int32_t> ids = on_host(out.ids_TJ, R * K, ids_);  // waits for all of them
    RouterShape given = shape;
    given.T = given.S = 1;
    given.choice = Choice::hash;  // takes the ids as they are and weighs them as its own
    bool changed = false;
    for (std::size_t r = 0; r < R; ++r) {
        RoutedRow seen;
        seen.layer = static_cast<int>(layer);
        seen.row = static_cast<int>(r);
        seen.sequence = rows[r].sequence;
        seen.position = rows[r].position;
        seen.by_token = shape.choice == Choice::hash;
        seen.z_E = z.subspan(r * E, E);
        seen.s_E = scores.subspan(r * E, E);
        seen.bias_E = bias;
        seen.ids_K = ids.subspan(r * K, K);
        seen.weights_K = weights.subspan(r * K, K);
        if (tap_->choose(seen)) {
            changed = true;
            ops_.upload(s.given_RK + r * K, seen.ids_K.data(), K * sizeof(std::int32_t));
            RouterInput row = row_of(in, i64(r), i64(E), i64(K));
            row.given_TK = s.given_RK + r * K;
            const RouterOutput to = row_of(out, i64(r), i64(E), i64(K));
            ops_.router_forward(s.losses, to, row, s.router_scratch, given);
            if (!ops_.host_memory()) {
                ops_.download_later(seen.ids_K.data(), to.ids_TJ, K * sizeof(std::int32_t));
                ops_.download(seen.weights_K.data(), to.w_TJ, K * sizeof(float));
            }
        }
        tap_->weighed(seen);
    }
    to_device<float>(out.w_TJ, weights);
    return changed;
}

void Decoder::count_again(std::int64_t R, std::size_t layer) {
    const std::size_t K = u(model_.experts_per_token), slots = static_cast<std::size_t>(R) * K;
    DecoderState& s = state_;
    const std::span<const std::int32_t> ids = fetch(s.ids_LRK + layer * u(s.rows) * K, slots, ids_);
    const std::span<const std::uint8_t> kept = on_host(s.kept_RK, slots, kept_);
    counts_.assign(u(model_.experts), 0);
    for (std::size_t i = 0; i < slots; ++i) {
        if (kept[i] != 0) {
            ++counts_[static_cast<std::size_t>(ids[i])];
        }
    }
    ops_.upload(s.counts_E, counts_.data(), counts_.size() * sizeof(std::uint32_t));
}

void Decoder::mix_experts(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const std::int64_t R = i64(rows.size()), D = model_.width, E = model_.experts, K = model_.experts_per_token;
    DecoderState& s = state_;
    ExpertShape shape;
    shape.E = E;
    shape.D = D;
    shape.F = model_.expert_width;
    shape.activation = model_.activation;
    shape.alpha = static_cast<float>(model_.swiglu_alpha);
    shape.limit = static_cast<float>(model_.swiglu_limit);
    route(rows, at, layer);
    const ExpertRows sorted{s.offsets_E1, R * K};
    ops_.dispatch_plan(s.offsets_E1, s.row_of_RK, s.token_of, s.ids_LRK + i64(layer) * s.rows * K, s.kept_RK,
                       s.counts_E, R, E, K);
    ops_.gather_forward(s.sorted_D, s.norm_RD, s.token_of, sorted, E, D);
    ops_.experts_forward(s.y_D, s.gu_2F, s.h_F, s.sorted_D,
                         {parameters_ + at.gate_up, parameters_ + at.down, maybe(parameters_, at.gate_up_bias),
                          maybe(parameters_, at.down_bias)},
                         sorted, shape);
    ops_.combine_forward(s.x_RD, s.x_RD, s.y_D, s.weights_LRK + i64(layer) * s.rows * K, s.row_of_RK, R, K, D);
}

void Decoder::feed(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const std::int64_t R = i64(rows.size());
    ops_.rms_norm_forward(state_.norm_RD, state_.rstd_R, state_.x_RD, parameters_ + at.post_norm, R, model_.width,
                          model_.rms_epsilon);
    if (!at.has_experts()) {
        add_swiglu(R, parameters_ + at.dense_gate_up, parameters_ + at.dense_down, model_.dense_width);
        return;
    }
    if (at.shared_gate_up != kNoTensor) {
        add_swiglu(R, parameters_ + at.shared_gate_up, parameters_ + at.shared_down,
                   static_cast<std::int64_t>(model_.shared_experts) * model_.expert_width);
    }
    mix_experts(rows, at, layer);
}

void Decoder::check(const DecoderRow& row, std::size_t tokens) const {
    if (row.sequence < 0 || row.sequence >= state_.sequences) {
        throw Error(say("there is no text {}: this decoder holds {}", row.sequence, state_.sequences));
    }
    if (tokens > static_cast<std::size_t>(model_.context - position(row.sequence))) {
        throw Error(say("the context of {} tokens is full: use a shorter prompt or fewer tokens", model_.context));
    }
    if (row.token < 0 || row.token >= model_.vocabulary) {
        throw Error(say("token {} is not in the vocabulary of {}: the tokenizer does not belong to this model",
                        row.token, model_.vocabulary));
    }
}

void Decoder::compute(Rows rows) {
    places_.clear();
    tokens_.clear();
    for (const Row& row : rows) {
        places_.push_back({row.sequence, row.position});
        tokens_.push_back(row.token);
    }
    ops_.upload(state_.places_R, places_.data(), places_.size() * sizeof(CachePlace));
    ops_.upload(state_.tokens_R, tokens_.data(), tokens_.size() * sizeof(std::int32_t));
    ops_.embedding_forward(state_.x_RD, parameters_ + layout_.embedding, state_.tokens_R, i64(rows.size()),
                           model_.width);
    for (std::size_t layer = 0; layer < u(model_.layers); ++layer) {
        attend(rows, layout_.layers[layer], layer);
        feed(rows, layout_.layers[layer], layer);
    }
    for (const Row& row : rows) {
        ++lengths_N_[u(row.sequence)];
    }
}

std::span<const float> Decoder::head(std::int64_t first, std::int64_t count, float* logits) {
    ops_.rms_norm_forward(state_.norm_RD, state_.rstd_R, state_.x_RD + first * model_.width,
                          parameters_ + layout_.final_norm, count, model_.width, model_.rms_epsilon);
    ops_.linear_forward(logits, state_.norm_RD, parameters_ + layout_.head, nullptr, count, model_.width,
                        model_.vocabulary, Write::assign);
    return on_host(logits, static_cast<std::size_t>(count) * u(model_.vocabulary), logits_);
}

std::span<const float> Decoder::decode(std::int32_t token) {
    const DecoderRow row{0, token};
    return decode(std::span(&row, 1));
}

std::span<const float> Decoder::decode(std::span<const DecoderRow> rows) {
    std::vector<Row>& now = rows_;
    now.clear();
    for (const DecoderRow& row : rows) {
        check(row, 1);
        const bool twice =
            std::any_of(now.begin(), now.end(), [&](const Row& r) { return r.sequence == row.sequence; });
        if (twice) {
            throw Error(say("text {} was given two tokens at once", row.sequence));
        }
        now.push_back({row.sequence, position(row.sequence), row.token});
    }
    compute(now);
    return head(0, i64(rows.size()), state_.logits_NV);
}

std::span<const float> Decoder::read(int sequence, std::span<const std::int32_t> tokens,
                                     const std::atomic<bool>* cancel) {
    for (const std::int32_t token : tokens) {
        check({sequence, token}, tokens.size());
    }
    for (std::size_t done = 0; done < tokens.size(); done += rows_.size()) {
        if (cancel != nullptr && *cancel) {
            return {};
        }
        rows_.clear();
        for (const std::int32_t token : tokens.subspan(done, std::min(u(state_.rows), tokens.size() - done))) {
            rows_.push_back({sequence, position(sequence) + static_cast<int>(rows_.size()), token});
        }
        compute(rows_);
    }
    return tokens.empty() ? std::span<const float>() : head(i64(rows_.size()) - 1, 1, state_.logits_NV);
}

std::span<const float> Decoder::read_each(int sequence, std::span<const std::int32_t> tokens) {
    if (tokens.size() > u(state_.rows)) {
        throw Error(say("{} tokens were given at once, but this decoder takes {}", tokens.size(), state_.rows));
    }
    rows_.clear();
    for (const std::int32_t token : tokens) {
        check({sequence, token}, tokens.size());
        rows_.push_back({sequence, position(sequence) + static_cast<int>(rows_.size()), token});
    }
    if (tokens.empty()) {
        return {};
    }
    compute(rows_);
    const std::uint64_t bytes = tokens.size() * u(model_.vocabulary) * sizeof(float);
    if (each_.size() < bytes) {
        ops_.wait();
        each_ = Block(ops_, bytes);
    }
    return head(0, i64(tokens.size()), reinterpret_cast<float*>(each_.data()));
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
