#include "panels/run_tools.hpp"

#include <cmath>

namespace moescope::panels {

using nlohmann::json;

const client::TrainingRun* selected_run(const ui::Context& ctx) {
    return run_or_newest(ctx.snapshot.training, ctx.selection.training_run).get();
}

bool alive(const client::TrainingRun& run) {
    return run.state == client::RunState::running || run.state == client::RunState::paused;
}

bool can_fork(const client::TrainingRun& run) {
    return run.last_checkpoint > 0 && run.manifest.is_object() && run.manifest.contains("config");
}

const json& preset(const client::Snapshot& snapshot, std::string_view name) {
    static const json none;
    const json& catalogue = *snapshot.catalogue;
    if (!catalogue.is_object())
        return none;
    const auto presets = catalogue.find("presets");
    if (presets == catalogue.end() || !presets->is_array())
        return none;
    for (const json& one : *presets)
        if (one.is_object() && one.value("name", json()) == name)
            return one;
    return none;
}

std::string short_number(const ui::Language& text, double value) {
    static constexpr const char* kUnits[] = {"", " k", " M", " G", " T"};
    int unit = 0;
    while (std::abs(value) >= 999.5 && unit < 4) {
        value /= 1000;
        ++unit;
    }
    return text.number(value, 3) + kUnits[unit];
}

const json* config_value(const json& config, const char* section, const char* name) {
    if (!config.is_object())
        return nullptr;
    const auto inner = config.find(section);
    const json& from = inner != config.end() && inner->is_object() ? *inner : config;
    const auto value = from.find(name);
    return value == from.end() ? nullptr : &*value;
}

std::optional<double> config_number(const json& manifest, const char* section, const char* name) {
    if (!manifest.is_object())
        return {};
    const auto config = manifest.find("config");
    const json* value = config == manifest.end() ? nullptr : config_value(*config, section, name);
    return value != nullptr && value->is_number() ? std::optional<double>(value->get<double>()) : std::nullopt;
}

std::optional<double> knob_value(const client::TrainingRun& run, const std::string& name) {
    for (auto event = run.events.rbegin(); event != run.events.rend(); ++event)
        if (event->kind == "knob" && event->name == name && event->new_value.is_number())
            return event->new_value.get<double>();
    const std::optional<double> of_train = config_number(run.manifest, "train", name.c_str());
    return of_train ? of_train : config_number(run.manifest, "model", name.c_str());
}

}  // namespace moescope::panels
