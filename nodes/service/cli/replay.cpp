// moescope-node train --replay: a recorded run once more, compared step by step.
#include "nodes/service/cli/replay.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <string_view>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/scratch_folder.hpp"
#include "base/sentence.hpp"
#include "base/step_values.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/reproduction.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The recorded run, and how far the new one has agreed with it.
struct Replay {
    explicit Replay(const TrainOptions& options)
        : session(sessions::Session::open(options.replay, sessions::Journal::Mode::read_only)) {
        std::uint32_t wanted = options.replay_run;
        if (wanted == 0) {
            const auto known = latest_run(session->journal(), protocol::RunKind::train);
            if (!known) {
                throw CommandError(say("the session {} has no training run", options.replay));
            }
            wanted = known->id;
        }
        history = history::read_run(*session, wanted);
        if (!history.trainings().contains(wanted)) {
            throw CommandError(say("{} has no training run {}", options.replay, wanted));
        }
        if (run().step.empty()) {
            throw CommandError(say("run {} of {} has no steps to compare", wanted, options.replay));
        }
    }
    const history::TrainingRun& run() const { return history.trainings().begin()->second.value; }

    /// Called for every new step, in order. All values that are the same in every run of the same settings are
    /// compared, and the counts; what only one of them knows (a session of an older program has fewer) says nothing.
    void compare(const protocol::StepRecord& step) {
        const history::Column& steps = run().step;
        while (row < steps.size() && steps[row] < static_cast<double>(step.step)) {
            ++row;
        }
        if (row == steps.size() || steps[row] != static_cast<double>(step.step) || difference ||
            std::isnan(run()[&base::StepValues::loss][row])) {
            return;
        }
        ++compared;
        bool same = true;
        for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
            const double recorded = run().values[i][row], now = value_of(step, base::kStepValues[i]);
            same = same &&
                   (!base::kStepValues[i].reproducible || recorded == now || std::isnan(recorded) || std::isnan(now));
        }
        while (counted < run().counts.size() && run().counts[counted]->step < step.step) {
            ++counted;
        }
        if (counted < run().counts.size() && run().counts[counted]->step == step.step) {
            same = same && run().counts[counted]->counts == step.counts;
        }
        if (!same) {
            difference = step;
            recorded_loss = run()[&base::StepValues::loss][row];
        }
    }

    /// Called when the new run tells what its data are, before its first step.
    void compare_data(const json& record) {
        const std::string sha256 = base::text_of(base::member(record, "manifest"), "corpus_sha256");
        if (const auto other = other_data(run().manifest, sha256)) {
            print_warnings({other->text});
            differences.push_back(*other);
        }
    }

    std::unique_ptr<sessions::Session> session;
    history::Session history;
    std::vector<Difference> differences;  ///< what is other here
    std::size_t row = 0, counted = 0;     ///< how far the recorded columns and counts have been compared
    std::uint64_t compared = 0;
    std::optional<protocol::StepRecord> difference;
    double recorded_loss = 0;
};

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

/// What the run is computed with here.
engine::RunConfig config_to_replay(const history::TrainingRun& run, const TrainOptions& options) {
    engine::RunConfig config =
        engine::parse_run_config(base::member(run.manifest, "config"), say("the manifest of run {}", run.id));
    if (options.threads) {
        config.train.threads = *options.threads;
    }
    if (options.device) {
        config.train.device = *options.device;
    }
    return config;
}

TrainingRequest order_to_replay(const Replay& replay, const TrainOptions& options, LocalNode& node) {
    const history::TrainingRun& run = replay.run();
    const json& manifest = run.manifest;
    TrainingRequest order;
    order.config = config_to_replay(run, options);
    order.data = base::text_of(manifest, "data");
    order.changes = changes_of(run);
    order.last_step = static_cast<std::uint64_t>(run.step.back());
    order.faults_end_the_run = true;
    if (const base::Sentence why = why_no_processes(); order.config.train.processes > 1 && !why.empty()) {
        go_on_alone(order, why);
    }
    // A run from other weights, and a fork, keep their beginning as their first checkpoint.
    if (manifest.contains("init") || manifest.contains("fork")) {
        const auto checkpoints = replay.session->checkpoints(run.id, true);
        if (checkpoints.empty() || !checkpoints.front().complete) {
            throw CommandError(
                say("the first checkpoint of run {} is missing; without it, it cannot be run again", run.id));
        }
        order.checkpoint = checkpoints.front().path;
        order.checkpoint_step = checkpoints.front().step;
    }
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.config.name);
    order.name = fmt::format("replay of {}", run.name);
    return order;
}

