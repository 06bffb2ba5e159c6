#include "routing/load_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace moescope::routing {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double sum(std::span<const double> load) {
    return std::accumulate(load.begin(), load.end(), 0.0);
}

}  // namespace

double max_violation(std::span<const double> load) {
    const double total = sum(load);
    if (!(total > 0)) {
        return kNone;
    }
    const double mean = total / static_cast<double>(load.size());
    return (*std::max_element(load.begin(), load.end()) - mean) / mean;
}

double variation(std::span<const double> load) {
    const double total = sum(load);
    if (!(total > 0)) {
        return kNone;
    }
    const double mean = total / static_cast<double>(load.size());
    double squares = 0;
    for (const double x : load) {
        squares += (x - mean) * (x - mean);
    }
    return std::sqrt(squares / static_cast<double>(load.size())) / mean;
}

double normalised_entropy(std::span<const double> load) {
    const double total = sum(load);
    if (!(total > 0)) {
        return kNone;
    }
    if (load.size() == 1) {
        return 1;
    }
    double entropy = 0;
    for (const double x : load) {
        if (x > 0) {
            entropy -= x / total * std::log(x / total);
        }
    }
    return entropy / std::log(static_cast<double>(load.size()));
}

double gini(std::span<const double> load) {
    const double total = sum(load);
    if (!(total > 0)) {
        return kNone;
    }
    // With the loads sorted, each x_i stands above i others and below n - 1 - i: the double sum is 2 sum (2i - n + 1)
    // x_i.
    std::vector<double> sorted(load.begin(), load.end());
    std::sort(sorted.begin(), sorted.end());
    const double n = static_cast<double>(sorted.size());
    double weighted = 0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        weighted += (2.0 * static_cast<double>(i) - n + 1) * sorted[i];
    }
    return weighted / (n * total);
}

std::size_t dead_experts(std::span<const double> load) {
    return static_cast<std::size_t>(std::count(load.begin(), load.end(), 0.0));
}

std::vector<double> utilisation(std::span<const double> load) {
    const double mean = sum(load) / static_cast<double>(load.size());
    std::vector<double> shares;
    for (const double x : load) {
        shares.push_back(mean > 0 ? x / mean : kNone);
    }
    return shares;
}

LoadMetrics load_metrics(std::span<const double> load) {
    return {max_violation(load), variation(load), normalised_entropy(load), gini(load), dead_experts(load)};
}

ShareDifference share_difference(double count_a, double total_a, double count_b, double total_b) {
    if (!(total_a > 0) || !(total_b > 0)) {
        return {kNone, kNone, false};
    }
    const double pooled = (count_a + count_b) / (total_a + total_b);
    ShareDifference result;
    result.difference = count_a / total_a - count_b / total_b;
    result.sigma = std::sqrt(std::max(0.0, pooled * (1 - pooled)) * (1 / total_a + 1 / total_b));
    result.beyond_chance = std::abs(result.difference) > 2 * result.sigma;
    return result;
}

}  // namespace moescope::routing
