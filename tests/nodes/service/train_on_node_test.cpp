// `train --node`: whatever happens to the node, the command ends with a sentence and a status that tell.
#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <signal.h>
#include <thread>

#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

class TrainOnNode : public testing::Test {
 protected:
    std::unique_ptr<Running> serve() {
        fs::create_directories(folder / "run");
        fs::permissions(folder / "run", fs::perms::owner_all);
        auto node = std::make_unique<Running>(Arguments{"serve", "--socket", socket, "--session", session.string()});
        for (int i = 0; i < 3000 && run_node({"status", "--node", address}).status != 0; ++i) {
        }
        return node;
    }
    /// Begun, with some steps done.
    std::unique_ptr<Running> train(int checkpoint_every = 0) {
        const auto config = write_config(folder, tiny_config(1'000'000, checkpoint_every));
        auto command = std::make_unique<Running>(
            Arguments{"train", "--node", address, "--config", config.string(), "--data", corpus.string(), "--json"});
        for (int i = 0; i < 30; ++i) {
            EXPECT_TRUE(command->line());
        }
        return command;
    }
    static void expect_one_sentence(const Output& output, int status, const std::vector<std::string>& parts) {
        EXPECT_EQ(output.status, status) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        for (const std::string& part : parts) {
            EXPECT_TRUE(has(output.error, part)) << part << " is not in: " << output.error;
        }
    }
    TemporaryFolder folder;
    const fs::path session = folder / "session", corpus = write_corpus(folder);
    const std::string socket = (folder / "run" / "s").string(), address = "unix:" + socket;
};

TEST_F(TrainOnNode, ANodeThatIsStartedAnewHasInterruptedTheRun) {
    for (const int every : {0, 10}) {
        auto node = serve();
        auto command = train(every);
        node->signal(SIGKILL);
        (void)node->finish();
        node = serve();
        const Output output = command->finish();
        expect_one_sentence(output, 1, {"was started anew", "interrupted after ", " of 1000000 steps"});
        EXPECT_TRUE(
            has(output.error, every == 0 ? "it has no checkpoint; give the command again" : "its checkpoint at"))
            << output.error;
        const json last = output.lines().back();
        EXPECT_EQ(last["state"], "interrupted");
        EXPECT_EQ(last["done"], false);
    }
}

TEST_F(TrainOnNode, ANodeThatIsToldToEndHasStoppedTheRunAndNotTheCommand) {
    auto node = serve();
    auto command = train();
    node->signal(SIGTERM);
    EXPECT_EQ(node->finish().status, 0);
    const Output output = command->finish();
    expect_one_sentence(output, 1, {"was stopped there after ", "the end of its node; its checkpoint at step "});
    EXPECT_FALSE(has(output.error, "SIGTERM")) << output.error;
}

TEST_F(TrainOnNode, ASignalLeavesTheRunAndSaysHowFarItIsAndWhereItGoesOn) {
    auto node = serve();
    for (const int signal : {SIGINT, SIGTERM}) {
        auto command = train();
        command->signal(signal);
        const Output output = command->finish();
        const std::string run = signal == SIGINT ? "run 1" : "run 2";
        expect_one_sentence(output, 128 + signal,
                            {"stopped by SIG", "after ", " of 1000000 steps; " + run + " goes on at " + address,
                             "moescope-node status", "shows and stops it"});
        const Output status = run_node({"status", "--node", address});
        EXPECT_TRUE(has(status.out, run + " (train): tiny")) << status.out;
    }
}

TEST_F(TrainOnNode, ASessionThatIsMovedAwayEndsTheCommandWithTheReason) {
    auto node = serve();
    auto command = train();
    fs::rename(session, folder / "elsewhere");
    const Output output = command->finish();
    expect_one_sentence(output, 1, {"run 1 waits at " + address, "was removed or moved away", "resumes it"});
    Output status;
    for (int i = 0; i < 50 && !has(status.out, "was removed"); ++i) {  // the node looks once a second
        status = run_node({"status", "--node", address});
    }
    EXPECT_TRUE(has(status.out, "was removed or moved away")) << status.out;
    EXPECT_FALSE(has(status.out, "nothing is running")) << status.out;
    EXPECT_FALSE(fs::exists(session)) << "something was made in its place";
    fs::rename(folder / "elsewhere", session);
}

TEST_F(TrainOnNode, ANodeThatStaysAwayIsNotWaitedForWithoutEnd) {
    auto node = serve();
    const auto config = write_config(folder, tiny_config(1'000'000, 0));
    Running command(
        {"train", "--node", address, "--wait", "1", "--config", config.string(), "--data", corpus.string(), "--json"});
    ASSERT_TRUE(command.line());
    node->signal(SIGKILL);
    (void)node->finish();
    expect_one_sentence(command.finish(), 1, {"has not answered for ", "may go on there", "--wait SECONDS"});
    expect_one_sentence(run_node({"status", "--node", address, "--wait", "0"}), 1, {"no node answers at " + address});
    EXPECT_EQ(run_node({"status", "--node", address, "--wait", "x"}).status, 2);
}

}  // namespace
}  // namespace moescope::test
