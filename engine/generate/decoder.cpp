#include "engine/generate/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.hpp"
#include "engine/model/activations.hpp"
#include "kernels/cpu/cached_attention.hpp"
#include "kernels/cpu/combine.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/few_rows.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rope.hpp"
#include "kernels/cpu/router.hpp"

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

/// Of one token. What looks at a whole batch (experts that choose, capacity) has nothing to look at.
RouterShape token_shape(const ModelConfig& m, std::size_t layer) {
    RouterShape shape = router_shape(m, {Balance::none, false}, layer, 1, 1);
    if (shape.choice == Choice::expert) {
        shape.choice = Choice::token;
        shape.capacity_factor = 0;
    }
    return shape;
}

/// body(head) for every head, on all cores when a head has enough multiplications to pay for it.
template <class Body>
void over_heads(std::int64_t heads, std::int64_t work_of_head, const Body& body) {
    constexpr std::int64_t kWorth = 1 << 16;
    const std::int64_t block = std::clamp<std::int64_t>(kWorth / std::max<std::int64_t>(1, work_of_head), 1, heads);
    parallel_blocks(heads, block, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t h = begin; h < end; ++h) {
            body(h);
        }
    });
}

HeadShape head_shape(const ModelConfig& m, int heads, std::int64_t stride) {
    HeadShape shape;
    shape.B = shape.S = 1;
    shape.N = heads;
    shape.C = query_width(m);
    shape.R = stride;
    shape.epsilon = m.rms_epsilon;
    shape.rope = rope_width(m);
    shape.norm = m.qk_norm;
    shape.order = m.rope_order;
    return shape;
}

}  // namespace

std::uint64_t cache_bytes(const ModelConfig& model, int context) {
    const CacheWidths cache = cache_widths(model);
    return checked_product(cache.floats(model, cache.key + cache.value, context), sizeof(float),
                           marked("the key-value cache"));
}

DecoderState DecoderState::place(Arena& arena, const ModelConfig& m, int sequences) {
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
    many(s.lengths_N, N, 1);
    const std::uint64_t half = u(rope_width(m) / 2);
    many(s.cos_SP, u(m.context), half);
    many(s.sin_SP, u(m.context), half);
    many(s.x_RD, R, D);
    many(s.norm_RD, R, D);
    many(s.rstd_R, R, 1);
    many(s.wide, R, latent ? std::max({Q, rank + u(m.rope_width), u(m.query_rank)}) : Q + 2 * KV);
    many(s.query_latent, R, u(m.query_rank));
    many(s.q, R, Q);
    many(s.k, 1, KV);
    many(s.attention, R, O);
    many(s.latent, H * R, rank);
    many(s.scores, H, u(m.context));
    many(s.z_RE, R, E);
    many(s.s_E, E, 1);
    many(s.weights_LRK, L * R, K);
    many(s.ids_LRK, L * R, K);
    many(s.kept_RK, R, K);
    many(s.counts_E, E, 1);
    many(s.row_counts_E, E, 1);
    many(s.choices_E, E, 1);
    many(s.router_scratch, static_cast<std::uint64_t>(kernels::router_scratch(token_shape(m, 0))), 1);
    many(s.offsets_E1, E + 1, 1);
    many(s.row_of_RK, R, K);
    many(s.token_of, R, K);
    const std::uint64_t always = std::max(u(m.shared_experts) * u(m.expert_width), u(m.dense_width));
    many(s.sorted_D, R * K, D);
    many(s.gu_2F, R, 2 * std::max(K * u(m.expert_width), always));
    many(s.h_F, R, std::max(K * u(m.expert_width), always));
    many(s.y_D, R * K, D);
    many(s.logits_NV, N, u(m.vocabulary));
    if (s.cos_SP != nullptr) {
        rope_tables(s.cos_SP, s.sin_SP, m.context, rope_width(m), rope_spec(m));
    }
    return s;
}

Decoder::Decoder(const ModelConfig& model, const ParameterLayout& layout, const float* parameters,
                 const DecoderState& state)
    : model_(model), layout_(layout), parameters_(parameters), state_(state) {
    rows_.reserve(u(state_.rows));
    std::fill_n(state_.ids_LRK, u(model_.layers) * u(state_.rows) * u(model_.experts_per_token), -1);
    reset();
}

void Decoder::copy(int from, int to) {
    const CacheWidths widths = cache_widths(model_);
    const std::int64_t context = model_.context, blocks = widths.blocks;
    const auto copy_cache = [&](float* cache, std::int64_t width) {
        for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
            float* texts = cache + layer * state_.sequences * blocks * context * width;
            for (std::int64_t block = 0; block < blocks; ++block) {
                std::copy_n(texts + (from * blocks + block) * context * width, position(from) * width,
                            texts + (to * blocks + block) * context * width);
            }
        }
    };
    copy_cache(state_.keys, widths.key);
    copy_cache(state_.values, widths.value);
    state_.lengths_N[to] = state_.lengths_N[from];
}

