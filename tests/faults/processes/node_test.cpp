// kill -9 of the node while it trains, and of a training on the command line: what was shown is there, and the run goes
// on as if nothing had been.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <iostream>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "nodes/history/journal_reader.hpp"
#include "tests/faults/options.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::faults {
namespace {

using client::Link;
using history::RunState;
using nlohmann::json;
using test::Arguments;
using test::Snapshot;
using test::Workbench;

/// Everything that the workbench was shown of the run stands in the session, in order; checkpoints are whole.
void expect_kept(const std::filesystem::path& folder, const history::TrainingRun& shown) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    EXPECT_EQ(session->journal().lost(), 0u);
    for (const auto& problem : session->problems()) {
        EXPECT_NE(problem.english().find("incomplete or damaged"), std::string::npos) << problem;
    }
    const auto history = history::read_run(*session, 1);
    const auto& run = history.trainings().at(1).value;
    ASSERT_GE(run.step.size(), shown.step.size()) << "steps that were shown are not there";
    for (std::size_t i = 0; i < run.step.size(); ++i) {
        ASSERT_EQ(run.step[i], static_cast<double>(i + 1));
    }
    for (std::size_t i = 0; i < shown.step.size(); ++i) {
        ASSERT_EQ(run[&base::StepValues::loss][i], shown[&base::StepValues::loss][i]);
    }
    EXPECT_GE(run.last_checkpoint, shown.last_checkpoint);
    std::uint64_t newest = 0;
    for (const auto& checkpoint : session->checkpoints(1, true)) {
        EXPECT_TRUE(checkpoint.complete) << checkpoint.problem;
        newest = std::max(newest, checkpoint.step);
    }
    EXPECT_GE(newest, run.last_checkpoint) << "a checkpoint was told and is not there";
}

TEST(Kill, ANodeThatTrainsLosesNothingThatItHasShown) {
    const test::TemporaryFolder folder;
    const auto corpus = test::write_corpus(folder), session = folder / "session";
    std::mt19937_64 random(seed());
    const std::uint64_t count =
        std::max<std::uint64_t>(count_or(200) / 10, 1);  // a tenth of the kills are of whole nodes
    Workbench bench(session);
    bench.done("train.start", {{"config", test::tiny_config(1'000'000, 20)}, {"data", corpus.string()}});
    bench.wait("a checkpoint", [](const Snapshot& now) {  // from which it can go on
        const auto* run = test::training(now, 1);
        return run != nullptr && run->last_checkpoint > 0;
    });
    std::uint64_t steps = 0;
    for (std::uint64_t cycle = 0; cycle < count; ++cycle) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 200'000));
        const pid_t process = bench.client().node_process();
        ASSERT_GT(process, 0);
        ::kill(process, SIGKILL);
        const auto now = bench.wait("the end", [](const Snapshot& s) { return s.link.state == Link::State::crashed; });
        ASSERT_NO_FATAL_FAILURE(expect_kept(session, *test::training(*now, 1))) << "kill " << cycle;
        steps = test::training(*now, 1)->step.size();
        bench.client().restart_node();
        bench.wait("the node", [](const Snapshot& s) { return s.link.state == Link::State::connected; });
        bench.done("train.continue", {{"run", 1}});
        bench.wait("it to go on", [](const Snapshot& s) { return test::training(s, 1)->state == RunState::running; });
    }
    std::cout << count << " times, " << steps << " steps kept\n";
}

/// The parameters after an unbroken run, and after one that was killed five times.
TEST(Kill, ATrainingThatWasKilledFiveTimesEndsWithTheSameBytes) {
    const test::TemporaryFolder folder;
    const auto corpus = test::write_corpus(folder);
    constexpr int kSteps = 400, kKills = 5;
    const auto config = test::write_config(folder, test::tiny_config(kSteps, 10));
    const auto arguments = [&](const std::string& session) {
        return Arguments{
            "train", "--config", config.string(), "--data", corpus.string(), "--out", (folder / session).string(),
            "--json"};
    };
    const auto end_of = [](const test::Output& output) {
        EXPECT_EQ(output.status, 0) << output.error;
        const auto lines = output.lines();
        return lines.empty() ? json() : lines.back();
    };
    const json whole = end_of(test::run_node(arguments("whole")));
    ASSERT_TRUE(whole.value("done", false)) << whole;

    std::mt19937_64 random(seed());
    int killed = 0;
    std::string at;
    std::uint64_t last = 0;
    Arguments again = arguments("killed");
    for (int kill = 1; kill <= kKills; ++kill) {
        test::Running training(again);
        // Later each time, so that it comes further than before.
        const std::uint64_t goal = static_cast<std::uint64_t>(kill - 1) * kSteps / (kKills + 1) + 11 + random() % 50;
        bool there = false;
        while (const auto line = training.line()) {
            const json step = json::parse(*line, nullptr, false);
            if (step.is_object() && step.value("step", std::uint64_t{0}) >= goal) {
                last = step.value("step", std::uint64_t{0});
                there = true;
                break;
            }
        }
        ASSERT_TRUE(there) << "it ended before step " << goal << ": " << training.finish().error;
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
        training.signal(SIGKILL);
        killed += training.finish().status == 128 + SIGKILL ? 1 : 0;
        at += (at.empty() ? "" : ", ") + std::to_string(last);
        again = arguments("killed");
        again.push_back("--resume");
    }
    EXPECT_EQ(killed, kKills);
    const json broken = end_of(test::run_node(again));
    std::cout << "killed at step " << at << "; " << broken.value("parameters_sha256", "") << "\n";
    ASSERT_TRUE(broken.value("done", false)) << broken;
    EXPECT_EQ(broken["parameters_sha256"], whole["parameters_sha256"]);
    EXPECT_FALSE(whole["parameters_sha256"].is_null());
}

/// The window is killed, with the node that it has started: the session opens at once and has everything.
TEST(Kill, AWorkbenchLeavesASessionThatOpens) {
    const auto window = test::node_program().parent_path() / "moescope";
    if (!std::filesystem::exists(window)) {
        GTEST_SKIP() << "the window is not built here";
    }
    std::mt19937_64 random(seed());
    constexpr int kTimes = 3;  // it takes a second to start
    for (int time = 0; time < kTimes; ++time) {
        const test::TemporaryFolder folder;
        const auto session = folder / "session";
        const std::string home = folder.path().string();
        const pid_t process = ::fork();
        if (process == 0) {
            ::setenv("XDG_CONFIG_HOME", (home + "/config").c_str(), 1);
            ::setenv("HOME", home.c_str(), 1);
            ::execl(window.c_str(), window.c_str(), "--headless", session.c_str(), nullptr);
            ::_exit(126);
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!std::filesystem::exists(session / "session.db") && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        EXPECT_TRUE(std::filesystem::exists(session / "session.db"));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 500'000));
        ::kill(process, SIGKILL);
        int status = 0;
        ::waitpid(process, &status, 0);
        EXPECT_TRUE(WIFSIGNALED(status));
        std::unique_ptr<sessions::Session> opened;
        std::string why;
        while (!opened && std::chrono::steady_clock::now() < deadline) {
            try {
                opened = sessions::Session::open(session, sessions::Journal::Mode::read_write);
            } catch (const sessions::OpenError& error) {
                why = error.what();
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            }
        }
        ASSERT_TRUE(opened) << why;
        EXPECT_TRUE(opened->problems().empty()) << opened->problems().front();
    }
}

}  // namespace
}  // namespace moescope::faults
