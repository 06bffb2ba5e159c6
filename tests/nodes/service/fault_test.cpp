// What goes wrong in the middle of a run: a loss that is no number, a disk that takes nothing more. The run pauses and
// says why, and nothing that was good is lost.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/sha256.hpp"
#include "nodes/history/journal_reader.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

std::vector<std::uint64_t> complete_checkpoints(const std::filesystem::path& session) {
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    std::vector<std::uint64_t> steps;
    for (const auto& checkpoint : opened->checkpoints(1, true)) {
        if (checkpoint.complete) {
            steps.push_back(checkpoint.step);
        }
    }
    return steps;
}

/// Every step of the run, once and in order.
void expect_whole(const std::filesystem::path& session, std::uint64_t least) {
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    EXPECT_TRUE(opened->problems().empty()) << opened->problems().front();
    const auto history = history::read_run(*opened, 1);
    const history::Column& steps = history.trainings().at(1).value.step;
    EXPECT_GE(steps.size(), least);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        ASSERT_EQ(steps[i], static_cast<double>(i + 1));
    }
}

/// Multiplies all parameters of a checkpoint, as a run that explodes does; its hashes fit.
void spoil(const std::filesystem::path& checkpoint, float factor) {
    const auto file = checkpoint / "model.safetensors";
    std::string bytes = read_text(file);
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    float value = 0;
    for (std::size_t at = 8 + header; at + sizeof(value) <= bytes.size(); at += sizeof(value)) {
        std::memcpy(&value, bytes.data() + at, sizeof(value));
        value *= factor;
        std::memcpy(bytes.data() + at, &value, sizeof(value));
    }
    write_text(file, bytes);
    json done = json::parse(read_text(checkpoint / "DONE"));
    for (auto& entry : done["files"]) {
        if (entry["name"] == "model.safetensors") {
            entry["sha256"] = base::sha256_of_file(file);
        }
    }
    write_text(checkpoint / "DONE", done.dump());
}

class Fault : public testing::Test {
 protected:
    std::uint32_t start(Workbench& bench, const json& config, bool paused = false) const {
        return bench.done("train.start", {{"config", config}, {"data", corpus.string()}, {"paused", paused}})
            .value("run", 0u);
    }
    std::shared_ptr<const Snapshot> wait_for_steps(Workbench& bench, std::size_t steps) const {
        return bench.wait("steps", [&](const Snapshot& s) {
            const auto* run = training(s, 1);
            return run != nullptr && run->step.size() >= steps;
        });
    }
    /// Waits for a pause with a reason, and gives the reason.
    std::string wait_for_reason(Workbench& bench) const {
        const auto now = bench.wait("a pause that says why", [](const Snapshot& s) {
            const auto* run = training(s, 1);
            return run != nullptr && run->state == RunState::paused && !run->message.empty();
        });
        return training(*now, 1)->message.english();
    }
    TemporaryFolder folder;
    std::filesystem::path corpus = write_corpus(folder), session = folder / "session";
};

struct Explosion {
    float factor;
    const char* says;
};

class Exploding : public Fault, public testing::WithParamInterface<Explosion> {};
INSTANTIATE_TEST_SUITE_P(Fault, Exploding,
                         testing::Values(Explosion{std::numeric_limits<float>::quiet_NaN(),
                                                   ": layer 0: the input first had values that are not finite"},
                                         Explosion{3e3f, ": the gradient norm exploded to"}),
                         [](const auto& test) { return std::isnan(test.param.factor) ? "NaN" : "Norm"; });

