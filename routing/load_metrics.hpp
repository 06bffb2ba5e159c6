// Numbers that describe how a router spreads tokens over experts. Each has one definition, here: the window, exports
// and tests call these functions, for the steps of a training run and for traces alike. Pure: no window, no state, any
// thread.
//
// `load` is the number of (token, slot) pairs that went to each of the N experts of one layer; with T tokens and top-k
// routing its sum is T k. Of an empty load (no expert or no token) every number is NaN.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace moescope::routing {

/// MaxVio = (max_i load_i - mean) / mean. 0 is even, N - 1 is everything on one expert.
/// Source: Wang et al. 2024, "Auxiliary-loss-free load balancing", arXiv 2408.15664, equation 4.
double max_violation(std::span<const double> load);

/// Coefficient of variation: population standard deviation / mean. 0 is even, sqrt(N - 1) the most uneven.
double variation(std::span<const double> load);

/// Normalised load entropy: -sum_i q_i ln q_i / ln N with q_i = load_i / sum. 1 is even, 0 is everything on one expert;
/// 1 when N is 1.
double normalised_entropy(std::span<const double> load);

/// Gini coefficient: sum_i sum_j |load_i - load_j| / (2 N^2 mean). 0 is even, (N - 1) / N the most uneven. O(N log N).
double gini(std::span<const double> load);

/// Experts without a single token.
std::size_t dead_experts(std::span<const double> load);

/// Utilisation of each expert: load_i / (T k / N) = load_i / mean. 1 is its fair share, 0 is a dead expert; NaN when no
/// expert has any. Source: NeMo Automodel's MoE load metrics.
std::vector<double> utilisation(std::span<const double> load);

/// All of the above that are one number for a layer.
struct LoadMetrics {
    double max_violation = 0, variation = 0, entropy = 0, gini = 0;
    std::size_t dead = 0;
};
LoadMetrics load_metrics(std::span<const double> load);

/// Share of an expert under text A minus its share under text B, and how large that difference would be by chance.
struct ShareDifference {
    double difference = 0;  ///< count_a / total_a - count_b / total_b
    /// Standard deviation of the difference when the labels A and B are shuffled: sqrt(p (1 - p) (1/n_a + 1/n_b)) with
    /// the pooled share p (binomial sampling of slots). Neighbouring tokens are alike, so the real noise is larger: it
    /// is a lower bound.
    double sigma = 0;
    /// |difference| > 2 sigma.
    bool beyond_chance = false;
};
/// NaN, NaN, false when either total is 0.
ShareDifference share_difference(double count_a, double total_a, double count_b, double total_b);

}  // namespace moescope::routing
