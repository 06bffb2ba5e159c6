// The choice of one token in one layer by its scores: the K largest selection scores among the kept groups, ties to the
// lower id, NaN below every number. The one rule behind interventions (in our engine and in libllama alike), margins,
// and ids that are recomputed to compare them with those that were executed.
//
// Groups are E / groups neighbours; a group counts its largest score (max, DeepSeek-V2) or the sum of its two largest
// (top2, DeepSeek-V3) among the experts that may be chosen; the best groups_kept stay, more where these hold fewer than
// K such experts. As kernels/cpu/router.hpp, which this does not share code with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "routing/decision.hpp"
#include "routing/intervention_plan.hpp"

namespace moescope::routing {

struct ChoiceRule {
    int experts_per_token = 1;
    int groups = 1, groups_kept = 1;
    bool group_max = false;  ///< else the sum of the two largest
};
ChoiceRule choice_rule(const RouterSpec& spec);

struct Choice {
    std::vector<std::int32_t> ids;          ///< best first
    std::vector<float> group_scores;        ///< [groups]; empty with one group
    std::vector<std::int32_t> groups_kept;  ///< best first; empty with one group
    float margin = 0;                       ///< see LayerDecision; NaN where nothing was left over or ids are forced
};

/// Adds the biases of a change to the selection scores [E].
void add_bias(std::span<float> selection, const LayerChange* change);
/// `selection` [E] has the biases already. `change` may be null: the router as it is. A rule that does not fit the
/// number of scores is taken as far as it does.
Choice choose(std::span<const float> selection, const ChoiceRule& rule, const LayerChange* change = nullptr);

/// What a token takes of a replay in a layer: the ids of its trace, and in the place of those that are knocked out the
/// next best by `selection` [E]; nobody where that is empty, as in hash layers. Empty where there is no replay, or all
/// of its experts are knocked out: the token chooses.
std::vector<std::int32_t> take_replayed(const InterventionPlan& plan, int position, int layer,
                                        std::span<const float> selection, const ChoiceRule& rule);

/// Selection score of the last of `ids` minus that of the best expert that is not one of them, among those of
/// `groups_kept` (empty: all) that are not knocked out. NaN when there is none, or no id.
float margin_of(std::span<const float> selection, std::span<const std::int32_t> ids,
                std::span<const std::int32_t> groups_kept, int groups, const LayerChange* change = nullptr);
/// Of the scores divided by their sum, nats. NaN without scores, when they have no positive sum or when one is below 0
/// (a router whose scores are raw logits has no shares).
float entropy_of(std::span<const float> scores);

/// Fills what follows from a decision's ids, scores and selection: entropy, group scores, the kept groups unless they
/// are there, margin. `by_scores` false: the ids come from elsewhere (hash layer, replay), so that there is no margin.
void complete(LayerDecision& decision, const ChoiceRule& rule, const LayerChange* change, bool by_scores);

/// How often the ids that are recomputed from the selection scores are those that were executed, as sets.
struct Agreement {
    std::uint64_t decisions = 0, equal = 0;
    bool operator==(const Agreement&) const = default;
};
/// Counts a token's layers that have selection scores. Left out: hash layers and replayed tokens, whose ids do not come
/// from scores. `plan`: what was changed, as the scores alone do not tell who was knocked out or forced.
void count_agreement(Agreement& agreement, const TokenDecisions& token, const RouterSpec& spec,
                     const InterventionPlan& plan = {});

}  // namespace moescope::routing
