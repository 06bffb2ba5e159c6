#include "engine/runner/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

// Eight numbers at once, the compiler's own vector type: it becomes two SSE registers or one AVX register.
typedef float Floats __attribute__((vector_size(32)));
typedef std::int32_t Ints __attribute__((vector_size(32)));
constexpr std::size_t kLanes = 8;

[[gnu::always_inline]] inline void load(const float* from, Floats& to) {
    std::memcpy(&to, from, sizeof to);
}

// x becomes exp(x), for x <= 0, with a relative error below 3e-7. A vocabulary has 150,000 entries, and std::exp for
// each would cost several percent of a token's time.
[[gnu::always_inline]] inline void exp_not_positive(Floats& x) {
    x = x > -87.0f ? x : Floats{} - 87.0f;
    const Floats n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // round to the nearest whole number
    const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Ints scaled = reinterpret_cast<Ints>(p) + (__builtin_convertvector(n, Ints) << 23);
    x = reinterpret_cast<Floats>(scaled);
}

// Larger logit first; on a tie the lower id.
struct ByLogit {
    std::span<const float> logits;
    bool operator()(std::int32_t a, std::int32_t b) const {
        const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
        return x != y ? x > y : a < b;
    }
};

// Two passes over the whole vocabulary for every token; the same code is compiled a second time for AVX2, which this
// project does not demand of a machine. NaN is skipped by the first pass and found by the second.
[[gnu::always_inline]] inline double sum_exp(std::span<const float> values, float largest) {
    Floats sums[2] = {};
    std::size_t i = 0;
    for (; i + 2 * kLanes <= values.size(); i += 2 * kLanes) {
        for (std::size_t k = 0; k < 2; ++k) {
            Floats x;
            load(values.data() + i + k * kLanes, x);
            const Floats difference = x - largest;
            x = difference;
            exp_not_positive(x);
            sums[k] += difference == difference ? x : difference;  // NaN stays NaN
        }
    }
    double sum = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        sum += static_cast<double>(sums[0][lane]) + static_cast<double>(sums[1][lane]);
    }
    for (; i < values.size(); ++i) {
        sum += std::exp(static_cast<double>(values[i]) - largest);
    }
    return sum;
}

[[gnu::always_inline]] inline float largest_of(std::span<const float> values) {
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    Floats best[4] = {Floats{} + kLowest, Floats{} + kLowest, Floats{} + kLowest, Floats{} + kLowest};
    std::size_t i = 0;
    for (; i + 4 * kLanes <= values.size(); i += 4 * kLanes) {
        for (std::size_t k = 0; k < 4; ++k) {
            Floats x;
            load(values.data() + i + k * kLanes, x);
            best[k] = x > best[k] ? x : best[k];
        }
    }
    float largest = kLowest;
    for (const Floats& lanes : best) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            largest = std::max(largest, lanes[lane]);
        }
    }
    for (; i < values.size(); ++i) {
        largest = values[i] > largest ? values[i] : largest;
    }
    return largest;
}

double sum_exp_plain(std::span<const float> values, float largest) {
    return sum_exp(values, largest);
}
float largest_plain(std::span<const float> values) {
    return largest_of(values);
}
#ifdef __x86_64__
__attribute__((target("avx2,fma"))) double sum_exp_wide(std::span<const float> values, float largest) {
    return sum_exp(values, largest);
}
__attribute__((target("avx2,fma"))) float largest_wide(std::span<const float> values) {
    return largest_of(values);
}
bool has_wide_vectors() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
constexpr auto sum_exp_wide = sum_exp_plain;
constexpr auto largest_wide = largest_plain;
bool has_wide_vectors() {
    return false;
}
#endif

void require(bool good, base::Marked what, double value, base::Marked range) {
    if (!good) {
        throw Error(say("{} of {} is not possible; use {}", what, value, range));
    }
}

}  // namespace

double log_sum_exp(std::span<const float> logits, float largest) {
    constexpr std::size_t kBlock = 4096;  // short sums in float, their total in double
    const auto sum_block = has_wide_vectors() ? sum_exp_wide : sum_exp_plain;
    double sum = 0;
    for (std::size_t start = 0; start < logits.size(); start += kBlock) {
        sum += sum_block(logits.subspan(start, std::min(kBlock, logits.size() - start)), largest);
    }
    return static_cast<double>(largest) + std::log(sum);
}

std::int32_t largest_logit(std::span<const float> logits) {
    const float largest = (has_wide_vectors() ? largest_wide : largest_plain)(logits);
    const auto found = std::find(logits.begin(), logits.end(), largest);
    return found == logits.end() ? 0 : static_cast<std::int32_t>(found - logits.begin());
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
            marked("a temperature"), sampling.temperature, marked("0 (greedy) to 100"));
    require(sampling.top_p > 0 && sampling.top_p <= 1, marked("a top-p"), sampling.top_p,
            marked("more than 0 and at most 1"));
    require(sampling.min_p >= 0 && sampling.min_p <= 1, marked("a min-p"), sampling.min_p, marked("0 to 1"));
    require(alternatives >= 0 && alternatives <= 1000, marked("a number of alternatives"), alternatives,
            marked("0 to 1000"));
}

double Sampler::next_unit() {  // splitmix64: the same numbers on every machine
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

// How many of the candidates, which are sorted, top-p and min-p keep. Both keep a prefix, and the first one always
// stays.
std::size_t Sampler::kept_candidates(std::span<const float> logits, float largest, double total) {
    weights_.clear();
    for (const std::int32_t id : candidates_) {
        weights_.push_back(std::exp(static_cast<double>(logits[static_cast<std::size_t>(id)]) - largest));
    }
    if (total <= 0) {
        total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    }
    const double enough = sampling_.top_p < 1 ? sampling_.top_p * total : std::numeric_limits<double>::infinity();
    std::size_t kept = 0;
    for (double sum = 0; kept < weights_.size() && sum < enough; ++kept) {
        if (kept > 0 && weights_[kept] < sampling_.min_p) {  // the first weighs 1
            break;
        }
        sum += weights_[kept];
    }
    return kept;
}

std::int32_t Sampler::draw(std::span<const float> logits, float largest, double normaliser) {
    const bool all = sampling_.top_k <= 0 || static_cast<std::size_t>(sampling_.top_k) >= logits.size();
    // Without top-k the other cuts usually keep few tokens of a vocabulary that takes long to sort: sort as many as
    // needed.
    std::size_t count = all ? std::min<std::size_t>(512, logits.size()) : static_cast<std::size_t>(sampling_.top_k);
    const double total = all ? std::exp(normaliser - largest) : 0;
    largest_logits(logits, count, candidates_);
    std::size_t kept = kept_candidates(logits, largest, total);
    while (all && kept == count && count < logits.size()) {
        count = std::min(count * 8, logits.size());
        largest_logits(logits, count, candidates_);
        kept = kept_candidates(logits, largest, total);
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
    const float largest = (has_wide_vectors() ? largest_wide : largest_plain)(logits);
    const double normaliser =
        std::isfinite(largest) ? log_sum_exp(logits, largest) : std::numeric_limits<double>::quiet_NaN();
    if (!std::isfinite(normaliser)) {
        throw Error(say(
            "the model gave no usable numbers for the next token (NaN or infinite logits); its file may be damaged"));
    }
    const auto score = [&](std::int32_t id) {
        return ScoredToken{id,
                           static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(id)]) - normaliser)};
    };
    Choice choice;
    if (sampling_.temperature > 0) {
        choice.chosen = score(draw(logits, largest, normaliser));
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
