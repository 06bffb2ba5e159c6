// Chooses the next token from logits, the same way for every kind of model: greedy, or temperature with top-k, top-p
// and min-p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/runner/language_model.hpp"

namespace moescope::engine {

struct ScoredToken {
    std::int32_t token = 0;
    float log_probability = 0;  ///< natural logarithm of softmax(logits), before temperature and cuts
};

struct Choice {
    ScoredToken chosen;
    std::vector<ScoredToken> alternatives;  ///< most probable first; may contain the chosen one
};

class Sampler {
 public:
    /// `alternatives`: how many of the most probable tokens to report. Throws Error when a setting is NaN or out of
    /// range.
    Sampler(const Sampling& sampling, int alternatives);

    /// Greedy (temperature 0) takes the largest logit, the lower id on a tie. Otherwise: the top_k largest (0 or less:
    /// all), of those the smallest set whose probabilities reach top_p, of those the ones with at least min_p times the
    /// probability of the first; then the temperature and one draw. The same seed and logits give the same tokens.
    /// Throws Error when no logit is finite or one is NaN.
    Choice choose(std::span<const float> logits);

 private:
    std::size_t kept_candidates(std::span<const float> logits, float largest, double total);
    std::int32_t draw(std::span<const float> logits, float largest, double normaliser);
    double next_unit();

    Sampling sampling_;
    int alternatives_ = 0;
    std::uint64_t state_ = 0;
    std::vector<std::int32_t> candidates_;  ///< kept between calls to spare allocations
    std::vector<double> weights_;
};

/// Ids of the `count` largest logits, the largest first, the lower id first on a tie. Fast for small counts.
void largest_logits(std::span<const float> logits, std::size_t count, std::vector<std::int32_t>& ids);

/// Id of the largest logit, the lower one on a tie; 0 when none is larger than minus infinity.
std::int32_t largest_logit(std::span<const float> logits);

/// log(sum(exp(logits))), given the largest logit.
double log_sum_exp(std::span<const float> logits, float largest);

}  // namespace moescope::engine
