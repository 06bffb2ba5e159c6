// The paired statistics against scipy and statsmodels (tests/oracle/probes), published tables, and properties.
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <random>

#include "probes/probes.hpp"
#include "probes/resample.hpp"
#include "tests/paths.hpp"

namespace moescope::probes {
namespace {

std::vector<nlohmann::json> golden(const char* part) {
    std::ifstream file(moescope::test::test_data() + "/probes/data/paired_golden.json");
    const auto cases = nlohmann::json::parse(file).at(part).get<std::vector<nlohmann::json>>();
    EXPECT_FALSE(cases.empty()) << part;
    return cases;
}

TEST(Paired, WilsonAgreesWithStatsmodels) {
    for (const auto& c : golden("wilson")) {
        const Interval got = wilson(c.at("k"), c.at("n"));
        EXPECT_NEAR(got.low, c.at("low").get<double>(), 1e-12) << c;
        EXPECT_NEAR(got.high, c.at("high").get<double>(), 1e-12) << c;
    }
    EXPECT_TRUE(std::isnan(wilson(0, 0).estimate));
    EXPECT_EQ(wilson(0, 0).low, 0);
    EXPECT_EQ(wilson(0, 0).high, 1);
    EXPECT_EQ(wilson(0, 12).low, 0);
    EXPECT_EQ(wilson(12, 12).high, 1);
}

TEST(Paired, WilsonIsSymmetricAndMonotone) {
    for (std::uint64_t n = 1; n < 60; ++n) {
        for (std::uint64_t k = 0; k <= n; ++k) {
            const Interval one = wilson(k, n), other = wilson(n - k, n);
            EXPECT_NEAR(one.low, 1 - other.high, 1e-12);
            EXPECT_LE(one.low, one.estimate);
            EXPECT_GE(one.high, one.estimate);
            if (k > 0) {
                EXPECT_GT(one.high, wilson(k - 1, n).high - 1e-15);
                EXPECT_GT(one.low, wilson(k - 1, n).low);
            }
        }
    }
}

TEST(Paired, McNemarAndNewcombeAgreeWithTheOracle) {
    for (const auto& c : golden("pairs")) {
        const McNemar got = mcnemar(c.at("both"), c.at("only_first"), c.at("only_second"), c.at("neither"));
        EXPECT_NEAR(got.p, c.at("p").get<double>(), 1e-10) << c;
        EXPECT_NEAR(got.mid_p, c.at("mid_p").get<double>(), 1e-10) << c;
        EXPECT_NEAR(got.difference.estimate, c.at("difference").get<double>(), 1e-12) << c;
        EXPECT_NEAR(got.difference.low, c.at("low").get<double>(), 1e-10) << c;
        EXPECT_NEAR(got.difference.high, c.at("high").get<double>(), 1e-10) << c;
    }
}

TEST(Paired, NewcombesOwnExample) {
    const Interval got = mcnemar(36, 12, 2, 0).difference;  // table II of the paper
    EXPECT_NEAR(got.low, 0.0569, 5e-5);
    EXPECT_NEAR(got.high, 0.3404, 5e-5);
}

TEST(Paired, ExchangingTheSidesMirrorsTheResult) {
    std::mt19937 random(5);
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t a = random() % 30, b = random() % 30, c = random() % 30, d = random() % 30 + 1;
        const McNemar one = mcnemar(a, b, c, d), other = mcnemar(a, c, b, d);
        EXPECT_DOUBLE_EQ(one.p, other.p);
        EXPECT_NEAR(one.difference.low, -other.difference.high, 1e-12);
        EXPECT_LE(one.mid_p, one.p);
        EXPECT_LE(one.difference.low, one.difference.estimate + 1e-12);
        EXPECT_GE(one.difference.high, one.difference.estimate - 1e-12);
        if (b + c < 6) {
            EXPECT_GT(one.p, 0.05);  // what "can never reach .05" in the table says
        }
    }
    EXPECT_LT(mcnemar(0, 6, 0, 0).p, 0.05);
}

TEST(Paired, PowerAgreesWithTheTrinomialSum) {
    for (const auto& c : golden("power")) {
        EXPECT_NEAR(mcnemar_power(c.at("n"), c.at("p10"), c.at("p01"), c.at("alpha")), c.at("power").get<double>(),
                    1e-8)
            << c;
    }
}

TEST(Paired, ThePublishedPowerTable) {
    struct Row {
        std::uint64_t n;
        std::array<double, 5> power;
    };
    constexpr std::array<Row, 6> kTable{{{30, {.01, .10, .46, .01, .12}},
                                         {50, {.07, .29, .78, .06, .43}},
                                         {100, {.22, .66, .99, .31, .91}},
                                         {150, {.37, .85, 1.00, .57, .99}},
                                         {200, {.50, .94, 1.00, .76, 1.00}},
                                         {300, {.70, .99, 1.00, .95, 1.00}}}};
    constexpr std::array<double, 5> kRates{.08, .13, .23, .13, .23}, kAlpha{.05, .05, .05, .005, .005};
    for (const Row& row : kTable) {
        for (std::size_t i = 0; i < kRates.size(); ++i) {
            EXPECT_NEAR(mcnemar_power(row.n, kRates[i], .03, kAlpha[i]), row.power[i], .00501)
                << row.n << " " << kRates[i] << " " << kAlpha[i];
        }
    }
    EXPECT_NEAR(mcnemar_power(30, .33, .03, .05), .79, .00501);
    EXPECT_NEAR(mcnemar_power(24, .38, .03, .05), .77, .00501);
}

TEST(Paired, DetectableDifferenceIsWherePowerIsReached) {
    double before = 1;
    for (const std::uint64_t n : {10u, 16u, 24u, 30u, 50u, 100u, 200u}) {
        const auto found = detectable_difference(n, .03, .05, .8);
        ASSERT_TRUE(found) << n;
        EXPECT_GE(mcnemar_power(n, .03 + *found, .03, .05), .8);
        EXPECT_LT(*found, before);
        before = *found;
        for (double smaller = 0.001; smaller < *found - 5e-4; smaller += 0.001) {  // none below reaches it
            ASSERT_LT(mcnemar_power(n, .03 + smaller, .03, .05), .8) << n << " " << smaller;
        }
    }
    EXPECT_EQ(detectable_difference(5, .03, .05, .8), std::nullopt);  // five pairs can never be significant
    EXPECT_EQ(detectable_difference(0, .03, .05, .8), std::nullopt);
    EXPECT_EQ(detectable_difference(30, NAN, .05, .8), std::nullopt);
}

TEST(Paired, OddArgumentsOfPowerGiveNoNumber) {
    EXPECT_TRUE(std::isnan(mcnemar_power(10, .8, .4, .05)));
    EXPECT_TRUE(std::isnan(mcnemar_power(10, -1, .4, .05)));
    EXPECT_TRUE(std::isnan(mcnemar_power(0, .1, .1, .05)));
    EXPECT_TRUE(std::isnan(mcnemar_power(std::uint64_t{1} << 40, .1, .1, .05)));
    EXPECT_EQ(mcnemar_power(10, 0, 0, .05), 0);
}

TEST(Paired, HolmAgreesWithStatsmodels) {
    for (const auto& c : golden("holm")) {
        const auto p = c.at("p").get<std::vector<double>>();
        const auto got = holm(p);
        const auto expected = c.at("adjusted").get<std::vector<double>>();
        ASSERT_EQ(got.size(), expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
            EXPECT_NEAR(got[i], expected[i], 1e-12) << c;
            EXPECT_GE(got[i], p[i]);
        }
    }
    EXPECT_TRUE(holm({}).empty());
}

TEST(Paired, SignFlipAgreesWithListingAllSigns) {
    for (const auto& c : golden("sign_flip")) {
        EXPECT_NEAR(sign_flip_p(c.at("d").get<std::vector<double>>()), c.at("p").get<double>(), 1e-12) << c;
    }
    // On 0/1 outcomes it is the exact McNemar test.
    EXPECT_NEAR(sign_flip_p(std::vector<double>{1, 1, 1, 1, 1, 1, 1, -1, 0, 0}), mcnemar(0, 7, 1, 2).p, 1e-12);
    // Beyond 20 differences by seeded flips: near the exact value, and the same every time.
    std::vector<double> many(30, 1);
    std::fill(many.begin(), many.begin() + 9, -1);
    EXPECT_NEAR(sign_flip_p(many), mcnemar(0, 21, 9, 0).p, 0.01);
    EXPECT_EQ(sign_flip_p(many), sign_flip_p(many));
}

TEST(Paired, BootstrapCoversAndRepeats) {
    std::mt19937 random(11);
    int covered = 0;
    for (int trial = 0; trial < 200; ++trial) {
        std::vector<double> first(40), second(40);
        for (std::size_t i = 0; i < 40; ++i) {
            first[i] = random() % 10 < 7 ? 1 : 0;
            second[i] = random() % 10 < 4 ? 1 : 0;
        }
        const Interval got = bootstrap_difference(first, second);
        covered += got.low <= .3 && .3 <= got.high;
        if (trial == 0) {
            const Interval again = bootstrap_difference(first, second);
            EXPECT_EQ(got.low, again.low);
            EXPECT_EQ(got.high, again.high);
        }
    }
    EXPECT_GE(covered, 180);  // 95 % intended; fixed seeds, so never flaky
}

TEST(Paired, BootstrapFollowsSkewnessAndMirrors) {
    // One hit in sixteen: the interval reaches further up than down, and never below nothing.
    std::vector<double> few(16, 0.0), others(16, 1.0), spread;
    few[3] = 1;
    others[3] = 0;
    const Interval one = bootstrap_difference(few, {}), all_but_one = bootstrap_difference(others, {});
    EXPECT_GT(one.high - one.estimate, 2 * (one.estimate - one.low));
    EXPECT_GE(one.low, 0);
    // Counting misses instead of hits is the same interval seen from the other end; so is exchanging the sides.
    EXPECT_NEAR(all_but_one.low, 1 - one.high, 1e-9);
    EXPECT_NEAR(all_but_one.high, 1 - one.low, 1e-9);
    for (int i = 0; i < 30; ++i) {
        spread.push_back(std::exp(0.1 * i) / 20);
    }
    // scipy 1.17.1, stats.bootstrap(method="BCa", n_resamples=200000).
    const Interval skewed = bootstrap_difference(spread, {});
    EXPECT_NEAR(skewed.low, 0.22497, 0.006);
    EXPECT_NEAR(skewed.high, 0.40220, 0.006);
}

}  // namespace
}  // namespace moescope::probes
