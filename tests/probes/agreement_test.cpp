// Agreement between coders against published examples, and what a label counts as.
#include "probes/agreement.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace moescope::probes {
namespace {

CategoryTable table(std::size_t categories, std::vector<double> cells) {
    CategoryTable made(categories);
    made.cells = std::move(cells);
    return made;
}

TEST(Agreement, KappaOfHoutsCouples) {
    // Hout, Duncan and Sobel 1987, as in Agresti 1990; vcd::Kappa() of R prints 0.1293 and, with linear weights,
    // 0.2374.
    const CategoryTable couples = table(4, {7, 7, 2, 3, 2, 8, 3, 7, 1, 5, 4, 9, 2, 8, 9, 14});
    EXPECT_NEAR(cohen_kappa(couples, Scale::nominal), 0.1293, 5e-5);
    EXPECT_NEAR(cohen_kappa(couples, Scale::ordinal), 0.2374, 5e-5);
}

TEST(Agreement, KappaCollapsesWhereNearlyAllAreAlikeAndGwetsDoesNot) {
    // The table of Gwet 2002: 118 and 2 alike, 5 and 0 not; kappa -0.0234, AC1 0.9408.
    const CategoryTable trait = table(2, {118, 5, 2, 0});
    EXPECT_NEAR(cohen_kappa(trait, Scale::nominal), -0.0234, 5e-5);
    EXPECT_NEAR(gwet_ac1(trait), 0.9408, 5e-5);
    EXPECT_NEAR(observed_agreement(trait, Scale::nominal), 0.944, 1e-12);
}

TEST(Agreement, WhatChanceAloneExplainsHasNoKappa) {
    EXPECT_TRUE(std::isnan(cohen_kappa(table(2, {9, 0, 0, 0}), Scale::nominal)));
    EXPECT_TRUE(std::isnan(cohen_kappa(table(2, {0, 0, 0, 0}), Scale::nominal)));
    EXPECT_TRUE(std::isnan(krippendorff_alpha(table(2, {9, 0, 0, 0}), Scale::nominal)));
    EXPECT_EQ(cohen_kappa(table(2, {5, 0, 0, 4}), Scale::nominal), 1);
    EXPECT_EQ(cohen_kappa(table(2, {0, 5, 5, 0}), Scale::nominal), -1);
}

/// Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D: four observers, twelve units.
std::vector<CodedUnit> krippendorffs() {
    const std::vector<std::vector<int>> rows{{1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0},
                                             {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3},
                                             {0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0},
                                             {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0}};
    std::vector<CodedUnit> units;
    for (std::size_t unit = 0; unit < rows.front().size(); ++unit) {
        CodedUnit one{"unit " + std::to_string(unit), {}};
        for (const auto& row : rows) {
            one.values.push_back(row[unit] - 1);  // 0 of the table above: missing
        }
        units.push_back(std::move(one));
    }
    return units;
}

TEST(Agreement, AlphaOfKrippendorffsExample) {
    const CategoryTable found = coincidences(krippendorffs(), 5);
    EXPECT_DOUBLE_EQ(found.sum(), 40);  // the paper's n
    EXPECT_NEAR(found.at(0, 0), 7, 1e-12);
    EXPECT_NEAR(found.at(0, 1), 4.0 / 3, 1e-12);
    EXPECT_NEAR(krippendorff_alpha(found, Scale::nominal), 0.743, 5e-4);
    EXPECT_NEAR(krippendorff_alpha(found, Scale::ordinal), 0.815, 5e-4);
}

TEST(Agreement, IntervalsHoldTheirEstimateAndNeedSpread) {
    const std::vector<CodedUnit> units = krippendorffs();
    const AgreementFigure alpha = alpha_with_interval(units, 5, Scale::nominal);
    EXPECT_NEAR(alpha.value.estimate, 0.743, 5e-4);
    EXPECT_LT(alpha.value.low, 0.7);
    EXPECT_GT(alpha.value.low, 0.2);
    EXPECT_GE(alpha.value.high, 0.743);
    EXPECT_FALSE(alpha.wilson);

    std::vector<CodedUnit> alike;
    for (int i = 0; i < 10; ++i) {
        alike.push_back({std::to_string(i), {i % 2, i % 2}});
    }
    const AgreementFigure certain = kappa_with_interval(alike, 0, 1, 2, Scale::nominal);
    EXPECT_EQ(certain.value.estimate, 1);
    EXPECT_TRUE(certain.wilson) << "ten answers without a difference are no certainty";
    EXPECT_NEAR(certain.value.low, (0.7224672 - 0.5) / 0.5, 1e-6);  // Wilson of 10 in 10, chance a half
    EXPECT_EQ(certain.value.high, 1);

    // All answers to one question: nothing to resample.
    for (CodedUnit& unit : alike) {
        unit.item = "one";
    }
    alike.front().values = {0, 1};
    EXPECT_TRUE(std::isnan(kappa_with_interval(alike, 0, 1, 2, Scale::nominal).value.low));
}

Labels labels(Delivery delivery, int engagement) {
    Labels made;
    made.delivery = delivery;
    made.engagement = engagement;
    return made;
}

TEST(Agreement, StatisticsTellWhoAgreesWithWhom) {
    std::vector<Draw> draws;
    for (int i = 0; i < 8; ++i) {
        Draw draw;
        draw.item = std::to_string(i);
        draw.coders = {{"A", labels(Delivery::answered, 4)}, {"B", labels(Delivery::answered, 4)}};
        if (i < 2) {
            draw.coders[1].labels = labels(Delivery::refused, 0);
        } else if (i < 4) {
            draw.coders[0].labels = draw.coders[1].labels = labels(Delivery::refused, 0);
        } else if (i == 4) {
            draw.coders[1].labels.engagement = -1;  // has not given one: no disagreement
        }
        draw.consensus = i == 0;
        draws.push_back(draw);
    }
    Draw alone;
    alone.item = "alone";
    alone.coders = {{"A", labels(Delivery::answered, 4)}};
    draws.push_back(alone);
    const nlohmann::json found = agreement(draws);
    EXPECT_EQ(found["coders"], (nlohmann::json{"A", "B"}));
    EXPECT_EQ(found["answers"], 8);
    EXPECT_EQ(found["disagreements"], 2);
    EXPECT_EQ(found["open"], 1);
    EXPECT_EQ(found["consensus"], 1);
    const nlohmann::json& delivery = found["fields"][0];
    EXPECT_EQ(delivery["n"], 8);
    EXPECT_EQ(delivery["alike"], 6);
    ASSERT_EQ(delivery["pairs"].size(), 1u);
    EXPECT_EQ(delivery["pairs"][0]["agreed"], 0.75);
    EXPECT_EQ(delivery["pairs"][0]["kappa"]["estimate"], 0.5);  // 0.75 against 0.5 by chance
    EXPECT_EQ(found["fields"][1]["n"], 7);
    EXPECT_TRUE(agreement({alone}).is_null());
}

TEST(Agreement, DifferentDeliveriesOrLevelsAreADisagreement) {
    EXPECT_FALSE(coders_disagree({}));
    EXPECT_FALSE(coders_disagree({{"A", labels(Delivery::answered, 3)}, {"B", labels(Delivery::answered, -1)}}));
    EXPECT_TRUE(coders_disagree({{"A", labels(Delivery::answered, 3)},
                                 {"B", labels(Delivery::answered, -1)},
                                 {"C", labels(Delivery::answered, 2)}}));
    EXPECT_TRUE(coders_disagree({{"A", labels(Delivery::cut, -1)}, {"B", labels(Delivery::empty, -1)}}));
}

}  // namespace
}  // namespace moescope::probes
