// The interval of a mean, against Student's table.
#include "base/intervals.hpp"

#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

namespace moescope::base {
namespace {

TEST(Intervals, OfAMeanIsStudents) {
    const std::array<double, 4> values = {1, 2, 3, 6};  // mean 3, variance 14 / 3
    const Interval interval = of_mean(values);
    const double half = 3.182446 * std::sqrt(14.0 / 3 / 4);  // t of 3 degrees of freedom at 97.5 %
    EXPECT_DOUBLE_EQ(interval.estimate, 3);
    EXPECT_NEAR(interval.low, 3 - half, 1e-5);
    EXPECT_NEAR(interval.high, 3 + half, 1e-5);
    const std::array<double, 3> same = {2, 2, 2};
    EXPECT_EQ(of_mean(same).low, 2);
    EXPECT_EQ(of_mean(same).high, 2);
}

TEST(Intervals, OfAMeanNeedsTwoNumbers) {
    const std::array<double, 1> one = {5};
    EXPECT_EQ(of_mean(one).estimate, 5);
    EXPECT_TRUE(std::isnan(of_mean(one).low));
    EXPECT_TRUE(std::isnan(of_mean({}).estimate));
    const std::array<double, 2> infinite = {1, std::numeric_limits<double>::infinity()};
    EXPECT_TRUE(std::isnan(of_mean(infinite).high));
}

TEST(MeanOfWhatIsNeverNegative, HasNoIntervalBelowZero) {
    const std::vector<double> values = {0.0, 0.0, 0.1};
    EXPECT_LT(of_mean(values).low, 0);
    EXPECT_EQ(of_positive_mean(values).low, 0);
    EXPECT_EQ(of_positive_mean(values).high, of_mean(values).high);
    EXPECT_TRUE(std::isnan(of_positive_mean(std::vector<double>{1}).low)) << "of one value there is none";
}

}  // namespace
}  // namespace moescope::base
