// A command that is sent again under the same id is carried out once; the second sender gets what the first one got.
#include <gtest/gtest.h>
#include <signal.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/records.hpp"
#include "tests/nodes/service/raw_viewer.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using protocol::Frame;

class Resend : public testing::Test {
 protected:
    Arguments serve() const { return {"serve", "--socket", socket.string(), "--session", session.string()}; }
    json start(int steps, bool paused) const {
        return {{"config", tiny_config(steps, 1000)}, {"data", corpus.string()}, {"paused", paused}};
    }
    std::size_t runs() const {
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
        return history::read_runs(opened->journal()).runs().size();
    }
    static bool ended(const Frame& frame) {
        return frame.type == protocol::kDataTypeBase + static_cast<std::uint16_t>(protocol::RecordType::run_ended);
    }
    static std::chrono::steady_clock::time_point in_half_a_minute() {
        return std::chrono::steady_clock::now() + std::chrono::seconds(30);
    }
    TemporaryFolder folder;
    std::filesystem::path corpus = write_corpus(folder), session = folder / "session", socket = folder / "run" / "s";
    void SetUp() override {
        std::filesystem::create_directory(folder / "run");
        std::filesystem::permissions(folder / "run", std::filesystem::perms::owner_all);
    }
};

TEST_F(Resend, IsDoneOnceOnOneConnectionAndOnTheNext) {
    const Running node(serve());
    json first, failed;
    {
        const Connected connection(socket);
        RawViewer viewer(connection.descriptor(), connection.descriptor());
        viewer.greet();
        // Twice before the first answer: one answer for both. Once more after it: the stored one.
        viewer.request(command_id(1), "train.start", start(1'000'000, true));
        viewer.request(command_id(1), "train.start", start(1'000'000, true));
        first = viewer.answer(command_id(1));
        ASSERT_EQ(first["state"], "done") << first;
        EXPECT_EQ(viewer.ask(command_id(1), "train.start", start(1'000'000, true)), first);
        failed = viewer.ask(command_id(2), "train.continue", first["value"]);
        EXPECT_EQ(failed["state"], "failed");
    }
    const Connected connection(socket);
    RawViewer viewer(connection.descriptor(), connection.descriptor());
    viewer.greet();
    EXPECT_EQ(viewer.ask(command_id(1), "train.start", start(1'000'000, true)), first);
    // Now it could be done; but this id has failed, and who sent it was told so.
    EXPECT_EQ(viewer.ask(command_id(3), "train.stop", first["value"])["state"], "done");
    viewer.subscribe(1);
    viewer.wait("the end", ended);
    EXPECT_EQ(viewer.ask(command_id(2), "train.continue", first["value"]), failed);
    // The end is in the journal a moment before the run lets go.
    const auto until = in_half_a_minute();
    for (unsigned next = 4; viewer.ask(command_id(next), "train.continue", first["value"])["state"] != "done"; ++next) {
        ASSERT_LT(std::chrono::steady_clock::now(), until);
    }
    EXPECT_EQ(runs(), 1u);
}

TEST_F(Resend, OutlivesTheNode) {
    json first;
    {
        const Running node(serve());
        const Connected connection(socket);
        RawViewer viewer(connection.descriptor(), connection.descriptor());
        viewer.greet();
        first = viewer.ask(command_id(1), "train.start", start(1'000'000, true));
        ASSERT_EQ(first["state"], "done") << first;
        node.signal(SIGKILL);
    }
    const Running node(serve());
    const Connected connection(socket);
    RawViewer viewer(connection.descriptor(), connection.descriptor());
    viewer.greet();
    EXPECT_EQ(viewer.ask(command_id(1), "train.start", start(1'000'000, true)), first);
    EXPECT_EQ(runs(), 1u);
}

TEST_F(Resend, AnAnswerThatCanNotBeReadAnyMoreIsNotKnown) {
    sessions::Session::open(session, sessions::Journal::Mode::read_write)
        ->put_finished_command(command_id(1), "no answer of this program");
    const Running node(serve());
    const Connected connection(socket);
    RawViewer viewer(connection.descriptor(), connection.descriptor());
    viewer.greet();
    const json answer = viewer.ask(command_id(1), "train.start", start(1'000'000, true));
    EXPECT_EQ(answer["state"], "unknown") << answer;
    EXPECT_EQ(runs(), 0u);
}

TEST_F(Resend, ANodeKilledInTheMiddleDoesNotKnow) {
    // Steps of some seconds in little memory: a knob waits for the end of the step, unless it comes between two.
    json config = tiny_config(1000, 1000);
    config["train"]["accumulation"] = 1024;
    config["train"]["batch"] = 16;
    const json knob = {{"run", 1}, {"learning_rate", 0.001}};
    unsigned id = 1;
    {
        const Running node(serve());
        const Connected connection(socket);
        RawViewer viewer(connection.descriptor(), connection.descriptor());
        viewer.greet();
        viewer.subscribe(1);
        const json started = viewer.ask(command_id(id), "train.start", {{"config", config}, {"data", corpus.string()}});
        ASSERT_EQ(started["state"], "done") << started;
        viewer.wait("the trainer", [](const Frame& frame) {
            const json body = body_of(frame);
            return frame.channel == 1 && body.is_object() && body.contains("manifest") &&
                   body["manifest"].contains("corpus_sha256");
        });
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
        const auto until = in_half_a_minute();
        const auto unknown = [&] {
            const auto noted = opened->finished_command(command_id(id));
            return noted && json::parse(*noted)["state"] == "unknown";
        };
        // One that is still not carried out after a while waits for the end of a step.
        do {
            viewer.request(command_id(++id), "train.set", knob);
            while (!opened->finished_command(command_id(id)) && std::chrono::steady_clock::now() < until) {
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        } while (!unknown() && std::chrono::steady_clock::now() < until);
        ASSERT_TRUE(unknown());
        node.signal(SIGKILL);
    }
    const Running node(serve());
    const Connected connection(socket);
    RawViewer viewer(connection.descriptor(), connection.descriptor());
    viewer.greet();
    const json answer = viewer.ask(command_id(id), "train.set", knob);
    EXPECT_EQ(answer["state"], "unknown") << answer;
    EXPECT_FALSE(answer.value("error", "").empty());
}

}  // namespace
}  // namespace moescope::test
