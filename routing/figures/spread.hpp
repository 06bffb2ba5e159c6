// How decided routers are: the entropy of their scores and the margin of their choices, per layer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::routing {

/// Numbers counted in bins of equal width. The mean is exact, quantiles are as fine as the bins.
class Histogram {
 public:
    static constexpr std::size_t kBins = 128;

    Histogram(double low, double high) : low_(low), high_(high) {}
    void add(double value);  ///< beyond the ends it counts in the first or last bin; NaN does not count
    std::uint64_t count() const { return count_; }
    double mean() const;  ///< NaN without any
    /// Linear within the bin; NaN without any. `q` from 0 to 1.
    double quantile(double q) const;
    const std::array<std::uint64_t, kBins>& bins() const { return bins_; }
    double edge(std::size_t bin) const { return low_ + (high_ - low_) * static_cast<double>(bin) / kBins; }

 private:
    double low_, high_;
    std::array<std::uint64_t, kBins> bins_{};
    std::uint64_t count_ = 0;
    double sum_ = 0;
};

/// Router entropy of a decision: -sum_i p_i ln p_i over all experts of the layer, p = scores divided by their sum (for
/// softmax scores they are that already; for sigmoid scores it says how even they are, not how sure the router is).
/// Whoever made the trace has computed it; here are its distribution and its mean divided by ln E: 1 is undecided.
class RouterEntropy {
 public:
    static constexpr unsigned kWanted = kEntropies;

    explicit RouterEntropy(const Shape& shape);
    void add(const Chunk& chunk);
    const Histogram& layer(std::size_t layer) const { return layers_[layer]; }  ///< nats
    double normalised_mean(std::size_t layer) const;                            ///< NaN without any

 private:
    Shape shape_;
    std::vector<Histogram> layers_;
};

/// Margin of a decision: selection score of the last chosen expert minus that of the best one that was not chosen,
/// among the kept groups; below it rounding, quantisation or a small change turns the choice over. Counted by its
/// logarithm to base 2; decisions whose margin is 0 or below (ties, forced experts) are counted apart.
class Margins {
 public:
    static constexpr unsigned kWanted = kMargins;
    static constexpr double kLeast = -24, kMost = 8;  ///< of log2

    explicit Margins(const Shape& shape);
    void add(const Chunk& chunk);
    const Histogram& layer(std::size_t layer) const { return layers_[layer]; }  ///< of log2(margin)
    std::uint64_t not_positive(std::size_t layer) const { return not_positive_[layer]; }

 private:
    Shape shape_;
    std::vector<Histogram> layers_;
    std::vector<std::uint64_t> not_positive_;
};

}  // namespace moescope::routing