TEST_P(Exploding, PausesSaysWhichStepAndKeepsTheLastCheckpoint) {
    {
        Workbench bench(session);
        ASSERT_EQ(start(bench, tiny_config(1'000'000, 50)), 1u);
        wait_for_steps(bench, 60);
        bench.done("train.stop", {{"run", 1}});
        bench.wait("stopped", in_state(1, RunState::stopped));
    }
    const auto before = complete_checkpoints(session);
    ASSERT_GE(before.size(), 2u);
    const std::uint64_t last = before.back();
    {
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
        spoil(opened->checkpoint_path(1, last), GetParam().factor);
    }
    Workbench bench(session);
    bench.done("train.continue", {{"run", 1}});
    const std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("step " + std::to_string(last + 1) + GetParam().says), std::string::npos) << reason;
    EXPECT_NE(reason.find("checkpoint at step " + std::to_string(last)), std::string::npos) << reason;
    bench.wait("the mark", [](const Snapshot& s) { return has_event(*training(s, 1), "fault"); });
    // What it holds now is worth nothing, and must not push a checkpoint out.
    const std::string refused = bench.failed("train.checkpoint", {{"run", 1}});
    EXPECT_NE(refused.find("step " + std::to_string(last + 1)), std::string::npos) << refused;
    bench.done("train.resume", {{"run", 1}});
    bench.wait("the next fault", [&](const Snapshot& s) {
        return training(s, 1)->state == RunState::paused &&
               training(s, 1)->message.english().find("step " + std::to_string(last + 2)) != std::string::npos;
    });
    bench.done("train.stop", {{"run", 1}});
    bench.wait("stopped", in_state(1, RunState::stopped));
    EXPECT_EQ(complete_checkpoints(session), before);
}

/// No file may grow beyond this any more: writes fail as on a full disk.
void limit_files(pid_t process, rlim_t bytes) {
    rlimit limit{};
    ASSERT_EQ(prlimit(process, RLIMIT_FSIZE, nullptr, &limit), 0);
    limit.rlim_cur = std::min(bytes, limit.rlim_max);
    ASSERT_EQ(prlimit(process, RLIMIT_FSIZE, &limit, nullptr), 0);
}

TEST_F(Fault, ADiskThatTakesNothingMorePausesARunAndNothingIsLost) {
    Workbench bench(session);
    ASSERT_EQ(start(bench, tiny_config(1'000'000, 1000)), 1u);
    wait_for_steps(bench, 50);
    limit_files(bench.client().node_process(), 0);
    const std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("make room on the disk"), std::string::npos) << reason;
    EXPECT_NE(reason.find(session.filename().string()), std::string::npos) << reason;
    bench.wait("the node to say it",
               [](const Snapshot& s) { return s.node.state.english().find("make room") != std::string::npos; });
    limit_files(bench.client().node_process(), RLIM_INFINITY);
    auto now = bench.wait("the journal to follow", [](const Snapshot& s) { return s.node.state.english() == "up"; });
    bench.wait("the mark", [](const Snapshot& s) { return has_event(*training(s, 1), "fault"); });
    const std::size_t steps = training(*now, 1)->step.size();
    bench.done("train.resume", {{"run", 1}});
    wait_for_steps(bench, steps + 100);
    bench.done("train.stop", {{"run", 1}});
    bench.wait("stopped", in_state(1, RunState::stopped));
    expect_whole(session, steps + 100);
    EXPECT_FALSE(complete_checkpoints(session).empty());
}

/// What could not be noted under its id would be done twice when it is sent again after the node died.
TEST_F(Fault, ACommandThatCannotBeKeptIsNotCarriedOut) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    const json change = {{"kind", "knock_out"}, {"layer", 0}, {"expert", 1}};
    const json order = {{"name", "quiet"}, {"items", {change}}};
    limit_files(bench.client().node_process(), 0);
    EXPECT_NE(bench.failed("interventions.save", order).find("was not carried out"), std::string::npos);
    limit_files(bench.client().node_process(), RLIM_INFINITY);
    bench.wait("room", [](const Snapshot& s) { return s.node.state.english() == "up"; });
    EXPECT_NE(bench.failed("interventions.remove", {{"name", "quiet"}}).find("no set of changes 'quiet'"),
              std::string::npos)
        << "it was saved all the same";
    bench.done("interventions.save", order);
    kill(bench.client().node_process(), SIGKILL);  // what is done is kept
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    const auto history = history::read_session(opened->journal(), {.channels = {protocol::Channel::events}});
    EXPECT_TRUE(history.intervention_sets().contains("quiet"));
}

