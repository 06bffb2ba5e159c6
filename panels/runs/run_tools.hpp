// What the panels about training share: which run is meant, what may be done with it, the value of a knob.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodes/history/run_changes.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The run of that number, or the newest one that has begun; null when there is none.
template <class Run>
std::shared_ptr<const Run> run_or_newest(const std::map<std::uint32_t, std::shared_ptr<const Run>>& runs,
                                         std::uint32_t number) {
    const auto found = runs.find(number);
    if (found != runs.end()) {
        return found->second;
    }
    for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
        if (run->second->state != history::RunState::planned) {
            return run->second;
        }
    }
    return runs.empty() ? nullptr : runs.rbegin()->second;
}

/// The run of the selection, or the newest one; null when the session has none. Valid as long as the snapshot.
const history::TrainingRun* selected_run(const ui::Context& ctx);

/// Not ended: running or paused.
bool alive(const history::TrainingRun& run);

/// Has a checkpoint that a run with other settings can start from.
bool can_fork(const history::TrainingRun& run);

/// Steps of the checkpoints that a run with other settings can start from, newest first.
std::vector<std::uint64_t> fork_steps(const history::TrainingRun& run);

/// Where a run was forked from; nothing for one that began at its first step.
struct ForkPoint {
    std::uint32_t run = 0;
    std::uint64_t step = 0;  ///< of the checkpoint
};
std::optional<ForkPoint> fork_point(const history::TrainingRun& run);

/// A run that another one goes on from, up to `step`.
struct Ancestor {
    std::shared_ptr<const history::TrainingRun> run;
    std::uint64_t step = 0;
};
/// The parent of a fork, the parent's parent and so on, as far as the session has them.
std::vector<Ancestor> ancestors(const client::Snapshot& snapshot, const history::TrainingRun& run);

/// What a person has told an expert, in this run or before it was forked.
struct ExpertState {
    bool disabled = false, frozen = false;
    bool operator==(const ExpertState&) const = default;
};
/// Of every expert, [layers][experts] of the run: as it is now, or as it was in `step`.
std::vector<ExpertState> expert_states(const client::Snapshot& snapshot, const history::TrainingRun& run,
                                       std::optional<std::uint64_t> step = {});

/// The same as the run's checkpoint at `step` holds them: also what was said before it was saved and acts on the step
/// after.
std::vector<ExpertState> checkpoint_states(const client::Snapshot& snapshot, const history::TrainingRun& run,
                                           std::uint64_t step);
/// The experts of which `is` holds, a text per layer: "layer 3: 1, 4". `states` is [layers][experts].
std::vector<std::string> experts_text(const ui::Language& text, const std::vector<ExpertState>& states,
                                      std::size_t experts, bool ExpertState::*is);
/// The name of a setting; a key that only the node knows stands for itself.
std::string setting_label(const ui::Language& text, const std::string& key);
/// What a choice of a setting is called ("grouped (GQA)"); the choice itself where only the node knows it.
std::string choice_label(const ui::Language& text, const std::string& key, const std::string& choice);
/// A value of a setting as a person reads it: choices by their names, flags as yes and no.
std::string value_label(const ui::Language& text, const std::string& key, const nlohmann::json& value);
/// A condition of base/settings.hpp with the names of settings and choices: "attention: latent (MLA); layers > 2".
std::string condition_text(const ui::Language& text, const std::string& condition);
/// "learning rate: 0.001, turned at step 7 (configured: 0.01)"
std::string turned_text(const ui::Language& text, const history::TurnedSetting& turned);
/// What a fork of the run's checkpoint at `step` begins with besides its weights, a line each: the knobs that had been
/// turned, the experts that are disabled or frozen; says so when there is nothing.
std::vector<std::string> carried_over(const ui::Language& text, const client::Snapshot& snapshot,
                                      const history::TrainingRun& run, std::uint64_t step);

/// Plan of a preset in the catalogue, or null JSON when the node offers none of that name.
const nlohmann::json& preset(const client::Snapshot& snapshot, std::string_view name);

/// "42.1 M"; powers of 1000 with at most three digits.
std::string short_number(const ui::Language& text, double value);

/// The value a knob stands at ("learning_rate"): of its latest event, else of the run's configuration.
std::optional<double> knob_value(const history::TrainingRun& run, const std::string& name);

/// A number of the run's configuration ("train", "evaluate_every"), wherever the manifest keeps it.
std::optional<double> config_number(const nlohmann::json& manifest, const char* section, const char* name);

/// The presets' and manifests' configuration may be flat or in sections "model" and "train": the value of `name`, or
/// null.
const nlohmann::json* config_value(const nlohmann::json& config, const char* section, const char* name);

}  // namespace moescope::panels
