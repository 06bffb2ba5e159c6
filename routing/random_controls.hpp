// Changes at random of the same size as a given one: what an effect has to be larger than to be one.
#pragma once

#include <cstdint>
#include <vector>

#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::routing {

/// Each control has what `changes` has, but in every layer other experts, drawn without putting back: among those that
/// `changes` does not name there, or, where these are too few, among all of the layer. An expert that is named twice
/// (with a bias, and zeroed) is replaced by the same one both times. What names no expert (all of a layer, a limit, a
/// replay) stays as it is. None when `changes` names no expert: nothing can be drawn. The same seed gives the same
/// ones. Throws Error: `changes` do not fit the router, or no draw of that size does.
std::vector<Interventions> random_controls(const Interventions& changes, const RouterSpec& spec, int count,
                                           std::uint64_t seed);

}  // namespace moescope::routing
