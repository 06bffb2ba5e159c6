// Comparisons that are started before the one before them has shown anything.
#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <signal.h>
#include <thread>

#include "nodes/service/jobs/generation_queue.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

TEST(GenerationQueue, AGroupGoesTogetherAndTheNextOneWaits) {
    using Place = node::GenerationQueue::Place;
    node::GenerationQueue turns;
    const std::atomic<bool> go_on{false}, cancelled{true};
    std::optional<Place> first(std::in_place, turns, "a"), other(std::in_place, turns, "b"),
        second(std::in_place, turns, "a"), alone(std::in_place, turns, "");
    EXPECT_TRUE(first->is_next());
    EXPECT_TRUE(second->is_next()) << "the second column of the first comparison";
    EXPECT_FALSE(other->is_next());
    EXPECT_FALSE(alone->is_next());
    EXPECT_FALSE(other->wait(cancelled));
    {
        const Place late(turns, "");
        EXPECT_FALSE(late.is_next()) << "no group is not a group";
    }
    first.reset();
    EXPECT_TRUE(other->is_next());
    EXPECT_TRUE(other->wait(go_on));
    second.reset();  // paths need not end in order
    EXPECT_FALSE(alone->is_next());
    std::thread waiting([&] { EXPECT_TRUE(alone->wait(go_on)); });
    other.reset();
    waiting.join();
}

class Compare : public testing::Test {
 protected:
    static json question(const std::string& model, const std::string& group) {
        return {{"model", model}, {"prompt", "The reader opens a line."}, {"group", group}, {"max_tokens", 12}};
    }
    static std::function<bool(const Snapshot&)> ended(std::uint32_t run) {
        return [run](const Snapshot& s) {
            const auto found = s.generations.find(run);
            return found != s.generations.end() && !found->second->stop.empty();
        };
    }
    static bool waits(const Snapshot& snapshot, std::uint32_t run) {
        for (const auto& task : snapshot.tasks) {
            if (task.run == run && task.kind == protocol::TaskKind::wait) {
                return task.cancel_command == "generate.cancel";
            }
        }
        return false;
    }
    TemporaryFolder folder;
    std::vector<std::string> models = train_tiny_models(folder);
};

/// Starts an answer whose model process is held up before it has said a word; the process.
pid_t start_and_hold(Workbench& bench, const json& question, std::uint32_t& run) {
    for (int attempt = 0; attempt < 20; ++attempt) {
        const pid_t node = bench.client().node_process();
        std::vector<pid_t> before = children_of(node), now;
        const auto command = bench.client().send("generate.start", question);
        do {
            now = children_of(node);
        } while (now.size() <= before.size());
        for (const pid_t process : now) {
            if (std::find(before.begin(), before.end(), process) == before.end()) {
                kill(process, SIGSTOP);
                run = bench.result_of(command).value.value("run", 0u);
                if (!bench.client().snapshot()->generations.contains(run) ||
                    bench.client().snapshot()->generations.at(run)->tokens.empty()) {
                    return process;
                }
                kill(process, SIGCONT);
            }
        }
    }
    ADD_FAILURE() << "the model's process was always too fast";
    return 0;
}

TEST_F(Compare, ASecondOneWaitsAndTheSameOneTwiceIsRefused) {
    Workbench bench(folder / "session");
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    std::uint32_t first = 0;
    const pid_t held = start_and_hold(bench, question(models[0], "a"), first);
    ASSERT_GT(held, 0);
    // Nothing of it has been shown yet. The other column joins it, the same question again does not start.
    const std::uint32_t column = bench.done("generate.start", question(models[1], "a")).value("run", 0u);
    const std::string refused = bench.failed("generate.start", question(models[0], "b"));
    EXPECT_NE(refused.find("run " + std::to_string(first)), std::string::npos) << refused;
    bench.wait("the other column", ended(column));

    // Other comparisons wait, and can be cancelled before it is their turn.
    json other = question(models[0], "c");
    other["prompt"] = "A token returns.";
    const std::uint32_t second = bench.done("generate.start", other).value("run", 0u);
    other["prompt"] = "Every page.";
    other["group"] = "d";
    const std::uint32_t third = bench.done("generate.start", other).value("run", 0u);
    bench.wait("both to wait", [&](const Snapshot& s) { return waits(s, second) && waits(s, third); });
    bench.done("generate.cancel", {{"run", second}});
    auto now = bench.wait("the cancelled one", ended(second));
    EXPECT_EQ(now->generations.at(second)->stop, "cancelled");
    EXPECT_FALSE(now->generations.contains(third)) << "it is not its turn";
    EXPECT_EQ(children_of(bench.client().node_process()).size(), 2u) << "no model is loaded twice";

    kill(held, SIGCONT);
    now = bench.wait("the first", ended(first));
    EXPECT_EQ(now->generations.at(first)->state, RunState::done) << now->generations.at(first)->message;
    now = bench.wait("the third", ended(third));
    EXPECT_EQ(now->generations.at(third)->state, RunState::done) << now->generations.at(third)->message;
    bench.wait("no tasks", [](const Snapshot& s) { return s.tasks.empty(); });
}

}  // namespace
}  // namespace moescope::test
