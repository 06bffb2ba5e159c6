#include "routing/random_controls.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "routing/error.hpp"
#include "routing/intervention_plan.hpp"

namespace moescope::routing {

namespace {

constexpr int kDraws = 50;  // for one control: where groups are few, some draws do not fit

using Experts = std::map<int, std::set<int>>;  ///< by layer

/// Layers that a place stands for.
std::vector<int> layers_of(const ExpertPlace& place, const RouterSpec& spec) {
    return place.layer == kEvery ? spec.routed_layers : std::vector<int>{place.layer};
}

/// One place for each layer, so that each can get an expert of its own; those of all experts stay.
template <class Item, class Place>
std::vector<Item> by_layer(const std::vector<Item>& items, const RouterSpec& spec, const Place& place_of) {
    std::vector<Item> all;
    for (const Item& item : items) {
        if (place_of(item).expert == kEvery) {
            all.push_back(item);
            continue;
        }
        for (const int layer : layers_of(place_of(item), spec)) {
            Item one = item;
            place_of(one).layer = layer;
            all.push_back(std::move(one));
        }
    }
    return all;
}

/// visit(place) for every expert that is named.
template <class Changes, class Visit>
void each_place(Changes& changes, const Visit& visit) {
    const auto each = [&](auto& places) {
        for (auto& place : places) {
            if (place.expert != kEvery) {
                visit(place);
            }
        }
    };
    each(changes.knocked_out);
    each(changes.forced);
    each(changes.zeroed);
    for (auto& bias : changes.biases) {
        if (bias.place.expert != kEvery) {
            visit(bias.place);
        }
    }
}

/// For each of `named` another expert of the layer.
/// `out`: that no draw may be.
std::map<int, int> drawn(const std::set<int>& named, const std::set<int>& out, int experts, std::mt19937_64& random) {
    std::vector<int> pool, others;
    for (int expert = 0; expert < experts; ++expert) {
        if (!out.contains(expert)) {
            pool.push_back(expert);
            if (!named.contains(expert)) {
                others.push_back(expert);
            }
        }
    }
    if (others.size() >= named.size()) {
        pool = std::move(others);
    } else if (pool.size() < named.size()) {  // some of those that are named are out
        pool.resize(static_cast<std::size_t>(experts));
        std::iota(pool.begin(), pool.end(), 0);
    }
    std::map<int, int> instead;
    std::size_t left = pool.size();
    for (const int expert : named) {
        const std::size_t at = static_cast<std::size_t>(random() % left);
        instead[expert] = pool[at];
        pool[at] = pool[--left];
    }
    return instead;
}

}  // namespace

std::vector<Interventions> random_controls(const Interventions& changes, const RouterSpec& spec, int count,
                                           std::uint64_t seed) {
    const InterventionPlan fits(changes, spec);
    Interventions spread = changes;
    const auto itself = [](auto& place) -> auto& {
        return place;
    };
    const auto of_bias = [](auto& bias) -> auto& {
        return bias.place;
    };
    spread.knocked_out = by_layer(changes.knocked_out, spec, itself);
    spread.forced = by_layer(changes.forced, spec, itself);
    spread.zeroed = by_layer(changes.zeroed, spec, itself);
    spread.biases = by_layer(changes.biases, spec, of_bias);
    spread.name.clear();
    Experts named;
    each_place(spread, [&](const ExpertPlace& place) { named[place.layer].insert(place.expert); });
    Experts out;
    for (const auto& [layer, expert] : spec.disabled) {
        out[layer].insert(expert);
    }
    std::vector<Interventions> controls;
    std::mt19937_64 random(seed);
    for (int draw = 0; !named.empty() && static_cast<int>(controls.size()) < count; ++draw) {
        std::map<int, std::map<int, int>> instead;
        for (const auto& [layer, experts] : named) {
            instead[layer] = drawn(experts, out[layer], spec.experts, random);
        }
        Interventions control = spread;
        each_place(control, [&](ExpertPlace& place) { place.expert = instead[place.layer][place.expert]; });
        try {
            const InterventionPlan plan(control, spec);
            controls.push_back(std::move(control));
            draw = 0;
        } catch (const base::Error& error) {
            if (draw >= kDraws) {
                throw Error(say("no random control of equal size fits this router: {}", error));
            }
        }
    }
    return controls;
}

ControlRank rank_among(double change, std::span<const double> controls) {
    ControlRank among;
    for (const double control : controls) {
        const bool smaller = control < change;
        const bool larger = control > change;
        among.rank += smaller ? 0 : 1;
        among.ties += smaller || larger ? 0 : 1;
    }
    return among;
}

}  // namespace moescope::routing
