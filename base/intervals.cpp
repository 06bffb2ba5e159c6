#include "base/intervals.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

namespace moescope::base {

namespace {
constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution
}

Interval wilson_of_rate(double rate, double n) {
    if (!(n > 0) || std::isnan(rate)) {
        return {std::numeric_limits<double>::quiet_NaN(), 0, 1};
    }
    const double p = std::clamp(rate, 0.0, 1.0), z2 = kZ * kZ;
    const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    // At 0 and 1 the bound is exactly 0 and 1; rounding must not leave a negative zero or 0.9999.
    return {p, p <= 0 ? 0 : std::max(0.0, centre - half), p >= 1 ? 1 : std::min(1.0, centre + half)};
}

Interval wilson(std::uint64_t successes, std::uint64_t n) {
    return wilson_of_rate(static_cast<double>(std::min(successes, n)) / static_cast<double>(n), static_cast<double>(n));
}

Interval of_mean(std::span<const double> values) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const auto n = static_cast<double>(values.size());
    double sum = 0, squares = 0;
    for (const double value : values) {
        sum += value;
    }
    const double mean = sum / n;  // NaN of none
    for (const double value : values) {
        squares += (value - mean) * (value - mean);
    }
    if (values.size() < 2 || !std::isfinite(squares)) {
        return {mean, kNone, kNone};
    }
    const double t = boost::math::quantile(boost::math::students_t(n - 1), 0.975);
    const double half = t * std::sqrt(squares / (n - 1) / n);
    return {mean, mean - half, mean + half};
}

Interval of_positive_mean(std::span<const double> values) {
    Interval interval = of_mean(values);
    if (interval.low < 0) {
        interval.low = 0;
    }
    return interval;
}

}  // namespace moescope::base
