#include "engine/runner/sampler.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

// exp(x) for x <= 0 with a relative error below 3e-7, written so that the compiler turns a loop over it into vector
// code: a vocabulary has 150,000 entries and std::exp alone would cost several percent of a token's time.
inline float exp_not_positive(float x) {
    x = std::max(x, -87.0f);
    const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // round to the nearest whole number
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + (static_cast<std::int32_t>(n) << 23));
}

// Larger logit first; on a tie the lower id.
struct ByLogit {
    std::span<const float> logits;
    bool operator()(std::int32_t a, std::int32_t b) const {
        const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
        return x != y ? x > y : a < b;
    }
};

// The largest value, found in lanes so that the loop runs as vector code. NaN is skipped here and found by the sum.
float largest_value(std::span<const float> values) {
    constexpr std::size_t kLanes = 16;
    float lanes[kLanes];
    std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
    std::size_t i = 0;
    for (; i + kLanes <= values.size(); i += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
        }
    }
    for (; i < values.size(); ++i) {
        lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
    }
    return *std::max_element(lanes, lanes + kLanes);
}

void require(bool good, const std::string& what, double value, const std::string& range) {
    if (!good) {
        throw Error(what + " of " + std::to_string(value) + " is not possible; use " + range);
    }
}

}  // namespace

double log_sum_exp(std::span<const float> logits, float largest) {
    constexpr std::size_t kLanes = 16, kBlock = 4096;
    double sum = 0;
    for (std::size_t start = 0; start < logits.size(); start += kBlock) {
        const auto block = logits.subspan(start, std::min(kBlock, logits.size() - start));
        float lanes[kLanes] = {};
        std::size_t i = 0;
        for (; i + kLanes <= block.size(); i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                lanes[lane] += exp_not_positive(block[i + lane] - largest);
            }
        }
        for (; i < block.size(); ++i) {
            lanes[0] += exp_not_positive(block[i] - largest);
        }
        sum += std::accumulate(lanes, lanes + kLanes, 0.0);
    }
    return static_cast<double>(largest) + std::log(sum);
}

void largest_logits(std::span<const float> logits, std::size_t count, std::vector<std::int32_t>& ids) {
    count = std::min(count, logits.size());
    ids.clear();
    const ByLogit larger{logits};
    if (count > logits.size() / 8) {
        ids.resize(logits.size());
        std::iota(ids.begin(), ids.end(), 0);
        std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(), larger);
        ids.resize(count);
        return;
    }
    if (count == 0) {
        return;
    }
    // A heap with the smallest of the best on top. Nearly every logit fails the first comparison, so this is one pass.
    // A later token with an equal logit has a higher id and loses, hence the strict comparison.
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (ids.size() < count) {
            ids.push_back(static_cast<std::int32_t>(i));
            std::push_heap(ids.begin(), ids.end(), larger);
        } else if (logits[i] > logits[static_cast<std::size_t>(ids.front())]) {
            std::pop_heap(ids.begin(), ids.end(), larger);
            ids.back() = static_cast<std::int32_t>(i);
            std::push_heap(ids.begin(), ids.end(), larger);
        }
    }
    std::sort_heap(ids.begin(), ids.end(), larger);
}

Sampler::Sampler(const Sampling& sampling, int alternatives)
    : sampling_(sampling), alternatives_(alternatives), state_(sampling.seed) {
    require(std::isfinite(sampling.temperature) && sampling.temperature >= 0 && sampling.temperature <= 100,
            "a temperature", sampling.temperature, "0 (greedy) to 100");
    require(sampling.top_p > 0 && sampling.top_p <= 1, "a top-p", sampling.top_p, "more than 0 and at most 1");
    require(sampling.min_p >= 0 && sampling.min_p <= 1, "a min-p", sampling.min_p, "0 to 1");
    require(alternatives >= 0 && alternatives <= 1000, "a number of alternatives", alternatives, "0 to 1000");
}

double Sampler::next_unit() {  // splitmix64: the same numbers on every machine
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

std::int32_t Sampler::draw(std::span<const float> logits, float largest) {
    const std::size_t top_k = sampling_.top_k > 0 ? static_cast<std::size_t>(sampling_.top_k) : logits.size();
    largest_logits(logits, top_k, candidates_);
    weights_.clear();
    double total = 0;
    for (const std::int32_t id : candidates_) {
        weights_.push_back(std::exp(static_cast<double>(logits[static_cast<std::size_t>(id)]) - largest));
        total += weights_.back();
    }
    // Both cuts keep a prefix, as the candidates are sorted; the first one always stays.
    std::size_t kept = 0;
    for (double sum = 0; kept < weights_.size() && sum < sampling_.top_p * total; ++kept) {
        if (kept > 0 && weights_[kept] < sampling_.min_p) {  // the first weighs 1
            break;
        }
        sum += weights_[kept];
    }
    double sum = 0;
    for (std::size_t i = 0; i < kept; ++i) {
        const double logit = logits[static_cast<std::size_t>(candidates_[i])];
        weights_[i] = std::exp((logit - largest) / sampling_.temperature);
        sum += weights_[i];
    }
    double point = next_unit() * sum;
    for (std::size_t i = 0; i < kept; ++i) {
        point -= weights_[i];
        if (point < 0) {
            return candidates_[i];
        }
    }
    return candidates_[kept - 1];  // rounding left a hair
}

Choice Sampler::choose(std::span<const float> logits) {
    const float largest = largest_value(logits);
    const double normaliser =
        std::isfinite(largest) ? log_sum_exp(logits, largest) : std::numeric_limits<double>::quiet_NaN();
    if (!std::isfinite(normaliser)) {
        throw Error(
            "the model gave no usable numbers for the next token (NaN or infinite logits); its file may be damaged");
    }
    const auto score = [&](std::int32_t id) {
        return ScoredToken{id,
                           static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(id)]) - normaliser)};
    };
    Choice choice;
    if (sampling_.temperature > 0) {
        choice.chosen = score(draw(logits, largest));
    } else {
        choice.chosen =
            score(static_cast<std::int32_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin()));
    }
    if (alternatives_ > 0) {
        largest_logits(logits, static_cast<std::size_t>(alternatives_), candidates_);
        for (const std::int32_t id : candidates_) {
            choice.alternatives.push_back(score(id));
        }
    }
    return choice;
}

}  // namespace moescope::engine
