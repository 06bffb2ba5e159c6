// The router family: from logits to "which experts, with what weight", and back to the logits' gradient.
//
// Shapes: T tokens in sequences of S, E experts (at most kMaxExperts), K chosen per token (at most kMaxChosen), J slots
// per token: K when tokens choose, E when experts choose. Legend: z logits, s scores, b selection bias, g weights.
//
// Scores: one file each, router_scoring_<name>.cpp. Choice by token: the K largest of c = s + b (a scoring of logits:
// of z + b) among the kept groups. Groups are E / groups neighbours; a group counts its largest c (max, DeepSeek-V2) or
// the sum of its two largest (top2, DeepSeek-V3) among its enabled experts, of which one may be all that is left; a
// group without any never stays. The best groups_kept stay (more, where these hold fewer than K enabled experts). Ties
// go to the lower id everywhere; NaN counts as least. Weights: g = s of the chosen (a scoring of logits: softmax of the
// chosen z), divided by their sum when `normalise` (DeepSeek adds 1e-20 to the sum), times `scale`. The bias never
// enters the weight. Other choices take no bias. `expert`: expert e takes the capacity(shape) tokens of largest s[.,
// e], g = s x scale, no groups. `hash`: ids come from the caller (hash layers, replay), weights as above. `sinkhorn`
// and `quantile`: the K largest of the c below among the kept groups, weights from plain s. Both look at the whole
// batch and spread it evenly over the N enabled experts; a batch of one token has nothing to spread and is chosen by
// e^z and by s.
//   sinkhorn: c = d1_e e^z, where d1 starts at 1 and a round is d0_t = 1 / (T sum_e d1_e e^z), d1_e = 1 / (N sum_t d0_t
//   e^z), until the mean over e of |change of d1| is below 1e-4, at most 100 rounds.
//   quantile: c = s - b, where b starts at 0 and a round, of 8, is: a_t halfway between the K-th and the next largest
//   of s_t - b, then b_e halfway between the C-th and the next largest over tokens of s_e - a; C = T K / N rounded, at
//   least 1 (b stays 0 when C >= T or K >= N). These are descent steps of the dual of the balanced assignment.
// Drops: an expert that more than its capacity want keeps the largest weights (ties: the earlier token) or the earliest
// tokens; the others get weight 0, and normalised weights are not shared out again.
//
// Losses, before their coefficients: balance = E sum_i f_i P_i (Switch, arXiv 2101.03961), f_i = share of the T K
// choices that went to i (before drops), P_i = mean of q_i, q = s for softmax kinds, s / sum s for the others.
// `batch`: over all T tokens; `sequence`: per sequence, then the mean (DeepSeek-V3, arXiv 2412.19437); `global`: f over
// the earlier micro-batches of the step too (arXiv 2501.11873). z = mean of (log sum exp z)^2 (ST-MoE, arXiv
// 2202.08906). Sources of each kind: kernels/README.md.
#pragma once

#include <cstdint>

#include "kernels/cpu/router_scoring.hpp"

namespace moescope::kernels {

inline constexpr std::int64_t kMaxExperts = 1024;
inline constexpr std::int64_t kMaxChosen = 64;

enum class GroupScore { max, top2 };
enum class Choice { token, expert, hash, sinkhorn, quantile };
/// Who loses its place in a full expert: the least weight, or the latest position.
enum class Drop { probability, position };
enum class Balance { none, batch, sequence, global };

struct RouterShape {
    std::int64_t T = 0, E = 0, K = 0;
    bool normalise = true;
    std::int64_t S = 0;  ///< tokens per sequence; 0: all T are one
    Scoring scoring = Scoring::softmax;
    Choice choice = Choice::token;
    double scale = 1.0;
    std::int64_t groups = 1, groups_kept = 1;
    GroupScore group_score = GroupScore::top2;
    double capacity_factor = 0.0;  ///< 0: nobody is dropped. `expert` choice needs more than 0
    Drop drop = Drop::probability;
    Balance balance = Balance::batch;

    /// Slots per token: the second dimension of ids, kept and weights.
    std::int64_t slots() const { return choice == Choice::expert ? E : K; }
};

/// Most tokens an expert takes: ceil(T K / E x capacity_factor), at least 1, at most T; T when dropless.
std::int64_t expert_capacity(const RouterShape& shape);

struct RouterInput {
    const float* z_TE = nullptr;
    const float* selection_bias_E = nullptr;   ///< b; may be null
    const std::int32_t* given_TK = nullptr;    ///< hash choice: the ids
    const std::uint8_t* disabled_E = nullptr;  ///< 1: never chosen; may be null. At least K experts must be left
    /// Balance::global: choices per expert and tokens of the earlier micro-batches of this step; may be null.
    const std::uint64_t* earlier_choices_E = nullptr;
    std::uint64_t earlier_tokens = 0;
};

struct RouterOutput {
    float* s_TE = nullptr;   ///< scores
    float* lse_T = nullptr;  ///< log sum exp z
    /// Best first; -1: slot not used (expert choice, or a given id that names no enabled expert).
    std::int32_t* ids_TJ = nullptr;
    std::uint8_t* kept_TJ = nullptr;     ///< 0: dropped by capacity, or not used
    float* w_TJ = nullptr;               ///< applied weights, 0 where not kept
    std::uint32_t* counts_E = nullptr;   ///< tokens that each expert works on (kept)
    std::uint32_t* choices_E = nullptr;  ///< tokens that chose it, before drops
    double* q_sums_E = nullptr;          ///< sums over the tokens of q, of which P is the mean; may be null
};

struct RouterLosses {
    double balance = 0, z = 0;
    double entropy = 0;  ///< mean over tokens of -sum q log q, nats
    std::uint64_t dropped = 0;
};

/// Scratch doubles of forward and backward. Also enough with another balance, drop or capacity factor, with fewer
/// tokens or chosen, and with the choices `token` and `hash`.
std::int64_t router_scratch(const RouterShape& shape);

RouterLosses router_forward(const RouterOutput& out, const RouterInput& in, double* scratch, const RouterShape& shape);
/// Writes dz_TE: gradient through the weights (dw_TJ, ignored where not kept), plus balance_scale x d balance, plus
/// z_scale x d z. The choice itself has no gradient. `out` and `in` as the forward left and took them, but z_TE is read
/// only by scorings that are no softmax; dz_TE may be z_TE. `scratch`: as large as the forward's, contents do not
/// matter.
void router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in, double* scratch,
                     double balance_scale, double z_scale, const RouterShape& shape);

/// Loss-free balancing (arXiv 2408.15664): b_i += speed x sign(mean load - load_i), over the enabled experts; a
/// disabled one keeps its bias, so that it does not come back with all tokens. disabled_E may be null.
void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E, std::int64_t E,
                           double speed);
/// Expert ids of a hash layer: K different experts per token id, fixed for all times (splitmix64 of id and seed).
void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                 std::uint64_t seed);

namespace reference {
/// Plain loops in double, written from the formulas above and independent of the fast path.
RouterLosses router_forward(const RouterOutput& out, const RouterInput& in, const RouterShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