/// A model whose checkpoints are larger than the journal of some hundred steps.
json large_checkpoints(int steps, int checkpoint_every) {
    json config = tiny_config(steps, checkpoint_every);
    config["model"].update({{"width", 64}, {"expert_width", 64}});
    return config;
}
constexpr rlim_t kTooSmallForACheckpoint = rlim_t{256} << 10;

TEST_F(Fault, ACheckpointThatDoesNotFitPausesAndTheLastOneIsSavedAfterAll) {
    Workbench bench(session);
    ASSERT_EQ(start(bench, large_checkpoints(60, 40), true), 1u);  // so that the limit comes before step 40
    limit_files(bench.client().node_process(), kTooSmallForACheckpoint);
    bench.done("train.resume", {{"run", 1}});
    std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("checkpoint at step 40"), std::string::npos) << reason;
    EXPECT_NE(reason.find("make room on the disk"), std::string::npos) << reason;
    bench.done("train.resume", {{"run", 1}});
    bench.wait("the end of the steps", [](const Snapshot& s) {
        return training(s, 1)->state == RunState::paused &&
               training(s, 1)->message.english().find("step 60") != std::string::npos;
    });
    limit_files(bench.client().node_process(), RLIM_INFINITY);
    bench.done("train.resume", {{"run", 1}});
    bench.wait("the end", in_state(1, RunState::done));
    EXPECT_EQ(complete_checkpoints(session), std::vector<std::uint64_t>{60});
    expect_whole(session, 60);
}

TEST_F(Fault, OnTheCommandLineItIsOneSentenceAndTheRunCanGoOn) {
    const auto config = write_config(folder, large_checkpoints(60, 40));
    const Arguments arguments{"train",         "--config", config.string(),  "--data",
                              corpus.string(), "--out",    session.string(), "--json"};
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit_files(0, kTooSmallForACheckpoint);
    const Output output = run_node(arguments);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(output.status, 1);
    EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    EXPECT_NE(output.error.find("make room on the disk"), std::string::npos) << output.error;
    Arguments again = arguments;
    again.push_back("--resume");
    const Output resumed = run_node(again);
    EXPECT_EQ(resumed.status, 0) << resumed.error;
    expect_whole(session, 60);
}

/// A file system of a few megabytes; gone with the object.
class TinyDisk {
 public:
    explicit TinyDisk(std::filesystem::path at) : at_(std::move(at)) {
        std::filesystem::create_directory(at_);
        mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=3m,mode=0700") == 0;
    }
    ~TinyDisk() {
        if (mounted_) {
            ::umount2(at_.c_str(), MNT_DETACH);
        }
    }
    TinyDisk(const TinyDisk&) = delete;
    TinyDisk& operator=(const TinyDisk&) = delete;
    bool mounted() const { return mounted_; }
    /// So that so many bytes are left.
    void fill(std::uintmax_t left = 0) const {
        std::ofstream file(at_ / "filler", std::ios::binary);
        const std::string chunk(4096, 'x');
        while ((left == 0 || std::filesystem::space(at_).available > left) &&
               file.write(chunk.data(), static_cast<std::streamsize>(chunk.size())).flush()) {
        }
    }
    void make_room() const { std::filesystem::remove(at_ / "filler"); }

 private:
    std::filesystem::path at_;
    bool mounted_ = false;
};

