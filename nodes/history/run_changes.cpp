#include "nodes/history/run_changes.hpp"

#include <map>

#include "base/json_fields.hpp"
#include "base/settings.hpp"

namespace moescope::history {

using nlohmann::json;

namespace {

/// The turned value as the configuration would hold it: events carry every number as a real one. Null when it is none.
json as_configured(const json& configured, const json& value) {
    if (!value.is_number()) {
        return {};
    }
    const double number = value.get<double>();
    if (configured.is_number_integer() && number > -9e15 && number < 9e15) {
        return static_cast<std::int64_t>(number);
    }
    return number;
}

}  // namespace

std::size_t events_until(const TrainingRun& run, std::uint64_t step) {
    std::size_t earlier = 0;
    for (std::size_t i = run.events.size(); i > 0; --i) {
        const RunEvent& event = run.events[i - 1];
        if (event.kind == "checkpoint" && event.step == step) {
            return i;
        }
        if (earlier == 0 && event.step <= step) {
            earlier = i;
        }
    }
    return earlier;  // the record of the checkpoint is lost
}

std::vector<TurnedSetting> turned_settings(const TrainingRun& run, std::uint64_t step) {
    const json& config = base::member(run.manifest, "config");
    std::map<std::string, TurnedSetting> turned;
    for (std::size_t i = 0, count = events_until(run, step); i < count; ++i) {
        const RunEvent& event = run.events[i];
        const json* configured = event.kind == "knob" ? base::setting(config, event.name) : nullptr;
        if (configured == nullptr) {
            continue;
        }
        if (const json value = as_configured(*configured, event.new_value); !value.is_null()) {
            turned[event.name] = {event.name, *configured, value, event.step};
        }
    }
    std::vector<TurnedSetting> list;
    for (auto& [name, setting] : turned) {
        if (setting.in_force != setting.configured) {
            list.push_back(std::move(setting));
        }
    }
    return list;
}

json settings_in_force(const TrainingRun& run, std::uint64_t step) {
    json config = base::member(run.manifest, "config");
    for (const TurnedSetting& turned : turned_settings(run, step)) {
        for (const char* section : {"model", "train"}) {
            if (base::member(base::member(config, section), turned.name.c_str()).is_number()) {
                config[section][turned.name] = turned.in_force;
            }
        }
    }
    return config;
}

}  // namespace moescope::history
