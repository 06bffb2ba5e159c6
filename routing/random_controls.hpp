// Changes at random of the same size as a given one: what an effect has to be larger than to be one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::routing {

/// Each control has what `changes` has, but in every layer other experts, drawn without putting back: among those that
/// `changes` does not name there, or, where these are too few, among all of the layer; disabled ones are left out. An
/// expert that is named twice (with a bias, and zeroed) is replaced by the same one both times. What names no expert
/// (all of a layer, a limit, a replay) stays as it is. None when `changes` names no expert: nothing can be drawn. The
/// same seed gives the same ones. Throws Error: `changes` do not fit the router, or no draw of that size does.
std::vector<Interventions> random_controls(const Interventions& changes, const RouterSpec& spec, int count,
                                           std::uint64_t seed);

/// Where a change stands among its controls by a figure of which more is more.
struct ControlRank {
    /// 1 + the controls whose figure is not smaller. Equal ones count against the change: divided by 1 + controls it is
    /// then how often a change that is no other than they are comes as far (the p-value of a permutation test; Phipson
    /// and Smyth 2010), and a change that does nothing is last among controls that do nothing.
    std::size_t rank = 1;
    std::size_t ties = 0;  ///< controls with the same figure
};
/// A figure that is no number is taken for an equal one.
ControlRank rank_among(double change, std::span<const double> controls);

}  // namespace moescope::routing