void print_replay(const Replay& replay, const TrainingResult& result, bool as_json) {
    if (as_json) {
        json line = {{"equal", !replay.difference},
                     {"steps", replay.compared},
                     {"parameters_sha256", result.parameters_sha256},
                     {"lost_records", replay.session->journal().lost()},
                     {"differences", to_json(replay.differences)}};
        if (replay.difference) {
            line.update({{"first_difference", replay.difference->step},
                         {"recorded_loss", number_or_null(replay.recorded_loss)},
                         {"loss", number_or_null(replay.difference->loss)}});
        }
        print_json(line);
    } else if (replay.difference) {
        fmt::print("first difference at step {}: loss {:.17g} was recorded, now it is {:.17g}\n",
                   replay.difference->step, replay.recorded_loss, replay.difference->loss);
    } else {
        fmt::print("equal: {} steps; parameters {}\n", replay.compared, result.parameters_sha256);
    }
}

void print_differences(const std::vector<Difference>& differences) {
    std::vector<base::Sentence> texts;
    for (const Difference& one : differences) {
        texts.push_back(say("other here than where the run was recorded: {}", one.text));
    }
    print_warnings(texts);
}

}  // namespace

int check_replay_command(const Paths& paths, const TrainOptions& options) {
    const Replay replay(options);
    print_warnings(replay.session->problems());
    HeldSignals signals;
    kernels::Devices devices(device_places(paths));
    const json& manifest = replay.run().manifest;
    const engine::RunConfig config = config_to_replay(replay.run(), options);
    std::vector<Difference> differences = differences_here(manifest, config, devices);
    if (auto unsure = unsure_sources(manifest)) {
        differences.push_back(std::move(*unsure));
    }
    const bool has_data = std::none_of(differences.begin(), differences.end(),
                                       [](const Difference& one) { return std::string_view(one.what) == "data"; });
    if (has_data) {
        const std::string hash = hash_of_data(base::text_of(manifest, "data"), config.model.vocabulary, paths.cache,
                                              [&] { signals.stop_if_taken(); });
        if (auto other = other_data(manifest, hash)) {
            differences.push_back(std::move(*other));
        }
    }
    if (options.json) {
        print_json({{"run", replay.run().id},
                    {"steps", replay.run().step.size()},
                    {"same", differences.empty()},
                    {"differences", to_json(differences)}});
    } else {
        fmt::print("{}\n", differences.empty() ? "nothing is other here than where the run was recorded"
                                               : "other here than where the run was recorded:");
        for (const Difference& one : differences) {
            fmt::print("- {}\n", base::one_line(one.text.english()));
        }
    }
    return differences.empty() ? 0 : 3;
}

int replay_command(const Paths& paths, const TrainOptions& options) {
    Replay replay(options);
    print_warnings(replay.session->problems());
    HeldSignals signals;
    const base::ScratchFolder scratch;
    TrainingResult result;
    {
        LocalNode node(paths, options.out.empty() ? scratch.path() / "session" : fs::path(options.out),
                       [&](protocol::RecordType type, const std::vector<std::byte>& body) {
                           if (type == protocol::RecordType::step) {
                               if (const auto step = protocol::decode_step(body)) {
                                   replay.compare(*step);
                               }
                           } else if (type == protocol::RecordType::run_started) {
                               if (const auto record = protocol::decode_json(body)) {
                                   replay.compare_data(*record);
                               }
                           }
                       });
        TrainingRequest order = order_to_replay(replay, options, node);
        replay.differences = differences_here(replay.run().manifest, order.config, node.devices);
        print_differences(replay.differences);
        node.devices.check(order.config.train.device);
        TrainingJob job(node.parts, std::move(order));
        wait_for(job, signals);
        result = job.result();
        finish(node, result);
    }
    if (result.state == protocol::RunState::stopped && !replay.difference) {
        throw Stopped(signals.first(),
                      say("after {} of {} steps, which were equal", replay.compared, replay.run().step.size()));
    }
    print_replay(replay, result, options.json);
    return replay.difference ? 3 : 0;
}

}  // namespace moescope::node
