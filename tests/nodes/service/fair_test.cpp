// One viewer that asks for much keeps nobody else waiting, neither another viewer nor the end of the node.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <signal.h>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "nodes/service/commands/fair_lane.hpp"
#include "tests/nodes/service/raw_viewer.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using protocol::FrameType;

TEST(FairLane, TakesTurnsAndGivesUpWhatWaits) {
    std::vector<std::string> done;  // of the lane's thread
    node::FairLane lane;
    std::promise<void> begun, go_on;
    lane.post(7, {[&] {
                      begun.set_value();
                      go_on.get_future().wait();
                  },
                  [] {}});
    begun.get_future().wait();
    for (const auto& [who, count] : {std::pair{1, 4}, {2, 1}, {9, 2}}) {
        for (int i = 0; i < count; ++i) {
            const std::string name = std::to_string(who) + "." + std::to_string(i);
            lane.post(static_cast<std::uint64_t>(who),
                      {[&done, name] { done.push_back(name); }, [&done, name] { done.push_back("not " + name); }});
        }
    }
    std::promise<void> last;
    lane.post(1, {[&] { last.set_value(); }, [] {}});
    go_on.set_value();
    last.get_future().wait();
    EXPECT_EQ(done, (std::vector<std::string>{"9.0", "1.0", "2.0", "9.1", "1.1", "1.2", "1.3"}));

    done.clear();
    std::promise<void> in_work, end;
    lane.post(1, {[&] {
                      in_work.set_value();
                      end.get_future().wait();
                      done.emplace_back("in work");
                  },
                  [] {}});
    in_work.get_future().wait();
    lane.post(1, {[&] { done.emplace_back("late"); }, [&] { done.emplace_back("given up"); }});
    lane.close();
    bool refused = false;
    lane.post(2, {[] {}, [&] { refused = true; }});
    EXPECT_TRUE(refused) << "at once";
    end.set_value();
    lane.finish();
    EXPECT_EQ(done, (std::vector<std::string>{"in work", "given up"}));
}

TEST(FairLane, WhatIsDroppedIsNeitherDoneNorGivenUp) {
    std::vector<std::string> done;
    node::FairLane lane;
    std::promise<void> begun, go_on;
    lane.post(1, {[&] {
                      begun.set_value();
                      go_on.get_future().wait();
                  },
                  [] {}, "first"});
    begun.get_future().wait();
    for (const char* name : {"a", "b", "c"}) {
        lane.post(name[0] == 'b' ? 2 : 1, {[&done, name] { done.emplace_back(name); }, [] {}, name});
    }
    lane.post(3, {[&done] { done.emplace_back("nameless"); }, [] {}});
    EXPECT_TRUE(lane.drop("b"));
    EXPECT_FALSE(lane.drop("b")) << "twice";
    EXPECT_TRUE(lane.drop("a"));
    EXPECT_FALSE(lane.drop("first")) << "its turn has come";
    EXPECT_FALSE(lane.drop(""));
    std::promise<void> last;
    lane.post(1, {[&] { last.set_value(); }, [] {}});
    go_on.set_value();
    last.get_future().wait();
    lane.finish();
    std::sort(done.begin(), done.end());
    EXPECT_EQ(done, (std::vector<std::string>{"c", "nameless"}));
}

