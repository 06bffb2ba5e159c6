#include "routing/figures/spread.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moescope::routing {

namespace {
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
}

void Histogram::add(double value) {
    if (std::isnan(value)) {
        return;
    }
    const double place = (value - low_) / (high_ - low_) * kBins;
    ++bins_[static_cast<std::size_t>(std::clamp(place, 0.0, kBins - 1.0))];
    ++count_;
    sum_ += value;
}

double Histogram::mean() const {
    return count_ == 0 ? kNone : sum_ / static_cast<double>(count_);
}

double Histogram::quantile(double q) const {
    if (count_ == 0) {
        return kNone;
    }
    const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
    double before = 0;
    for (std::size_t bin = 0; bin < kBins; ++bin) {
        const auto here = static_cast<double>(bins_[bin]);
        if (here > 0 && before + here >= wanted) {
            return edge(bin) + (edge(bin + 1) - edge(bin)) * (wanted - before) / here;
        }
        before += here;
    }
    return edge(kBins);
}

RouterEntropy::RouterEntropy(const Shape& shape)
    : shape_(shape),
      layers_(shape.layers, Histogram(0, std::log(static_cast<double>(std::max<std::size_t>(shape.experts, 2))))) {}

void RouterEntropy::add(const Chunk& chunk) {
    for (std::size_t cell = 0; cell < chunk.entropy.size(); ++cell) {
        layers_[cell / chunk.tokens].add(chunk.entropy[cell]);
    }
}

double RouterEntropy::normalised_mean(std::size_t layer) const {
    return shape_.experts < 2 ? kNone : layers_[layer].mean() / std::log(static_cast<double>(shape_.experts));
}

Margins::Margins(const Shape& shape)
    : shape_(shape), layers_(shape.layers, Histogram(kLeast, kMost)), not_positive_(shape.layers) {}

void Margins::add(const Chunk& chunk) {
    for (std::size_t cell = 0; cell < chunk.margin.size(); ++cell) {
        const float margin = chunk.margin[cell];
        if (margin > 0) {
            layers_[cell / chunk.tokens].add(std::log2(margin));
        } else if (margin <= 0) {
            ++not_positive_[cell / chunk.tokens];
        }
    }
}

}  // namespace moescope::routing
