// Where experts stand when several devices hold a model: the published balancer of expert parallelism, which gives the
// busiest experts more than one place and then spreads all places so that no device has much more to do than another.
// Pure: no window, no file, any thread.
//
// Source: deepseek-ai/EPLB (`rebalance_experts` of its eplb.py, the balancer of DeepSeek-V3), both policies:
//   hierarchical  where the nodes divide the groups of experts: whole groups go to nodes, experts are doubled within
//                 their node, then go to the devices of the node. A token whose router keeps few groups stays on few
//                 nodes.
//   global        elsewhere: as if there were one node and one group.
// Loads count as f32, as there. Equal loads are taken in the order of their numbers, lower ones first; a sum or a
// quotient that decides is one of f32, but for the load of a group, which is summed in f64 and then rounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

#include "routing/error.hpp"
#include "routing/expert_loads.hpp"

namespace moescope::routing {

struct PlacementOrder {
    std::size_t replicas = 0;  ///< places for experts in each layer, on all devices together
    std::size_t groups = 1;    ///< of neighbouring experts, of one size
    std::size_t nodes = 1;     ///< machines; devices of one node are neighbours
    std::size_t devices = 1;
    /// Which of the two policies it means.
    bool hierarchical() const { return nodes > 0 && groups % nodes == 0; }
    bool operator==(const PlacementOrder&) const = default;
};

/// Of all layers, replicas included.
inline constexpr std::size_t kMostReplicas = std::size_t{1} << 22;
/// Entries of `logical_to_physical`, whose width is the largest number of places that any expert has.
inline constexpr std::size_t kMostPlaces = std::size_t{1} << 24;

/// Why the order cannot be carried out with so many layers and experts; empty when it can. Each expert needs a place,
/// each device as many places as any other, each group as many experts, each node as many devices: also where the
/// policy looks at no groups and nodes, as there are no others.
Sentence placement_problem(std::size_t layers, std::size_t experts, const PlacementOrder& order);

struct Placement {
    std::size_t layers = 0, experts = 0;
    PlacementOrder order;
    /// [layers][replicas]: the expert in each place. Device d has the places d * replicas / devices up to those of the
    /// next. In a layer without experts this and the others below are 0 and mean nothing.
    std::vector<std::int32_t> physical_to_logical;
    std::vector<std::int32_t> rank;           ///< [layers][replicas]: which of its expert's places this is, from 0
    std::vector<std::int32_t> logical_count;  ///< [layers][experts]: places of each expert, 1 or more
    std::vector<std::uint8_t> dense;          ///< as in ExpertLoads

    bool has_experts(std::size_t layer) const { return layer >= dense.size() || dense[layer] == 0; }

    std::size_t per_device() const { return order.replicas / order.devices; }
    std::span<const std::int32_t> places(std::size_t layer) const {
        return std::span(physical_to_logical).subspan(layer * order.replicas, order.replicas);
    }
    std::span<const std::int32_t> counts(std::size_t layer) const {
        return std::span(logical_count).subspan(layer * experts, experts);
    }
    std::int32_t most_places() const;  ///< that any expert of any layer has
    /// [layers][experts][most_places()]: the places of each expert by rank, -1 behind its last one. Throws Error: more
    /// than kMostPlaces.
    std::vector<std::int32_t> logical_to_physical() const;
};

/// Throws Error with the sentence of placement_problem(), also where no layer has experts. O(layers * replicas * log
/// replicas).
Placement place_experts(const ExpertLoads& loads, const PlacementOrder& order);

/// {"physical_to_logical": [layers][replicas], "logical_to_physical": [layers][experts][most_places()],
/// "logical_count": [layers][experts]}, with null for a layer without experts in all three. Throws as
/// logical_to_physical().
nlohmann::json placement_to_json(const Placement& placement);

/// Work of each device in one layer when the tokens of an expert are spread evenly over its places; 0 in a layer
/// without experts. `load` is [experts].
std::vector<double> device_loads(const Placement& placement, std::size_t layer, std::span<const double> load);
/// The same without a balancer: neighbouring experts in one place each, as many to each device; where that does not
/// come out even, one more to each of the first.
std::vector<double> contiguous_loads(std::span<const double> load, std::size_t devices);

/// What a layer costs, in units of load: every device waits for the fullest one.
struct DeviceBalance {
    double fullest = 0, mean = 0;
    double ratio() const { return fullest / mean; }  ///< 1 is even; NaN without load
    DeviceBalance& operator+=(const DeviceBalance& other) {
        fullest += other.fullest;
        mean += other.mean;
        return *this;
    }
};
DeviceBalance device_balance(std::span<const double> device_loads);

/// What the experts cost over several steps. In each step every device waits for the one that is the fullest then, so
/// it is the fullest of each step that counts. The fullest of the sum over the steps says less: where another device is
/// it in each step, the sum is even and all have waited nevertheless. What is given is a mean over the steps.
class WorkOverSteps {
 public:
    struct Devices {
        std::vector<double> load;  ///< [devices]
        DeviceBalance balance;     ///< of each step; `fullest` is not below that of `load`
    };
    struct Layer {
        Devices before, after;  ///< as contiguous_loads() and device_loads() have them
    };
    /// Keeps the placement, which has to outlive this.
    explicit WorkOverSteps(const Placement& placement);
    /// `load` of one step, [layers][experts] of the placement.
    void add(std::span<const double> load);
    /// [layers]; zeros while there is no step.
    std::vector<Layer> layers() const;

 private:
    const Placement& placement_;
    std::size_t steps_ = 0;
    std::vector<Layer> sums_;
};

}  // namespace moescope::routing
