// `moescope-node serve --stdio`, as ssh starts it: the protocol over the pipes of a real process.
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/records.hpp"
#include "tests/nodes/service/raw_viewer.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using protocol::Frame;
using protocol::FrameType;
using protocol::RecordType;

bool is_record(const Frame& frame, RecordType type) {
    return frame.type == protocol::kDataTypeBase + static_cast<std::uint16_t>(type);
}

TEST(Stdio, GreetsSendsRecordsAndAnswers) {
    const TemporaryFolder folder;
    const auto corpus = write_corpus(folder);
    {
        PipedNode node(folder / "session");
        RawViewer viewer(node.in(), node.out());
        const auto hello = viewer.greet();
        EXPECT_EQ(hello.role, protocol::Role::node);
        EXPECT_EQ(hello.build, MOESCOPE_VERSION);
        EXPECT_EQ(hello.epoch, 1u);
        viewer.subscribe(static_cast<std::uint8_t>(protocol::Channel::events));
        viewer.subscribe(static_cast<std::uint8_t>(protocol::Channel::metrics));
        const json catalogue = viewer.ask(command_id(1), "catalogue", json::object());
        EXPECT_EQ(catalogue["state"], "done");
        EXPECT_FALSE(catalogue["value"]["presets"].empty());
        const json failed = viewer.ask(command_id(2), "train.pause", {{"run", 7}});
        EXPECT_EQ(failed["state"], "failed");
        EXPECT_NE(failed["error"].get<std::string>().find("7"), std::string::npos);

        const json started =
            viewer.ask(command_id(3), "train.start", {{"config", tiny_config(20, 10)}, {"data", corpus.string()}});
        ASSERT_EQ(started["state"], "done") << started;
        const auto first =
            viewer.wait("the start", [](const Frame& f) { return is_record(f, RecordType::run_started); });
        EXPECT_EQ(body_of(first)["run"], started["value"]["run"]);
        const auto last_step = viewer.wait("step 20", [](const Frame& frame) {
            const auto step = is_record(frame, RecordType::step) ? protocol::decode_step(frame.body) : std::nullopt;
            return step && step->step == 20;
        });
        EXPECT_EQ(last_step.epoch, 1u);
        const auto end = viewer.wait("the end", [](const Frame& f) { return is_record(f, RecordType::run_ended); });
        EXPECT_EQ(body_of(end)["state"], "done");
        viewer.send(FrameType::ping, std::vector<std::byte>(8, std::byte{5}));
        const auto pong = viewer.wait(
            "PONG", [](const Frame& frame) { return frame.type == static_cast<std::uint16_t>(FrameType::pong); });
        EXPECT_EQ(pong.body, std::vector<std::byte>(8, std::byte{5}));
        const auto state = viewer.wait("the node's gauges", [](const Frame& frame) {
            return frame.type == static_cast<std::uint16_t>(FrameType::state) && body_of(frame).contains("node");
        });
        EXPECT_EQ(body_of(state)["node"]["address"], "stdio");
        // ssh ended: so does the node.
        node.close_input();
        EXPECT_TRUE(viewer.ended());
        EXPECT_EQ(node.wait(), 0);
    }
    const auto session = sessions::Session::open(folder / "session", sessions::Journal::Mode::read_only);
    EXPECT_TRUE(session->problems().empty());
    const auto history = history::read_runs(session->journal());
    EXPECT_EQ(history.runs().at(1)->state, protocol::RunState::done);
}

TEST(Stdio, AViewerThatNeverGreetsLeavesNoNodeBehind) {
    const TemporaryFolder folder;
    PipedNode node(folder / "session");
    RawViewer viewer(node.in(), node.out());
    node.close_input();
    EXPECT_TRUE(viewer.ended());
    EXPECT_EQ(node.wait(), 0);
}

TEST(Stdio, AStrangerIsRefusedInASentence) {
    const TemporaryFolder folder;
    PipedNode node(folder / "session");
    RawViewer viewer(node.in(), node.out());
    viewer.send(FrameType::hello, protocol::bytes_of("GET / HTTP/1.1"));
    const auto refuse = viewer.wait(
        "REFUSE", [](const Frame& frame) { return frame.type == static_cast<std::uint16_t>(FrameType::refuse); });
    const auto why = protocol::decode_refuse(refuse.body);
    ASSERT_TRUE(why);
    EXPECT_NE(why->text.find("Moescope"), std::string::npos) << why->text;
    EXPECT_TRUE(viewer.ended());
    EXPECT_EQ(node.wait(), 0);
}

}  // namespace
}  // namespace moescope::test
