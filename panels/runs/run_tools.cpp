#include "panels/runs/run_tools.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"

namespace moescope::panels {

using nlohmann::json;

const history::TrainingRun* selected_run(const ui::Context& ctx) {
    return run_or_newest(ctx.snapshot.training, ctx.selection.training_run).get();
}

bool alive(const history::TrainingRun& run) {
    return run.state == history::RunState::running || run.state == history::RunState::paused;
}

bool can_fork(const history::TrainingRun& run) {
    return run.last_checkpoint > 0 && run.manifest.is_object() && run.manifest.contains("config");
}

std::vector<std::uint64_t> fork_steps(const history::TrainingRun& run) {
    std::vector<std::uint64_t> steps(run.checkpoints.rbegin(), run.checkpoints.rend());
    // The record of a checkpoint may be here before the node's list of them.
    if (run.last_checkpoint > 0 && (steps.empty() || steps.front() < run.last_checkpoint)) {
        steps.insert(steps.begin(), run.last_checkpoint);
    }
    return steps;
}

std::optional<ForkPoint> fork_point(const history::TrainingRun& run) {
    const json& fork = base::member(run.manifest, "fork");
    const double parent = base::number_of(fork, "run", 0), step = base::number_of(fork, "step", -1);
    if (!(parent >= 1 && parent < 4e9) || !(step >= 0 && step < 1e15)) {
        return {};
    }
    return ForkPoint{static_cast<std::uint32_t>(parent), static_cast<std::uint64_t>(step)};
}

std::vector<Ancestor> ancestors(const client::Snapshot& snapshot, const history::TrainingRun& run) {
    std::vector<Ancestor> chain;
    std::set<std::uint32_t> seen = {run.id};  // a journal may say anything, also that a run is its own parent
    for (auto fork = fork_point(run); fork && seen.insert(fork->run).second; fork = fork_point(*chain.back().run)) {
        const auto parent = snapshot.training.find(fork->run);
        if (parent == snapshot.training.end()) {
            break;
        }
        chain.push_back({parent->second, chain.empty() ? fork->step : std::min(fork->step, chain.back().step)});
    }
    return chain;
}

namespace {

/// Takes what is said to an expert of the run.
void take(const history::TrainingRun& run, const history::RunEvent& event, std::vector<ExpertState>& states) {
    if (event.kind != "expert" || event.layer < 0 || event.layer >= run.layers || event.expert < 0 ||
        event.expert >= run.experts) {
        return;
    }
    ExpertState& state =
        states[static_cast<std::size_t>(event.layer) * run.experts + static_cast<std::size_t>(event.expert)];
    if (event.name == "disable" || event.name == "enable") {
        state.disabled = event.name == "disable";
    } else if (event.name == "freeze" || event.name == "thaw") {
        state.frozen = event.name == "freeze";
    }
}

/// Those that the run begins with: a fork has those of its parent's checkpoint.
std::vector<ExpertState> first_states(const client::Snapshot& snapshot, const history::TrainingRun& run) {
    std::vector<ExpertState> states(std::size_t{run.layers} * run.experts);
    const std::vector<Ancestor> chain = ancestors(snapshot, run);
    for (auto before = chain.rbegin(); before != chain.rend(); ++before) {
        for (std::size_t i = 0, count = history::events_until(*before->run, before->step); i < count; ++i) {
            take(run, before->run->events[i], states);
        }
    }
    return states;
}

}  // namespace

std::vector<ExpertState> expert_states(const client::Snapshot& snapshot, const history::TrainingRun& run,
                                       std::optional<std::uint64_t> step) {
    std::vector<ExpertState> states = first_states(snapshot, run);
    // An event carries the first step that it acts on.
    for (const history::RunEvent& event : run.events) {
        if (!step || event.step <= *step) {
            take(run, event, states);
        }
    }
    return states;
}

std::vector<ExpertState> checkpoint_states(const client::Snapshot& snapshot, const history::TrainingRun& run,
                                           std::uint64_t step) {
    std::vector<ExpertState> states = first_states(snapshot, run);
    for (std::size_t i = 0, count = history::events_until(run, step); i < count; ++i) {
        take(run, run.events[i], states);
    }
    return states;
}

std::vector<std::string> experts_text(const ui::Language& text, const std::vector<ExpertState>& states,
                                      std::size_t experts, bool ExpertState::*is) {
    std::vector<std::string> lines;
    for (std::size_t layer = 0; experts > 0 && (layer + 1) * experts <= states.size(); ++layer) {
        std::string list;
        for (std::size_t expert = 0; expert < experts; ++expert) {
            if (states[layer * experts + expert].*is) {
                base::append_to_list(list, std::to_string(expert));
            }
        }
        if (!list.empty()) {
            lines.push_back(text.format("load.marks.layer", {{"layer", std::to_string(layer)}, {"experts", list}}));
        }
    }
    return lines;
}

std::string setting_label(const ui::Language& text, const std::string& key) {
    const std::string label = "runs.field." + key;
    return text.has(label) ? text(label) : key;
}

std::string choice_label(const ui::Language& text, const std::string& key, const std::string& choice) {
    const std::string label = "runs.choice." + key + "." + choice;
    return text.has(label) ? text(label) : choice;
}

std::string value_label(const ui::Language& text, const std::string& key, const json& value) {
    if (value.is_boolean()) {
        return text(value.get<bool>() ? "runs.flag.on" : "runs.flag.off");
    }
    return value.is_string() ? choice_label(text, key, value.get<std::string>()) : base::setting_text(value);
}

std::string condition_text(const ui::Language& text, const std::string& condition) {
    std::string all;
    for (const std::string& clause : base::clauses(condition)) {
        const std::size_t first = clause.find(' '), second = clause.find(' ', first + 1);
        std::string shown = clause;
        if (first != std::string::npos && second != std::string::npos) {
            const std::string key = clause.substr(0, first), relation = clause.substr(first + 1, second - first - 1),
                              value = clause.substr(second + 1);
            const std::string other = value == "true"                   ? text("runs.flag.on")
                                      : value == "false"                ? text("runs.flag.off")
                                      : text.has("runs.field." + value) ? setting_label(text, value)
                                                                        : choice_label(text, key, value);
            shown = setting_label(text, key) + " " + (relation == "!=" ? "\u2260" : relation) + " " + other;
        }
        all += (all.empty() ? "" : text("common.comma")) + shown;
    }
    return all;
}

std::string turned_text(const ui::Language& text, const history::TurnedSetting& turned) {
    return text.format("runs.fork.turned", {{"setting", setting_label(text, turned.name)},
                                            {"value", base::setting_text(turned.in_force)},
                                            {"configured", base::setting_text(turned.configured)},
                                            {"step", text.number(turned.step)}});
}

std::vector<std::string> carried_over(const ui::Language& text, const client::Snapshot& snapshot,
                                      const history::TrainingRun& run, std::uint64_t step) {
    std::vector<std::string> lines;
    for (const history::TurnedSetting& turned : history::turned_settings(run, step)) {
        lines.push_back(turned_text(text, turned));
    }
    const std::vector<ExpertState> states = checkpoint_states(snapshot, run, step);
    for (const auto& [key, is] : {std::pair{"runs.fork.disabled", &ExpertState::disabled},
                                  std::pair{"runs.fork.frozen", &ExpertState::frozen}}) {
        std::string experts;
        for (const std::string& layer : experts_text(text, states, run.experts, is)) {
            experts += (experts.empty() ? "" : text("common.semicolon")) + layer;
        }
        if (!experts.empty()) {
            lines.push_back(text.format(key, {{"experts", experts}}));
        }
    }
    if (lines.empty()) {
        lines.emplace_back(text("runs.fork.nothing_turned"));
    }
    return lines;
}

const json& preset(const client::Snapshot& snapshot, std::string_view name) {
    static const json none;
    const json& catalogue = *snapshot.catalogue;
    if (!catalogue.is_object()) {
        return none;
    }
    const auto presets = catalogue.find("presets");
    if (presets == catalogue.end() || !presets->is_array()) {
        return none;
    }
    for (const json& one : *presets) {
        if (one.is_object() && one.value("name", json()) == name) {
            return one;
        }
    }
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
    if (!config.is_object()) {
        return nullptr;
    }
    const auto inner = config.find(section);
    const json& from = inner != config.end() && inner->is_object() ? *inner : config;
    const auto value = from.find(name);
    return value == from.end() ? nullptr : &*value;
}

std::optional<double> config_number(const json& manifest, const char* section, const char* name) {
    if (!manifest.is_object()) {
        return {};
    }
    const auto config = manifest.find("config");
    const json* value = config == manifest.end() ? nullptr : config_value(*config, section, name);
    return value != nullptr && value->is_number() ? std::optional<double>(value->get<double>()) : std::nullopt;
}

std::optional<double> knob_value(const history::TrainingRun& run, const std::string& name) {
    for (auto event = run.events.rbegin(); event != run.events.rend(); ++event) {
        if (event->kind == "knob" && event->name == name && event->new_value.is_number()) {
            return event->new_value.get<double>();
        }
    }
    const json* configured = base::setting(base::member(run.manifest, "config"), name);
    return configured == nullptr ? std::nullopt : base::as_number(*configured);
}

}  // namespace moescope::panels