void Decoder::reset() {
    std::fill_n(state_.lengths_N, state_.sequences, 0);
}

std::span<const std::int32_t> Decoder::expert_ids(int layer, int row) const {
    const std::uint64_t K = u(model_.experts_per_token);
    return {state_.ids_LRK + (u(layer) * u(state_.rows) + u(row)) * K, K};
}

std::span<const float> Decoder::expert_weights(int layer, int row) const {
    const std::uint64_t K = u(model_.experts_per_token);
    return {state_.weights_LRK + (u(layer) * u(state_.rows) + u(row)) * K, K};
}

int Decoder::first_seen(std::size_t layer, int position) const {
    return slides(model_, layer) ? std::max(0, position + 1 - model_.sliding_window) : 0;
}

void Decoder::attend_grouped(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const int C = model_.head_width, H = model_.heads, G = model_.kv_heads, D = model_.width;
    const int Q = H * C, KV = G * C, row_width = Q + 2 * KV;
    const std::int64_t of_text = std::int64_t{KV} * model_.context, of_head = std::int64_t{C} * model_.context;
    DecoderState& s = state_;
    float* const keys = s.keys + i64(layer) * s.sequences * of_text;
    float* const values = s.values + i64(layer) * s.sequences * of_text;
    linear_forward(s.wide, s.norm_RD, parameters_ + at.qkv, maybe(parameters_, at.qkv_bias), i64(rows.size()), D,
                   row_width, Write::assign);
    float rstd[256];  // heads are at most 256 (validate)
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const auto [sequence, position, token] = rows[r];
        const float* x = s.wide + i64(r) * row_width;
        const float *cosines = s.cos_SP + position * (C / 2), *sines = s.sin_SP + position * (C / 2);
        qk_norm_forward(s.q + i64(r) * Q, rstd, x, maybe(parameters_, at.q_norm), cosines, sines,
                        head_shape(model_, H, row_width));
        qk_norm_forward(s.k, rstd, x + Q, maybe(parameters_, at.k_norm), cosines, sines,
                        head_shape(model_, G, row_width));
        for (int g = 0; g < G; ++g) {
            const std::int64_t place = sequence * of_text + g * of_head + std::int64_t{position} * C;
            std::copy_n(s.k + g * C, C, keys + place);
            std::copy_n(x + Q + KV + g * C, C, values + place);
        }
    }
    over_heads(H, work(rows, C), [&](std::int64_t h) {
        const std::int64_t group = h / (H / G) * of_head;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const std::int64_t text = rows[r].sequence * of_text + group;
            const int first = first_seen(layer, rows[r].position);
            const std::int64_t seen = rows[r].position + 1 - first;
            float* scores = s.scores + h * model_.context;
            query_scores(scores, s.q + i64(r) * Q + h * C, keys + text + std::int64_t{first} * C, seen, C,
                         Write::assign);
            query_softmax(scores, seen, attention_scale(model_),
                          maybe(parameters_, at.sinks, static_cast<std::uint64_t>(h)));
            weighted_rows(s.attention + i64(r) * Q + h * C, scores, values + text + std::int64_t{first} * C, seen, C);
        }
    });
}

