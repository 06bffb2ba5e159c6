// Runs that differ in one setting, as the records of a session tell of them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace moescope::history {

/// Trainings with equal data and everything else equal, which begin one after the other. Its runs are trainings of the
/// session from its record on: planned ones, until they begin.
struct Experiment {
    struct Run {
        std::uint32_t run = 0;
        std::string name;
        /// Of the key, as it was asked for: a value, or an object of settings where several were set.
        nlohmann::json value;
        nlohmann::json config;  ///< whole, by today's names
    };
    std::uint32_t number = 0;  ///< from 1, in the session
    std::string name;
    std::string key;  ///< of the setting in which they differ; empty: every value is an object of settings
    std::string data;
    std::vector<Run> runs;         ///< in the order in which they begin
    std::uint32_t unfinished = 0;  ///< the run that its node's end stopped, not a person; 0: none
    bool paused = false;           ///< that run was waiting then
};

/// Where the manifest of a run says that it belongs to an experiment.
struct ExperimentPlace {
    std::uint32_t number = 0;  ///< 0: it belongs to none
    std::string key, name;     ///< the name is the experiment's
    nlohmann::json value;
};
ExperimentPlace experiment_place(const nlohmann::json& manifest);
/// manifest["experiment"] of one of its runs.
nlohmann::json place_in_manifest(const Experiment& experiment, const Experiment::Run& run);

/// The definition of an `experiment` record.
nlohmann::json to_json(const Experiment& experiment);
/// Nothing when it is none: no run that has a number and a configuration, or a run twice.
std::optional<Experiment> experiment_from_json(std::uint32_t number, const nlohmann::json& definition);

/// A value as people type it: "switch", "0.001", "balance: none, selection_bias: true".
std::string experiment_value_text(const nlohmann::json& value);

}  // namespace moescope::history
