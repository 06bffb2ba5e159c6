// The router that the targets of traces use, and what holds of every piece that a reader gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "routing/chunk.hpp"
#include "tests/fuzz/input.hpp"

namespace moescope::fuzz {

/// Two layers of eight experts, two of which are chosen.
inline routing::RouterSpec small_router() {
    routing::RouterSpec spec;
    spec.model = "fuzz";
    spec.layers = 2;
    spec.experts = 8;
    spec.experts_per_token = 2;
    spec.scoring = "softmax";
    spec.routed_layers = {0, 1};
    return spec;
}

/// Every column is whole and no place in it leads out of another.
inline void expect_whole(const routing::Chunk& chunk) {
    const std::size_t cells = chunk.shape.layers * chunk.tokens;
    expect(chunk.chosen.empty() || chunk.chosen.size() == cells, "every decision has its number of experts");
    expect(chunk.ids.empty() || chunk.ids.size() == cells * chunk.shape.per_token, "every decision has its experts");
    expect(chunk.weights.empty() || chunk.weights.size() == cells * chunk.shape.per_token, "weights are whole");
    expect(chunk.margin.empty() || chunk.margin.size() == cells, "margins are whole");
    expect(chunk.entropy.empty() || chunk.entropy.size() == cells, "entropies are whole");
    expect(chunk.piece.empty() || chunk.piece.size() == chunk.tokens, "every token has its text");
    for (const std::uint32_t piece : chunk.piece) {
        expect(piece < chunk.pieces.size(), "texts of tokens are there");
    }
    for (const std::uint16_t language : chunk.language) {
        expect(language < chunk.names.size(), "names of languages are there");
    }
    for (const std::uint16_t group : chunk.group) {
        expect(group < chunk.names.size(), "names of groups are there");
    }
    for (const std::uint16_t count : chunk.chosen) {
        expect(count <= chunk.shape.per_token, "no more experts than a token has");
    }
    if (!chunk.ids.empty() && !chunk.chosen.empty()) {
        for (std::size_t layer = 0; layer < chunk.shape.layers; ++layer) {
            for (std::size_t at = 0; at < chunk.tokens; ++at) {
                for (const std::uint16_t id : chunk.ids_of(layer, at)) {
                    expect(id < chunk.shape.experts, "experts are those of the router");
                }
            }
        }
    }
    for (const routing::LoadSample& sample : chunk.loads) {
        expect(sample.counts.size() == chunk.shape.layers * chunk.shape.experts, "loads are whole");
    }
}

}  // namespace moescope::fuzz
