// Intervals of one rate, and Holm's correction.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "probes/probes.hpp"

namespace moescope::probes {
namespace {
constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution
}

Interval wilson(std::uint64_t successes, std::uint64_t n) {
    if (n == 0) {
        return {std::numeric_limits<double>::quiet_NaN(), 0, 1};
    }
    const double trials = static_cast<double>(n), p = static_cast<double>(std::min(successes, n)) / trials,
                 z2 = kZ * kZ;
    const double centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
    const double half = kZ / (1 + z2 / trials) * std::sqrt(p * (1 - p) / trials + z2 / (4 * trials * trials));
    // At 0 and n the bound is exactly 0 and 1; rounding must not leave a negative zero or 0.9999.
    return {p, successes == 0 ? 0 : std::max(0.0, centre - half), successes >= n ? 1 : std::min(1.0, centre + half)};
}

std::vector<double> holm(std::span<const double> p) {
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
    std::vector<double> adjusted(p.size());
    double highest = 0;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
        highest = std::max(highest, std::min(1.0, static_cast<double>(p.size() - rank) * p[order[rank]]));
        adjusted[order[rank]] = highest;
    }
    return adjusted;
}

}  // namespace moescope::probes