TEST_F(Fault, AFullFileSystemPausesARunAndNothingIsLost) {
    const TinyDisk disk(folder / "disk");
    if (!disk.mounted()) {
        GTEST_SKIP() << "a small file system cannot be mounted here (that needs root's rights)";
    }
    session = folder / "disk" / "session";
    Workbench bench(client::ClientOptions{node_program(), session, {"--disk-reserve", "0"}, {}});
    ASSERT_EQ(start(bench, tiny_config(1'000'000, 1'000'000)), 1u);
    wait_for_steps(bench, 20);
    disk.fill();
    const std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("No space left"), std::string::npos) << reason;
    bench.wait("the node to say it",
               [](const Snapshot& s) { return s.node.state.english().find("No space left") != std::string::npos; });
    disk.make_room();
    auto now = bench.wait("the journal to follow", [](const Snapshot& s) { return s.node.state.english() == "up"; });
    const std::size_t steps = training(*now, 1)->step.size();
    bench.done("train.resume", {{"run", 1}});
    wait_for_steps(bench, steps + 20);
    bench.done("train.stop", {{"run", 1}});
    bench.wait("stopped", in_state(1, RunState::stopped));
    expect_whole(session, steps + 20);
}

/// Bytes in the middle of its file of weights become others.
void damage(const std::filesystem::path& checkpoint) {
    std::string bytes = read_text(checkpoint / "model.safetensors");
    bytes.replace(bytes.size() / 2, 7, "damaged");
    write_text(checkpoint / "model.safetensors", bytes);
}

TEST_F(Fault, DamagedCheckpointsAreToldAndNeverBeginARunAnew) {
    {
        Workbench bench(session);
        ASSERT_EQ(start(bench, tiny_config(1'000'000, 10)), 1u);
        wait_for_steps(bench, 35);
        bench.done("train.stop", {{"run", 1}});
        bench.wait("stopped", in_state(1, RunState::stopped));
    }
    const std::vector<std::uint64_t> before = complete_checkpoints(session);
    ASSERT_GE(before.size(), 2u);
    const auto folder_of = [&](std::uint64_t step) {
        return session / "checkpoints" / "run-1" / fmt::format("step-{:08}", step);
    };
    damage(folder_of(before.back()));
    {
        Workbench bench(session);
        bench.done("train.continue", {{"run", 1}});
        const std::string said = fmt::format(
            "the checkpoints at step {} were damaged or not whole and are left out: the "
            "run goes on from step {}",
            before.back(), before[before.size() - 2]);
        bench.wait("the log to say so", [&](const Snapshot& now) {
            for (std::size_t line = 0; line < now.log.size(); ++line) {
                if (now.log[line].text.english() == said) {
                    return true;
                }
            }
            return false;
        });
        bench.done("train.stop", {{"run", 1}});
        bench.wait("stopped", in_state(1, RunState::stopped));
    }
    const std::vector<std::uint64_t> left = complete_checkpoints(session);
    for (const std::uint64_t step : left) {
        damage(folder_of(step));
    }
    Workbench bench(session);
    EXPECT_NE(bench.failed("train.continue", {{"run", 1}}).find("has no checkpoint that is whole"), std::string::npos);
    for (const std::uint64_t step : left) {
        EXPECT_TRUE(std::filesystem::exists(folder_of(step))) << "somebody may want to look at it";
    }
}

/// The reserve is used for one checkpoint, and nothing is written once it is gone.
TEST_F(Fault, BeforeADiskIsFullARunIsPausedWithACheckpoint) {
    const TinyDisk disk(folder / "disk");
    if (!disk.mounted()) {
        GTEST_SKIP() << "a small file system cannot be mounted here (that needs root's rights)";
    }
    session = folder / "disk" / "session";
    Workbench bench(session);
    ASSERT_EQ(start(bench, tiny_config(1'000'000, 1'000'000)), 1u);
    wait_for_steps(bench, 20);
    disk.fill(std::uintmax_t{500} << 10);
    const std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("almost full"), std::string::npos) << reason;
    EXPECT_NE(reason.find("make room on the disk"), std::string::npos) << reason;
    EXPECT_NE(reason.find(session.string()), std::string::npos) << reason;
    bench.wait("the node to say it",
               [](const Snapshot& s) { return s.node.state.english().find("almost full") != std::string::npos; });
    auto now = bench.wait("the mark", [](const Snapshot& s) { return has_event(*training(s, 1), "fault"); });
    const auto steps = static_cast<std::uint64_t>(training(*now, 1)->step.back());
    EXPECT_NE(reason.find("last checkpoint is at step " + std::to_string(steps)), std::string::npos) << reason;
    EXPECT_NE(bench.failed("train.resume", {{"run", 1}}).find("almost full"), std::string::npos);
    EXPECT_NE(
        bench.failed("train.start", {{"config", tiny_config(5, 5)}, {"data", corpus.string()}}).find("almost full"),
        std::string::npos);
    disk.make_room();
    bench.done("train.resume", {{"run", 1}});
    wait_for_steps(bench, steps + 20);
    bench.done("train.stop", {{"run", 1}});
    bench.wait("stopped", in_state(1, RunState::stopped));
    EXPECT_EQ(complete_checkpoints(session).front(), steps);
    expect_whole(session, steps + 20);
}

