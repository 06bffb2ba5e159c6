// SIGINT, SIGTERM, SIGHUP and a pipe that nobody reads: a command that they end before it is done says so, keeps what
// it can, and its status tells.
#include <algorithm>
#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <signal.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "nodes/service/cli/console.hpp"
#include "sessions/outputs.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

bool holds_sigterm(const fs::path& status_file) {
    std::istringstream status(read_text(status_file));
    for (std::string word; status >> word;) {
        std::string mask;
        if (word == "SigBlk:" && status >> mask) {
            return ((std::stoull(mask, nullptr, 16) >> (SIGTERM - 1)) & 1) != 0;
        }
    }
    return false;
}

/// Waits until the program holds SIGTERM back, which it does when its work begins. Asked of all its threads: the one
/// that waits for signals does not hold them back while it waits.
void wait_for_work(pid_t process) {
    for (int i = 0; i < 15000; ++i) {
        std::error_code gone;
        for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
            if (holds_sigterm(thread.path() / "status")) {
                return;
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "it never began";
}

class Signals : public testing::Test {
 protected:
    Arguments train(int steps, const std::string& out) {
        const auto config = write_config(folder, tiny_config(steps, 0));
        return {"train", "--config", config.string(), "--data", corpus.string(), "--out", (folder / out).string()};
    }
    /// One line on standard error that begins so.
    static void expect_stopped(const Output& output, int signal, const std::string& how_far) {
        EXPECT_EQ(output.status, 128 + signal) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        const std::string name = signal == SIGINT ? "SIGINT" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
        EXPECT_TRUE(has(output.error, "moescope-node: stopped by " + name + " " + how_far)) << output.error;
    }
    TemporaryFolder folder;
    fs::path corpus = write_corpus(folder);
};

TEST_F(Signals, TrainingSaysAtWhichStepItStoppedAndWhatIsSaved) {
    ::signal(SIGHUP, SIG_DFL);  // whoever runs the tests may have it ignored
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        const std::string out = "session-" + std::to_string(signal);
        Running running(train(1'000'000, out));
        while (const auto line = running.line()) {
            if (line->starts_with("step     20 ")) {
                break;
            }
        }
        running.signal(signal);
        const Output output = running.finish();
        expect_stopped(output, signal, "at step ");
        EXPECT_TRUE(has(output.error, " of 1000000; the checkpoint ")) << output.error;
        EXPECT_TRUE(has(output.error, out + "/checkpoints/run-1/step-0")) << output.error;
        EXPECT_TRUE(has(output.error, "--resume goes on from there")) << output.error;
        EXPECT_TRUE(has(output.out, "stopped after ")) << output.out;
        EXPECT_EQ(
            std::distance(fs::directory_iterator(folder / out / "checkpoints" / "run-1"), fs::directory_iterator()), 1);
    }
}

TEST_F(Signals, TrainingEndsWhenNobodyReadsItsLines) {
    Arguments arguments = train(1'000'000, "session");
    arguments.emplace_back("--json");
    Running running(arguments);
    ASSERT_TRUE(running.line());
    running.close_output();
    const Output output = running.finish();
    EXPECT_EQ(output.status, 128 + SIGPIPE) << output.error;
    EXPECT_TRUE(has(output.error, "stopped, as nobody reads its output any more, at step ")) << output.error;
    EXPECT_EQ(
        std::distance(fs::directory_iterator(folder / "session" / "checkpoints" / "run-1"), fs::directory_iterator()),
        1);
}

/// As under nohup.
TEST_F(Signals, AHangUpThatIsIgnoredStaysSo) {
    const pid_t child = fork();
    if (child == 0) {
        ::signal(SIGHUP, SIG_IGN);
        node::HeldSignals signals;
        raise(SIGHUP);
        _exit(signals.taken(50) ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Signals, AProbeKeepsItsAnswersAndGoesOn) {
    const auto models = train_tiny_models(folder);
    Arguments probe{
        "probe",        "--set", "starter", "--models", models[0] + "," + models[1], "--out", (folder / "p").string(),
        "--max-tokens", "4",     "--json"};
    Running running(probe);
    for (int line = 0; line < 10; ++line) {
        ASSERT_TRUE(running.line());
    }
    running.signal(SIGINT);
    const Output output = running.finish();
    expect_stopped(output, SIGINT, "after ");
    const json last = output.lines().back();
    EXPECT_EQ(last["state"], "stopped");
    EXPECT_TRUE(has(output.error, "after " + last["answers"].dump() + " answers, which are kept; --resume goes on"))
        << output.error;
    probe.emplace_back("--resume");
    const Output rest = run_node(probe);
    ASSERT_EQ(rest.status, 0) << rest.error;
    EXPECT_EQ(rest.lines().back()["answers"], 128);
}

TEST_F(Signals, AnAnswerAndAReplayThatAreCutAreNotPassedOffAsWhole) {
    json config = tiny_config(1, 0);
    config["model"]["context"] = 2048;
    const std::string model = (folder / "model").string();
    ASSERT_EQ(run_node({"train", "--config", write_config(folder, config).string(), "--data", corpus.string(), "--out",
                        model})
                  .status,
              0);
    Running answering({"generate", "--model", model, "--prompt", "The ", "--max-tokens", "2000", "--count", "300",
                       "--temperature", "1"});
    wait_for_work(answering.process());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    answering.signal(SIGTERM);
    expect_stopped(answering.finish(), SIGTERM, "before ");

    // A second of steps, and the same second again.
    Running first(train(1'000'000, "session"));
    while (const auto line = first.line()) {
        if (line->starts_with("step    500 ")) {
            break;
        }
    }
    first.signal(SIGTERM);
    ASSERT_EQ(first.finish().status, 128 + SIGTERM);
    Running replay({"train", "--replay", (folder / "session").string(), "--json"});
    wait_for_work(replay.process());
    replay.signal(SIGTERM);
    const Output output = replay.finish();
    expect_stopped(output, SIGTERM, "after ");
    EXPECT_EQ(output.out, "") << "nothing is equal that was not compared";
}

/// For work that can't be stopped in the middle: the program does not wait for it, and leaves nothing half written.
TEST_F(Signals, WhatKnowsOfNoStopIsLeftAndItsFileTakenAway) {
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
        int status = 1;
        try {
            node::HeldSignals signals;
            sessions::OutputFile file(folder / "model.gguf", sessions::Existing::refuse);
            sessions::OutputFolder layout(folder / "model", sessions::Existing::refuse, {});
            node::run_or_leave(signals, [to = ready[1], file = file.temporary(), layout = layout.temporary()] {
                fs::create_directory(layout);
                write_text(layout / "config.json", "{");
                write_text(file, "half");
                (void)!::write(to, "x", 1);
                std::this_thread::sleep_for(std::chrono::minutes(1));
            });
        } catch (const node::Stopped& stopped) {
            status = stopped.status();
        } catch (...) {
        }
        _exit(status);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    const auto start = Clock::now();
    kill(child, SIGTERM);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        EXPECT_EQ(entry.path().filename(), "corpus") << "it left something";
    }
    close(ready[0]);
    close(ready[1]);
}

/// Whoever presses Ctrl-C again does not want to wait for a checkpoint; the journal can take it. timeout(1) sends its
/// signal twice and means one.
TEST_F(Signals, ALaterOneEndsAtOnce) {
    const pid_t child = fork();
    if (child == 0) {
        node::HeldSignals signals;
        raise(SIGINT);
        if (!signals.taken_once(1000)) {
            _exit(1);
        }
        raise(SIGTERM);
        if (!signals.taken_once(1000) || signals.first() != SIGINT) {
            _exit(2);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));
        raise(SIGTERM);
        (void)signals.taken_once(1000);
        _exit(3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_F(Signals, ANodeThatIsToldToEndEndsWell) {
    Running node({"serve", "--socket", (folder / "run" / "s").string(), "--session", (folder / "session").string()});
    wait_for_work(node.process());
    while (!fs::exists(folder / "run" / "s")) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    node.signal(SIGTERM);
    const Output output = node.finish();
    EXPECT_EQ(output.status, 0) << output.error;
    EXPECT_EQ(output.error, "");
}

}  // namespace
}  // namespace moescope::test
