// What the placement panel shows, against the loads of its devices written out.
#include "panels/experts/placement_model.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace {

using namespace moescope;
using panels::PlacementChoice;
using panels::PlacementShown;
using panels::show_placement;

/// Layer 0 is dense; in layer 1 the experts got 8, 1, 1, 2, 3, 1 tokens, half of them in each language where they can
/// be halved.
history::Loads loads() {
    history::Loads sums;
    sums.layers = 2;
    sums.experts = 6;
    sums.first_step = 3;
    sums.last_step = 9;
    sums.counts[0] = {0, 0, 0, 0, 0, 0, 4, 1, 0, 1, 2, 0};
    sums.counts[1] = {0, 0, 0, 0, 0, 0, 4, 0, 1, 1, 1, 1};
    sums.totals[0] = {0, 8};
    sums.totals[1] = {0, 8};
    return sums;
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
    // 8 + 1 + 1 and 2 + 3 + 1 side by side; with two extra places expert 0 has three, 8/3 each: the heaviest come
    // first, each to the lighter device.
    EXPECT_EQ(shown.layers[1].before.fullest, 10);
    EXPECT_EQ(shown.layers[1].before.mean, 8);
    EXPECT_EQ(shown.doubled, "0 \u00d73");
    double total = 0, fullest = 0;
    for (const panels::Estimate& device : shown.after->series[0].y) {
        total += device.value;
        fullest = std::max(fullest, device.value);
    }
    EXPECT_NEAR(total, 16, 1e-9);
    EXPECT_EQ(shown.layers[1].after.fullest, fullest);
    EXPECT_DOUBLE_EQ(shown.layers[1].time(), fullest / 10);
    EXPECT_LT(fullest, 9);
    EXPECT_EQ(shown.before->series[0].y[0].value, 10);
    EXPECT_EQ(shown.before->series[0].y[1].value, 6);
    EXPECT_EQ(shown.before->labels, std::vector<std::string>({"0", "1"}));
    // The dense layer adds nothing.
    EXPECT_EQ(shown.all.before.fullest, 10);
    EXPECT_DOUBLE_EQ(shown.all.time(), fullest / 10);
    EXPECT_TRUE(std::isnan(shown.layers[0].time()));
}

TEST(PlacementModel, BothChartsHaveOneScaleAndTheirMean) {
    for (const routing::PlacementOrder& order :
         {routing::PlacementOrder{.replicas = 8, .devices = 2},
          // Groups of neighbours on nodes of one device: no better than side by side, whose loads they are.
          routing::PlacementOrder{.replicas = 6, .groups = 2, .nodes = 2, .devices = 2}}) {
        const PlacementShown shown = show_placement(loads(), order, 1);
        EXPECT_EQ(shown.before->range().high, shown.after->range().high);
        for (const auto& chart : {shown.before, shown.after}) {
            ASSERT_GE(chart->levels.size(), 1u);
            EXPECT_STREQ(chart->levels[0].key, "placement.level.mean");
            EXPECT_DOUBLE_EQ(chart->levels[0].y, 8);
        }
    }
}

TEST(PlacementModel, TablesHaveEveryLayerAndEveryDevice) {
    const PlacementShown shown = show_placement(loads(), {.replicas = 8, .groups = 2, .nodes = 2, .devices = 4}, 1);
    ASSERT_EQ(shown.layer_table->rows.size(), 2u);
    EXPECT_EQ(shown.layer_table->rows[0].back().text, "");  // nothing was balanced there
    EXPECT_TRUE(std::isnan(shown.layer_table->rows[0][1].number.value));
    EXPECT_EQ(shown.layer_table->rows[1].back().text, "0 \u00d72, 4 \u00d72");
    ASSERT_EQ(shown.device_table->rows.size(), 4u);
    double before = 0, after = 0;
    for (std::size_t device = 0; device < 4; ++device) {
        const panels::Table::Row& row = shown.device_table->rows[device];
        EXPECT_EQ(row[0].number.value, static_cast<double>(device));
        EXPECT_EQ(row[1].number.value, static_cast<double>(device / 2));  // node
        before += row[2].number.value;
        after += row[3].number.value;
    }
    EXPECT_NEAR(before, 16, 1e-9);
    EXPECT_NEAR(after, 16, 1e-9);
    // Where groups are not looked at, devices stand in nodes all the same.
    const PlacementShown global = show_placement(loads(), {.replicas = 6, .groups = 1, .nodes = 3, .devices = 3}, 1);
    EXPECT_EQ(global.device_table->rows[2][1].number.value, 2);
}

TEST(PlacementModel, WhatDoesNotComeOutEvenIsRefused) {
    EXPECT_THROW(show_placement(loads(), {.replicas = 7, .devices = 2}, 1), routing::Error);
    EXPECT_THROW(show_placement(loads(), {.replicas = 6, .nodes = 2, .devices = 3}, 1), routing::Error);
}

}  // namespace
