// Two conditions on the same prompts: exact McNemar test, Newcombe's interval, power.
#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/probes.hpp"

namespace moescope::probes {
namespace {

/// log of n over k.
double log_choose(double n, double k) {
    return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

double binomial(std::uint64_t n, std::uint64_t k, double p) {
    if (p <= 0 || p >= 1) {
        return (p <= 0 ? k == 0 : k == n) ? 1 : 0;
    }
    const auto size = static_cast<double>(n), hits = static_cast<double>(k);
    return std::exp(log_choose(size, hits) + hits * std::log(p) + (size - hits) * std::log1p(-p));
}

/// Two-sided exact p of `b` against `c` under one half.
double exact_p(std::uint64_t b, std::uint64_t c) {
    const std::uint64_t n = b + c, low = std::min(b, c);
    if (b == c) {
        return 1;
    }
    double tail = 0;
    for (std::uint64_t k = 0; k <= low; ++k) {
        tail += binomial(n, k, 0.5);
    }
    return std::min(1.0, 2 * tail);
}

/// Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10: Wilson limits of both rates, joined by a
/// continuity-corrected phi.
Interval newcombe(double both, double b, double c, double neither) {
    const double n = both + b + c + neither;
    if (n == 0) {
        return {std::numeric_limits<double>::quiet_NaN(), -1, 1};
    }
    const auto limits = [&](double hits) {
        return wilson(static_cast<std::uint64_t>(hits), static_cast<std::uint64_t>(n));
    };
    const Interval first = limits(both + b), second = limits(both + c);
    const double margins = (both + b) * (c + neither) * (both + c) * (b + neither);
    double cross = both * neither - b * c;
    cross = cross > n / 2 ? cross - n / 2 : std::min(cross, 0.0);
    const double phi = margins > 0 ? cross / std::sqrt(margins) : 0;
    const auto width = [&](double x, double y) { return std::sqrt(std::max(0.0, x * x - 2 * phi * x * y + y * y)); };
    const double difference = (b - c) / n;
    return {difference, std::max(-1.0, difference - width(first.estimate - first.low, second.high - second.estimate)),
            std::min(1.0, difference + width(first.high - first.estimate, second.estimate - second.low))};
}

/// Largest k for which k against m - k is significant; -1 when even 0 against m is not.
std::int64_t critical(std::uint64_t m, double alpha) {
    double tail = 0;
    std::int64_t last = -1;
    for (std::uint64_t k = 0; 2 * k < m; ++k) {
        tail += binomial(m, k, 0.5);
        if (2 * tail > alpha * (1 + 1e-12)) {
            break;
        }
        last = static_cast<std::int64_t>(k);
    }
    return last;
}

std::vector<std::int64_t> critical_values(std::uint64_t n, double alpha) {
    std::vector<std::int64_t> values(n + 1);
    for (std::uint64_t m = 0; m <= n; ++m) {
        values[m] = critical(m, alpha);
    }
    return values;
}

double power_with(const std::vector<std::int64_t>& criticals, double p10, double p01) {
    const std::uint64_t n = criticals.size() - 1;
    const double discordant = std::min(1.0, p10 + p01);
    if (discordant <= 0) {
        return 0;
    }
    double power = 0;
    for (std::uint64_t m = 0; m <= n; ++m) {
        const double weight = binomial(n, m, discordant);
        if (weight < 1e-13 || criticals[m] < 0) {
            continue;
        }
        double rejects = 0;
        for (std::uint64_t k = 0; k <= static_cast<std::uint64_t>(criticals[m]); ++k) {
            rejects += binomial(m, k, p10 / discordant) + binomial(m, m - k, p10 / discordant);
        }
        power += weight * rejects;
    }
    return std::min(1.0, power);
}

bool usable(double p) {
    return p >= 0 && p <= 1;
}  // false for NaN

}  // namespace

McNemar mcnemar(std::uint64_t both, std::uint64_t only_first, std::uint64_t only_second, std::uint64_t neither) {
    McNemar result{both, only_first, only_second, neither, 1, 1, {}};
    result.p = exact_p(only_first, only_second);
    result.mid_p = result.p;
    if (only_first != only_second) {
        result.mid_p -= binomial(only_first + only_second, std::min(only_first, only_second), 0.5);
    }
    result.difference = newcombe(static_cast<double>(both), static_cast<double>(only_first),
                                 static_cast<double>(only_second), static_cast<double>(neither));
    return result;
}

double mcnemar_power(std::uint64_t n, double p10, double p01, double alpha) {
    if (n == 0 || n > kMostPairs || !usable(p10) || !usable(p01) || p10 + p01 > 1 + 1e-9 || !usable(alpha)) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return power_with(critical_values(n, alpha), p10, p01);
}

std::optional<double> detectable_difference(std::uint64_t n, double background, double alpha, double power) {
    if (n == 0 || n > kMostPairs || !usable(background) || background > 0.5 || !usable(alpha) || !usable(power)) {
        return std::nullopt;
    }
    const auto criticals = critical_values(n, alpha);
    // In steps of 0.1 points: finer would claim a precision that the assumed background does not have.
    const int most = static_cast<int>(std::floor((1 - 2 * background) * 1000 + 1e-9));
    const auto enough = [&](int step) {
        return power_with(criticals, background + step / 1000.0, background) >= power;
    };
    if (most <= 0 || !enough(most)) {
        return std::nullopt;
    }
    int low = 0, high = most;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        (enough(middle) ? high : low) = middle;
    }
    return high / 1000.0;
}

}  // namespace moescope::probes
