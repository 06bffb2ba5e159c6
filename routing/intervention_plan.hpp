// Interventions for one model: checked against its router, and sorted by layer for whoever computes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::routing {

/// What is changed in one layer. E experts.
struct LayerChange {
    std::vector<std::uint8_t> knocked_out;  ///< [E], 1: never chosen; empty: none
    std::vector<std::int32_t> forced;       ///< always chosen, no id twice
    /// [E], added to the selection score; empty: none. Without what all experts of the layer have in common: that
    /// changes no choice, and would only round the scores.
    std::vector<float> bias;
    int experts = 0;                   ///< chosen per token at most; 0: as many as the model chooses
    std::vector<std::uint8_t> zeroed;  ///< [E], 1: its weight is set to zero; empty: none

    bool is_out(std::size_t expert) const { return !knocked_out.empty() && knocked_out[expert] != 0; }
    bool is_zero(std::size_t expert) const { return !zeroed.empty() && zeroed[expert] != 0; }
    /// Of ids that no score decides (of a hash layer, of a replay), best first: those below 0 and those knocked out are
    /// left out, and no more are kept than the limit. Nobody takes their places.
    std::vector<std::int32_t> left_of(std::span<const std::int32_t> ids) const;
    /// Whether other experts may be chosen than without it.
    bool of_choice() const { return !knocked_out.empty() || !forced.empty() || !bias.empty() || experts > 0; }
};

class InterventionPlan {
 public:
    InterventionPlan() = default;  ///< changes nothing
    /// The experts that are disabled in the router are knocked out too, whatever else is changed.
    /// Throws base::Error with the reason: a layer without a router, an expert that is not there, fewer experts left
    /// than are chosen, an expert both forced and knocked out, force or bias where ids do not come from scores (a
    /// hash layer, one that is replayed), biases that add up to more than kLargestBias, a replay whose ids were not
    /// read, do not fit, or are those of another router, the same experts again and again. Of a replay whose source and
    /// ids are empty, its router alone is looked at.
    InterventionPlan(Interventions interventions, const RouterSpec& spec);

    bool empty() const { return layers_.empty() && interventions_.replay.ids.empty(); }
    const Interventions& interventions() const { return interventions_; }
    /// Null: the layer is left alone. Lives as long as the plan.
    const LayerChange* layer(int layer) const;
    /// Ids that the token takes instead of choosing, best first, what LayerChange::left_of leaves of them; empty: it
    /// chooses.
    std::vector<std::int32_t> replayed(int position, int layer) const;
    /// How many experts the replay gives the token there: as many as in its trace, no more than the limit. More than
    /// replayed() has where some are knocked out; 0: it chooses.
    std::size_t replayed_places(int position, int layer) const;
    bool replays() const { return !interventions_.replay.ids.empty(); }

 private:
    Interventions interventions_;
    std::vector<LayerChange> layers_;     ///< those that are changed
    std::vector<std::int32_t> place_of_;  ///< layer -> index in layers_, or -1
};

/// Decisions that have their place in a replay, and those of them that were made with other ids than it has, because an
/// expert is knocked out or too many would be chosen.
struct ReplayCount {
    std::uint64_t taken = 0, altered = 0;
    bool operator==(const ReplayCount&) const = default;
};
/// Counts the layers of a token that was read under the plan.
void count_replayed(ReplayCount& count, const InterventionPlan& plan, const TokenDecisions& token);

}  // namespace moescope::routing
