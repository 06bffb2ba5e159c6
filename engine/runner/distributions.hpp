// Distributions of the next token, by their logits.
#pragma once

#include <algorithm>
#include <span>

#include "engine/runner/sampler.hpp"

namespace moescope::engine {

/// log sum exp of the logits.
inline double log_sum(std::span<const float> logits) {
    return log_sum_exp(logits, *std::max_element(logits.begin(), logits.end()));
}

/// sum p (log p - log q), nats, p untouched: its softmax [V], logits [V] and their log sum. Both are softmaxes, so it
/// is sum p (z_p - z_q) - sum_p + sum_q. Rounding could make it a little negative, which it never is.
inline double divergence(const float* shares, const float* untouched, double untouched_sum,
                         std::span<const float> changed, double changed_sum) {
    double difference = 0;
    for (std::size_t v = 0; v < changed.size(); ++v) {
        const double step = static_cast<double>(untouched[v]) - changed[v];
        difference += shares[v] > 0 ? shares[v] * step : 0.0;
    }
    return std::max(0.0, difference - untouched_sum + changed_sum);
}

}  // namespace moescope::engine
