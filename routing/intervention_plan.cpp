#include "routing/intervention_plan.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "routing/router_spec.hpp"

namespace moescope::routing {
namespace {

using base::Error;
using base::say;

/// Each kind of change may name every expert of the largest model; a set that names them again and again would take
/// hours.
constexpr std::size_t kMostNamed = 4 * kMostExpertsOfModel;

/// Collects the changes of all layers of a model, and refuses what does not fit it.
class Builder {
 public:
    explicit Builder(const RouterSpec& spec)
        : spec_(spec), experts_(static_cast<std::size_t>(std::max(0, spec.experts))) {
        if (spec.routed_layers.empty()) {
            throw Error(say("{} has no router; there is nothing to change", spec.model));
        }
        changes_.resize(static_cast<std::size_t>(std::max(spec.layers, spec.routed_layers.back() + 1)));
        forced_.resize(changes_.size());
    }

    /// what(change, expert, layer) for all that the place stands for.
    template <class What>
    void each(const ExpertPlace& place, const What& what) {
        if (place.expert != kEvery && (place.expert < 0 || place.expert >= spec_.experts)) {
            const std::vector<int>& routed = spec_.routed_layers;
            if (place.layer != kEvery && !std::binary_search(routed.begin(), routed.end(), place.layer)) {
                throw Error(
                    say("{} has neither a router in layer {} nor an expert {}: its layers with a router are {} to {}, "
                        "its experts 0 to {}",
                        spec_.model, place.layer, place.expert, routed.front(), routed.back(), spec_.experts - 1));
            }
            throw Error(
                say("{} has the experts 0 to {}; there is no expert {}", spec_.model, spec_.experts - 1, place.expert));
        }
        each_layer(place.layer, [&](LayerChange& change, int layer) {
            named_ += place.expert != kEvery ? 1 : experts_;
            if (named_ > kMostNamed) {
                throw Error(
                    say("the changes name experts more than {} times; name each of them once, or use * for all of a "
                        "layer",
                        kMostNamed));
            }
            if (place.expert != kEvery) {
                what(change, static_cast<std::size_t>(place.expert), layer);
                return;
            }
            for (std::size_t expert = 0; expert < experts_; ++expert) {
                what(change, expert, layer);
            }
        });
    }
    template <class What>
    void each_layer(int layer, const What& what) {
        const std::vector<int>& routed = spec_.routed_layers;
        if (layer == kEvery) {
            for (const int one : routed) {
                what(changes_[static_cast<std::size_t>(one)], one);
            }
            return;
        }
        if (!std::binary_search(routed.begin(), routed.end(), layer)) {
            throw Error(say("layer {} of {} has no router; those with one are {} to {}", layer, spec_.model,
                            routed.front(), routed.back()));
        }
        what(changes_[static_cast<std::size_t>(layer)], layer);
    }
    void mark(std::vector<std::uint8_t>& marks, std::size_t expert) const {
        marks.resize(experts_, 0);
        marks[expert] = 1;
    }
    /// In hash layers no score is looked at.
    void needs_scores(int layer) const {
        if (chooses_by_token(spec_, layer)) {
            throw Error(
                say("layer {} of {} chooses by the token's id: experts can be knocked out there, not forced or "
                    "given a bias",
                    layer, spec_.model));
        }
    }
    void force(LayerChange& change, std::size_t expert, int layer) {
        needs_scores(layer);
        std::vector<std::uint8_t>& marks = forced_[static_cast<std::size_t>(layer)];
        marks.resize(experts_, 0);
        if (std::exchange(marks[expert], 1) == 0) {
            change.forced.push_back(static_cast<std::int32_t>(expert));
        }
    }
    void check_layers() const {
        for (const int layer : spec_.routed_layers) {
            check(changes_[static_cast<std::size_t>(layer)], layer);
        }
    }
    std::vector<LayerChange>& changes() { return changes_; }
    std::size_t experts() const { return experts_; }

