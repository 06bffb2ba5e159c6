// What the placement panel shows: a run's load on several devices, without a balancer and as the balancer of
// routing/placement.hpp places the experts. Pure: no window, no language, no clock; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/load_sums.hpp"
#include "panels/ui/figure_data.hpp"
#include "routing/placement.hpp"

namespace moescope::panels {

inline constexpr std::size_t kMostDevices = 1024;      ///< that can be chosen
inline constexpr std::size_t kMostExtraPlaces = 4096;  ///< the same

/// What a person chooses of it.
struct PlacementChoice {
    std::size_t devices = 4, nodes = 1;
    std::optional<std::size_t> groups;  ///< none: those of the run's router
    std::optional<std::size_t> extra;   ///< places besides one for each expert; none: one or more for each device
    std::size_t window = 2;             ///< index into kLoadWindows
};

/// The smallest number of extra places, not below `least`, with which all devices have as many places.
std::size_t fitting_extra(std::size_t experts, std::size_t devices, std::size_t least);
routing::PlacementOrder placement_order(const PlacementChoice& choice, std::size_t experts, std::size_t router_groups);

/// What a placement is made of: the steps whose sum the experts are placed by.
struct PlacementInput {
    std::size_t layers = 0, experts = 0;
    std::size_t dense = 0;                       ///< so many of the first layers have no experts
    std::vector<history::LoadSums::Step> steps;  ///< oldest first, not empty
};

struct PlacementShown {
    /// Means over the steps, in each of which the fullest device counts.
    struct Balance {
        routing::DeviceBalance before, after;
        /// Of the time that the experts take: every device waits for the fullest one. From the load alone; NaN without.
        double time() const { return after.fullest / before.fullest; }
    };
    std::uint64_t first_step = 0, last_step = 0;
    std::size_t layer = 0;  ///< of the charts, the devices and `doubled`
    routing::Placement placement;
    std::vector<Balance> layers;
    Balance all;  ///< the sums over the layers, which come one after the other
    // The first three are null where `layer` has no experts.
    std::shared_ptr<const Chart> before, after;  ///< tokens of each device in a step (mean), on one scale
    std::shared_ptr<const Table> device_table;   ///< a row per device
    std::shared_ptr<const Table> layer_table;    ///< a row per layer that has experts
    std::string doubled;                         ///< "5 ×2, 10 ×3": experts in several places; empty: there are none
};
/// Throws Error as routing::place_experts. `layer` must be one of the loads.
PlacementShown show_placement(const PlacementInput& input, const routing::PlacementOrder& order, std::size_t layer);

}  // namespace moescope::panels
