// What a person had changed in a run when one of its checkpoints was saved. Pure: from the run's events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// Number of the events of `run`, from its first one, that its checkpoint at `step` holds. What was changed before it
/// was saved is in it, though it acts on the step after.
std::size_t events_until(const TrainingRun& run, std::uint64_t step);

/// A setting that was turned while the run trained.
struct TurnedSetting {
    std::string name;                     ///< today's one
    nlohmann::json configured, in_force;  ///< what the run was started with, and what held at the checkpoint
    std::uint64_t step = 0;               ///< the first one that the value in force acts on
};
/// The settings that stood elsewhere than configured when the checkpoint at `step` was saved, by name.
std::vector<TurnedSetting> turned_settings(const TrainingRun& run, std::uint64_t step);
/// The run's configuration with those settings: what a fork of that checkpoint begins with. Null without one.
nlohmann::json settings_in_force(const TrainingRun& run, std::uint64_t step);

}  // namespace moescope::history
