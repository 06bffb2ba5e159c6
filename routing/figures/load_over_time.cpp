#include "routing/figures/load_over_time.hpp"

#include <algorithm>
#include <bit>

namespace moescope::routing {

namespace {

constexpr std::size_t kMostCells = std::size_t{1} << 20;  // 4 MiB
constexpr std::size_t kFewestBins = 16;

}  // namespace

LoadOverTime::LoadOverTime(const Shape& shape, std::size_t layer) : shape_(shape), layer_(layer) {
    if (layer >= shape.layers) {
        throw Error(say("there is no layer with number {} among {}", layer, shape.layers));
    }
    most_ = std::clamp(std::bit_floor(kMostCells / std::max<std::size_t>(shape.experts, 1)), kFewestBins, kMostBins);
    counts_.resize(most_ * shape.experts);
    decisions_.resize(most_);
}

/// Two bins become one each.
void LoadOverTime::halve() {
    const std::size_t experts = shape_.experts;
    for (std::size_t bin = 0; bin < most_; ++bin) {
        const bool first = bin < most_ / 2;
        decisions_[bin] = first ? decisions_[2 * bin] + decisions_[2 * bin + 1] : 0;
        for (std::size_t expert = 0; expert < experts; ++expert) {
            counts_[bin * experts + expert] =
                first ? counts_[2 * bin * experts + expert] + counts_[(2 * bin + 1) * experts + expert] : 0;
        }
    }
    ++log_width_;
}

void LoadOverTime::add(const Chunk& chunk) {
    for (std::size_t at = 0; at < chunk.tokens && !chunk.ids.empty(); ++at) {
        const std::uint64_t number = chunk.first + at;
        while (number >> log_width_ >= most_) {
            halve();
        }
        end_ = std::max(end_, number + 1);
        const auto ids = chunk.ids_of(layer_, at);
        if (ids.empty()) {
            continue;
        }
        const auto bin = static_cast<std::size_t>(number >> log_width_);
        ++decisions_[bin];
        for (const std::uint16_t id : ids) {
            ++counts_[bin * shape_.experts + id];
        }
    }
}

std::vector<LoadOverTime::Bin> LoadOverTime::bins(std::size_t expert) const {
    std::vector<Bin> bins;
    for (std::uint64_t from = 0; from < end_; from += width()) {
        const auto bin = static_cast<std::size_t>(from >> log_width_);
        bins.push_back({from, std::min(end_, from + width()), counts_[bin * shape_.experts + expert], decisions_[bin]});
    }
    return bins;
}

}  // namespace moescope::routing
