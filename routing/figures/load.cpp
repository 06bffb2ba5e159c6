#include "routing/figures/load.hpp"

namespace moescope::routing {

void Load::add(const Chunk& chunk) {
    for (std::size_t layer = 0; layer < shape_.layers && !chunk.ids.empty(); ++layer) {
        std::uint64_t* counts = counts_.data() + layer * shape_.experts;
        for (std::size_t at = 0; at < chunk.tokens; ++at) {
            for (const std::uint16_t id : chunk.ids_of(layer, at)) {
                ++counts[id];
            }
        }
    }
    for (const LoadSample& sample : chunk.loads) {
        for (std::size_t cell = 0; cell < counts_.size(); ++cell) {
            counts_[cell] += sample.counts[cell];
        }
    }
}

}  // namespace moescope::routing
