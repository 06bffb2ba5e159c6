// What the placement panel shows, against the loads of its devices written out.
#include "panels/experts/placement_model.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace {

using namespace moescope;
using panels::PlacementChoice;
using panels::PlacementShown;
using panels::show_placement;

/// Layer 0 is dense; in layer 1 the experts got 8, 1, 1, 2, 3, 1 tokens in two steps, the first of English text, the
/// other one of Chinese.
panels::PlacementInput loads() {
    const auto step = [](std::uint64_t number, std::vector<std::uint32_t> counts) {
        return std::make_shared<const history::StepCounts>(history::StepCounts{number, std::move(counts)});
    };
    return {2,
            6,
            1,
            {step(3, {0, 0, 0, 0, 0, 0, 4, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
             step(9, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 1, 1, 1})}};
}

TEST(PlacementModel, ExtraPlacesComeOutEven) {
    EXPECT_EQ(panels::fitting_extra(12, 8, 4), 4u);
    EXPECT_EQ(panels::fitting_extra(12, 8, 5), 12u);
    EXPECT_EQ(panels::fitting_extra(16, 4, 0), 0u);
    EXPECT_EQ(panels::fitting_extra(6, 4, 4), 6u);
    PlacementChoice choice;
    for (std::size_t devices = 1; devices < 20; ++devices) {
        choice.devices = devices;
        for (std::size_t experts = 1; experts < 40; ++experts) {
            const routing::PlacementOrder order = panels::placement_order(choice, experts, 1);
            EXPECT_EQ(routing::placement_problem(1, experts, order).english(), "");
            EXPECT_GE(order.replicas, experts + devices);
            EXPECT_LT(order.replicas, experts + 2 * devices);
        }
    }
}

TEST(PlacementModel, WhatAPersonChoseGoesBeforeWhatFits) {
    PlacementChoice choice;
    choice.devices = 3;
    choice.nodes = 2;
    EXPECT_EQ(panels::placement_order(choice, 8, 4), (routing::PlacementOrder{12, 4, 2, 3}));
    choice.extra = 2;
    choice.groups = 5;
    EXPECT_EQ(panels::placement_order(choice, 8, 4), (routing::PlacementOrder{10, 5, 2, 3}));
    EXPECT_EQ(panels::placement_order(choice, 8, 0).groups, 5u);
}

TEST(PlacementModel, BeforeAndAfterOfTheLayerOnShow) {
    const PlacementShown shown = show_placement(loads(), {.replicas = 8, .devices = 2}, 1);
    EXPECT_EQ(shown.first_step, 3u);
    EXPECT_EQ(shown.last_step, 9u);
    ASSERT_EQ(shown.layers.size(), 2u);
    // 8 + 1 + 1 and 2 + 3 + 1 side by side, half of it in each step.
    EXPECT_EQ(shown.layers[1].before.fullest, 5);
    EXPECT_EQ(shown.layers[1].before.mean, 4);
    // With two extra places expert 0 has three, 8/3 each. The heaviest come first, each to the lighter device: 4, 0, 1,
    // 2 and 0, 0, 3, 5. The first one is the fullest in one step with 2 + 4/3 + 1, the other one in the other step
    // with 8/3 + 1 + 1, though over both they have 23/3 and 25/3.
    EXPECT_EQ(shown.doubled, "0 \u00d73");
    EXPECT_NEAR(shown.layers[1].after.fullest, 4.5, 1e-12);
    double total = 0, fullest = 0;
    for (const panels::Estimate& device : shown.after->series[0].y) {
        total += device.value;
        fullest = std::max(fullest, device.value);
    }
    EXPECT_NEAR(total, 8, 1e-9);
    EXPECT_NEAR(fullest, 25.0 / 6, 1e-12);
    EXPECT_NEAR(shown.layers[1].time(), 0.9, 1e-12);
    EXPECT_EQ(shown.before->series[0].y[0].value, 5);
    EXPECT_EQ(shown.before->series[0].y[1].value, 3);
    EXPECT_EQ(shown.before->labels, std::vector<std::string>({"0", "1"}));
    // The dense layer adds nothing.
    EXPECT_EQ(shown.all.before.fullest, 5);
    EXPECT_NEAR(shown.all.time(), 0.9, 1e-12);
    EXPECT_TRUE(std::isnan(shown.layers[0].time()));
}

TEST(PlacementModel, BothChartsHaveOneScaleTheirMeanAndTheFullestOfAStep) {
    for (const routing::PlacementOrder& order :
         {routing::PlacementOrder{.replicas = 8, .devices = 2},
          // Groups of neighbours on nodes of one device: no better than side by side, whose loads they are.
          routing::PlacementOrder{.replicas = 6, .groups = 2, .nodes = 2, .devices = 2}}) {
        const PlacementShown shown = show_placement(loads(), order, 1);
        EXPECT_EQ(shown.before->range().high, shown.after->range().high);
        for (const auto& chart : {shown.before, shown.after}) {
            ASSERT_EQ(chart->levels.size(), 2u);
            EXPECT_STREQ(chart->levels[0].key, "placement.level.mean");
            EXPECT_DOUBLE_EQ(chart->levels[0].y, 4);
            EXPECT_STREQ(chart->levels[1].key, "placement.level.fullest");
        }
        EXPECT_EQ(shown.before->levels[1].y, shown.layers[1].before.fullest);
        EXPECT_EQ(shown.after->levels[1].y, shown.layers[1].after.fullest);
    }
}

TEST(PlacementModel, OfADenseLayerThereIsNothingToSee) {
    const PlacementShown shown = show_placement(loads(), {.replicas = 8, .devices = 2}, 0);
    EXPECT_EQ(shown.before, nullptr);
    EXPECT_EQ(shown.after, nullptr);
    EXPECT_EQ(shown.device_table, nullptr);
    EXPECT_EQ(shown.doubled, "");
    EXPECT_EQ(shown.layer_table->rows.size(), 1u);
    EXPECT_TRUE(routing::placement_to_json(shown.placement).at("logical_count").at(0).is_null());
    // A layer with experts and without a token is another thing.
    panels::PlacementInput unused = loads();
    unused.dense = 0;
    const PlacementShown empty = show_placement(unused, {.replicas = 8, .devices = 2}, 0);
    ASSERT_NE(empty.before, nullptr);
    EXPECT_EQ(empty.doubled, "");
    ASSERT_EQ(empty.layer_table->rows.size(), 2u);
    EXPECT_TRUE(std::isnan(empty.layer_table->rows[0][1].number.value));
}

TEST(PlacementModel, TablesHaveEveryLayerWithExpertsAndEveryDevice) {
    const PlacementShown shown = show_placement(loads(), {.replicas = 8, .groups = 2, .nodes = 2, .devices = 4}, 1);
    ASSERT_EQ(shown.layer_table->rows.size(), 1u);  // the other one is dense
    EXPECT_EQ(shown.layer_table->rows[0][0].number.value, 1);
    EXPECT_EQ(shown.layer_table->rows[0].back().text, "0 \u00d72, 4 \u00d72");
    ASSERT_EQ(shown.device_table->rows.size(), 4u);
    double before = 0, after = 0;
    for (std::size_t device = 0; device < 4; ++device) {
        const panels::Table::Row& row = shown.device_table->rows[device];
        EXPECT_EQ(row[0].number.value, static_cast<double>(device));
        EXPECT_EQ(row[1].number.value, static_cast<double>(device / 2));  // node
        before += row[2].number.value;
        after += row[3].number.value;
    }
    EXPECT_NEAR(before, 8, 1e-9);
    EXPECT_NEAR(after, 8, 1e-9);
    // Where groups are not looked at, devices stand in nodes all the same.
    const PlacementShown global = show_placement(loads(), {.replicas = 6, .groups = 1, .nodes = 3, .devices = 3}, 1);
    EXPECT_EQ(global.device_table->rows[2][1].number.value, 2);
}

TEST(PlacementModel, WhatDoesNotComeOutEvenIsRefused) {
    EXPECT_THROW(show_placement(loads(), {.replicas = 7, .devices = 2}, 1), routing::Error);
    EXPECT_THROW(show_placement(loads(), {.replicas = 6, .nodes = 2, .devices = 3}, 1), routing::Error);
}

}  // namespace
