// moescope-node train --replay: a recorded run once more, compared step by step.
#include "nodes/service/cli/replay.hpp"

#include <fmt/format.h>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/scratch_folder.hpp"
#include "base/sentence.hpp"
#include "engine/text/dataset_check.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/jobs/recorded_run.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The recorded run, and the session that has it.
struct Replay {
    explicit Replay(const TrainOptions& options)
        : session(sessions::Session::open(options.replay, sessions::Journal::Mode::read_only)),
          recorded(RecordedRun::read(*session, options.replay_run, options.replay)) {
        if (!options.replay_data.empty()) {
            recorded->move_data(engine::whole_path_of_data(options.replay_data));
        }
    }

    std::unique_ptr<sessions::Session> session;
    std::shared_ptr<RecordedRun> recorded;
};

/// Or not known to be others.
bool same_parameters(const RecordedRun& recorded, const TrainingResult& result) {
    return recorded.same_parameters(result.parameters_sha256, result.steps).value_or(true);
}

void print_replay(const Replay& replay, const RecordedRun& recorded, const TrainingResult& result, bool as_json) {
    const auto& difference = recorded.difference();
    if (as_json) {
        json line = recorded.outcome(result.parameters_sha256, result.steps);
        line.update({{"parameters_sha256", result.parameters_sha256},
                     {"lost_records", replay.session->journal().lost()},
                     {"differences", to_json(recorded.differences())}});
        print_json(line);
    } else if (difference) {
        fmt::print("first difference at step {}: loss {:.17g} was recorded, now it is {:.17g}\n", difference->step,
                   recorded.recorded_loss(), difference->loss);
    } else if (!same_parameters(recorded, result)) {
        fmt::print("equal: {} steps; but the parameters are other ones: {} was recorded, now it is {}\n",
                   recorded.compared(), recorded.run().parameters_sha256, result.parameters_sha256);
    } else {
        fmt::print("equal: {} steps; parameters {}\n", recorded.compared(), result.parameters_sha256);
    }
}

void print_differences(const std::vector<Difference>& differences) {
    std::vector<base::Sentence> texts;
    for (const Difference& one : differences) {
        texts.push_back(say("other here than where the run was recorded: {}", one.text));
    }
    print_warnings(texts);
}

/// The run of --resume: the latest one of --out, which must repeat this one.
history::RunHeader repeating_run(const Replay& replay, const LocalNode& node, const TrainOptions& options) {
    const auto known = latest_run(node.session->journal(), protocol::RunKind::train);
    const json origin = known ? base::member(known->manifest, "replay") : json();
    const std::string session = fs::absolute(options.replay).lexically_normal().string();
    if (!origin.is_object() || base::run_of(origin) != replay.recorded->run().id ||
        base::text_of(origin, "session") != session) {
        throw CommandError(say("the latest run in {} does not repeat run {} of {}; leave out --resume to begin anew",
                               options.out, replay.recorded->run().id, session));
    }
    return *known;
}

/// As far as it came before, when nothing is left of it to do.
TrainingResult result_before(const LocalNode& node, const history::RunHeader& known, RecordedRun& recorded) {
    const history::Session history = history::read_run(*node.session, known.id);
    const history::TrainingRun& run = history.trainings().at(known.id).value;
    TrainingResult result;
    result.state = run.state;
    result.steps = run.step.empty() ? 0 : static_cast<std::uint64_t>(run.step.back());
    result.parameters_sha256 = run.parameters_sha256;
    recorded.compare(run, result.steps);
    return result;
}

/// Says what is other here, and makes the order for what it is.
void make_ready(const Replay& replay, TrainingRequest& order, LocalNode& node, const TrainOptions& options) {
    order.faults_end_the_run = true;
    order.recorded->session = fs::absolute(options.replay).lexically_normal().string();
    order.recorded->add(differences_here(replay.recorded->run().manifest, order.config, node.devices));
    print_differences(order.recorded->differences());
    node.devices.check(order.config.train.device);
}

TrainingRequest order_anew(const Replay& replay, LocalNode& node, const TrainOptions& options) {
    TrainingRequest order = order_to_reproduce(*replay.session, replay.recorded, options.threads, options.device);
    order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.config.name);
    order.name = fmt::format("replay of {}", replay.recorded->run().name);
    return order;
}

/// With as many threads as before and where it was, unless the options say otherwise.
TrainingRequest order_going_on(const history::RunHeader& known, LocalNode& node, const TrainOptions& options,
                               HeldSignals& signals) {
    TrainingRequest order = order_to_continue(*node.session, known, [&] { signals.stop_if_taken(); });
    if (!order.damaged.empty()) {
        print_warnings({damaged_text(order)});
    }
    if (options.threads) {
        order.config.train.threads = *options.threads;
    }
    move_to_device(order, options.device.value_or(order.config.train.device));
    return order;
}

}  // namespace

int check_replay_command(const Paths& paths, const TrainOptions& options) {
    const Replay replay(options);
    print_warnings(replay.session->problems());
    HeldSignals signals;
    kernels::Devices devices(device_places(paths));
    const history::TrainingRun& run = replay.recorded->run();
    const std::vector<Difference> differences =
        all_differences(run, config_to_reproduce(run, options.threads, options.device), devices, paths.cache,
                        [&] { signals.stop_if_taken(); });
    if (options.json) {
        print_json({{"run", run.id},
                    {"steps", run.step.size()},
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
    const Replay replay(options);
    auto recorded = replay.recorded;
    print_warnings(replay.session->problems());
    HeldSignals signals;
    const base::ScratchFolder scratch;
    TrainingResult result;
    {
        // What the data are is told before the first step.
        LocalNode node(paths, options.out.empty() ? scratch.path() / "session" : fs::path(options.out),
                       [&](protocol::RecordType type, const std::vector<std::byte>& body) {
                           if (type != protocol::RecordType::run_started) {
                               return;
                           }
                           const auto record = protocol::decode_json(body).value_or(json());
                           const std::string sha256 = base::text_of(base::member(record, "manifest"), "corpus_sha256");
                           if (const auto other = other_data(replay.recorded->run().manifest, sha256)) {
                               print_warnings({other->text});
                           }
                       });
        std::optional<history::RunHeader> known;
        if (options.resume) {
            known = repeating_run(replay, node, options);
        }
        if (known && known->state == protocol::RunState::done) {
            recorded->require(base::member(known->manifest, "replay"));
            result = result_before(node, *known, *recorded);
        } else {
            TrainingRequest order =
                known ? order_going_on(*known, node, options, signals) : order_anew(replay, node, options);
            make_ready(replay, order, node, options);
            recorded = order.recorded;
            TrainingJob job(node.parts, std::move(order));
            wait_for(job, signals);
            result = job.result();
            finish(node, result);
        }
    }
    if (result.state == protocol::RunState::stopped && !recorded->difference()) {
        throw Stopped(signals.first(), options.out.empty()
                                           ? say("after {} of {} steps, which were equal", recorded->compared(),
                                                 recorded->run().step.size())
                                           : say("after {} of {} steps, which were equal; --resume goes on",
                                                 recorded->compared(), recorded->run().step.size()));
    }
    print_replay(replay, *recorded, result, options.json);
    return recorded->difference() || !same_parameters(*recorded, result) ? 3 : 0;
}

}  // namespace moescope::node
