#include "probes/resample.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace moescope::probes {
namespace {

double mean(std::span<const double> values) {
    return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double resampled_mean(std::span<const double> values, Random& random) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        sum += values[random.below(values.size())];
    }
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double normal(double z) {
    return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

/// The z with normal(z) = p, for p within the resolution of the resampling: by bisection, as it is wanted rarely.
double normal_quantile(double p) {
    double low = -9, high = 9;
    for (int i = 0; i < 80; ++i) {
        const double middle = (low + high) / 2;
        (normal(middle) < p ? low : high) = middle;
    }
    return (low + high) / 2;
}

/// Sums of squares and cubes of a mean's influence values (x - mean) / n.
void add_influence(std::span<const double> values, double sign, double& squares, double& cubes) {
    const double centre = mean(values);
    for (const double value : values) {
        const double influence = sign * (value - centre) / static_cast<double>(values.size());
        squares += influence * influence;
        cubes += influence * influence * influence;
    }
}

/// Quantile with linear interpolation between order statistics (type 7).
double quantile(const std::vector<double>& sorted, double q) {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

/// The share of the samples below which the BCa limit of `level` lies: bias from how the samples lie around the
/// estimate, acceleration from the skewness of the influence values (Efron 1987; DiCiccio and Efron 1996).
double bca_level(double level, double bias, double acceleration) {
    const double z = bias + normal_quantile(level);
    return normal(bias + z / std::max(1 - acceleration * z, 0.05));
}

}  // namespace

Interval bootstrap_difference(std::span<const double> first, std::span<const double> second) {
    if (first.empty()) {
        return {std::numeric_limits<double>::quiet_NaN(), -1, 1};
    }
    Random random(kResampleSeed);
    std::vector<double> samples(kResamples);
    for (double& sample : samples) {
        sample = resampled_mean(first, random);
        sample -= resampled_mean(second, random);
    }
    std::sort(samples.begin(), samples.end());
    const double estimate = mean(first) - mean(second);
    double squares = 0, cubes = 0;
    add_influence(first, 1, squares, cubes);
    add_influence(second, -1, squares, cubes);
    if (squares < 1e-24) {  // all alike but for rounding
        return {estimate, samples.front(), samples.back()};
    }
    constexpr double kSame = 1e-12;  // sums in another order
    const auto low = std::lower_bound(samples.begin(), samples.end(), estimate - kSame);
    const auto high = std::upper_bound(low, samples.end(), estimate + kSame);
    const double below = static_cast<double>(low - samples.begin()) + 0.5 * static_cast<double>(high - low);
    const double bias = normal_quantile(std::clamp(below, 0.5, kResamples - 0.5) / kResamples);
    const double acceleration = cubes / (6 * std::pow(squares, 1.5));
    return {estimate, quantile(samples, bca_level(0.025, bias, acceleration)),
            quantile(samples, bca_level(0.975, bias, acceleration))};
}

double sign_flip_p(std::span<const double> differences) {
    std::vector<double> moved;
    std::copy_if(differences.begin(), differences.end(), std::back_inserter(moved), [](double d) { return d != 0; });
    if (moved.empty()) {
        return 1;
    }
    constexpr double kRounding = 1e-9;
    double sum = std::accumulate(moved.begin(), moved.end(), 0.0);
    const double observed = std::fabs(sum) - kRounding;
    if (moved.size() <= 20) {
        const std::uint64_t all = std::uint64_t{1} << moved.size();
        std::uint64_t extreme = 0;
        for (std::uint64_t i = 1; i <= all; ++i) {  // Gray code: one sign changes per step
            extreme += std::fabs(sum) >= observed ? 1 : 0;
            const auto bit = static_cast<std::size_t>(std::countr_zero(i));
            if (bit < moved.size()) {
                moved[bit] = -moved[bit];
                sum += 2 * moved[bit];
            }
        }
        return static_cast<double>(extreme) / static_cast<double>(all);
    }
    constexpr int kFlips = 10000;
    Random random(kResampleSeed);
    int extreme = 0;
    for (int flip = 0; flip < kFlips; ++flip) {
        double flipped = 0;
        for (const double d : moved) {
            flipped += (random.next() >> 63) != 0 ? d : -d;
        }
        extreme += std::fabs(flipped) >= observed ? 1 : 0;
    }
    return (extreme + 1.0) / (kFlips + 1.0);  // the observed assignment is one of them (Phipson and Smyth 2010)
}

}  // namespace moescope::probes
