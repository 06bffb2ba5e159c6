// What the window offers after a crash, decided over snapshots.
#include "app/recovery.hpp"

#include <gtest/gtest.h>

namespace {

using moescope::app::Recovery;
using moescope::client::Link;
using moescope::client::Snapshot;
using moescope::history::RunState;
using moescope::history::TrainingRun;

Snapshot snapshot(Link::State link, RunState state, std::uint64_t checkpoint) {
    Snapshot s;
    s.link.state = link;
    auto run = std::make_shared<TrainingRun>();
    run->id = 3;
    run->name = "workshop-3";
    run->state = state;
    run->last_checkpoint = checkpoint;
    run->step.push_back(412);
    s.training[3] = run;
    return s;
}

TEST(Recovery, NothingToOfferWhileAllIsWell) {
    const Recovery recovery;
    for (const RunState state : {RunState::planned, RunState::running, RunState::paused, RunState::done,
                                 RunState::stopped, RunState::failed}) {
        EXPECT_FALSE(recovery.offer(snapshot(Link::State::connected, state, 400)));
    }
    EXPECT_FALSE(recovery.offer(Snapshot{}));
}

TEST(Recovery, ACrashIsAlwaysTold) {
    Recovery recovery;
    const auto offer = recovery.offer(snapshot(Link::State::crashed, RunState::running, 400));
    ASSERT_TRUE(offer);
    EXPECT_TRUE(offer->crashed);
    EXPECT_EQ(offer->run, 3u);
    EXPECT_EQ(offer->checkpoint, 400u);
    EXPECT_EQ(offer->step, 412u);
    EXPECT_EQ(offer->run_name, "workshop-3");
    const auto done = recovery.offer(snapshot(Link::State::crashed, RunState::done, 400));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->run, 0u);  // the crash is told, but no run needs help
}

TEST(Recovery, GoesOnOnceTheNodeIsBack) {
    Recovery recovery;
    recovery.go_on_later(3);
    EXPECT_EQ(recovery.due(snapshot(Link::State::crashed, RunState::running, 400)), 0u);
    EXPECT_EQ(recovery.due(snapshot(Link::State::starting, RunState::running, 400)), 0u);
    EXPECT_EQ(recovery.due(snapshot(Link::State::connected, RunState::running, 400)),
              0u);  // the journal is still being read
    EXPECT_EQ(recovery.due(snapshot(Link::State::connected, RunState::interrupted, 400)), 3u);
    EXPECT_EQ(recovery.due(snapshot(Link::State::connected, RunState::interrupted, 400)), 0u);  // once only
    EXPECT_FALSE(recovery.offer(snapshot(Link::State::connected, RunState::interrupted, 400)));
}

TEST(Recovery, WavedAwayUntilTheNextCrash) {
    Recovery recovery;
    const Snapshot interrupted = snapshot(Link::State::connected, RunState::interrupted, 400);
    const auto offer = recovery.offer(interrupted);
    ASSERT_TRUE(offer);
    EXPECT_FALSE(offer->crashed);
    recovery.dismiss(*offer);
    EXPECT_FALSE(recovery.offer(interrupted));
    recovery.due(snapshot(Link::State::crashed, RunState::running, 400));
    EXPECT_TRUE(recovery.offer(interrupted));
}

TEST(Recovery, ARunOfAnExperimentGoesOnByItself) {
    const Recovery recovery;
    const auto of_experiment = [](Link::State link, RunState state) {
        Snapshot s = snapshot(link, state, 400);
        auto run = std::make_shared<TrainingRun>(*s.training[3]);
        run->manifest = {{"experiment", {{"number", 1}, {"name", "balance"}, {"key", "balance"}, {"value", "switch"}}}};
        s.training[3] = run;
        return s;
    };
    Snapshot known = of_experiment(Link::State::connected, RunState::interrupted);
    known.experiments[1] = std::make_shared<moescope::history::Experiment>();
    EXPECT_FALSE(recovery.offer(known));
    known.link.state = Link::State::crashed;
    const auto offer = recovery.offer(known);
    ASSERT_TRUE(offer);
    EXPECT_TRUE(offer->crashed);
    EXPECT_EQ(offer->run, 0u);
    // Nothing knows its experiment: nothing will go on with it.
    const auto alone = recovery.offer(of_experiment(Link::State::connected, RunState::interrupted));
    ASSERT_TRUE(alone);
    EXPECT_EQ(alone->run, 3u);
}

}  // namespace
