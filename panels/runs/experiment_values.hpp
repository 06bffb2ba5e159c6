// The values in which the runs of an experiment differ: what is offered for a setting, what a person types, and what
// values are called. Pure: no widget, no client.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "panels/runs/run_fields.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

inline constexpr std::size_t kFewestExperimentRuns = 2, kMostExperimentRuns = 16;

/// One value that is ticked or not.
struct OfferedValue {
    nlohmann::json value;
    std::string label, help;
    bool first = true;  ///< ticked when it is offered
};
/// The values of a flag or a choice; of `balance` the published balancings of the catalogue, where the node tells them.
/// Empty for numbers, which are typed.
std::vector<OfferedValue> offered_values(const ui::Language& text, const nlohmann::json& catalogue,
                                         const ConfigField& field);

/// A list as it is typed: numbers between commas, blanks or semicolons.
struct TypedValues {
    std::vector<nlohmann::json> values;  ///< each once
    std::vector<std::string> refused;    ///< no number, or out of range
};
TypedValues read_values(const ConfigField& field, std::string_view text);
/// What stands in the list at first: half of the present value, itself and its double, as far as they are possible.
std::string proposed_values(const ConfigField& field, const nlohmann::json& now);

/// What a value is called: "Switch loss", "0.003", "selection bias: yes, balance loss over: none".
std::string experiment_value_label(const ui::Language& text, const std::string& key, const nlohmann::json& value);

/// What the setting is called in which the runs of an experiment differ: `balance` there is the whole balancing, of
/// which the setting of that name is only a part.
std::string experiment_key_label(const ui::Language& text, const std::string& key);
/// The name of a run; one that an experiment gave it ends with its value as people call it: "e: loss-free bias", where
/// the node has "e: loss_free".
std::string run_title(const ui::Language& text, const history::TrainingRun& run);

/// How long a run of this plan and configuration takes, by the speed of the newest run of the session on its device
/// that has one: floating-point operations are what both have in common. Nothing before any run was measured.
std::optional<double> run_seconds(const client::Snapshot& snapshot, const nlohmann::json& plan,
                                  const nlohmann::json& config);

}  // namespace moescope::panels
