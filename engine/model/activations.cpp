#include "engine/model/activations.hpp"

#include <algorithm>

#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cpu/rope.hpp"

namespace moescope::engine {
namespace {

std::uint64_t u(int value) {
    return static_cast<std::uint64_t>(value);
}

/// The sizes of the legend, for a number of tokens.
struct Sizes {
    std::uint64_t T, V, D, H, G, C, Cv, E, K, J, F, R, owned, wide, shared, latents;

    Sizes(const ModelConfig& m, int batch, int length, const RankShape& ranks)
        : T(checked_product(u(batch), u(length), marked("the batch"))),
          V(u(m.vocabulary)),
          D(u(m.width)),
          H(u(m.heads)),
          G(u(m.kv_heads)),
          C(u(query_width(m))),
          Cv(u(value_width(m))),
          E(u(m.experts)),
          K(u(m.experts_per_token)),
          J(m.router_choice == Choice::expert ? E : K),
          F(u(m.expert_width)),
          R(rows(m, batch, length, ranks)),
          owned(ranks.tokens_travel() ? owned_rows(m, batch, length, ranks) : R),
          wide(m.attention == AttentionKind::latent
                   ? std::max({H * (u(m.nope_width) + Cv), H * C, u(m.kv_rank) + u(m.rope_width)})
                   : (H + 2 * G) * C),
          shared(u(m.shared_experts) * F),
          latents(std::max(u(m.query_rank), u(m.kv_rank))) {}

    /// Most rows of expert work in one layer. A capacity lowers it in training only, so room for all is kept.
    static std::uint64_t rows(const ModelConfig& m, int batch, int length, const RankShape& ranks) {
        const std::uint64_t tokens = checked_product(u(batch), u(length), marked("the batch"));
        return most_rows(m, tokens, u(m.experts), taken(m, batch, length, ranks));
    }
    /// Of the experts here: all tokens of the ranks that share them may come.
    static std::uint64_t owned_rows(const ModelConfig& m, int batch, int length, const RankShape& ranks) {
        const std::uint64_t tokens = checked_product(checked_product(u(batch), u(length), marked("the batch")),
                                                     u(ranks.expert_ranks), marked("the batch"));
        const std::uint64_t experts = (u(m.experts) + u(ranks.expert_ranks) - 1) / u(ranks.expert_ranks);
        return most_rows(m, tokens, experts, taken(m, batch, length, ranks));
    }

