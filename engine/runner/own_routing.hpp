// The routers of a model that our own engine computes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/placed_model.hpp"
#include "engine/runner/routed_model.hpp"

namespace moescope::engine {

/// `name` and `architecture` are for people. Throws Error when no layer has a router.
routing::RouterSpec own_router_spec(const LoadedModel& model, std::string_view name, std::string_view architecture);

/// A decoder of its own for texts of at most `context` tokens, computed with `threads` (0: as many as the machine has).
/// `spec` is what own_router_spec said. Throws Error: no memory.
std::unique_ptr<RoutedModel> open_own_routing(std::shared_ptr<const LoadedModel> model, routing::RouterSpec spec,
                                              int context, int threads);
/// The same on the device where the model is, with others by turns.
std::unique_ptr<RoutedModel> open_own_routing(std::shared_ptr<const PlacedModel> model, routing::RouterSpec spec,
                                              int context);

}  // namespace moescope::engine