/// A file that takes about a tenth of a second to look at, and an answer that is short.
std::filesystem::path slow_file(const TemporaryFolder& folder) {
    std::string header = "{";
    for (int i = 0; i < 40'000; ++i) {
        header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) + R"(":{"dtype":"F32","shape":[1],"data_offsets":[)" +
                  std::to_string(4 * i) + "," + std::to_string(4 * i + 4) + "]}";
    }
    header += "}";
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[i] = static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    const auto path = folder / "slow.safetensors";
    write_text(path, bytes + header + std::string(4 * 40'000, '\0'));
    return path;
}

class Fair : public testing::Test {
 protected:
    static constexpr unsigned kAsked = 3000;
    /// So many of these answers say that the command was done.
    static std::size_t done_in(const std::vector<protocol::Frame>& frames) {
        return static_cast<std::size_t>(std::count_if(frames.begin(), frames.end(), [](const protocol::Frame& frame) {
            return frame.type == static_cast<std::uint16_t>(FrameType::response) &&
                   body_of(frame).value("state", "") == "done";
        }));
    }
    TemporaryFolder folder;
    std::filesystem::path socket = folder / "run" / "node.sock";
    Running node{{"serve", "--socket", socket.string(), "--session", (folder / "session").string()}};
    json file = {{"path", slow_file(folder).string()}};
};

TEST_F(Fair, AnotherViewerIsAnsweredInItsTurnAndTheNodeEndsAtOnce) {
    const Connected many(socket), one(socket);
    RawViewer greedy(many.descriptor(), many.descriptor()), other(one.descriptor(), one.descriptor());
    greedy.greet();
    other.greet();
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(other.ask(command_id(9999), "models.inspect", file)["value"]["safe"], true);
    const auto single = std::chrono::steady_clock::now() - before;
    for (unsigned i = 0; i < kAsked; ++i) {
        greedy.request(command_id(i), "models.inspect", file);
    }
    other.ask(command_id(10'000), "models.inspect", file);
    other.ask(command_id(10'001), "models.inspect", file);
    // What had come for the greedy one until now comes before this.
    greedy.send(FrameType::ping, std::vector<std::byte>(8));
    greedy.wait("PONG",
                [](const protocol::Frame& frame) { return frame.type == static_cast<std::uint16_t>(FrameType::pong); });
    // Of the 64 that a viewer may have waiting: those that came first, and one before each of the two.
    EXPECT_LT(done_in(greedy.take_now()), 32u);
    const auto end = std::chrono::steady_clock::now();
    node.signal(SIGTERM);
    EXPECT_EQ(node.finish().status, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - end, 10 * single + std::chrono::seconds(3));
    const auto rest = greedy.take_now();
    EXPECT_LT(done_in(rest), 32u) << "what waits is not done first";
    EXPECT_TRUE(std::any_of(rest.begin(), rest.end(), [](const protocol::Frame& frame) {
        return body_of(frame).value("error", "").find("it was not carried out") != std::string::npos;
    })) << "nor forgotten without a word";
}

/// Seconds of processor time that the node has used.
double used_by(pid_t process) {
    const std::string stat = read_text("/proc/" + std::to_string(process) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 1));
    std::string word;
    for (int i = 0; i < 11; ++i) {
        fields >> word;
    }
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

TEST_F(Fair, WhatAViewerAskedThatHasGoneIsNotLookedUp) {
    constexpr unsigned kWaiting = 60;
    const Connected one(socket);
    RawViewer other(one.descriptor(), one.descriptor());
    other.greet();
    const double before = used_by(node.process());
    ASSERT_EQ(other.ask(command_id(9999), "models.inspect", file)["state"], "done");
    const double single = used_by(node.process()) - before;
    {
        const Connected many(socket);
        RawViewer leaver(many.descriptor(), many.descriptor());
        leaver.greet();
        for (unsigned i = 0; i < kWaiting; ++i) {
            leaver.request(command_id(i), "models.inspect", file);
        }
        leaver.answer(command_id(0));  // all have been read
    }
    // Behind what was begun, and after the node has seen that the viewer is gone.
    const double left = used_by(node.process());
    for (unsigned i = 0; i < 3; ++i) {
        ASSERT_EQ(other.ask(command_id(100 + i), "models.inspect", file)["state"], "done");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double settled = used_by(node.process());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    EXPECT_LT(used_by(node.process()) - settled, 0.2) << "it still works for nobody";
    EXPECT_LT(settled - left, (kWaiting / 2) * std::max(single, 0.02));
}

TEST_F(Fair, ExportsOfAViewerThatHasGoneAreNotWrittenAndAnothersComesInItsTurn) {
    constexpr unsigned kWaiting = 30;
    Workbench bench(client::ClientOptions{node_program(), folder / "session", {}, socket});
    const auto run = bench.done("train.start", {{"config", tiny_config(2, 2)}, {"data", write_corpus(folder).string()}})
                         .value("run", 0u);
    bench.wait("the end of the training", in_state(run, RunState::done));
    const auto path = [&](const std::string& name) { return folder / ("model-" + name); };
    const auto order = [&](const std::string& name) {
        return json{
            {"model", "checkpoint:" + std::to_string(run)}, {"path", path(name).string()}, {"format", "huggingface"}};
    };
    {
        const Connected many(socket);
        RawViewer leaver(many.descriptor(), many.descriptor());
        leaver.greet();
        for (unsigned i = 0; i < kWaiting; ++i) {
            leaver.request(command_id(i), "models.export", order(std::to_string(i)));
        }
        ASSERT_EQ(leaver.answer(command_id(0))["state"], "done");  // all have been read
    }
    bench.done("models.export", order("mine"));
    bench.wait("no export goes on", [](const Snapshot& s) { return s.tasks.empty(); });
    unsigned written = 0;
    for (unsigned i = 0; i < kWaiting; ++i) {
        written += std::filesystem::exists(path(std::to_string(i))) ? 1U : 0U;
    }
    EXPECT_LT(written, kWaiting / 2);
}

}  // namespace
}  // namespace moescope::test