/// The query is carried into the space of the latents (q W_up), compared with the latents themselves, and the mixed
/// latent carried out again: keys and values of earlier tokens are never rebuilt (DeepSeek-V2, arXiv
/// 2405.04434, 2.1.2).
void Decoder::attend_latent(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const int H = model_.heads, S = model_.context, D = model_.width, nope = model_.nope_width,
              rope = model_.rope_width, rank = model_.kv_rank, Cv = model_.value_width, C = nope + rope;
    const std::int64_t R = i64(rows.size());
    DecoderState& s = state_;
    float* const latents = s.keys + i64(layer) * s.sequences * S * rank;
    float* const turned = s.values + i64(layer) * s.sequences * S * rope;
    const float* query_input = s.norm_RD;
    if (model_.query_rank > 0) {
        linear_forward(s.wide, s.norm_RD, parameters_ + at.query_down, R, D, model_.query_rank, Write::assign);
        rms_norm_forward(s.query_latent, s.rstd_R, s.wide, parameters_ + at.query_down_norm, R, model_.query_rank,
                         model_.rms_epsilon);
        query_input = s.query_latent;
    }
    linear_forward(s.wide, query_input, parameters_ + at.query_up, R, model_.query_rank > 0 ? model_.query_rank : D,
                   H * C, Write::assign);
    const auto angles = [&](const float* table, std::int64_t r) {
        return table + rows[static_cast<std::size_t>(r)].position * (rope / 2);
    };
    for (std::int64_t r = 0; r < R; ++r) {
        qk_norm_forward(s.q + r * H * C, nullptr, s.wide + r * H * C, nullptr, angles(s.cos_SP, r), angles(s.sin_SP, r),
                        head_shape(model_, H, H * C));
    }
    linear_forward(s.wide, s.norm_RD, parameters_ + at.kv_down, R, D, rank + rope, Write::assign);
    for (std::int64_t r = 0; r < R; ++r) {
        const Row& row = rows[static_cast<std::size_t>(r)];
        const std::int64_t place = std::int64_t{row.sequence} * S + row.position;
        const float* x = s.wide + r * (rank + rope);
        rms_norm_forward(latents + place * rank, s.rstd_R, x, parameters_ + at.kv_down_norm, 1, rank,
                         model_.rms_epsilon);
        std::copy_n(x + rank, rope, turned + place * rope);
        rope_rotate(turned + place * rope, angles(s.cos_SP, r), angles(s.sin_SP, r), rope, model_.rope_order);
    }
    over_heads(H, work(rows, rank) + R * rank * C, [&](std::int64_t h) {
        const float* up = parameters_ + at.kv_up + h * (nope + Cv) * rank;
        float *latent = s.latent + h * s.rows * rank, *scores = s.scores + h * S;
        few_rows_gemm(Transpose::no, R, rank, nope, s.q + h * C, H * C, up, rank, 0.0f, latent, rank);
        for (std::int64_t r = 0; r < R; ++r) {
            const Row& row = rows[static_cast<std::size_t>(r)];
            const int first = first_seen(layer, row.position);
            const std::int64_t seen = row.position + 1 - first, place = std::int64_t{row.sequence} * S + first;
            query_scores(scores, latent + r * rank, latents + place * rank, seen, rank, Write::assign);
            query_scores(scores, s.q + (r * H + h) * C + nope, turned + place * rope, seen, rope, Write::add);
            query_softmax(scores, seen, attention_scale(model_), nullptr);
            weighted_rows(latent + r * rank, scores, latents + place * rank, seen, rank);
        }
        few_rows_gemm(Transpose::yes, R, Cv, rank, latent, rank, up + std::int64_t{nope} * rank, rank, 0.0f,
                      s.attention + h * Cv, std::int64_t{H} * Cv);
    });
}

void Decoder::attend(Rows rows, const LayerOffsets& at, std::size_t layer) {
    DecoderState& s = state_;
    rms_norm_forward(s.norm_RD, s.rstd_R, s.x_RD, parameters_ + at.input_norm, i64(rows.size()), model_.width,
                     model_.rms_epsilon);
    if (model_.attention == AttentionKind::latent) {
        attend_latent(rows, at, layer);
    } else {
        attend_grouped(rows, at, layer);
    }
    linear_forward(s.x_RD, s.attention, parameters_ + at.output, maybe(parameters_, at.output_bias), i64(rows.size()),
                   static_cast<std::int64_t>(model_.heads) * value_width(model_), model_.width, Write::add);
}

/// Multiplications of one head: scores and sum over what its rows see.
std::int64_t Decoder::work(Rows rows, std::int64_t width) const {
    std::int64_t sum = 0;
    for (const Row& row : rows) {
        sum += 2 * width * (row.position + 1);
    }
    return sum;
}

void Decoder::add_swiglu(std::int64_t R, const float* gate_up, const float* down, std::int64_t width) {
    DecoderState& s = state_;
    const std::int64_t D = model_.width;
    ExpertShape shape;
    shape.F = width;
    linear_forward(s.gu_2F, s.norm_RD, gate_up, R, D, 2 * width, Write::assign);
    for (std::int64_t r = 0; r < R; ++r) {
        activate_row(s.h_F + r * width, s.gu_2F + r * 2 * width, shape);
    }
    linear_forward(s.x_RD, s.h_F, down, R, width, D, Write::add);
}

