// The router: softmax over experts, the K most probable chosen (a tie goes to the lower expert id), their probabilities
// as weights, divided by their sum when `normalise`. Shapes: T tokens, E experts (at most kMaxExperts), K chosen (at
// most kMaxChosen). Losses, before their coefficients:
//   balance = E sum_i f_i P_i, f_i = tokens routed to i / (T K), P_i = mean probability of i. Switch Transformer, arXiv
//   2101.03961. z       = mean over tokens of (log sum exp z)^2. ST-MoE, arXiv 2202.08906.
#pragma once

#include <cstdint>

namespace moescope::kernels {

inline constexpr std::int64_t kMaxExperts = 1024;
inline constexpr std::int64_t kMaxChosen = 64;

struct RouterShape {
    std::int64_t T = 0, E = 0, K = 0;
    bool normalise = true;
};

struct RouterLosses {
    double balance = 0, z = 0;
    double entropy = 0;  ///< mean over tokens of -sum p log p, nats
};

/// Scratch doubles of the forward: per block of tokens the sums over its tokens.
std::int64_t router_scratch(const RouterShape& shape);

/// Writes p_TE (softmax), lse_T, ids_TK (most probable first), w_TK, and counts_E: tokens routed to each expert.
RouterLosses router_forward(float* p_TE, float* lse_T, std::int32_t* ids_TK, float* w_TK, std::uint32_t* counts_E,
                            const float* z_TE, double* scratch, const RouterShape& shape);
/// Writes dz_TE: gradient through the weights (dw_TK), plus balance_scale x d balance, plus z_scale x d z. The choice
/// itself has no gradient.
void router_backward(float* dz_TE, const float* dw_TK, const float* p_TE, const float* lse_T,
                     const std::int32_t* ids_TK, const float* w_TK, const std::uint32_t* counts_E, double balance_scale,
                     double z_scale, const RouterShape& shape);

namespace reference {
RouterLosses router_forward(float* p_TE, float* lse_T, std::int32_t* ids_TK, float* w_TK, std::uint32_t* counts_E,
                            const float* z_TE, const RouterShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
