// The report says how far it is, and a cancelled one leaves nothing.
#include "nodes/service/commands/report.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/job.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using protocol::RecordType;

void put(sessions::Session& session, RecordType type, const std::vector<std::byte>& body) {
    session.journal().append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                             body);
}

void put_step(sessions::Session& session, std::uint64_t number) {
    protocol::StepRecord step;
    step.run = 1;
    step.step = number;
    step.loss = 100.0 / static_cast<double>(number);
    put(session, RecordType::step, protocol::encode_step(step));
}

class Report : public testing::Test {
 protected:
    Report() {
        put(*session, RecordType::run_started,
            protocol::encode_json({{"run", 1}, {"kind", "train"}, {"name", "first"}, {"manifest", json::object()}}));
        for (std::uint64_t n = 1; n <= 500; ++n) {
            put_step(*session, n);
        }
    }
    TemporaryFolder folder;
    std::unique_ptr<sessions::Session> session =
        sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
};

TEST_F(Report, ProgressRisesToTheEnd) {
    std::vector<double> seen;
    node::write_report(*session, folder / "r.html", sessions::Existing::refuse, "en", {}, [&](double fraction) {
        seen.push_back(fraction);
        return true;
    });
    ASSERT_GT(seen.size(), 20u);
    EXPECT_LT(seen.front(), 0.1);
    EXPECT_EQ(seen.back(), 1);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_NE(read_text(folder / "r.html").find("first"), std::string::npos);
}

TEST_F(Report, ACancelledOneLeavesTheOldFile) {
    write_text(folder / "r.html", "old");
    for (const double at : {0.0, 0.3, 1.0}) {
        EXPECT_THROW(node::write_report(*session, folder / "r.html", sessions::Existing::replace, "en", {},
                                        [&](double fraction) { return fraction < at; }),
                     node::CommandError);
        EXPECT_EQ(read_text(folder / "r.html"), "old");
    }
}

TEST_F(Report, WhatWasNotReachedAgainIsNotShown) {
    const auto sample = [&](std::uint64_t step, const char* text) {
        put(*session, RecordType::sample,
            protocol::encode_json(
                {{"run", 1}, {"step", step}, {"language", "en"}, {"prompt", "The "}, {"text", text}}));
    };
    sample(100, "stays");
    sample(500, "unreached");
    put_step(*session, 101);  // went on from the checkpoint at step 100; the record that says so was lost
    const auto input = node::report_input(*session, "en", {});
    ASSERT_EQ(input.trainings.size(), 1u);
    ASSERT_EQ(input.trainings[0].samples.size(), 1u);
    EXPECT_EQ(input.trainings[0].samples[0].text, "stays");
    EXPECT_EQ(input.trainings[0].charts[0].series[0].points.size(), 101u);
}

TEST_F(Report, WhatARewindTookBackIsNotShown) {
    const auto sample = [&](std::uint64_t step, const char* text) {
        put(*session, RecordType::sample,
            protocol::encode_json(
                {{"run", 1}, {"step", step}, {"language", "en"}, {"prompt", "The "}, {"text", text}}));
    };
    sample(100, "stays");
    sample(500, "unreached");
    const auto knob = [&](std::uint64_t step, double value) {
        put(*session, RecordType::event,
            protocol::encode_json(
                {{"run", 1}, {"step", step}, {"kind", "knob"}, {"name", "learning_rate"}, {"old", 0}, {"new", value}}));
    };
    knob(50, 0.25);
    knob(300, 0.125);
    // Went on from the checkpoint at step 100.
    put(*session, RecordType::event,
        protocol::encode_json({{"run", 1}, {"step", 100}, {"kind", "rewind"}, {"text", "goes on"}}));
    put_step(*session, 101);
    const auto input = node::report_input(*session, "en", {});
    ASSERT_EQ(input.trainings.size(), 1u);
    ASSERT_EQ(input.trainings[0].samples.size(), 1u);
    EXPECT_EQ(input.trainings[0].samples[0].text, "stays");
    EXPECT_EQ(input.trainings[0].charts[0].series[0].points.size(), 101u);
    std::vector<std::string> marks;
    for (const report::Mark& mark : input.trainings[0].charts[0].marks) {
        marks.push_back(mark.text);
    }
    EXPECT_EQ(marks, (std::vector<std::string>{"setting learning_rate 0 -> 0.25", "goes on"}))
        << "without the names of settings";
}

}  // namespace
}  // namespace moescope::test