/// Each row for itself: no text's routing depends on what stands beside it.
void Decoder::route(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const std::int64_t D = model_.width, E = model_.experts, K = model_.experts_per_token;
    DecoderState& s = state_;
    linear_forward(s.z_RE, s.norm_RD, parameters_ + at.router, maybe(parameters_, at.router_bias), i64(rows.size()), D,
                   E, Write::assign);
    const RouterShape shape = token_shape(model_, layer);
    std::int32_t* ids = s.ids_LRK + i64(layer) * s.rows * K;
    float* weights = s.weights_LRK + i64(layer) * s.rows * K;
    std::fill_n(s.counts_E, E, 0u);
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const std::int64_t r = i64(row);
        float lse = 0;
        std::int32_t given[kMaxChosen];
        RouterInput in;
        in.z_TE = s.z_RE + r * E;
        in.selection_bias_E = maybe(parameters_, at.selection_bias);
        if (shape.choice == Choice::hash) {
            hash_choice(given, &rows[row].token, 1, E, K, hash_seed(layer));
            in.given_TK = given;
        }
        const RouterOutput out = {s.s_E,           &lse,           ids + r * K, s.kept_RK + r * K,
                                  weights + r * K, s.row_counts_E, s.choices_E};
        router_forward(out, in, s.router_scratch, shape);
        if (tap_ != nullptr) {
            show_tap(rows[row], r, layer, out, in, shape);
        }
        for (std::int64_t e = 0; e < E; ++e) {
            s.counts_E[e] += s.row_counts_E[e];
        }
    }
}

void Decoder::show_tap(const Row& row, std::int64_t r, std::size_t layer, const RouterOutput& out, RouterInput in,
                       RouterShape shape) {
    const std::size_t E = u(model_.experts), K = u(model_.experts_per_token);
    RoutedRow seen;
    seen.layer = static_cast<int>(layer);
    seen.row = static_cast<int>(r);
    seen.sequence = row.sequence;
    seen.position = row.position;
    seen.by_token = shape.choice == Choice::hash;
    seen.z_E = {in.z_TE, E};
    seen.s_E = {out.s_TE, E};
    seen.bias_E = in.selection_bias_E == nullptr ? std::span<const float>() : std::span(in.selection_bias_E, E);
    seen.ids_K = {out.ids_TJ, K};
    seen.weights_K = {out.w_TJ, K};
    if (tap_->choose(seen)) {
        std::int32_t given[kMaxChosen];
        std::copy_n(out.ids_TJ, K, given);
        in.given_TK = given;
        shape.choice = Choice::hash;  // takes the ids as they are and weighs them as its own
        router_forward(out, in, state_.router_scratch, shape);
    }
    tap_->weighed(seen);
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
    const std::int64_t sorted = dispatch_plan(s.offsets_E1, s.row_of_RK, s.token_of,
                                              s.ids_LRK + i64(layer) * s.rows * K, s.kept_RK, s.counts_E, R, E, K);
    gather_forward(s.sorted_D, s.norm_RD, s.token_of, sorted, D);
    experts_forward(s.y_D, s.gu_2F, s.h_F, s.sorted_D,
                    {parameters_ + at.gate_up, parameters_ + at.down, maybe(parameters_, at.gate_up_bias),
                     maybe(parameters_, at.down_bias)},
                    s.offsets_E1, shape);
    combine_forward(s.x_RD, s.x_RD, s.y_D, s.weights_LRK + i64(layer) * s.rows * K, s.row_of_RK, R, K, D);
}

void Decoder::feed(Rows rows, const LayerOffsets& at, std::size_t layer) {
    const std::int64_t R = i64(rows.size());
    rms_norm_forward(state_.norm_RD, state_.rstd_R, state_.x_RD, parameters_ + at.post_norm, R, model_.width,
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
    for (std::size_t r = 0; r < rows.size(); ++r) {
        embedding_forward(state_.x_RD + i64(r) * model_.width, parameters_ + layout_.embedding, &rows[r].token, 1,
                          model_.width);
    }
    for (std::size_t layer = 0; layer < u(model_.layers); ++layer) {
        attend(rows, layout_.layers[layer], layer);
        feed(rows, layout_.layers[layer], layer);
    }
    for (const Row& row : rows) {
        ++state_.lengths_N[row.sequence];
    }
}

std::span<const float> Decoder::head(std::int64_t first, std::int64_t count) {
    rms_norm_forward(state_.norm_RD, state_.rstd_R, state_.x_RD + first * model_.width,
                     parameters_ + layout_.final_norm, count, model_.width, model_.rms_epsilon);
    linear_forward(state_.logits_NV, state_.norm_RD, parameters_ + layout_.head, count, model_.width, model_.vocabulary,
                   Write::assign);
    return {state_.logits_NV, static_cast<std::size_t>(count) * u(model_.vocabulary)};
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
    return head(0, i64(rows.size()));
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
    return tokens.empty() ? std::span<const float>() : head(i64(rows_.size()) - 1, 1);
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
    each_.resize(tokens.size() * u(model_.vocabulary));
    rms_norm_forward(state_.norm_RD, state_.rstd_R, state_.x_RD, parameters_ + layout_.final_norm, i64(tokens.size()),
                     model_.width, model_.rms_epsilon);
    linear_forward(each_.data(), state_.norm_RD, parameters_ + layout_.head, i64(tokens.size()), model_.width,
                   model_.vocabulary, Write::assign);
    return each_;
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
