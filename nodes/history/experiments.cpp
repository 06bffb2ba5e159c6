#include "nodes/history/experiments.hpp"

#include <limits>
#include <set>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"

namespace moescope::history {

using nlohmann::json;

ExperimentPlace experiment_place(const json& manifest) {
    const json& place = base::member(manifest, "experiment");
    const std::uint64_t number = base::count_of(place, "number");
    if (number == 0 || number > std::numeric_limits<std::uint32_t>::max()) {
        return {};
    }
    return {static_cast<std::uint32_t>(number), base::text_of(place, "key"),
            base::shown_name(base::text_of(place, "name")), base::member(place, "value")};
}

json place_in_manifest(const Experiment& experiment, const Experiment::Run& run) {
    return {{"number", experiment.number}, {"name", experiment.name}, {"key", experiment.key}, {"value", run.value}};
}

json to_json(const Experiment& experiment) {
    json runs = json::array();
    for (const Experiment::Run& run : experiment.runs) {
        runs.push_back({{"run", run.run}, {"name", run.name}, {"value", run.value}, {"config", run.config}});
    }
    return {{"name", experiment.name}, {"key", experiment.key}, {"data", experiment.data}, {"runs", runs}};
}

std::optional<Experiment> experiment_from_json(std::uint32_t number, const json& definition) {
    Experiment experiment;
    experiment.number = number;
    experiment.name = base::shown_name(base::text_of(definition, "name"));
    experiment.key = base::current_setting(base::text_of(definition, "key"));
    experiment.data = base::text_of(definition, "data");
    std::set<std::uint32_t> seen;
    for (const json& entry : base::member(definition, "runs")) {
        Experiment::Run run{base::run_of(entry), base::shown_name(base::text_of(entry, "name")),
                            base::member(entry, "value"), base::member(entry, "config")};
        if (run.run == 0 || !run.config.is_object() || !seen.insert(run.run).second) {
            return {};
        }
        base::rename_settings(run.config);
        experiment.runs.push_back(std::move(run));
    }
    return number == 0 || experiment.runs.empty() ? std::nullopt : std::optional(std::move(experiment));
}

std::string experiment_value_text(const json& value) {
    if (!value.is_object()) {
        return base::setting_text(value);
    }
    std::string text;
    for (const auto& [key, setting] : value.items()) {
        base::append_to_list(text, key + ": " + base::setting_text(setting));
    }
    return text;
}

}  // namespace moescope::history
