#include "panels/routing/agreement.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "panels/ui/units.hpp"

namespace moescope::panels {
namespace {

/// Null where the plan can't be made again from its record: a replay, whose ids are in another trace.
std::shared_ptr<const routing::InterventionPlan> plan_of(const nlohmann::json& items, const routing::RouterSpec& spec) {
    try {
        const routing::Interventions interventions =
            routing::interventions_from_json(items.is_array() ? items : nlohmann::json::array());
        if (!interventions.replay.source.empty()) {
            return nullptr;
        }
        return std::make_shared<const routing::InterventionPlan>(interventions, spec);
    } catch (const base::Error&) {
        return nullptr;
    }
}

}  // namespace

AgreementFigure::AgreementFigure(std::shared_ptr<const routing::PackedTrace> trace, const nlohmann::json& items)
    : trace_(std::move(trace)), plan_(plan_of(items, trace_->spec())) {}

void AgreementFigure::add(const routing::Chunk& chunk) {
    if (!plan_) {
        return;
    }
    for (std::size_t at = 0; at < chunk.tokens; ++at) {
        std::optional<std::vector<routing::LayerDecision>> layers = trace_->scores(chunk.first + at);
        if (!layers) {
            continue;
        }
        routing::TokenDecisions token;
        token.position = at < chunk.position.size() ? chunk.position[at] : 0;
        token.layers = std::move(*layers);
        routing::count_agreement(agreement_, token, trace_->spec(), *plan_);
        ++tokens_;
    }
}

std::string agreement_share(const ui::Language& text, const routing::Agreement& agreement) {
    if (agreement.decisions == 0) {
        return "";
    }
    // Rounded towards what it is not: one that differs is one.
    const std::uint64_t tenths = agreement.equal * 1000 / agreement.decisions;
    const double shown = tenths == 0
                             ? 100.0 * static_cast<double>(agreement.equal) / static_cast<double>(agreement.decisions)
                             : static_cast<double>(tenths) / 10;
    return ui::with_percent(text, text.number(shown, 4));
}

std::string agreement_text(const ui::Language& text, const routing::Agreement& agreement) {
    if (agreement.decisions == 0) {
        return text("routing.agreement.none");
    }
    const std::string n = text.number(agreement.decisions);
    if (agreement.equal == agreement.decisions) {
        return text.format("routing.agreement.all", {{"n", n}});
    }
    return text.format("routing.agreement.some", {{"share", agreement_share(text, agreement)},
                                                  {"n", n},
                                                  {"others", text.number(agreement.decisions - agreement.equal)}});
}

}  // namespace moescope::panels
