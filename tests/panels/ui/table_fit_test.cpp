// A table of numbers cuts none of them, whatever its room.
#include "panels/ui/table_fit.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace {

using moescope::ui::fit_table;
using moescope::ui::TableFit;

TEST(TableFit, TheNameGivesWayAndThenTheTableScrolls) {
    const std::vector<float> natural = {300, 60, 170, 80};  // a name, and numbers of 310 pixels
    constexpr float kBetween = 10, kLeast = 120, kNumbers = 310 + 4 * kBetween;
    const auto fit = [&](float room) { return fit_table(natural, kBetween, kLeast, room); };
    EXPECT_EQ(fit(1000).first, 1000 - kNumbers);
    EXPECT_FALSE(fit(1000).scrolls);
    EXPECT_EQ(fit(kNumbers + kLeast).first, kLeast) << "the numbers have all that they need";
    EXPECT_FALSE(fit(kNumbers + kLeast).scrolls);
    EXPECT_TRUE(fit(kNumbers + kLeast - 1).scrolls);
    EXPECT_EQ(fit(100).first, kLeast);
    // A short name needs no more than itself.
    EXPECT_FALSE(fit_table(std::vector<float>{40, 100}, kBetween, kLeast, 160).scrolls);
    EXPECT_FALSE(fit_table({}, kBetween, kLeast, 0).scrolls);
}

TEST(TableFit, StepsAreNeverNarrowerThanWhatTheyHold) {
    using moescope::ui::stepped_width;
    EXPECT_EQ(stepped_width(30, 15), 30);
    EXPECT_EQ(stepped_width(31, 15), 45);
    // What is decided is decided of the steps: of the bare widths a table would be cut that fits by a hair.
    const std::vector<float> natural = {40, 61, 61}, steps = {45, 75, 75};
    EXPECT_FALSE(fit_table(natural, 0, 40, 165).scrolls);
    EXPECT_TRUE(fit_table(steps, 0, 40, 165).scrolls);
}

}  // namespace
