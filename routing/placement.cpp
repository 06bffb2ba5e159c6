#include "routing/placement.hpp"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <queue>
#include <utility>

#include "routing/router_spec.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

using Places = std::vector<std::int32_t>;

std::size_t at(std::int32_t number) {
    return static_cast<std::size_t>(number);
}
std::int32_t number(std::size_t at) {
    return static_cast<std::int32_t>(at);
}

/// Where each of a row of things went.
struct Packing {
    Places pack, rank;  ///< [things]; rank: which of its pack's things it is
};

/// As many things into each pack: the heaviest first, each into the lightest pack that has room.
Packing pack_evenly(std::span<const float> weight, std::size_t packs) {
    const std::size_t room = weight.size() / packs;
    Packing packing{Places(weight.size()), Places(weight.size(), 0)};
    if (room == 1) {
        std::iota(packing.pack.begin(), packing.pack.end(), 0);
        return packing;
    }
    Places order(weight.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int32_t a, std::int32_t b) { return weight[at(a)] > weight[at(b)]; });
    using Pack = std::pair<float, std::int32_t>;  // weight so far, number: the lower one first where they are equal
    std::priority_queue<Pack, std::vector<Pack>, std::greater<>> open;
    for (std::size_t pack = 0; pack < packs; ++pack) {
        open.emplace(0.0f, number(pack));
    }
    Places filled(packs, 0);
    for (const std::int32_t thing : order) {
        const auto [so_far, pack] = open.top();
        open.pop();
        packing.pack[at(thing)] = pack;
        packing.rank[at(thing)] = filled[at(pack)]++;
        if (at(filled[at(pack)]) < room) {
            open.emplace(so_far + weight[at(thing)], pack);
        }
    }
    return packing;
}

struct Replicas {
    Places expert, rank;  ///< [replicas]
    Places count;         ///< [experts]
};

/// One place for each expert, and each further one for the expert whose places have the most to do.
Replicas replicate(std::span<const float> load, std::size_t replicas) {
    Replicas made{Places(load.size()), Places(load.size(), 0), Places(load.size(), 1)};
    std::iota(made.expert.begin(), made.expert.end(), 0);
    using Busy = std::pair<float, std::int32_t>;
    const auto behind = [](const Busy& a, const Busy& b) {
        return a.first != b.first ? a.first < b.first : a.second > b.second;
    };
    std::priority_queue<Busy, std::vector<Busy>, decltype(behind)> busiest(behind);
    for (std::size_t expert = 0; expert < load.size(); ++expert) {
        busiest.emplace(load[expert], number(expert));
    }
    while (made.expert.size() < replicas) {
        const std::int32_t expert = busiest.top().second;
        busiest.pop();
        made.expert.push_back(expert);
        made.rank.push_back(made.count[at(expert)]++);
        busiest.emplace(load[at(expert)] / static_cast<float>(made.count[at(expert)]), expert);
    }
    return made;
}

/// The experts of one layer in the order of their nodes: groups whole, neighbours in a group stay neighbours.
Places experts_by_node(std::span<const float> load, const PlacementOrder& order) {
    const std::size_t size = load.size() / order.groups, groups_of_node = order.groups / order.nodes;
    std::vector<float> groups(order.groups);
    for (std::size_t group = 0; group < order.groups; ++group) {
        const auto members = load.subspan(group * size, size);
        groups[group] = static_cast<float>(std::accumulate(members.begin(), members.end(), 0.0));
    }
    const Packing nodes = pack_evenly(groups, order.nodes);
    Places experts(load.size());
    for (std::size_t group = 0; group < order.groups; ++group) {
        const std::size_t place = at(nodes.pack[group]) * groups_of_node + at(nodes.rank[group]);
        std::iota(experts.begin() + static_cast<std::ptrdiff_t>(place * size),
                  experts.begin() + static_cast<std::ptrdiff_t>((place + 1) * size), number(group * size));
    }
    return experts;
}

