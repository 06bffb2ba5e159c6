#include "panels/runs/run_tools.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json_fields.hpp"
#include "base/settings.hpp"

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

/// Number of the events of `parent` that its checkpoint at `step` holds. What was changed before it was saved is in it,
/// though it acts on the step after.
std::size_t events_until(const history::TrainingRun& parent, std::uint64_t step) {
    std::size_t earlier = 0;
    for (std::size_t i = parent.events.size(); i > 0; --i) {
        const history::RunEvent& event = parent.events[i - 1];
        if (event.kind == "checkpoint" && event.step == step) {
            return i;
        }
        if (earlier == 0 && event.step <= step) {
            earlier = i;
        }
    }
    return earlier;  // the record of the checkpoint is lost
}

}  // namespace

std::vector<ExpertState> expert_states(const client::Snapshot& snapshot, const history::TrainingRun& run,
                                       std::optional<std::uint64_t> step) {
    std::vector<ExpertState> states(std::size_t{run.layers} * run.experts);
    const auto take = [&](const history::RunEvent& event) {
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
    };
    const std::vector<Ancestor> chain = ancestors(snapshot, run);
    for (auto before = chain.rbegin(); before != chain.rend(); ++before) {
        for (std::size_t i = 0, count = events_until(*before->run, before->step); i < count; ++i) {
            take(before->run->events[i]);
        }
    }
    // An event carries the first step that it acts on.
    for (const history::RunEvent& event : run.events) {
        if (!step || event.step <= *step) {
            take(event);
        }
    }
    return states;
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
