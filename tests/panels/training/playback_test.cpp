// A run played again: which step the position stands at after so many seconds, where jumps lead to, what a hole does.
#include "panels/training/playback.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "nodes/history/run_table.hpp"

namespace {

using namespace moescope;
using history::TrainingRun;
using panels::kPlaySpeeds;
using panels::Playback;
using panels::StepClock;
using panels::StepPosition;

/// The run as a session tells it: rows of its table, missing steps as a hole.
class Recorded {
 public:
    Recorded() { run.id = 3; }
    void add(std::uint64_t step, double ms = 100) {
        protocol::StepRecord record;
        record.step = step;
        record.loss = 5;
        record.step_ms = ms;
        history::steps_of(run, rows_).add(history::row_of(record), {{1, ++sequence_}});
    }
    void add_all(std::uint64_t first, std::uint64_t last, double ms = 100) {
        for (std::uint64_t step = first; step <= last; ++step) {
            add(step, ms);
        }
    }
    void event(std::uint64_t step, const char* kind) {
        history::RunEvent event;
        event.step = step;
        event.kind = kind;
        run.events.push_back(event);
    }
    StepClock clock() const {
        StepClock clock;
        clock.update(run);
        return clock;
    }
    TrainingRun run;

 private:
    std::vector<history::TableRow> rows_;
    std::uint64_t sequence_ = 0;
};

std::size_t speed_of(double value, bool steps) {
    for (std::size_t i = 0; i < kPlaySpeeds.size(); ++i) {
        if (kPlaySpeeds[i].value == value && kPlaySpeeds[i].steps == steps) {
            return i;
        }
    }
    ADD_FAILURE() << "no such speed";
    return 0;
}

TEST(StepClock, AddsUpTheTimesAndLeavesHolesOut) {
    Recorded recorded;
    recorded.add_all(1, 10, 200);
    recorded.add_all(15, 20, 400);
    recorded.add_all(22, 23, 400);  // a single step is missing
    const StepClock clock = recorded.clock();
    ASSERT_EQ(clock.size(), 18u);
    EXPECT_EQ(clock.first(), 1u);
    EXPECT_EQ(clock.last(), 23u);
    ASSERT_EQ(clock.holes().size(), 2u);
    EXPECT_EQ(clock.holes()[0].first, 11u);
    EXPECT_EQ(clock.holes()[0].last, 14u);
    EXPECT_EQ(clock.holes()[1].first, 21u);
    EXPECT_EQ(clock.holes()[1].last, 21u);
    EXPECT_TRUE(clock.hole_at(14));
    EXPECT_FALSE(clock.hole_at(15));
    EXPECT_FALSE(clock.hole_at(10));
    EXPECT_DOUBLE_EQ(clock.seconds(9), 2.0);
    EXPECT_NEAR(clock.seconds(10), 2.4, 1e-12) << "the step after the hole";
    EXPECT_EQ(clock.step(clock.at(13)), 10u) << "in a hole stands what was before";
    EXPECT_EQ(clock.step(clock.at(0)), 1u);
    EXPECT_EQ(clock.step(clock.at(1000)), 23u);
    EXPECT_EQ(clock.step(clock.at_seconds(1.0)), 5u);
    EXPECT_EQ(clock.step(clock.at_seconds(0.1)), 1u);
    EXPECT_EQ(clock.step(clock.at_seconds(1e9)), 23u);
}

TEST(StepClock, FollowsARunThatGrowsAndOneThatGoesBack) {
    Recorded recorded;
    recorded.add_all(1, 50, 100);
    StepClock clock;
    clock.update(recorded.run);
    const std::uint64_t version = clock.version();
    clock.update(recorded.run);
    EXPECT_EQ(clock.version(), version);
    recorded.add_all(51, 60, 100);
    clock.update(recorded.run);
    EXPECT_EQ(clock.size(), 60u);
    EXPECT_NEAR(clock.seconds(59), 6.0, 1e-9);
    EXPECT_EQ(clock.version(), version) << "it has grown, and what happened on the way is the same";
    // Back to step 20, and beyond where it was before anybody looked.
    recorded.add_all(21, 70, 300);
    clock.update(recorded.run);
    ASSERT_EQ(clock.size(), 70u);
    EXPECT_GT(clock.version(), version);
    EXPECT_NEAR(clock.seconds(69), 2.0 + 50 * 0.3, 1e-9);
    Recorded other;
    other.run.id = 9;
    other.add_all(1, 70, 300);
    clock.update(other.run);
    EXPECT_NEAR(clock.seconds(69), 21.0, 1e-9);
}

TEST(Playback, PlaysAsFastAsItIsToldAndStopsAtTheNewest) {
    Recorded recorded;
    recorded.add_all(1, 100, 100);
    const StepClock clock = recorded.clock();
    Playback playback;
    playback.speed = speed_of(10, false);
    StepPosition at = playback.play(clock, {});
    EXPECT_EQ(at, StepPosition(1)) << "from the newest it begins at the first";
    // Ten times as fast: in a second of ours ten of the run, which are 100 steps of 0.1 s; step 1 is over at 0.1 s.
    for (int frame = 0; frame < 30; ++frame) {
        at = playback.advance(0.5 / 30, clock, at);
    }
    ASSERT_TRUE(at);
    EXPECT_NEAR(static_cast<double>(*at), 51, 1);
    playback.speed = speed_of(0.25, false);
    const std::uint64_t before = *at;
    for (int frame = 0; frame < 40; ++frame) {
        at = playback.advance(0.1, clock, at);  // 4 s of ours are one of the run
    }
    ASSERT_TRUE(at);
    EXPECT_NEAR(static_cast<double>(*at - before), 10, 1) << "what is left of a step counts in the next frame";
    EXPECT_TRUE(playback.playing());
    at = playback.advance(1e6, clock, at);
    EXPECT_FALSE(at) << "the newest step";
    EXPECT_FALSE(playback.playing());
}

TEST(Playback, CountsStepsWhereTheseAreTheSpeedAndWithoutTimes) {
    Recorded recorded;
    recorded.add_all(1, 30, 100);
    recorded.add_all(41, 60, 100);
    Playback playback;
    playback.speed = speed_of(5, true);
    StepPosition at = playback.play(recorded.clock(), 28);
    for (int frame = 0; frame < 61; ++frame) {
        at = playback.advance(1.0 / 60, recorded.clock(), at);
    }
    EXPECT_EQ(at, StepPosition(43)) << "five steps that are there; the ten that are missing take no time";

    Recorded timeless;
    timeless.add_all(1, 30, base::kAbsent);
    ASSERT_FALSE(timeless.clock().has_time());
    ASSERT_EQ(timeless.clock().size(), 30u) << "no time is no hole";
    playback.speed = speed_of(10, false);
    at = playback.play(timeless.clock(), 5);
    at = playback.advance(1.05, timeless.clock(), at);
    EXPECT_EQ(at, StepPosition(15));
}

TEST(Playback, GoesOnFromWhereSomebodyElsePutsItAndEndsWhenItIsLive) {
    Recorded recorded;
    recorded.add_all(1, 100, 100);
    const StepClock clock = recorded.clock();
    Playback playback;
    playback.speed = speed_of(1, true);
    StepPosition at = playback.play(clock, 10);
    at = playback.advance(0.9, clock, at);
    EXPECT_EQ(at, StepPosition(10));
    at = playback.advance(0.5, clock, 60);  // scrubbed: what was left of step 10 means nothing there
    EXPECT_EQ(at, StepPosition(60));
    at = playback.advance(0.6, clock, at);
    EXPECT_EQ(at, StepPosition(61));
    EXPECT_FALSE(playback.advance(0.5, clock, {}));
    EXPECT_FALSE(playback.playing());
    EXPECT_EQ(playback.advance(100, clock, 7), StepPosition(7)) << "it does not play";

    Recorded one;
    one.add(1);
    EXPECT_FALSE(playback.play(one.clock(), {}));
    EXPECT_FALSE(playback.playing()) << "one step is nothing to play";
}

TEST(Playback, ALiveRunGoesOnUnderneath) {
    Recorded recorded;
    recorded.add_all(1, 10, 100);
    Playback playback;
    playback.speed = speed_of(1, true);
    StepPosition at = playback.play(recorded.clock(), 8);
    recorded.add_all(11, 20, 100);
    at = playback.advance(3, recorded.clock(), at);
    EXPECT_EQ(at, StepPosition(11)) << "the newest is another one now";
    EXPECT_TRUE(playback.playing());
}

TEST(StepPositions, ForwardAndBackAndTheNearestOne) {
    Recorded recorded;
    recorded.add_all(5, 10);
    recorded.add_all(21, 24);
    const StepClock clock = recorded.clock();
    EXPECT_EQ(panels::step_after(clock, {}), StepPosition());
    EXPECT_EQ(panels::step_before(clock, {}), StepPosition(23));
    EXPECT_EQ(panels::step_after(clock, 23), StepPosition()) << "the last step is the newest";
    EXPECT_EQ(panels::step_after(clock, 10), StepPosition(21)) << "over the hole";
    EXPECT_EQ(panels::step_after(clock, 15), StepPosition(21)) << "out of the hole";
    EXPECT_EQ(panels::step_before(clock, 15), StepPosition(10));
    EXPECT_EQ(panels::step_before(clock, 21), StepPosition(10));
    EXPECT_EQ(panels::step_before(clock, 5), StepPosition(5)) << "the first one stays";
    EXPECT_EQ(panels::step_after(clock, 2), StepPosition(5)) << "before the first";
    EXPECT_EQ(panels::step_near(clock, -3), StepPosition(5));
    EXPECT_EQ(panels::step_near(clock, 7.6), StepPosition(8));
    EXPECT_EQ(panels::step_near(clock, 12), StepPosition(10));
    EXPECT_EQ(panels::step_near(clock, 18), StepPosition(21));
    EXPECT_EQ(panels::step_near(clock, 23.7), StepPosition());
    EXPECT_EQ(panels::step_near(clock, 1e9), StepPosition());
    EXPECT_EQ(panels::step_near(clock, std::nan("")), StepPosition());
}

TEST(TimelineMarks, JumpsGoFromStepToStepAndEndAtTheEnds) {
    Recorded recorded;
    recorded.add_all(1, 20);
    recorded.add_all(31, 40);
    recorded.event(25, "knob");  // the counts of its step are lost
    recorded.event(10, "checkpoint");
    recorded.event(10, "pause");
    recorded.event(40, "checkpoint");
    const StepClock clock = recorded.clock();
    recorded.run.id = 1;
    std::map<std::uint32_t, history::Note> notes;
    notes[7].on = {.kind = history::NotePlace::Kind::step, .run = 1, .step = 33};
    notes[8].on = {.kind = history::NotePlace::Kind::step, .run = 2, .step = 34};
    notes[9].on = {.kind = history::NotePlace::Kind::session};
    const auto marks = panels::timeline_marks(recorded.run, clock, notes);
    ASSERT_EQ(marks.size(), 6u);
    EXPECT_EQ(panels::marks_after(marks, 25)[0].note, 7u);
    EXPECT_EQ(panels::marks_after(marks, 1).size(), 2u);
    EXPECT_EQ(panels::marks_after(marks, 1)[0].event, 1u);
    EXPECT_EQ(panels::marks_after(marks, 1)[1].event, 2u);
    EXPECT_EQ(panels::marks_after(marks, 10)[0].step, 21u) << "the hole";
    EXPECT_EQ(panels::marks_after(marks, 10)[0].hole, 0u);
    EXPECT_EQ(panels::marks_after(marks, 21)[0].step, 25u);
    EXPECT_TRUE(panels::marks_after(marks, 40).empty());
    EXPECT_EQ(panels::marks_before(marks, 33)[0].step, 25u);
    ASSERT_EQ(panels::marks_before(marks, 15).size(), 2u) << "all that happened at that step";
    EXPECT_EQ(panels::marks_before(marks, 15)[0].event, 1u);
    EXPECT_TRUE(panels::marks_before(marks, 10).empty());
    EXPECT_TRUE(panels::marks_after({}, 3).empty());
}

}  // namespace