void place_layer(std::span<const float> load, const PlacementOrder& order, std::size_t layer, Placement& placement) {
    const Places experts = experts_by_node(load, order);
    const std::size_t experts_of_node = load.size() / order.nodes, places_of_node = order.replicas / order.nodes;
    const std::size_t first_place = layer * order.replicas, first_count = layer * load.size();
    std::vector<float> here(experts_of_node), share(places_of_node);
    for (std::size_t node = 0; node < order.nodes; ++node) {
        const auto members = std::span(experts).subspan(node * experts_of_node, experts_of_node);
        std::transform(members.begin(), members.end(), here.begin(), [&](std::int32_t one) { return load[at(one)]; });
        const Replicas made = replicate(here, places_of_node);
        for (std::size_t replica = 0; replica < places_of_node; ++replica) {
            const std::size_t expert = at(made.expert[replica]);
            share[replica] = here[expert] / static_cast<float>(made.count[expert]);
        }
        const Packing devices = pack_evenly(share, order.devices / order.nodes);
        for (std::size_t replica = 0; replica < places_of_node; ++replica) {
            const std::size_t place = first_place + node * places_of_node +
                                      at(devices.pack[replica]) * placement.per_device() + at(devices.rank[replica]);
            placement.physical_to_logical[place] = members[at(made.expert[replica])];
            placement.rank[place] = made.rank[replica];
        }
        for (std::size_t expert = 0; expert < experts_of_node; ++expert) {
            placement.logical_count[first_count + at(members[expert])] = made.count[expert];
        }
    }
}

json list_of(std::span<const std::int32_t> values) {
    return json(std::vector<std::int32_t>(values.begin(), values.end()));
}

}  // namespace

Sentence placement_problem(std::size_t layers, std::size_t experts, const PlacementOrder& order) {
    if (layers == 0 || experts == 0) {
        return say("there are no experts to place");
    }
    if (order.groups == 0 || order.nodes == 0 || order.devices == 0) {
        return say("groups, nodes and devices must be at least 1");
    }
    if (order.replicas < experts) {
        return say("{} places are too few for {} experts: each needs one", order.replicas, experts);
    }
    if (order.replicas > kMostReplicas / layers) {
        return say("{} places in each of {} layers are more than the {} that are handled at once", order.replicas,
                   layers, kMostReplicas);
    }
    if (order.replicas % order.devices != 0) {
        return say("{} places cannot be shared evenly by {} devices", order.replicas, order.devices);
    }
    if (experts % order.groups != 0) {
        return say("{} experts cannot be divided into {} groups of one size", experts, order.groups);
    }
    if (order.devices % order.nodes != 0) {
        return say("{} devices cannot be shared evenly by {} nodes", order.devices, order.nodes);
    }
    return {};
}

std::int32_t Placement::most_places() const {
    return logical_count.empty() ? 0 : *std::max_element(logical_count.begin(), logical_count.end());
}

std::vector<std::int32_t> Placement::logical_to_physical() const {
    const std::size_t width = at(most_places());
    if (width > kMostPlaces / std::max<std::size_t>(1, logical_count.size())) {
        throw Error(
            say("one expert has {} places, and a table of so many for each of {} experts is larger than the {} "
                "entries that are made; use fewer places",
                width, logical_count.size(), kMostPlaces));
    }
    std::vector<std::int32_t> table(logical_count.size() * width, -1);
    for (std::size_t place = 0; place < physical_to_logical.size(); ++place) {
        if (!has_experts(place / order.replicas)) {
            continue;
        }
        const std::size_t row = place / order.replicas * experts + at(physical_to_logical[place]);
        table[row * width + at(rank[place])] = number(place % order.replicas);
    }
    return table;
}

Placement place_experts(const ExpertLoads& loads, const PlacementOrder& order) {
    std::size_t experts = 0;  // none where all layers are dense
    for (std::size_t layer = 0; layer < loads.layers; ++layer) {
        experts = loads.has_experts(layer) ? loads.experts : experts;
    }
    if (Sentence problem = placement_problem(loads.layers, experts, order); !problem.empty()) {
        throw Error(std::move(problem));
    }
    PlacementOrder carried_out = order;
    if (!order.hierarchical()) {
        carried_out.groups = carried_out.nodes = 1;
    }
    Placement placement;
    placement.layers = loads.layers;
    placement.experts = loads.experts;
    placement.order = order;
    placement.dense = loads.dense;
    placement.physical_to_logical.resize(loads.layers * order.replicas);
    placement.rank.resize(loads.layers * order.replicas);
    placement.logical_count.resize(loads.layers * loads.experts);
    std::vector<float> load(loads.experts);
    for (std::size_t layer = 0; layer < loads.layers; ++layer) {
        if (!loads.has_experts(layer)) {
            continue;
        }
        const auto row = loads.layer(layer);
        std::transform(row.begin(), row.end(), load.begin(), [](double value) { return static_cast<float>(value); });
        place_layer(load, carried_out, layer, placement);
    }
    return placement;
}

