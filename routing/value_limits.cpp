#include "routing/value_limits.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "routing/error.hpp"

namespace moescope::routing {
namespace {

constexpr float kRounding = 1e-3f;        // of sums of floats, and of entropies in columns (number_codes.hpp)
constexpr float kMarginRounding = 1.03f;  // of margins there

bool within(float value, float low, float high) {
    return std::isnan(value) || (value >= low && value <= high);
}

bool all_within(std::span<const float> values, float low, float high) {
    return std::all_of(values.begin(), values.end(), [&](float value) { return within(value, low, high); });
}

void require(float value, const char* key, float low, float high, float shown_low, float shown_high) {
    if (!within(value, low, high)) {
        throw Error(
            say("has {:.4g} under \"{}\", where {:.4g} to {:.4g} is possible", value, key, shown_low, shown_high));
    }
}

}  // namespace

ValueLimits limits_of(const RouterSpec& spec, bool changed) {
    ValueLimits limits;
    limits.entropy = std::log(static_cast<float>(std::max(1, spec.experts))) + kRounding;
    if (spec.scoring.empty()) {
        return limits;
    }
    limits.least_score = 0;
    limits.most_score = spec.scoring == "sqrt_softplus" ? limits.most_score : 1 + kRounding;
    limits.least_weight = spec.scale >= 0 ? 0 : limits.least_weight;
    if (spec.scoring == "softmax" && !spec.selection_bias && !changed) {
        limits.margin = kMarginRounding;
    }
    return limits;
}

void check(const LayerDecision& decision, const ValueLimits& limits) {
    const float most_entropy = limits.entropy - kRounding;
    require(decision.entropy, "entropy", -kRounding, limits.entropy, 0, most_entropy);
    require(decision.margin, "margin", -limits.margin, limits.margin, -1, 1);
    for (const float weight : decision.weights) {
        if (weight < limits.least_weight) {
            throw Error(say("has the weight {}, and its router has none below 0", weight));
        }
    }
    for (const float score : decision.scores) {
        if (score < limits.least_score) {
            throw Error(say("has the score {}, and its router has none below 0", score));
        }
        if (score > limits.most_score) {
            throw Error(say("has the score {}, and its router has none above 1", score));
        }
    }
}

void check_log_probability(float value) {
    if (value > kRounding) {
        throw Error(say("has the log-probability {}, and none is above 0", value));
    }
}

bool possible(const Chunk& chunk, const ValueLimits& limits) {
    constexpr float kInfinite = std::numeric_limits<float>::infinity();
    return all_within(chunk.log_probability, -kInfinite, kRounding) &&
           all_within(chunk.entropy, -kRounding, limits.entropy) &&
           all_within(chunk.margin, -limits.margin, limits.margin) &&
           all_within(chunk.weights, limits.least_weight, kInfinite);
}

}  // namespace moescope::routing
