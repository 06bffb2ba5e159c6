// How many tokens each expert of each layer was chosen for. MaxVio, CV, Gini, entropy, utilisation and dead experts of
// a layer's load: load_metrics.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::routing {

class Load {
 public:
    static constexpr unsigned kWanted = kIds | kLoads;

    explicit Load(const Shape& shape) : shape_(shape), counts_(shape.layers * shape.experts) {}
    void add(const Chunk& chunk);

    const Shape& shape() const { return shape_; }
    std::span<const std::uint64_t> counts(std::size_t layer) const {
        return std::span(counts_).subspan(layer * shape_.experts, shape_.experts);
    }
    /// The same as load_metrics() takes it.
    std::vector<double> load(std::size_t layer) const {
        const auto counted = counts(layer);
        return {counted.begin(), counted.end()};
    }

 private:
    Shape shape_;
    std::vector<std::uint64_t> counts_;  ///< [R][E]
};

}  // namespace moescope::routing
