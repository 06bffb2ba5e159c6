// Runs of a session that lies in another folder.
#include "nodes/history/other_session.hpp"

#include <gtest/gtest.h>

#include "sessions/session.hpp"
#include "tests/files.hpp"

namespace moescope::history {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;

class Other : public testing::Test {
 protected:
    void put(sessions::Session& session, RecordType type, const std::vector<std::byte>& body) const {
        session.journal().append(static_cast<std::uint16_t>(type),
                                 static_cast<std::uint8_t>(protocol::channel_of(type)), 1, body);
    }
    /// A run of so many steps that did not come to its end.
    fs::path write(const std::string& name, int runs, int steps) const {
        const fs::path path = folder / name;
        const auto session = sessions::Session::open(path, sessions::Journal::Mode::read_write);
        for (int run = 1; run <= runs; ++run) {
            put(*session, RecordType::run_started,
                protocol::encode_json({{"run", run}, {"kind", "train"}, {"name", name}, {"manifest", json::object()}}));
            for (int i = 1; i <= steps; ++i) {
                protocol::StepRecord step;
                step.run = static_cast<std::uint32_t>(run);
                step.step = static_cast<std::uint64_t>(i);
                step.cross_entropy = 5.0 / i;
                step.layers = 1;
                step.experts = 2;
                step.counts = {3, 1, static_cast<std::uint32_t>(i), 0};
                put(*session, RecordType::step, protocol::encode_step(step));
            }
        }
        session->journal().sync();
        return path;
    }
    test::TemporaryFolder folder;
};

TEST_F(Other, ItsRunsAreReadWithTheirLoads) {
    const fs::path path = write("one", 2, 30);
    const OtherSession read = read_other_session(path);
    EXPECT_TRUE(read.problem.empty()) << read.problem;
    EXPECT_EQ(read.name, "one");
    ASSERT_EQ(read.runs.size(), 2u);
    const TrainingRun& run = *read.runs[1].run;
    EXPECT_EQ(run.id, 2u);
    EXPECT_EQ(run.step.size(), 30u);
    EXPECT_EQ(run.state, RunState::interrupted) << "nobody goes on with it";
    EXPECT_EQ(run.counts.size(), 30u);
    ASSERT_EQ(read.runs[1].loads->step.size(), 30u);
    EXPECT_DOUBLE_EQ(read.runs[1].loads->max_violation[0], (4 - 2.5) / 2.5);
}

TEST_F(Other, ManyCountsAreThinnedAndAFewBytesAreEnough) {
    const fs::path path = write("long", 1, 1200);
    OtherSession read = read_other_session(path);
    ASSERT_EQ(read.runs.size(), 1u);
    EXPECT_EQ(read.runs[0].run->counts.size(), kOtherCounts);
    EXPECT_EQ(read.runs[0].run->counts.back()->step, 1200u);
    EXPECT_EQ(read.runs[0].loads->step.size(), 1200u);
    read = read_other_session(path, std::size_t{16} * 100);
    ASSERT_EQ(read.runs.size(), 1u);
    EXPECT_EQ(read.runs[0].run->step.size(), 1200u);
    EXPECT_EQ(read.runs[0].run->counts.size(), 100u) << "of the latest steps";
    EXPECT_EQ(read.runs[0].run->counts.front()->step, 1101u);
}

TEST_F(Other, WhatIsNoSessionSaysSo) {
    fs::create_directory(folder / "nothing");
    for (const char* name : {"nothing", "not-there"}) {
        const OtherSession read = read_other_session(folder / name);
        EXPECT_TRUE(read.runs.empty());
        EXPECT_FALSE(read.problem.empty());
        EXPECT_EQ(read.name, name);
    }
    EXPECT_FALSE(fs::exists(folder / "not-there")) << "nothing is made";
    const OtherSession empty = read_other_session(write("empty", 0, 0));
    EXPECT_TRUE(empty.runs.empty());
    EXPECT_NE(empty.problem.english().find("no training run"), std::string::npos) << empty.problem;
}

TEST_F(Other, OneThatIsBeingWrittenIsReadToo) {
    const fs::path path = write("busy", 1, 5);
    const auto writer = sessions::Session::open(path, sessions::Journal::Mode::read_write);
    const OtherSession read = read_other_session(path);
    ASSERT_EQ(read.runs.size(), 1u) << read.problem;
    EXPECT_EQ(read.runs[0].run->state, RunState::running);
}

TEST_F(Other, ThoseBesideAreFound) {
    const fs::path self = write("b", 1, 1);
    write("a", 1, 1);
    write("c", 0, 0);
    fs::create_directory(folder / "no-session");
    test::write_text(folder / "file", "x");
    EXPECT_EQ(sessions_beside(self), (std::vector<fs::path>{folder / "a", folder / "c"}));
    EXPECT_TRUE(sessions_beside("/no/such/folder").empty());
}

}  // namespace
}  // namespace moescope::history
