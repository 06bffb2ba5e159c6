// moescope-node train --replay: a recorded run once more, compared step by step.
#include "nodes/service/cli/replay.hpp"

#include <fmt/format.h>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/scratch_folder.hpp"
#include "base/sentence.hpp"
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
          recorded(RecordedRun::read(*session, options.replay_run, options.replay)) {}

    std::unique_ptr<sessions::Session> session;
    std::shared_ptr<RecordedRun> recorded;
};

/// Or not known to be others.
bool same_parameters(const RecordedRun& recorded, const TrainingResult& result) {
    return recorded.same_parameters(result.parameters_sha256, result.steps).value_or(true);
}

void print_replay(const Replay& replay, const TrainingResult& result, bool as_json) {
    const RecordedRun& recorded = *replay.recorded;
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
    const RecordedRun& recorded = *replay.recorded;
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
                           if (const auto other = other_data(recorded.run().manifest, sha256)) {
                               print_warnings({other->text});
                           }
                       });
        TrainingRequest order = order_to_reproduce(*replay.session, replay.recorded, options.threads, options.device);
        order.faults_end_the_run = true;
        order.run = node.session->new_run(protocol::run_kind_name(protocol::RunKind::train), order.config.name);
        order.name = fmt::format("replay of {}", recorded.run().name);
        replay.recorded->session = fs::absolute(options.replay).lexically_normal().string();
        replay.recorded->add(differences_here(recorded.run().manifest, order.config, node.devices));
        print_differences(recorded.differences());
        node.devices.check(order.config.train.device);
        TrainingJob job(node.parts, std::move(order));
        wait_for(job, signals);
        result = job.result();
        finish(node, result);
    }
    if (result.state == protocol::RunState::stopped && !recorded.difference()) {
        throw Stopped(signals.first(),
                      say("after {} of {} steps, which were equal", recorded.compared(), recorded.run().step.size()));
    }
    print_replay(replay, result, options.json);
    return recorded.difference() || !same_parameters(recorded, result) ? 3 : 0;
}

}  // namespace moescope::node
