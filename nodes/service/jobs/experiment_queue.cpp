#include "nodes/service/jobs/experiment_queue.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "base/foreign_text.hpp"
#include "base/json_guard.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "engine/model/balancings.hpp"
#include "nodes/service/jobs/run_names.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RunState;

namespace {

constexpr const char* kBalance = "balance";
constexpr std::size_t kShownValue = 60;  // bytes

std::string shown(const json& value) {
    const std::string text = history::experiment_value_text(value);
    return base::shortened(text.empty() ? base::dump_json(value) : text, kShownValue);
}

const engine::ConfigField* field_of(const std::string& key) {
    const auto& fields = engine::config_fields();
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const engine::ConfigField& one) { return one.key == key; });
    return found == fields.end() ? nullptr : &*found;
}

const engine::ConfigField& known_field(const std::string& key) {
    const engine::ConfigField* field = field_of(base::current_setting(key));
    if (field == nullptr) {
        throw CommandError(say("there is no setting '{}' that runs could differ in", base::shown_name(key)));
    }
    return *field;
}

/// What a value sets, by key.
json settings_of(const std::string& key, const json& value) {
    if (value.is_object()) {
        if (value.empty()) {
            throw CommandError(say("a value of an experiment is an empty object; it must set something"));
        }
        return value;
    }
    if (key.empty()) {
        throw CommandError(say("{} says no setting: give the experiment a key, or objects of settings", shown(value)));
    }
    if (key != kBalance || !value.is_string()) {
        return {{key, value}};
    }
    json settings = engine::balancing_settings(value.get<std::string>());
    if (settings.is_null()) {
        std::string names;
        for (const engine::Balancing& one : engine::balancings()) {
            base::append_to_list(names, one.name);
        }
        throw CommandError(say("there is no balancing '{}'; there are: {}", shown(value), names));
    }
    return settings;
}

json with_settings(const engine::RunConfig& config, const json& settings, const json& value) {
    json changed = engine::to_json(config);
    for (const auto& [key, setting] : settings.items()) {
        const engine::ConfigField& field = known_field(key);
        changed[field.section][field.key] = setting;
    }
    return engine::to_json(engine::parse_run_config(changed, say("the value {}", shown(value))));
}

std::string name_of(const ExperimentWish& wish, const std::vector<std::string>& earlier) {
    if (!wish.name.empty()) {
        return wish.name;
    }
    const std::string& config = wish.config.name;
    return running_name(
        fmt::format("{}-{}", config.empty() ? "run" : config, wish.key.empty() ? "experiment" : wish.key), earlier);
}

}  // namespace

history::Experiment planned_experiment(const ExperimentWish& wish, const std::vector<std::string>& earlier) {
    if (!wish.values.is_array() || wish.values.size() < kFewestValues || wish.values.size() > kMostValues) {
        throw CommandError(
            say("an experiment needs a list of {} to {} values, a run for each", kFewestValues, kMostValues));
    }
    if (wish.name.size() > base::kNameBytes - kShownValue - 2) {  // its runs are called by it
        throw CommandError(say("a name of {} bytes is too long; use one of at most {}", wish.name.size(),
                               base::kNameBytes - kShownValue - 2));
    }
    history::Experiment experiment;
    experiment.key = wish.key.empty() ? std::string() : known_field(wish.key).key;
    experiment.name = name_of(wish, earlier);
    experiment.data = wish.data;
    for (const json& value : wish.values) {
        history::Experiment::Run run;
        run.value = value;
        run.config = with_settings(wish.config, settings_of(experiment.key, value), value);
        for (const history::Experiment::Run& other : experiment.runs) {
            if (other.config == run.config) {
                throw CommandError(
                    say("the values {} and {} make the same run; leave one out", shown(other.value), shown(value)));
            }
        }
        run.name = fmt::format("{}: {}", experiment.name, shown(value));
        experiment.runs.push_back(std::move(run));
    }
    return experiment;
}

void ExperimentQueue::take(const history::Session& history) {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, experiment] : history.experiments()) {
        experiments_[number] = experiment;
        for (const history::Experiment::Run& one : experiment->runs) {
            const auto found = history.trainings().find(one.run);
            if (found == history.trainings().end()) {
                continue;
            }
            const RunState state = found->second.value.state;
            const bool by_node = state == RunState::stopped && experiment->unfinished == one.run;
            if (state == RunState::planned) {
                waiting_[one.run] = {};
            } else if (state == RunState::interrupted || !protocol::ended(state) || by_node) {
                waiting_[one.run] = {true, by_node ? experiment->paused : state == RunState::paused};
            }
        }
    }
}

void ExperimentQueue::add(std::shared_ptr<const history::Experiment> experiment) {
    const std::lock_guard lock(mutex_);
    for (const history::Experiment::Run& run : experiment->runs) {
        waiting_[run.run] = {};
    }
    experiments_[experiment->number] = std::move(experiment);
}

std::shared_ptr<const history::Experiment> ExperimentQueue::find(std::uint32_t number) const {
    const std::lock_guard lock(mutex_);
    const auto found = experiments_.find(number);
    return found == experiments_.end() ? nullptr : found->second;
}

std::uint32_t ExperimentQueue::number_of(std::uint32_t run) const {
    const auto [experiments, waiting, cancelled] = all();
    for (const auto& [number, experiment] : experiments) {
        for (const history::Experiment::Run& one : experiment->runs) {
            if (one.run == run) {
                return number;
            }
        }
    }
    return 0;
}

ExperimentQueue::All ExperimentQueue::all() const {
    const std::lock_guard lock(mutex_);
    return {experiments_, waiting_, cancelled_};
}

