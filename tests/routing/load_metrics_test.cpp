// The load metrics against their definitions written out, against known extremes, and against what must not change
// them.
#include "routing/load_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace {

using namespace moescope::routing;

std::vector<double> random_load(std::mt19937& random, std::size_t experts) {
    std::uniform_int_distribution<int> count(0, 300);
    std::vector<double> load(experts);
    for (double& x : load) {
        x = count(random);
    }
    load[0] += 1;  // never empty
    return load;
}

TEST(Metrics, EvenLoadIsEven) {
    const std::vector<double> load(16, 128.0);
    const LoadMetrics m = load_metrics(load);
    EXPECT_DOUBLE_EQ(m.max_violation, 0);
    EXPECT_DOUBLE_EQ(m.variation, 0);
    EXPECT_NEAR(m.entropy, 1, 1e-12);
    EXPECT_NEAR(m.gini, 0, 1e-12);
    EXPECT_EQ(m.dead, 0u);
}

TEST(Metrics, EverythingOnOneExpert) {
    std::vector<double> load(16, 0.0);
    load[5] = 2048;
    const LoadMetrics m = load_metrics(load);
    EXPECT_DOUBLE_EQ(m.max_violation, 15);
    EXPECT_DOUBLE_EQ(m.variation, std::sqrt(15.0));
    EXPECT_DOUBLE_EQ(m.entropy, 0);
    EXPECT_DOUBLE_EQ(m.gini, 15.0 / 16);
    EXPECT_EQ(m.dead, 15u);
}

TEST(Metrics, NothingRoutedGivesNoNumber) {
    for (const std::vector<double>& load : {std::vector<double>{}, std::vector<double>(4, 0.0)}) {
        const LoadMetrics m = load_metrics(load);
        EXPECT_TRUE(std::isnan(m.max_violation) && std::isnan(m.variation) && std::isnan(m.entropy) &&
                    std::isnan(m.gini));
        EXPECT_EQ(m.dead, load.size());
    }
}

TEST(Metrics, GiniIsTheMeanPairDifference) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        const std::vector<double> load = random_load(random, 1 + random() % 40);
        double pairs = 0, total = 0;
        for (const double a : load) {
            total += a;
            for (const double b : load) {
                pairs += std::abs(a - b);
            }
        }
        const double n = static_cast<double>(load.size());
        EXPECT_NEAR(gini(load), pairs / (2 * n * n * (total / n)), 1e-12);
    }
}

TEST(Metrics, OrderAndScaleOfTheLoadDoNotMatter) {
    std::mt19937 random(2);
    for (int round = 0; round < 100; ++round) {
        std::vector<double> load = random_load(random, 12);
        const LoadMetrics before = load_metrics(load);
        std::shuffle(load.begin(), load.end(), random);
        for (double& x : load) {
            x *= 7;
        }
        const LoadMetrics after = load_metrics(load);
        EXPECT_NEAR(before.max_violation, after.max_violation, 1e-9);
        EXPECT_NEAR(before.variation, after.variation, 1e-9);
        EXPECT_NEAR(before.entropy, after.entropy, 1e-9);
        EXPECT_NEAR(before.gini, after.gini, 1e-9);
        EXPECT_EQ(before.dead, after.dead);
    }
}

TEST(Metrics, MovingATokenToTheEmptierExpertMakesTheLoadMoreEven) {
    std::mt19937 random(3);
    for (int round = 0; round < 100; ++round) {
        std::vector<double> load = random_load(random, 8);
        const auto high = std::max_element(load.begin(), load.end()), low = std::min_element(load.begin(), load.end());
        if (*high - *low < 2) {
            continue;
        }
        const LoadMetrics before = load_metrics(load);
        *high -= 1;
        *low += 1;
        const LoadMetrics after = load_metrics(load);
        EXPECT_LT(after.variation, before.variation);
        EXPECT_GT(after.entropy, before.entropy);
        EXPECT_LT(after.gini, before.gini);
        EXPECT_LE(after.max_violation, before.max_violation);
    }
}

// Both languages drawn from one distribution: the stated sigma must be the real spread, and about 4.6 % lie beyond two
// of them.
TEST(Metrics, NoiseOfADifferenceIsThatOfShuffledLabels) {
    std::mt19937 random(4);
    const double p = 0.08;
    const int na = 700, nb = 1300, rounds = 4000;
    std::binomial_distribution<int> a(na, p), b(nb, p);
    double squares = 0, sigma = 0;
    int beyond = 0;
    for (int round = 0; round < rounds; ++round) {
        const ShareDifference d = share_difference(a(random), na, b(random), nb);
        squares += d.difference * d.difference;
        sigma += d.sigma;
        beyond += d.beyond_chance ? 1 : 0;
    }
    EXPECT_NEAR(std::sqrt(squares / rounds), sigma / rounds, 0.05 * sigma / rounds);
    EXPECT_NEAR(static_cast<double>(beyond) / rounds, 0.0455, 0.015);
}

TEST(Metrics, ADifferenceNeedsTokensOfBothLanguages) {
    EXPECT_TRUE(std::isnan(share_difference(3, 10, 0, 0).difference));
    EXPECT_FALSE(share_difference(0, 0, 5, 10).beyond_chance);
    EXPECT_TRUE(share_difference(90, 100, 10, 100).beyond_chance);
    EXPECT_NEAR(share_difference(90, 100, 10, 100).difference, 0.8, 1e-12);
}

}  // namespace