json placement_to_json(const Placement& placement) {
    const std::size_t width = at(placement.most_places());
    const std::vector<std::int32_t> places = placement.logical_to_physical();
    json by_place = json::array(), by_expert = json::array(), counts = json::array();
    for (std::size_t layer = 0; layer < placement.layers; ++layer) {
        if (!placement.has_experts(layer)) {
            for (json* list : {&by_place, &by_expert, &counts}) {
                list->push_back(nullptr);
            }
            continue;
        }
        by_place.push_back(list_of(placement.places(layer)));
        counts.push_back(list_of(placement.counts(layer)));
        json rows = json::array();
        for (std::size_t expert = 0; expert < placement.experts; ++expert) {
            rows.push_back(list_of(std::span(places).subspan((layer * placement.experts + expert) * width, width)));
        }
        by_expert.push_back(std::move(rows));
    }
    return {{"physical_to_logical", std::move(by_place)},
            {"logical_to_physical", std::move(by_expert)},
            {"logical_count", std::move(counts)}};
}

std::vector<double> device_loads(const Placement& placement, std::size_t layer, std::span<const double> load) {
    const auto places = placement.places(layer);
    const auto counts = placement.counts(layer);
    std::vector<double> loads(placement.order.devices, 0.0);
    if (!placement.has_experts(layer)) {
        return loads;
    }
    for (std::size_t place = 0; place < places.size(); ++place) {
        const std::size_t expert = at(places[place]);
        loads[place / placement.per_device()] += load[expert] / counts[expert];
    }
    return loads;
}

std::vector<double> contiguous_loads(std::span<const double> load, std::size_t devices) {
    std::vector<double> loads(devices, 0.0);
    const std::size_t each = load.size() / devices, with_more = load.size() % devices;
    std::size_t expert = 0;
    for (std::size_t device = 0; device < devices; ++device) {
        for (const std::size_t end = expert + each + (device < with_more ? 1 : 0); expert < end; ++expert) {
            loads[device] += load[expert];
        }
    }
    return loads;
}

DeviceBalance device_balance(std::span<const double> device_loads) {
    if (device_loads.empty()) {
        return {};
    }
    return {*std::max_element(device_loads.begin(), device_loads.end()),
            std::accumulate(device_loads.begin(), device_loads.end(), 0.0) / static_cast<double>(device_loads.size())};
}

WorkOverSteps::WorkOverSteps(const Placement& placement) : placement_(placement) {
    const Devices none{std::vector<double>(placement.order.devices, 0.0), {}};
    sums_.assign(placement.layers, {none, none});
}

void WorkOverSteps::add(std::span<const double> load) {
    const auto take = [](Devices& sum, const std::vector<double>& step) {
        std::transform(step.begin(), step.end(), sum.load.begin(), sum.load.begin(), std::plus<>());
        sum.balance += device_balance(step);
    };
    ++steps_;
    for (std::size_t layer = 0; layer < sums_.size(); ++layer) {
        const auto row = load.subspan(layer * placement_.experts, placement_.experts);
        take(sums_[layer].before, contiguous_loads(row, placement_.order.devices));
        take(sums_[layer].after, device_loads(placement_, layer, row));
    }
}

std::vector<WorkOverSteps::Layer> WorkOverSteps::layers() const {
    std::vector<Layer> means = sums_;
    const double steps = static_cast<double>(std::max<std::size_t>(1, steps_));
    for (Layer& layer : means) {
        for (Devices* devices : {&layer.before, &layer.after}) {
            for (double& load : devices->load) {
                load /= steps;
            }
            devices->balance.fullest /= steps;
            devices->balance.mean /= steps;
        }
    }
    return means;
}

}  // namespace moescope::routing
