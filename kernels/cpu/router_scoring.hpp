// The scorings of the router: how logits z become scores s. A new one is a name in the list below and a file
// router_scoring_<name>.cpp with its formulas; parser, catalogue, tests and exports find it by themselves.
#pragma once

#include <cstddef>
#include <cstdint>

// What a configuration calls them, in an order that stays.
#define MOESCOPE_ROUTER_SCORINGS(row) row(softmax) row(softmax_after_top_k) row(sigmoid) row(sqrt_softplus)

namespace moescope::kernels {

#define MOESCOPE_ROW(name) name,
enum class Scoring { MOESCOPE_ROUTER_SCORINGS(MOESCOPE_ROW) };
#undef MOESCOPE_ROW

#define MOESCOPE_ROW(name) #name,
inline constexpr const char* kScoringNames[] = {MOESCOPE_ROUTER_SCORINGS(MOESCOPE_ROW)};
#undef MOESCOPE_ROW

#define MOESCOPE_ROW(name) Scoring::name,
inline constexpr Scoring kScorings[] = {MOESCOPE_ROUTER_SCORINGS(MOESCOPE_ROW)};
#undef MOESCOPE_ROW

/// What the scores of one token add to the batch.
struct TokenScores {
    double z = 0;        ///< (log sum exp z)^2
    double entropy = 0;  ///< -sum q log q, nats
    float q_of_s = 1;    ///< q = s x this
};

/// One scoring. Called once per token; rows of E values.
struct ScoringFormulas {
    bool softmax = false;    ///< s is a softmax of z: q = s, and the backward does not read z
    bool of_logits = false;  ///< chosen by z + b, and the weights are a softmax of the chosen z
    int gguf = 0;            ///< GGUF's expert_gating_func; 0: it has none, and an export is refused
    /// Writes s_E and the log sum exp of z_E.
    TokenScores (*forward)(float* s_E, float* lse, const float* z_E, std::int64_t E) = nullptr;
    /// dz_E = gradient through s (ds_E) + z_term x softmax(z). dz_E may be z_E; z_E may be null when softmax.
    void (*backward)(float* dz_E, const float* ds_E, const float* s_E, const float* z_E, float lse, float z_term,
                     std::int64_t E) = nullptr;
    /// The score in double, written from its formula alone; lse = log sum exp of the token's z.
    double (*reference)(double z, double lse) = nullptr;
};

#define MOESCOPE_ROW(name) extern const ScoringFormulas name##_formulas;
MOESCOPE_ROUTER_SCORINGS(MOESCOPE_ROW)
#undef MOESCOPE_ROW

#define MOESCOPE_ROW(name) &name##_formulas,
inline constexpr const ScoringFormulas* kScoringFormulas[] = {MOESCOPE_ROUTER_SCORINGS(MOESCOPE_ROW)};
#undef MOESCOPE_ROW

inline const ScoringFormulas& formulas_of(Scoring scoring) {
    return *kScoringFormulas[static_cast<std::size_t>(scoring)];
}

}  // namespace moescope::kernels