 private:
    /// Tokens of the whole batch that an expert takes when experts choose.
    static std::uint64_t taken(const ModelConfig& m, int batch, int length, const RankShape& ranks) {
        if (m.router_choice != Choice::expert) {
            return 0;
        }
        auto shape = router_shape(m, {}, static_cast<std::size_t>(m.hash_layers), batch, length);
        shape.T *= ranks.ranks;
        return static_cast<std::uint64_t>(kernels::expert_capacity(shape));
    }
    static std::uint64_t most_rows(const ModelConfig& m, std::uint64_t tokens, std::uint64_t experts,
                                   std::uint64_t taken) {
        return std::max(checked_product(tokens, std::min(u(m.experts_per_token), experts), marked("the expert rows")),
                        checked_product(std::min(taken, tokens), experts, marked("the expert rows")));
    }
};

float* floats(Arena& arena, std::uint64_t a, std::uint64_t b) {
    return arena.take<float>(checked_product(a, b, marked("an activation buffer")));
}

void place_grouped(Arena& arena, LayerState& s, const Sizes& n) {
    s.qkv_TR = floats(arena, n.T, n.wide);
    s.q_rstd = floats(arena, n.T, n.H);
    s.k_rstd = floats(arena, n.T, n.G);
}

void place_latent(Arena& arena, LayerState& s, const ModelConfig& m, const Sizes& n) {
    if (m.query_rank > 0) {
        s.query_latent_T = floats(arena, n.T, u(m.query_rank));
        s.query_norm_T = floats(arena, n.T, u(m.query_rank));
        s.query_rstd_T = floats(arena, n.T, 1);
    }
    s.kv_latent_T = floats(arena, n.T, u(m.kv_rank));
    s.kv_norm_T = floats(arena, n.T, u(m.kv_rank));
    s.kv_rstd_T = floats(arena, n.T, 1);
    s.kv_T = floats(arena, n.T, n.H * (u(m.nope_width) + n.Cv));
}

void place_experts(Arena& arena, LayerState& s, const ModelConfig& m, const Sizes& n, const RankShape& ranks) {
    if (!kernels::formulas_of(m.router_scoring).softmax) {
        s.z_TE = floats(arena, n.T, n.E);
    }
    const std::uint64_t slots = checked_product(n.T, n.J, marked("the expert slots"));
    s.routed.s_TE = floats(arena, n.T, n.E);
    s.routed.lse_T = floats(arena, n.T, 1);
    s.routed.ids_TJ = arena.take<std::int32_t>(slots);
    s.routed.kept_TJ = arena.take<std::uint8_t>(slots);
    s.routed.w_TJ = floats(arena, slots, 1);
    s.routed.counts_E = arena.take<std::uint32_t>(n.E);
    s.routed.choices_E = arena.take<std::uint32_t>(n.E);
    s.offsets_E1 = arena.take<std::int32_t>(n.E + 1);
    s.row_of_TJ = arena.take<std::int32_t>(slots);
    s.token_of_R = arena.take<std::int32_t>(n.R);
    s.rows_RD = floats(arena, n.owned, n.D);
    s.gu_R2F = floats(arena, n.owned, 2 * n.F);
    s.h_RF = floats(arena, n.owned, n.F);
    s.y_RD = floats(arena, n.R, n.D);
    if (ranks.together()) {
        s.routed.q_sums_E = arena.take<double>(n.E);
        s.owned_offsets_E1 = arena.take<std::int32_t>(n.E + 1);
    }
    if (n.shared > 0) {
        s.shared_gu_T2F = floats(arena, n.T, 2 * n.shared);
        s.shared_h_TF = floats(arena, n.T, n.shared);
    }
}

void place_dense(Arena& arena, LayerState& s, const ModelConfig& m, const Sizes& n) {
    s.shared_gu_T2F = floats(arena, n.T, 2 * u(m.dense_width));
    s.shared_h_TF = floats(arena, n.T, u(m.dense_width));
}

enum class Feed { experts, dense, both };

LayerState place_layer(Arena& arena, const ModelConfig& m, const Sizes& n, Feed feed, const RankShape& ranks) {
    LayerState s;
    s.norm1_TD = floats(arena, n.T, n.D);
    s.rstd1_T = floats(arena, n.T, 1);
    s.q_BHSC = floats(arena, n.T, n.H * n.C);
    s.k_BGSC = floats(arena, n.T, n.G * n.C);
    s.lse_BHS = floats(arena, n.T, n.H);
    s.attention_THC = floats(arena, n.T, n.H * n.Cv);
    s.middle_TD = floats(arena, n.T, n.D);
    s.norm2_TD = floats(arena, n.T, n.D);
    s.rstd2_T = floats(arena, n.T, 1);
    if (m.attention == AttentionKind::latent) {
        place_latent(arena, s, m, n);
    } else {
        place_grouped(arena, s, n);
    }
    if (feed != Feed::dense) {
        place_experts(arena, s, m, n, ranks);
    }
    // In inference one layer serves all, and its two kinds of always-on layer share the larger buffer.
    if (feed == Feed::dense || (feed == Feed::both && u(m.dense_width) > n.shared)) {
        place_dense(arena, s, m, n);
    }
    return s;
}

void place_prediction(Arena& arena, Activations::Prediction& p, const Sizes& n) {
    p.tokens_T = arena.take<std::int32_t>(n.T);
    p.targets_T = arena.take<std::int32_t>(n.T);
    for (float** buffer :
         {&p.embedded_TD, &p.hidden_norm_TD, &p.embedded_norm_TD, &p.output_TD, &p.final_TD, &p.dhidden_TD}) {
        *buffer = floats(arena, n.T, n.D);
    }
    for (float** buffer : {&p.hidden_rstd_T, &p.embedded_rstd_T, &p.final_rstd_T}) {
        *buffer = floats(arena, n.T, 1);
    }
    p.joined_T2D = floats(arena, n.T, 2 * n.D);
    p.djoined_T2D = floats(arena, n.T, 2 * n.D);
}

kernels::HeadShape widest_heads(const ModelConfig& m, int batch, int length) {
    kernels::HeadShape shape;
    shape.B = batch;
    shape.S = length;
    shape.N = m.heads;
    shape.C = query_width(m);
    shape.rope = rope_width(m);
    shape.norm = m.qk_norm;
    return shape;
}

/// What the scratch of attention depends on.
kernels::AttentionShape attention_sizes(const ModelConfig& m, int batch, int length, bool rounded) {
    kernels::AttentionShape shape;
    shape.B = batch;
    shape.S = length;
    shape.H = m.heads;
    shape.G = m.kv_heads;
    shape.C = query_width(m);
    shape.Cv = value_width(m);
    shape.scale = attention_scale(m);
    shape.window = m.sliding_layers == SlidingLayers::none ? 0 : m.sliding_window;
    shape.rounded = rounded;
    shape.sinks = m.attention_sinks;
    return shape;
}

void place_training(Arena& arena, const kernels::Ops& ops, Activations& s, const ModelConfig& m, const Sizes& n,
                    int batch, int length) {
    const bool any_dense = m.dense_layers > 0, any_experts = m.dense_layers < m.layers;
    const std::uint64_t rows = any_experts ? n.R : 0, owned = any_experts ? n.owned : 0,
                        dense = any_dense ? u(m.dense_width) : 0;
    const std::uint64_t inner =
        std::max({checked_product(owned, n.F, marked("an activation buffer")), n.T * n.shared, n.T * dense});
    s.losses_T = floats(arena, n.T, 1);
    s.logits = floats(arena, static_cast<std::uint64_t>(ops.cross_entropy_rows(static_cast<std::int64_t>(n.T))), n.V);
    s.dx_TD = floats(arena, n.T, n.D);
    s.dnorm_TD = floats(arena, n.T, n.D);
    s.dattention_THC = floats(arena, n.T, n.H * n.Cv);
    s.dwide_T = floats(arena, n.T, n.wide);
    if (m.attention == AttentionKind::latent) {
        s.dlatent_T = floats(arena, n.T, n.latents);
        s.dlatent_norm_T = floats(arena, n.T, n.latents);
    }
    s.dq_BHSC = floats(arena, n.T, n.H * n.C);
    s.dk_BGSC = floats(arena, n.T, n.G * n.C);
    s.head_scratch = floats(arena, static_cast<std::uint64_t>(ops.qk_norm_scratch(widest_heads(m, batch, length))), 1);
    s.sink_partial = floats(arena, u(batch), n.H);
    s.dy_RD = floats(arena, rows, n.D);
    s.drows_RD = floats(arena, std::max(rows, n.T), n.D);
    s.dgu_R2F = floats(arena, inner, 2);
    s.dh_RF = floats(arena, inner, 1);
    s.dw_TJ = floats(arena, n.T, n.J);
}

void place_layers(Arena& arena, Activations& s, const ModelConfig& m, const Sizes& n, Mode mode,
                  const RankShape& ranks) {
    float* x[2] = {nullptr, nullptr};  // in inference the residual stream goes back and forth between two buffers
    LayerState shared;
    if (mode == Mode::inference) {
        x[0] = floats(arena, n.T, n.D);
        x[1] = floats(arena, n.T, n.D);
        const Feed feed = m.dense_layers == 0 ? Feed::experts : m.dense_layers == m.layers ? Feed::dense : Feed::both;
        shared = place_layer(arena, m, n, feed, ranks);
    }
    const int all = m.layers + (mode == Mode::train ? m.prediction_depth : 0);
    for (int layer = 0; layer < all; ++layer) {
        const bool dense = layer < m.dense_layers || m.dense_layers == m.layers;
        s.layers.push_back(
            mode == Mode::inference ? shared : place_layer(arena, m, n, dense ? Feed::dense : Feed::experts, ranks));
        s.layers.back().x_TD = mode == Mode::inference ? x[layer % 2] : floats(arena, n.T, n.D);
    }
    s.last_TD = mode == Mode::inference ? x[m.layers % 2] : floats(arena, n.T, n.D);
}

void place_ranks(Arena& arena, kernels::Ops& ops, Activations& s, const ModelConfig& m, const Sizes& n, int batch,
                 int length, const RankShape& ranks) {
    const std::uint64_t all = checked_product(n.T, u(ranks.ranks), marked("the batch"));
    const std::uint64_t slots = checked_product(all, n.J, marked("the expert slots"));
    s.whole.z_TE = floats(arena, all, n.E);
    s.whole.given_TK = arena.take<std::int32_t>(checked_product(all, n.K, marked("the expert slots")));
    s.whole.routed.s_TE = floats(arena, all, n.E);
    s.whole.routed.lse_T = floats(arena, all, 1);
    s.whole.routed.ids_TJ = arena.take<std::int32_t>(slots);
    s.whole.routed.kept_TJ = arena.take<std::uint8_t>(slots);
    s.whole.routed.w_TJ = floats(arena, slots, 1);
    s.whole.routed.counts_E = arena.take<std::uint32_t>(n.E);
    s.whole.routed.choices_E = arena.take<std::uint32_t>(n.E);
    auto shape = router_shape(m, {}, static_cast<std::size_t>(m.hash_layers), batch, length);
    shape.T *= ranks.ranks;
    s.whole.scratch = arena.take<double>(static_cast<std::uint64_t>(ops.router_scratch(shape)));
    s.no_groups_T = arena.take<std::uint8_t>(n.T);
    s.others_LE = arena.take<std::uint64_t>(checked_product(s.layers.size(), n.E, marked("the counts")));
    if (ranks.tokens_travel()) {
        s.sent_RD = floats(arena, n.R, n.D);
        s.owned_y_RD = floats(arena, n.owned, n.D);
        s.owned_drows_RD = floats(arena, n.owned, n.D);
    }
}

void place_errors(Arena& arena, const kernels::Ops& ops, Activations& s, const Sizes& n, const RankShape& ranks) {
    const std::uint64_t experts = (n.E + u(ranks.expert_ranks) - 1) / u(ranks.expert_ranks);
    const std::uint64_t rows = std::max({n.owned, experts * 2 * n.F, experts * n.D});
    Activations::ExpertErrors& e = s.errors;
    e.sums_L6 = arena.take<double>(s.layers.size() * kExpertErrors * 2);
    e.scratch = arena.take<double>(static_cast<std::uint64_t>(ops.row_errors_scratch(static_cast<std::int64_t>(rows))));
    e.drows_RD = floats(arena, n.owned, n.D);
    e.gate_up_E2FD = floats(arena, checked_product(experts, 2 * n.F, marked("an activation buffer")), n.D);
    e.down_EDF = floats(arena, checked_product(experts, n.D, marked("an activation buffer")), n.F);
}

}  // namespace

kernels::RouterShape router_shape(const ModelConfig& m, const RouterMode& mode, std::size_t layer, int batch,
                                  int length) {
    kernels::RouterShape shape;
    shape.T = static_cast<std::int64_t>(batch) * length;
    shape.S = length;
    shape.E = m.experts;
    shape.K = mode.experts_per_token > 0 ? mode.experts_per_token : m.experts_per_token;
    shape.normalise = m.normalise_weights;
    shape.scoring = m.router_scoring;
    shape.choice = layer < static_cast<std::size_t>(m.hash_layers) ? Choice::hash : m.router_choice;
    shape.scale = m.router_scale;
    shape.groups = m.router_groups;
    shape.groups_kept = m.router_groups_kept;
    shape.group_score = m.group_score;
    shape.capacity_factor = mode.capacity_factor >= 0 ? mode.capacity_factor : m.capacity_factor;
    shape.drop = m.drop;
    shape.balance = mode.balance;
    if (!mode.training && shape.choice != Choice::expert) {
        shape.capacity_factor = 0;
        shape.choice = shape.choice == Choice::hash ? Choice::hash : Choice::token;
    }
    return shape;
}

Activations Activations::place(Arena& arena, kernels::Ops& ops, const ModelConfig& model, int batch, int length,
                               Mode mode, const RankShape& ranks, bool errors, bool rounded_attention) {
    const Sizes n(model, batch, length, ranks);
    Activations s;
    s.rounded_attention = rounded_attention;
    place_layers(arena, s, model, n, mode, ranks);
    s.final_TD = floats(arena, n.T, n.D);
    s.final_rstd_T = floats(arena, n.T, 1);
    const int turned = rope_width(model);
    s.cos_SP = floats(arena, u(length), u(turned / 2));
    s.sin_SP = floats(arena, u(length), u(turned / 2));
    s.z_TE = floats(arena, n.T, n.E);
    if (model.router_jitter > 0 && mode == Mode::train) {
        s.jitter_TD = floats(arena, n.T, n.D);
    }
    const auto shape = router_shape(model, {}, static_cast<std::size_t>(model.hash_layers), batch, length);
    s.router_scratch = arena.take<double>(static_cast<std::uint64_t>(ops.router_scratch(shape)));
    s.attention_scratch = floats(
        arena,
        static_cast<std::uint64_t>(ops.attention_scratch(attention_sizes(model, batch, length, rounded_attention))), 1);
    s.router_losses = arena.take<kernels::RouterLosses>(s.layers.size());
    s.losses = arena.take<double>(2);
    if (model.hash_layers > 0 || model.router_choice == Choice::hash) {
        s.given_TK = arena.take<std::int32_t>(checked_product(n.T, n.K, marked("the expert slots")));
    }
    if (model.attention == AttentionKind::latent) {
        s.wide_T = floats(arena, n.T, n.wide);
    }
    if (model.dense_layers > 0 || n.shared > 0) {
        s.branch_TD = floats(arena, n.T, n.D);
    }
    if (ranks.together()) {
        place_ranks(arena, ops, s, model, n, batch, length, ranks);
    }
    if (mode == Mode::train) {
        place_training(arena, ops, s, model, n, batch, length);
        if (model.prediction_depth > 0) {
            place_prediction(arena, s.prediction, n);
        }
        if (errors && model.dense_layers < model.layers) {
            place_errors(arena, ops, s, n, ranks);
        }
    }
    if (s.cos_SP != nullptr) {
        ops.rope_tables(s.cos_SP, s.sin_SP, length, turned, rope_spec(model));
    }
    return s;
}

}  // namespace moescope::engine
