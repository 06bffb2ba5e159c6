// What the node has measured of changes to routers (docs/protocol.md, record `routing_result` of an effect and of a
// sweep), read from JSON that came from outside, and what is said of it. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "panels/routing/change_list.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/figure_data.hpp"

namespace moescope::panels {

/// Nats; means with their 95 % intervals.
struct EffectResult {
    std::uint32_t base = 0;  ///< run whose trace is that of the untouched model
    std::string set;
    /// [token] KL(untouched || changed) of the distribution of the token after each; NaN: not known.
    std::vector<double> kl;
    /// [token] log-probability of the token after each, changed minus untouched.
    std::vector<double> log_probability;
    Estimate mean_kl, mean_loss;
    struct Shift {
        int layer = 0;
        double changed = 0;  ///< share of slots whose expert is another one
    };
    std::vector<Shift> shift;
    struct Control {
        std::vector<Change> changes;
        double mean_kl = 0, mean_loss = 0;
    };
    std::vector<Control> controls;
    std::size_t asked = 0;              ///< so many controls were asked for; 0: not known
    Estimate control_kl, control_loss;  ///< over controls
    /// By KL, of so many with itself (routing::ControlRank): of the controls that stand here, so that results of
    /// earlier versions, which passed ties over, are told right. All 0: no controls, or a KL that is not known.
    std::size_t rank = 0, of = 0, ties = 0;
    /// Decisions of the text (a token in a layer), and those that were altered; of 0: not known, as in sessions of
    /// before.
    std::uint64_t decisions = 0, altered = 0;
};
/// Nothing when it is none.
std::optional<EffectResult> read_effect(const nlohmann::json& result);

/// What the comparison with changes at random says, and no more: its rank among them, and how often chance alone gives
/// that. Of changes (those that were measured) that did nothing: that, and why.
std::string control_sentence(const ui::Language& text, const EffectResult& effect, const std::vector<Change>& changes);
/// "Altered decisions: 12 of 126."; empty where that is not known.
std::string altered_sentence(const ui::Language& text, const EffectResult& effect);
/// "0.012 nats [0.010, 0.014]"
std::string estimate_text(const ui::Language& text, const Estimate& estimate);
/// One row per token: what it is, KL and difference of log-probability. `pieces` are the texts of the tokens, as many
/// as there are.
std::string effect_csv(const EffectResult& effect, const std::vector<std::string>& pieces);

struct SweepResult {
    int layer = 0;
    std::uint64_t texts = 0, tokens = 0;
    Estimate loss;  ///< of the untouched model
    struct Expert {
        int expert = 0;
        std::uint64_t tokens = 0;
        Estimate kl, loss, control_kl, control_loss, above_kl, above_loss;
    };
    std::vector<Expert> experts;  ///< by number
};
std::optional<SweepResult> read_sweep(const nlohmann::json& result);
std::string sweep_csv(const SweepResult& sweep);

enum class SweepColumn : std::uint8_t { expert, tokens, kl, loss, control, above };
/// Places in `sweep.experts`; NaN last, equal ones by number.
std::vector<std::size_t> sorted_sweep(const SweepResult& sweep, SweepColumn by, bool descending);

/// One try of a set of changes: the answers with and without it, and its effect. Each may be missing.
struct Trial {
    std::string group;
    std::shared_ptr<const history::Generation> untouched, changed;
    std::shared_ptr<const history::RouteRun> effect;
    std::vector<Change> changes;
    std::string set, model;
    std::uint32_t first_run = 0;  ///< the oldest of its runs
};
/// Of a session, the newest first. A trial is a group with an effect, or with two answers of one model of which one had
/// its routers changed.
std::vector<Trial> trials_of(const client::Snapshot& snapshot);

}  // namespace moescope::panels