 private:
    void check(const LayerChange& change, int layer) const {
        const int wanted = change.experts > 0 ? change.experts : spec_.experts_per_token;
        const auto out = std::count(change.knocked_out.begin(), change.knocked_out.end(), 1);
        if (spec_.experts - out < wanted) {
            throw Error(say("layer {} keeps {} experts, but {} are chosen per token; knock out fewer or limit k there",
                            layer, spec_.experts - out, wanted));
        }
        if (change.forced.size() > static_cast<std::size_t>(wanted)) {
            throw Error(say("{} experts are forced in layer {}, but only {} are chosen per token", change.forced.size(),
                            layer, wanted));
        }
        for (std::size_t expert = 0; expert < change.bias.size(); ++expert) {
            if (std::abs(change.bias[expert]) > kLargestBias) {
                throw Error(
                    say("the biases of expert {} in layer {} add up to {}, which is not between -{} and {}: beside a "
                        "larger one, scores are rounded so far that others are chosen",
                        expert, layer, change.bias[expert], kLargestBias, kLargestBias));
            }
        }
        for (const std::int32_t expert : change.forced) {
            if (std::find(spec_.disabled.begin(), spec_.disabled.end(), std::pair(layer, static_cast<int>(expert))) !=
                spec_.disabled.end()) {
                throw Error(say("expert {} of layer {} is disabled in the run of this model and can't be forced",
                                expert, layer));
            }
            if (change.is_out(static_cast<std::size_t>(expert))) {
                throw Error(say("expert {} of layer {} is both forced and knocked out", expert, layer));
            }
        }
    }

    const RouterSpec& spec_;
    const std::size_t experts_;
    std::vector<LayerChange> changes_;               ///< by layer
    std::vector<std::vector<std::uint8_t>> forced_;  ///< by layer, [E] or empty; 1: forced already
    std::size_t named_ = 0;                          ///< experts, in all layers
};

/// The choices of one router mean nothing to another, also where their numbers happen to fit.
void check_same_router(const ReplayedRouter& from, const RouterSpec& spec) {
    const bool known = from.experts > 0;
    if (!known || (from.experts == spec.experts && from.experts_per_token == spec.experts_per_token &&
                   from.layers == spec.routed_layers)) {
        return;
    }
    // The recording of another program may lack layers, and experts that were never chosen.
    const bool part =
        from.experts <= spec.experts && from.experts_per_token <= spec.experts_per_token &&
        std::includes(spec.routed_layers.begin(), spec.routed_layers.end(), from.layers.begin(), from.layers.end());
    if (!from.imported || !part) {
        throw Error(
            say("the replay is of a router that chooses {} of {} experts in {} layers, but {} chooses {} of {} in {}, "
                "or in other layers",
                from.experts_per_token, from.experts, from.layers.size(), spec.model, spec.experts_per_token,
                spec.experts, spec.routed_layers.size()));
    }
}

void check_replay(const Replay& replay, const RouterSpec& spec) {
    if (!replay.source.empty() && replay.ids.empty()) {
        throw Error(say("no routing was read from {}", replay.source));
    }
    check_same_router(replay.router, spec);
    for (const auto& [place, ids] : replay.ids) {
        if (!std::binary_search(spec.routed_layers.begin(), spec.routed_layers.end(), place.second)) {
            throw Error(say("the replay has layer {}, which has no router in {}", place.second, spec.model));
        }
        if (ids.size() > static_cast<std::size_t>(spec.experts_per_token)) {
            throw Error(say("the replay has {} experts for a token in layer {}, but {} chooses {}", ids.size(),
                            place.second, spec.model, spec.experts_per_token));
        }
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] < 0 || ids[i] >= spec.experts) {
                throw Error(say("the replay has expert {}, but {} has the experts 0 to {}", ids[i], spec.model,
                                spec.experts - 1));
            }
            if (std::find(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(i), ids[i]) !=
                ids.begin() + static_cast<std::ptrdiff_t>(i)) {
                throw Error(say("the replay has expert {} twice for one token in layer {}", ids[i], place.second));
            }
        }
    }
}

/// Where experts come from a replay nobody looks at scores: a force or a bias would do nothing, and be told of.
void check_beside(const Replay& replay, const std::vector<LayerChange>& changes, const RouterSpec& spec) {
    std::set<int> layers;
    for (const auto& [place, ids] : replay.ids) {
        layers.insert(place.second);
    }
    if (layers.empty()) {
        layers.insert(replay.router.layers.begin(), replay.router.layers.end());
    }
    for (const int layer : layers) {
        const auto at = static_cast<std::size_t>(layer);
        if (layer >= 0 && at < changes.size() && (!changes[at].forced.empty() || !changes[at].bias.empty())) {
            throw Error(
                say("layer {} of {} takes its experts from the replay, so that neither a force nor a bias does "
                    "anything there; take out these or the replay",
                    layer, spec.model));
        }
    }
}

