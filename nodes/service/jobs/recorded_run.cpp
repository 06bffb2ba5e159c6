#include "nodes/service/jobs/recorded_run.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/step_values.hpp"
#include "nodes/history/event_log.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/history/run_title.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/run_names.hpp"

namespace moescope::node {

using nlohmann::json;

namespace {

/// What a person changed while the run went on, by the step that it acted on first and in order.
std::multimap<std::uint64_t, json> changes_of(const history::TrainingRun& run) {
    std::multimap<std::uint64_t, json> changes;
    for (const history::RunEvent& event : run.events) {
        if (event.kind == "knob") {
            changes.emplace(event.step, json{{"knobs", {{event.name, event.new_value}}}});
        } else if (event.kind == "expert") {
            changes.emplace(
                event.step,
                json{{"expert", {{"layer", event.layer}, {"expert", event.expert}, {"action", event.name}}}});
        }
    }
    return changes;
}

std::uint32_t latest_training(sessions::Session& session, const std::string& place) {
    std::uint32_t latest = 0;
    const history::Session history = history::read_runs(session.journal());
    for (const auto& [id, run] : history.runs()) {
        if (run->kind == protocol::RunKind::train) {
            latest = std::max(latest, id);
        }
    }
    if (latest == 0) {
        throw CommandError(say("the session {} has no training run", place));
    }
    return latest;
}

}  // namespace

std::shared_ptr<RecordedRun> RecordedRun::read(sessions::Session& session, std::uint32_t run,
                                               const std::string& place) {
    const std::uint32_t wanted = run == 0 ? latest_training(session, place) : run;
    const history::Session history = history::read_run(session, wanted);
    const auto found = history.trainings().find(wanted);
    if (found == history.trainings().end()) {
        throw CommandError(say("{} has no training run {}", place, wanted));
    }
    auto recorded = std::make_shared<RecordedRun>();
    recorded->run_ = found->second.value;
    if (recorded->run_.step.empty()) {
        throw CommandError(say("run {} of {} has no steps to compare", wanted, place));
    }
    return recorded;
}

bool RecordedRun::compare(const protocol::StepRecord& step) {
    const history::Column& steps = run_.step;
    while (row_ < steps.size() && steps[row_] < static_cast<double>(step.step)) {
        ++row_;
    }
    if (row_ == steps.size() || steps[row_] != static_cast<double>(step.step) || difference_ ||
        std::isnan(run_[&base::StepValues::loss][row_])) {
        return false;
    }
    ++compared_;
    bool same = true;
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        const double recorded = run_.values[i][row_], now = value_of(step, base::kStepValues[i]);
        same =
            same && (!base::kStepValues[i].reproducible || recorded == now || std::isnan(recorded) || std::isnan(now));
    }
    while (counted_ < run_.counts.size() && run_.counts[counted_]->step < step.step) {
        ++counted_;
    }
    if (!step.counts.empty() && counted_ < run_.counts.size() && run_.counts[counted_]->step == step.step) {
        same = same && run_.counts[counted_]->counts == step.counts;
    }
    if (!same) {
        difference_ = step;
        recorded_loss_ = run_[&base::StepValues::loss][row_];
    }
    return !same;
}

void RecordedRun::compare(const history::TrainingRun& again, std::uint64_t last) {
    std::size_t counted = 0;
    for (std::size_t i = 0; i < again.step.size() && again.step[i] <= static_cast<double>(last); ++i) {
        protocol::StepRecord step;
        step.step = static_cast<std::uint64_t>(again.step[i]);
        for (std::size_t row = 0; row < base::kStepValueCount; ++row) {
            value_of(step, base::kStepValues[row]) = again.values[row][i];
        }
        while (counted < again.counts.size() && again.counts[counted]->step < step.step) {
            ++counted;
        }
        if (counted < again.counts.size() && again.counts[counted]->step == step.step) {
            step.counts = again.counts[counted]->counts;
        }
        compare(step);
    }
}

void RecordedRun::add(std::vector<Difference> differences) {
    for (Difference& one : differences) {
        const bool known = std::any_of(earlier_.begin(), earlier_.end(), [&](const json& entry) {
            return base::text_of(entry, "text") == one.text.english();
        });
        if (!known) {
            differences_.push_back(std::move(one));
        }
    }
}

void RecordedRun::require(const json& origin) {
    const std::uint64_t steps = base::count_of(origin, "steps");
    if (base::text_of(origin, "name") != run_.name || steps == 0 || steps > run_.step.size()) {
        throw CommandError(say("there is another run {} now, {} with {} steps", run_.id, history::quoted(run_.name),
                               run_.step.size()));
    }
    run_.step.truncate(steps);
    run_.parameters_sha256 = base::text_of(origin, "parameters_sha256");
    earlier_ = base::member(origin, "differences");
    if (!earlier_.is_array()) {
        earlier_ = json::array();
    }
}

std::optional<bool> RecordedRun::same_parameters(const std::string& sha256, std::uint64_t steps) const {
    if (sha256.empty() || run_.parameters_sha256.empty() || static_cast<double>(steps) != run_.step.back()) {
        return std::nullopt;
    }
    return sha256 == run_.parameters_sha256;
}

