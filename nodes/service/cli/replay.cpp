// moescope-node replay: a recorded training run once more, compared step by step.
#include "nodes/service/cli/replay.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unistd.h>

#include "base/json_fields.hpp"
#include "base/step_values.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// A folder that is gone again at the end.
class ScratchFolder {
 public:
    ScratchFolder() {
        std::string name = (fs::temp_directory_path() / "moescope-replay-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error(fmt::format("cannot make the folder {}; check the disk", name));
        path_ = name;
    }
    ~ScratchFolder() {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    const fs::path& path() const { return path_; }

 private:
    fs::path path_;
};

/// Do all values that are the same in every run of the same settings agree? One that only one of them knows (a session
/// of an older program has fewer) says nothing.
bool same_values(const protocol::StepRecord& a, const protocol::StepRecord& b) {
    return std::all_of(base::kStepValues.begin(), base::kStepValues.end(), [&](const base::StepValue& row) {
        const double one = value_of(a, row), other = value_of(b, row);
        return !row.reproducible || one == other || std::isnan(one) || std::isnan(other);
    });
}

/// The recorded run, and how far the new one has agreed with it.
struct Replay {
    explicit Replay(const std::string& path)
        : session(sessions::Session::open(path, sessions::Journal::Mode::read_only)) {
        const auto known = latest_run(session->journal(), "train");
        if (!known)
            throw CommandError(fmt::format("the session {} has no training run", path));
        run = *known;
        recorded = history::read_steps(session->journal(), run);
        if (recorded.empty())
            throw CommandError(fmt::format("run {} of {} has no steps to compare", run.run, path));
    }

    /// Called for every new step, in order.
    void compare(const protocol::StepRecord& step) {
        const auto found =
            std::lower_bound(recorded.begin(), recorded.end(), step.step,
                             [](const protocol::StepRecord& one, std::uint64_t number) { return one.step < number; });
        if (found == recorded.end() || found->step != step.step || difference)
            return;
        ++compared;
        if (same_values(*found, step) && found->counts == step.counts)
            return;
        difference = step;
        expected = *found;
    }

    std::unique_ptr<sessions::Session> session;
    history::KnownRun run;
    std::vector<protocol::StepRecord> recorded;
    std::uint64_t compared = 0;
    std::optional<protocol::StepRecord> difference;
    protocol::StepRecord expected;
};

TrainingRequest order_to_replay(const Replay& replay, const TrainOptions& options, LocalNode& node) {
    const json& manifest = replay.run.manifest;
    TrainingRequest order;
    order.config = engine::parse_run_config(base::member(manifest, "config"),
                                            fmt::format("the manifest of run {}", replay.run.run));
    order.data = base::text_of(manifest, "data");
    order.changes = history::read_changes(replay.session->journal(), replay.run);
    order.last_step = replay.recorded.back().step;
    order.faults_end_the_run = true;
    if (options.threads)
        order.config.train.threads = *options.threads;
    // A run from other weights, and a fork, keep their beginning as their first checkpoint.
    if (manifest.contains("init") || manifest.contains("fork")) {
        const auto checkpoints = replay.session->checkpoints(replay.run.run, true);
        if (checkpoints.empty() || !checkpoints.front().complete)
            throw CommandError(fmt::format(
                "the first checkpoint of run {} is missing; without it, it cannot be run again", replay.run.run));
        order.checkpoint = checkpoints.front().path;
        order.checkpoint_step = checkpoints.front().step;
    }
    order.run = node.session->new_run("train", order.config.name);
    order.name = fmt::format("replay of {}", replay.run.name);
    return order;
}

void print_replay(const Replay& replay, const TrainingResult& result, bool as_json) {
    if (as_json) {
        json line = {
            {"equal", !replay.difference}, {"steps", replay.compared}, {"parameters_sha256", result.parameters_sha256}};
        if (replay.difference)
            line.update({{"first_difference", replay.difference->step},
                         {"recorded_loss", number_or_null(replay.expected.loss)},
                         {"loss", number_or_null(replay.difference->loss)}});
        print_json(line);
    } else if (replay.difference) {
        fmt::print("first difference at step {}: loss {:.17g} was recorded, now it is {:.17g}\n",
                   replay.difference->step, replay.expected.loss, replay.difference->loss);
    } else {
        fmt::print("equal: {} steps; parameters {}\n", replay.compared, result.parameters_sha256);
    }
}

}  // namespace

int replay_command(const Paths& paths, const TrainOptions& options) {
    HeldSignals signals;
    Replay replay(options.replay);
    const ScratchFolder scratch;
    TrainingResult result;
    {
        LocalNode node(paths, options.out.empty() ? scratch.path() / "session" : fs::path(options.out),
                       [&](protocol::RecordType type, const std::vector<std::byte>& body) {
                           if (type == protocol::RecordType::step)
                               if (const auto step = protocol::decode_step(body))
                                   replay.compare(*step);
                       });
        TrainingJob job(node.parts, order_to_replay(replay, options, node));
        wait_for(job, signals);
        result = job.result();
        finish(node, result);
    }
    print_replay(replay, result, options.json);
    return replay.difference ? 3 : 0;
}

}  // namespace moescope::node