TEST_F(Fault, AReserveThatThereIsNoRoomForStopsARunAndItsContinuing) {
    Workbench bench(session);
    ASSERT_EQ(start(bench, tiny_config(1'000'000, 1'000'000)), 1u);
    wait_for_steps(bench, 20);
    const std::uint64_t reserve = std::uint64_t{1} << 60;
    bench.done("node.disk", {{"reserve", reserve}});
    const std::string reason = wait_for_reason(bench);
    EXPECT_NE(reason.find("(" + std::to_string(reserve) + " bytes) are kept"), std::string::npos) << reason;
    EXPECT_NE(bench.failed("train.resume", {{"run", 1}}).find(std::to_string(reserve)), std::string::npos);
    bench.done("train.stop", {{"run", 1}});  // which may use the reserve
    bench.wait("stopped", in_state(1, RunState::stopped));
    EXPECT_FALSE(complete_checkpoints(session).empty());
    EXPECT_NE(bench.failed("train.continue", {{"run", 1}}).find(std::to_string(reserve)), std::string::npos);
    bench.done("node.disk", {{"reserve", -1}});
    bench.done("train.continue", {{"run", 1}});
    bench.wait("running", in_state(1, RunState::running));
    bench.done("train.stop", {{"run", 1}});
    bench.wait("stopped", in_state(1, RunState::stopped));
}

TEST_F(Fault, OnTheCommandLineTheReserveEndsARunWithOneSentence) {
    const auto config = write_config(folder, tiny_config(20, 5));
    const Arguments arguments{"train",         "--config", config.string(),  "--data",
                              corpus.string(), "--out",    session.string(), "--json"};
    Arguments reserved = arguments;
    reserved.insert(reserved.end(), {"--disk-reserve", "1000000000000000000"});
    const Output output = run_node(reserved);
    EXPECT_EQ(output.status, 1);
    EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    EXPECT_NE(output.error.find("almost full"), std::string::npos) << output.error;
    Arguments again = arguments;
    again.push_back("--resume");
    EXPECT_EQ(run_node(again).status, 0);
    expect_whole(session, 20);
}

TEST_F(Fault, AnExportOntoAFullDiskNamesItsFileAndTheCause) {
    const TinyDisk disk(folder / "disk");
    if (!disk.mounted()) {
        GTEST_SKIP() << "a small file system cannot be mounted here (that needs root's rights)";
    }
    Workbench bench(session);
    ASSERT_EQ(start(bench, large_checkpoints(2, 2)), 1u);
    bench.wait("the end", in_state(1, RunState::done));
    disk.fill();
    const std::string out = (folder / "disk" / "m.gguf").string();
    const std::string why =
        bench.failed("models.export", {{"model", "checkpoint:1"}, {"path", out}, {"format", "gguf"}});
    EXPECT_NE(why.find(out + " can't be written: No space left on device"), std::string::npos) << why;
    EXPECT_EQ(why.find(".tmp-"), std::string::npos) << why;
}

}  // namespace
}  // namespace moescope::test
