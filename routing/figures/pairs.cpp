#include "routing/figures/pairs.hpp"

#include <algorithm>
#include <limits>

namespace moescope::routing {

namespace {

double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(part) / static_cast<double>(whole);
}

/// Before the memory is taken.
std::size_t pairs_of(const Shape& shape, std::size_t layer, std::size_t layers) {
    if (layer >= layers) {
        throw Error(say("there is no layer with number {} among {}", layer, layers));
    }
    if (shape.experts > kMostPairedExperts) {
        throw Error(
            say("pairs are counted of at most {} experts, and this router has {}", kMostPairedExperts, shape.experts));
    }
    return shape.experts * shape.experts;
}

}  // namespace

CoActivation::CoActivation(const Shape& shape, std::size_t layer, Pairs pairs)
    : shape_(shape),
      layer_(layer),
      pairs_(pairs),
      together_(pairs_of(shape, layer, shape.layers)),
      counts_(shape.experts) {}

void CoActivation::add(const Chunk& chunk) {
    for (std::size_t at = 0; at < chunk.tokens && !chunk.ids.empty(); ++at) {
        const auto ids = chunk.ids_of(layer_, at);
        decisions_ += ids.empty() ? 0 : 1;
        for (std::size_t first = 0; first < ids.size(); ++first) {
            ++counts_[ids[first]];
            const std::size_t last = pairs_ == Pairs::all ? ids.size() : std::min(first + 2, ids.size());
            for (std::size_t second = first + 1; second < last; ++second) {
                const auto [low, high] = std::minmax(ids[first], ids[second]);
                ++together_[low * shape_.experts + high];
            }
        }
    }
}

std::uint64_t CoActivation::together(std::size_t i, std::size_t j) const {
    return i == j ? counts_[i] : together_[std::min(i, j) * shape_.experts + std::max(i, j)];
}

double CoActivation::conditional(std::size_t i, std::size_t j) const {
    return ratio(together(i, j), counts_[i]);
}

double CoActivation::baseline(std::size_t j) const {
    return ratio(counts_[j], decisions_);
}

Transitions::Transitions(const Shape& shape, std::size_t from, std::size_t to, Ranks ranks)
    : shape_(shape),
      from_(from),
      to_(to),
      ranks_(ranks),
      counts_(pairs_of(shape, std::max(from, to), shape.layers)),
      leaving_(shape.experts),
      coming_(shape.experts) {}

void Transitions::add(const Chunk& chunk) {
    for (std::size_t at = 0; at < chunk.tokens && !chunk.ids.empty(); ++at) {
        const auto from = chunk.ids_of(from_, at), to = chunk.ids_of(to_, at);
        for (std::size_t rank = 0; rank < from.size(); ++rank) {
            if (ranks_ == Ranks::first && rank > 0) {
                break;
            }
            // Which ranks of the other layer go with this one.
            const std::size_t first = ranks_ == Ranks::same ? std::min(rank, to.size()) : 0;
            const std::size_t last = ranks_ == Ranks::all ? to.size() : std::min(first + 1, to.size());
            for (const std::uint16_t b : to.subspan(first, last - first)) {
                ++counts_[from[rank] * shape_.experts + b];
                ++leaving_[from[rank]];
                ++coming_[b];
                ++total_;
            }
        }
    }
}

double Transitions::share(std::size_t from, std::size_t to) const {
    return ratio(count(from, to), leaving_[from]);
}

double Transitions::baseline(std::size_t to) const {
    return ratio(coming_[to], total_);
}

}  // namespace moescope::routing
