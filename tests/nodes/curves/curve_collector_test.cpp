// What one run may hold: points of all curves together, those that were taken back left out.
#include "nodes/curves/curve_collector.hpp"

#include <gtest/gtest.h>

namespace moescope::curves {
namespace {

TEST(CurveCollector, HoldsSoManyPointsAndNoMore) {
    Collector collector(6);
    for (int step = 1; step <= 3; ++step) {
        collector.add("a", "", step, step, kNoTime);
        collector.add("b", "", step, step, kNoTime);
    }
    EXPECT_EQ(collector.points(), 6u);
    try {
        collector.add("a", "", 4, 4, kNoTime);
        FAIL() << "a seventh point was taken";
    } catch (const Unfit& error) {
        EXPECT_NE(std::string(error.what()).find("more than 6 values"), std::string::npos) << error.what();
    }
    EXPECT_THROW(collector.add("c", "", 1, 1, kNoTime), Unfit) << "of another curve";
    // The last value of a step takes the place of the one before, and what a run took back makes room.
    collector.add("a", "", 3, 30, kNoTime);
    collector.restart(2);
    EXPECT_EQ(collector.points(), 2u);
    for (int step = 2; step <= 3; ++step) {
        collector.add("a", "", step, step, kNoTime);
        collector.add("b", "", step, step, kNoTime);
    }
    EXPECT_THROW(collector.add("b", "", 4, 4, kNoTime), Unfit);
    std::vector<base::Sentence> notes;
    const std::vector<Series> all = collector.take(notes);
    ASSERT_EQ(all.size(), 2u) << "the curve without a point is none";
    EXPECT_EQ(all[0].steps, (std::vector<std::uint64_t>{1, 2, 3}));
}

}  // namespace
}  // namespace moescope::curves