/// Takes from all what they have in common, if all are above 0 or all below.
void take_common(std::vector<float>& bias) {
    if (bias.empty()) {
        return;
    }
    const auto [least, most] = std::minmax_element(bias.begin(), bias.end());
    const float common = *least > 0 ? *least : *most < 0 ? *most : 0.0f;
    for (float& one : bias) {
        one -= common;
    }
}

}  // namespace

InterventionPlan::InterventionPlan(Interventions interventions, const RouterSpec& spec)
    : interventions_(std::move(interventions)) {
    if (interventions_.empty() && spec.disabled.empty()) {
        return;
    }
    Builder build(spec);
    for (const auto& [layer, expert] : spec.disabled) {
        build.each({layer, expert},
                   [&](LayerChange& change, std::size_t at, int) { build.mark(change.knocked_out, at); });
    }
    for (const ExpertPlace& place : interventions_.knocked_out) {
        build.each(place,
                   [&](LayerChange& change, std::size_t expert, int) { build.mark(change.knocked_out, expert); });
    }
    for (const ExpertPlace& place : interventions_.forced) {
        build.each(place,
                   [&](LayerChange& change, std::size_t expert, int layer) { build.force(change, expert, layer); });
    }
    for (const AddedBias& bias : interventions_.biases) {
        build.each(bias.place, [&](LayerChange& change, std::size_t expert, int layer) {
            build.needs_scores(layer);
            change.bias.resize(build.experts(), 0.0f);
            change.bias[expert] += bias.value;
        });
    }
    for (const ChosenLimit& limit : interventions_.limits) {
        if (limit.experts < 1 || limit.experts > spec.experts_per_token) {
            throw Error(say("{} chooses {} experts per token; a limit of {} is not between 1 and that", spec.model,
                            spec.experts_per_token, limit.experts));
        }
        build.each_layer(limit.layer, [&](LayerChange& change, int) { change.experts = limit.experts; });
    }
    for (const ExpertPlace& place : interventions_.zeroed) {
        build.each(place, [&](LayerChange& change, std::size_t expert, int) { build.mark(change.zeroed, expert); });
    }
    build.check_layers();
    check_replay(interventions_.replay, spec);
    check_beside(interventions_.replay, build.changes(), spec);
    for (LayerChange& change : build.changes()) {
        take_common(change.bias);
        const bool changed = change.of_choice() || !change.zeroed.empty();
        place_of_.push_back(changed ? static_cast<std::int32_t>(layers_.size()) : -1);
        if (changed) {
            layers_.push_back(std::move(change));
        }
    }
}

std::vector<std::int32_t> LayerChange::left_of(std::span<const std::int32_t> ids) const {
    std::vector<std::int32_t> left;
    const std::size_t limit = experts > 0 ? static_cast<std::size_t>(experts) : ids.size();
    for (const std::int32_t id : ids) {
        if (id >= 0 && left.size() < limit && !is_out(static_cast<std::size_t>(id))) {
            left.push_back(id);
        }
    }
    return left;
}

const LayerChange* InterventionPlan::layer(int layer) const {
    const auto at = static_cast<std::size_t>(layer);
    return layer < 0 || at >= place_of_.size() || place_of_[at] < 0 ? nullptr
                                                                    : &layers_[static_cast<std::size_t>(place_of_[at])];
}

std::vector<std::int32_t> InterventionPlan::replayed(int position, int layer) const {
    const auto found = interventions_.replay.ids.find({position, layer});
    if (found == interventions_.replay.ids.end()) {
        return {};
    }
    const LayerChange* change = this->layer(layer);
    return change == nullptr ? found->second : change->left_of(found->second);
}

std::size_t InterventionPlan::replayed_places(int position, int layer) const {
    const auto found = interventions_.replay.ids.find({position, layer});
    if (found == interventions_.replay.ids.end()) {
        return 0;
    }
    const LayerChange* change = this->layer(layer);
    const std::size_t all = found->second.size();
    return change != nullptr && change->experts > 0 ? std::min(all, static_cast<std::size_t>(change->experts)) : all;
}

void count_replayed(ReplayCount& count, const InterventionPlan& plan, const TokenDecisions& token) {
    const auto& replay = plan.interventions().replay.ids;
    for (const LayerDecision& layer : token.layers) {
        const auto found = replay.find({token.position, layer.layer});
        if (found != replay.end()) {
            ++count.taken;
            count.altered +=
                std::is_permutation(found->second.begin(), found->second.end(), layer.ids.begin(), layer.ids.end()) ? 0
                                                                                                                    : 1;
        }
    }
}

}  // namespace moescope::routing
