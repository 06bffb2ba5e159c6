// Whether the recorded scores give the experts that were executed, over all of a trace that has scores: a figure for
// routing/figures/figure_job.hpp, and what is said of it. Pure.
#pragma once

#include <memory>
#include <string>

#include "panels/ui/language.hpp"
#include "routing/choice.hpp"
#include "routing/packed_trace.hpp"

namespace moescope::panels {

class AgreementFigure {
 public:
    static constexpr unsigned kWanted = routing::kTokens;

    /// `items`: the changes under which the trace was made, as its record has them.
    AgreementFigure(std::shared_ptr<const routing::PackedTrace> trace, const nlohmann::json& items);
    void add(const routing::Chunk& chunk);
    const routing::Agreement& agreement() const { return agreement_; }
    /// Of the chunks so far: those whose scores were recorded.
    std::uint64_t tokens() const { return tokens_; }

 private:
    std::shared_ptr<const routing::PackedTrace> trace_;
    std::shared_ptr<const routing::InterventionPlan> plan_;  ///< null: the changes are not known well enough
    routing::Agreement agreement_;
    std::uint64_t tokens_ = 0;
};

/// "99.8 % of 1,234 choices are those that their scores give"; says so when none could be compared.
std::string agreement_text(const ui::Language& text, const routing::Agreement& agreement);
/// "99.8 %"; never "100 %" while one differs. Empty when none could be compared.
std::string agreement_share(const ui::Language& text, const routing::Agreement& agreement);

}  // namespace moescope::panels