json RecordedRun::origin() const {
    json differences = earlier_;
    for (json& one : to_json(differences_)) {
        differences.push_back(std::move(one));
    }
    return {{"run", run_.id},
            {"name", run_.name},
            {"session", session},
            {"steps", run_.step.size()},
            {"parameters_sha256", run_.parameters_sha256},
            {"differences", std::move(differences)}};
}

json RecordedRun::outcome(const std::string& sha256, std::uint64_t steps) const {
    const std::optional<bool> parameters = same_parameters(sha256, steps);
    json result = {
        {"equal", !difference_ && parameters.value_or(true)},
        {"steps", compared_},
        {"recorded_steps", run_.step.size()},
        {"parameters_equal", parameters ? json(*parameters) : json()},
        {"recorded_parameters_sha256", run_.parameters_sha256.empty() ? json() : json(run_.parameters_sha256)}};
    if (difference_) {
        result.update({{"first_difference", difference_->step},
                       {"recorded_loss", number_or_null(recorded_loss_)},
                       {"loss", number_or_null(difference_->loss)}});
    }
    return result;
}

engine::RunConfig config_to_reproduce(const history::TrainingRun& run, std::optional<int> threads,
                                      const std::optional<std::string>& device) {
    engine::RunConfig config =
        engine::parse_run_config(base::member(run.manifest, "config"), say("the manifest of run {}", run.id));
    if (threads) {
        config.train.threads = *threads;
    }
    if (device) {
        config.train.device = *device;
    }
    return config;
}

TrainingRequest order_to_reproduce(sessions::Session& session, std::shared_ptr<RecordedRun> recorded,
                                   std::optional<int> threads, const std::optional<std::string>& device) {
    const history::TrainingRun& run = recorded->run();
    const json& manifest = run.manifest;
    TrainingRequest order;
    order.config = config_to_reproduce(run, threads, device);
    order.data = base::text_of(manifest, "data");
    order.changes = changes_of(run);
    order.last_step = static_cast<std::uint64_t>(run.step.back());
    if (const base::Sentence why = why_no_processes(); order.config.train.processes > 1 && !why.empty()) {
        go_on_alone(order, why);
    }
    // A run from other weights, and a fork, keep their beginning as their first checkpoint.
    if (manifest.contains("init") || manifest.contains("fork")) {
        const auto checkpoints = session.checkpoints(run.id, true);
        if (checkpoints.empty() || !checkpoints.front().complete) {
            throw CommandError(
                say("the first checkpoint of run {} is missing; without it, it cannot be run again", run.id));
        }
        order.checkpoint = checkpoints.front().path;
        order.checkpoint_step = checkpoints.front().step;
    }
    order.recorded = std::move(recorded);
    return order;
}

void go_on_repeating(sessions::Session& session, const history::RunHeader& run, TrainingRequest& order) {
    const json& origin = base::member(run.manifest, "replay");
    if (!origin.is_object()) {
        return;
    }
    const std::uint32_t id = base::run_of(origin);
    const std::string folder = base::text_of(origin, "session");
    try {
        const std::unique_ptr<sessions::Session> other =
            folder.empty() ? nullptr : sessions::Session::open(folder, sessions::Journal::Mode::read_only);
        sessions::Session& source = other ? *other : session;
        const auto recorded = RecordedRun::read(source, id, source.folder().string());
        recorded->session = folder;
        recorded->require(origin);
        recorded->move_data(order.data);
        if (order.checkpoint.empty()) {
            const TrainingRequest anew = order_to_reproduce(source, recorded, {}, {});
            order.checkpoint = anew.checkpoint;
            order.checkpoint_step = anew.checkpoint_step;
        } else {
            const history::Session history = history::read_run(session, run.id);
            recorded->compare(history.trainings().at(run.id).value, order.checkpoint_step);
        }
        order.changes = changes_of(recorded->run());
        order.last_step = static_cast<std::uint64_t>(recorded->run().step.back());
        order.recorded = recorded;
    } catch (const base::Error& error) {
        throw CommandError(
            say("run {} repeats run {} of {}, and can't go on without it: {}; bring it back, or fork run "
                "{} from its checkpoint, which is compared with nothing",
                title_of(run), id, folder.empty() ? session.folder().string() : folder, error.sentence(), run.id));
    }
}

std::vector<Difference> all_differences(const history::TrainingRun& run, const engine::RunConfig& config,
                                        kernels::Devices& devices, const std::filesystem::path& cache,
                                        const std::function<void()>& check) {
    const json& manifest = run.manifest;
    std::vector<Difference> differences = differences_here(manifest, config, devices);
    if (auto unsure = unsure_sources(manifest)) {
        differences.push_back(std::move(*unsure));
    }
    const bool has_data = std::none_of(differences.begin(), differences.end(),
                                       [](const Difference& one) { return std::string_view(one.what) == "data"; });
    if (has_data) {
        const std::string hash = hash_of_data(base::text_of(manifest, "data"), config.model.vocabulary, cache, check);
        if (auto other = other_data(manifest, hash)) {
            differences.push_back(std::move(*other));
        }
    }
    return differences;
}

}  // namespace moescope::node
