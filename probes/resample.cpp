#include "probes/resample.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace moescope::probes {
namespace {

/// splitmix64 (Steele, Lea and Flood 2014): the standard library's distributions differ between implementations, this
/// does not.
class Random {
 public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    /// Below `n`; the bias of the modulus is under n / 2^64.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }

 private:
    std::uint64_t state_;
};

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

/// Quantile with linear interpolation between order statistics (type 7).
double quantile(const std::vector<double>& sorted, double q) {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
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
    return {mean(first) - mean(second), quantile(samples, 0.025), quantile(samples, 0.975)};
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