std::uint32_t ExperimentQueue::next_number() const {
    const std::lock_guard lock(mutex_);
    return experiments_.empty() ? 1 : experiments_.rbegin()->first + 1;
}

std::vector<std::string> ExperimentQueue::names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> list;
    for (const auto& [number, experiment] : experiments_) {
        list.push_back(experiment->name);
    }
    return list;
}

// States are asked without the lock: who knows them has locks of its own.
std::optional<ExperimentQueue::Next> ExperimentQueue::next(const StateOf& state) const {
    const auto [experiments, waiting, cancelled] = all();
    std::optional<Next> first;
    for (const auto& [number, experiment] : experiments) {
        for (const history::Experiment::Run& run : experiment->runs) {
            const auto waits = waiting.find(run.run);
            const auto now = state(run.run);
            if (now == RunState::running || now == RunState::paused) {
                return {};
            }
            if (waits != waiting.end() && !first) {
                first = Next{experiment, run, waits->second.continues, waits->second.paused};
            }
        }
    }
    return first;
}

bool ExperimentQueue::begun(std::uint32_t run) {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, experiment] : experiments_) {
        const auto& runs = experiment->runs;
        if (std::any_of(runs.begin(), runs.end(),
                        [&](const history::Experiment::Run& one) { return one.run == run; })) {
            cancelled_.erase(number);  // a person has one of its runs go on
        }
    }
    return waiting_.erase(run) > 0;
}

std::vector<std::uint32_t> ExperimentQueue::cancel(std::uint32_t number) {
    const std::lock_guard lock(mutex_);
    std::vector<std::uint32_t> given_up;
    const auto found = experiments_.find(number);
    if (found != experiments_.end()) {
        cancelled_.insert(number);
        for (const history::Experiment::Run& run : found->second->runs) {
            if (waiting_.erase(run.run) > 0) {
                given_up.push_back(run.run);
            }
        }
    }
    return given_up;
}

std::vector<ExperimentQueue::Progress> ExperimentQueue::progress(const StateOf& state) const {
    const auto [experiments, waiting, cancelled] = all();
    std::vector<Progress> list;
    for (const auto& [number, experiment] : experiments) {
        Progress one{.experiment = experiment, .stopping = cancelled.contains(number)};
        std::size_t place = 0;
        for (const history::Experiment::Run& run : experiment->runs) {
            const auto now = state(run.run);
            const bool goes_on = now == RunState::running || now == RunState::paused;
            ++place;
            one.running = goes_on ? run.run : one.running;
            one.place = goes_on ? place : one.place;
            one.ended += goes_on || waiting.contains(run.run) ? 0 : 1;
        }
        if (one.ended < experiment->runs.size()) {
            list.push_back(std::move(one));
        }
    }
    return list;
}

TrainingRequest experiment_order(sessions::Session& session, const ExperimentQueue::Next& next,
                                 const history::RunHeader& known) {
    TrainingRequest order;
    if (next.continues) {
        order = order_to_continue(session, known);
        order.paused = next.paused;
    } else {
        order.run = next.run.run;
        order.name = next.run.name;
        order.config = engine::parse_run_config(next.run.config, say("the manifest of run {}", next.run.run));
        order.data = next.experiment->data;
    }
    order.origin["experiment"] = history::place_in_manifest(*next.experiment, next.run);
    order.faults_end_the_run = true;
    return order;
}

json experiment_record(const history::Experiment& experiment) {
    return {{"experiment", experiment.number}, {"definition", history::to_json(experiment)}};
}

json unfinished_record(std::uint32_t experiment, std::uint32_t run, bool paused) {
    return {{"experiment", experiment}, {"unfinished", run}, {"paused", paused}};
}

RunStatus planned_status(const history::Experiment::Run& run) {
    RunStatus status;
    status.run = run.run;
    status.name = run.name;
    status.state = RunState::planned;
    if (const json* steps = base::setting(run.config, "steps"); steps != nullptr && steps->is_number_unsigned()) {
        status.planned_steps = steps->get<std::uint64_t>();
    }
    return status;
}

json not_begun_record(std::uint32_t run, RunState state, const Sentence& why) {
    json record = {{"run", run}, {"state", protocol::run_state_name(state)}, {"step", 0}};
    base::put_sentence(record, "message", why);
    return record;
}

protocol::Task experiment_task(const ExperimentQueue::Progress& progress, const StatusBoard& board) {
    const std::size_t runs = progress.experiment->runs.size();
    protocol::Task task;
    task.id = fmt::format("experiment-{}", progress.experiment->number);
    task.kind = protocol::TaskKind::train;
    task.title = progress.experiment->name;
    task.cancel_command = "task.cancel";
    const bool goes_on = progress.running != 0, stopping = progress.stopping && goes_on;
    // Those that were given up have ended too, but nothing was done of them.
    const std::size_t place = goes_on ? progress.place : std::min(progress.ended + 1, runs);
    task.detail = stopping ? say("stopping run {} of {}", place, runs) : say("run {} of {}", place, runs);
    double done = static_cast<double>(place - 1);
    if (const auto running = board.task(fmt::format("train-{}", progress.running));
        running && running->fraction >= 0 && running->fraction < 1) {
        done += running->fraction;
        if (running->seconds_left >= 0 && !stopping) {  // the others take as long as this one
            const double whole = running->seconds_left / (1 - running->fraction);
            task.seconds_left = running->seconds_left + whole * static_cast<double>(runs - progress.ended - 1);
        }
    }
    task.fraction = done / static_cast<double>(runs);
    return task;
}

}  // namespace moescope::node
