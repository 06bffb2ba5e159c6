// Logits of every position of a text at once, by the same forward that training uses.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/placed_model.hpp"

namespace moescope::engine {

/// What the router did with one text.
struct ForwardRouting {
    std::vector<std::int32_t> ids;  ///< [layers][T][K], most probable first
    std::vector<float> weights;     ///< [layers][T][K], applied weights
};

/// Row-major [tokens.size()][V]. `threads` 0: as many as the machine has. `routing` may be null. Throws Error when
/// there are no tokens, more than the context, or a token is not in the vocabulary.
std::vector<float> forward_logits(const LoadedModel& model, std::span<const std::int32_t> tokens, int threads,
                                  ForwardRouting* routing = nullptr);
/// The same on a device.
std::vector<float> forward_logits(const PlacedModel& model, std::span<const std::int32_t> tokens,
                                  ForwardRouting* routing = nullptr);

}  // namespace moescope::engine
