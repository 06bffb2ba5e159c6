// The decision of a token as rows of tables: one per layer, and one per expert of a layer. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "panels/ui/language.hpp"
#include "routing/chunk.hpp"
#include "routing/intervention_plan.hpp"

namespace moescope::panels {

struct ChosenExpert {
    int expert = 0;
    float weight = 0;  ///< applied; NaN where not recorded
    bool operator==(const ChosenExpert&) const = default;
};

/// What one layer decided for a token.
struct LayerRow {
    int layer = 0;
    bool known = false;                     ///< a decision was recorded
    bool by_token = false;                  ///< a hash layer: the id of the token decides
    std::vector<ChosenExpert> chosen;       ///< best first
    float margin = 0, entropy = 0;          ///< NaN where not recorded
    bool rounded = false;                   ///< weights, margin and entropy are (routing/number_codes.hpp)
    std::vector<std::int32_t> groups_kept;  ///< best first; empty where not recorded or with one group
};
/// All routed layers. `scores`: what was recorded beside the chunk, ascending; may be empty. Where they have the
/// decision, its numbers are theirs: they are not rounded.
std::vector<LayerRow> layer_rows(const routing::RouterSpec& spec, const routing::Chunk& chunk, std::size_t at,
                                 const std::vector<routing::LayerDecision>& scores);

struct ExpertRow {
    int expert = 0, group = 0;
    float logit = 0, score = 0, bias = 0, selection = 0;  ///< NaN where not recorded; bias: selection minus score
    float weight = 0;                                     ///< applied; NaN where not chosen or not recorded
    int rank = -1;                                        ///< 0: best; -1: not chosen
    bool masked = false;                                  ///< its group was not kept
    bool knocked_out = false, forced = false, zeroed = false;
};
struct GroupRow {
    int group = 0;
    float score = 0;  ///< NaN where not recorded
    bool kept = true;
};
/// Everything that a layer's choice was made of.
struct LayerDetail {
    int layer = 0;
    std::vector<ExpertRow> experts;  ///< [E] by number
    std::vector<GroupRow> groups;    ///< empty with one group
    bool has_bias = false;           ///< somewhere the selection score is not the score
    bool has_logits = false;
    int last_chosen = -1, first_left = -1;  ///< the experts between which the margin lies; -1: none
    float margin = 0, entropy = 0;          ///< NaN where not recorded
};
/// `change`: what was changed in the layer, null for nothing.
LayerDetail layer_detail(const routing::RouterSpec& spec, const routing::LayerDecision& decision,
                         const routing::LayerChange* change = nullptr);

enum class ExpertColumn : std::uint8_t { expert, logit, score, bias, selection, group, weight };
/// Places in `detail.experts`, in the order of a column; NaN last, equal ones by number.
std::vector<std::size_t> sorted_experts(const LayerDetail& detail, ExpertColumn by, bool descending);

/// Three digits of it: "0.610", "0.00210", a dash for NaN.
std::string score_text(const ui::Language& text, float value);
/// The same of a margin, with no more digits than it has.
std::string margin_text(const ui::Language& text, float value, bool rounded);
/// Language key of the sentence on what of a rounded decision is rounded: without a margin (NaN) there is none to tell
/// of.
const char* rounded_key(float margin);

/// Comma-separated values: one row per layer and chosen expert. What is rounded has no more digits than that.
std::string decisions_csv(const std::vector<LayerRow>& rows);
/// One row per expert.
std::string detail_csv(const LayerDetail& detail);

}  // namespace moescope::panels
