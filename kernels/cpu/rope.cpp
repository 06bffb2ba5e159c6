#include "kernels/cpu/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moescope::kernels {
namespace {

/// How much of each frequency YaRN stretches: none up to pair `low`, all from pair `high` on, a ramp between.
struct Ramp {
    double low = 0, high = 0;
    double at(std::int64_t pair) const {
        return std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
    }
};

/// The pair that turns `rotations` times within the original context.
double pair_of(double rotations, double C, const RopeSpec& spec) {
    return C * std::log(spec.original_context / (rotations * 2.0 * std::numbers::pi)) / (2.0 * std::log(spec.theta));
}

Ramp ramp_of(std::int64_t C, const RopeSpec& spec) {
    const double width = static_cast<double>(C);
    Ramp ramp{pair_of(spec.beta_fast, width, spec), pair_of(spec.beta_slow, width, spec)};
    if (spec.truncate) {
        ramp = {std::floor(ramp.low), std::ceil(ramp.high)};
    }
    // The upper bound is C - 1 although there are only C / 2 pairs: models in use were trained with it.
    ramp = {std::max(ramp.low, 0.0), std::min(ramp.high, width - 1.0)};
    if (ramp.low == ramp.high) {
        ramp.high += 0.001;
    }
    return ramp;
}

double magnitude(double factor, double mscale) {
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double attention_factor(const RopeSpec& spec) {
    if (spec.mscale != 0.0 && spec.mscale_all_dim != 0.0) {
        return magnitude(spec.factor, spec.mscale) / magnitude(spec.factor, spec.mscale_all_dim);
    }
    return magnitude(spec.factor, 1.0);
}

}  // namespace

void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, const RopeSpec& spec) {
    const std::int64_t half = C / 2;
    const bool stretched = spec.factor > 1.0;
    const Ramp ramp = stretched ? ramp_of(C, spec) : Ramp{};
    const double amplitude = attention_factor(spec);
    for (std::int64_t i = 0; i < half; ++i) {
        const double plain = std::pow(spec.theta, -2.0 * static_cast<double>(i) / static_cast<double>(C));
        const double share = stretched ? ramp.at(i) : 0.0;
        const double frequency = plain / spec.factor * share + plain * (1.0 - share);
        for (std::int64_t s = 0; s < S; ++s) {
            const double angle = static_cast<double>(s) * frequency;
            cos_SP[s * half + i] = static_cast<float>(amplitude * std::cos(angle));
            sin_SP[s * half + i] = static_cast<float>(amplitude * std::sin(angle));
        }
    }
}

double rope_softmax_factor(const RopeSpec& spec) {
    const double scale = spec.mscale_all_dim == 0.0 ? 1.0 : magnitude(spec.factor, spec.mscale_all_dim);
    return scale * scale;
}

}  // namespace moescope::kernels
