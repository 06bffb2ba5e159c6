// The placement of experts: the published example, golden placements of an implementation that shares no code with
// ours, and what has to hold for any load.
#include "routing/placement.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::routing {
namespace {

using nlohmann::json;

ExpertLoads loads_of(const std::vector<std::vector<double>>& rows) {
    ExpertLoads loads{rows.size(), rows.front().size(), {}};
    for (const auto& row : rows) {
        loads.load.insert(loads.load.end(), row.begin(), row.end());
    }
    return loads;
}

TEST(Placement, IsThatOfThePublishedExample) {
    const ExpertLoads loads = loads_of(
        {{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86}, {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27}});
    const Placement placement = place_experts(loads, {.replicas = 16, .groups = 4, .nodes = 2, .devices = 8});
    const json placed = placement_to_json(placement);
    EXPECT_EQ(placed.at("physical_to_logical"), json({{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1},
                                                      {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}}));
    EXPECT_EQ(placed.at("logical_count").at(0), json({1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1}));
    EXPECT_EQ(placed.at("logical_to_physical").at(0).at(0), json({12, -1}));
    // The README's picture: expert 5 on both devices that it shares with 6 and with 7.
    std::vector<int> five = placed.at("logical_to_physical").at(0).at(5);
    std::sort(five.begin(), five.end());
    EXPECT_EQ(five, std::vector<int>({0, 2}));
    EXPECT_EQ(placed.size(), 3u);
}

TEST(Placement, AgreesWithTheOracleInEveryPlace) {
    const json cases =
        json::parse(test::read_text(std::filesystem::path(test::test_data()) / "oracle/placement/golden.json"));
    ASSERT_GE(cases.size(), 30u);
    for (const json& one : cases) {
        const ExpertLoads loads = loads_of(one.at("loads").get<std::vector<std::vector<double>>>());
        const PlacementOrder order{one.at("replicas"), one.at("groups"), one.at("nodes"), one.at("gpus")};
        const json placed = placement_to_json(place_experts(loads, order));
        for (const char* key : {"physical_to_logical", "logical_to_physical", "logical_count"}) {
            ASSERT_EQ(placed.at(key), one.at(key))
                << key << " of " << order.replicas << " places, " << order.groups << " groups, " << order.nodes
                << " nodes, " << order.devices << " devices";
        }
    }
}

/// Orders and loads at random: whole numbers of which many are equal, and others.
struct Case {
    ExpertLoads loads;
    PlacementOrder order;
};

Case random_case(std::mt19937& random) {
    const auto draw = [&](std::size_t least, std::size_t most) {
        return std::uniform_int_distribution<std::size_t>(least, most)(random);
    };
    Case made;
    made.order.nodes = draw(1, 4);
    made.order.groups = draw(0, 3) > 0 ? made.order.nodes * draw(1, 4) : draw(1, 7);
    made.order.devices = made.order.nodes * draw(1, 4);
    made.loads.layers = draw(1, 3);
    made.loads.experts = made.order.groups * draw(1, 8);
    const std::size_t each = (made.loads.experts + made.order.devices - 1) / made.order.devices + draw(0, 3);
    made.order.replicas = made.order.devices * each;
    const bool few = draw(0, 1) == 0;
    std::lognormal_distribution<double> spread(3, 1.5);
    for (std::size_t i = 0; i < made.loads.layers * made.loads.experts; ++i) {
        made.loads.load.push_back(few ? static_cast<double>(draw(0, 5)) : spread(random));
    }
    return made;
}

TEST(Placement, EveryExpertHasItsPlacesAndTheTablesAgree) {
    std::mt19937 random(1);
    for (int round = 0; round < 500; ++round) {
        const auto [loads, order] = random_case(random);
        const Placement placement = place_experts(loads, order);
        const std::vector<std::int32_t> places = placement.logical_to_physical();
        const auto width = static_cast<std::size_t>(placement.most_places());
        ASSERT_EQ(placement.per_device() * order.devices, order.replicas);
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            const auto counts = placement.counts(layer);
            ASSERT_EQ(std::accumulate(counts.begin(), counts.end(), std::size_t{0}), order.replicas);
            std::set<std::int32_t> seen;
            for (std::size_t expert = 0; expert < loads.experts; ++expert) {
                ASSERT_GE(counts[expert], 1);
                for (std::size_t rank = 0; rank < width; ++rank) {
                    const std::int32_t place = places[(layer * loads.experts + expert) * width + rank];
                    ASSERT_EQ(place >= 0, rank < static_cast<std::size_t>(counts[expert]));
                    if (place >= 0) {
                        ASSERT_TRUE(seen.insert(place).second);
                        ASSERT_EQ(placement.places(layer)[static_cast<std::size_t>(place)],
                                  static_cast<std::int32_t>(expert));
                    }
                }
            }
            ASSERT_EQ(seen.size(), order.replicas);
        }
    }
}

TEST(Placement, NoLoadIsLostOnTheWay) {
    std::mt19937 random(2);
    for (int round = 0; round < 300; ++round) {
        const auto [loads, order] = random_case(random);
        const Placement placement = place_experts(loads, order);
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            const auto row = loads.layer(layer);
            const double total = std::accumulate(row.begin(), row.end(), 0.0);
            for (const auto& devices : {device_loads(placement, layer, row), contiguous_loads(row, order.devices)}) {
                ASSERT_EQ(devices.size(), order.devices);
                ASSERT_NEAR(std::accumulate(devices.begin(), devices.end(), 0.0), total, 1e-9 * (1 + total));
            }
        }
    }
}

TEST(Placement, GroupsStayWholeOnOneNodeAndNodesHaveAsMany) {
    std::mt19937 random(3);
    int hierarchical = 0;
    for (int round = 0; round < 400; ++round) {
        const auto [loads, order] = random_case(random);
        if (!order.hierarchical()) {
            continue;
        }
        ++hierarchical;
        const Placement placement = place_experts(loads, order);
        const std::size_t size = loads.experts / order.groups;
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            std::map<std::size_t, std::set<std::size_t>> nodes;   // of each group
            std::map<std::size_t, std::set<std::size_t>> groups;  // of each node
            for (std::size_t place = 0; place < order.replicas; ++place) {
                const std::size_t group = static_cast<std::size_t>(placement.places(layer)[place]) / size,
                                  node = place / (order.replicas / order.nodes);
                nodes[group].insert(node);
                groups[node].insert(group);
            }
            for (const auto& [group, on] : nodes) {
                ASSERT_EQ(on.size(), 1u);
            }
            for (const auto& [node, with] : groups) {
                ASSERT_EQ(with.size(), order.groups / order.nodes);
            }
        }
    }
    EXPECT_GT(hierarchical, 100);
}

/// The fewest places of a node with which no place has more than `most` to do.
std::size_t places_needed(std::span<const double> load, double most) {
    std::size_t needed = 0;
    for (const double one : load) {
        needed += std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(one / most)));
    }
    return needed;
}

TEST(Placement, NoOtherDoublingMakesTheFullestPlaceSmaller) {
    std::mt19937 random(4);
    for (int round = 0; round < 300; ++round) {
        auto [loads, order] = random_case(random);
        order.groups = order.nodes = 1;
        const Placement placement = place_experts(loads, order);
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            const auto row = loads.layer(layer);
            double fullest = 0;
            for (std::size_t expert = 0; expert < loads.experts; ++expert) {
                fullest = std::max(fullest, row[expert] / placement.counts(layer)[expert]);
            }
            // With a little less than this for each place there would have to be more of them than there are.
            if (fullest > 0) {
                ASSERT_GT(places_needed(row, fullest * (1 - 1e-5)), order.replicas);
            }
            ASSERT_LE(fullest, *std::max_element(row.begin(), row.end()));
        }
    }
}

TEST(Placement, WithTwoPlacesToADeviceThePairsAreTheBestThereAre) {
    // The heaviest half goes one to each device, then the heaviest of the rest to the lightest device: heaviest with
    // lightest, which no other pairs can do better.
    std::mt19937 random(5);
    for (int round = 0; round < 300; ++round) {
        const std::size_t devices = 1 + random() % 9;
        ExpertLoads loads{1, 2 * devices, {}};
        for (std::size_t expert = 0; expert < loads.experts; ++expert) {
            loads.load.push_back(static_cast<double>(random() % 1000));
        }
        const Placement placement = place_experts(loads, {.replicas = 2 * devices, .devices = devices});
        std::vector<double> sorted = loads.load;
        std::sort(sorted.begin(), sorted.end());
        double best = 0;
        for (std::size_t pair = 0; pair < devices; ++pair) {
            best = std::max(best, sorted[pair] + sorted[2 * devices - 1 - pair]);
        }
        EXPECT_EQ(device_balance(device_loads(placement, 0, loads.load)).fullest, best);
        EXPECT_LE(best, device_balance(contiguous_loads(loads.load, devices)).fullest);
    }
}

TEST(Placement, LayersDoNotLookAtEachOtherAndOnlyProportionsCount) {
    std::mt19937 random(6);
    for (int round = 0; round < 200; ++round) {
        const auto [loads, order] = random_case(random);
        const Placement whole = place_experts(loads, order);
        ExpertLoads larger = loads;
        for (double& load : larger.load) {
            load *= 1024;  // a power of two: no f32 is rounded another way
        }
        EXPECT_EQ(place_experts(larger, order).physical_to_logical, whole.physical_to_logical);
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            const auto row = loads.layer(layer);
            const Placement alone = place_experts({1, loads.experts, {row.begin(), row.end()}}, order);
            EXPECT_TRUE(std::equal(alone.physical_to_logical.begin(), alone.physical_to_logical.end(),
                                   whole.places(layer).begin()));
        }
    }
}

TEST(Placement, AnEvenLoadThatFillsEveryDeviceEvenlyStaysEven) {
    const ExpertLoads loads{1, 16, std::vector<double>(16, 100.0)};
    const Placement placement = place_experts(loads, {.replicas = 16, .groups = 4, .nodes = 2, .devices = 8});
    EXPECT_DOUBLE_EQ(device_balance(device_loads(placement, 0, loads.load)).ratio(), 1);
    EXPECT_EQ(placement.most_places(), 1);
}

TEST(Placement, WithoutABalancerNeighboursStandTogether) {
    const std::vector<double> load{1, 2, 4, 8, 16};
    EXPECT_EQ(contiguous_loads(load, 2), std::vector<double>({7, 24}));  // one more on the first
    EXPECT_EQ(contiguous_loads(load, 5), load);
    EXPECT_EQ(contiguous_loads(load, 7), std::vector<double>({1, 2, 4, 8, 16, 0, 0}));
    const DeviceBalance balance = device_balance(contiguous_loads(load, 2));
    EXPECT_EQ(balance.fullest, 24);
    EXPECT_EQ(balance.mean, 15.5);
    EXPECT_DOUBLE_EQ(balance.ratio(), 24 / 15.5);
    EXPECT_TRUE(std::isnan(device_balance(std::vector<double>{0, 0}).ratio()));
    EXPECT_TRUE(std::isnan(device_balance({}).ratio()));
}

TEST(Placement, DevicesWaitInEachStepAlsoWhereTheSumIsEven) {
    const Placement placement = place_experts(loads_of({{10, 10}, {6, 2}}), {.replicas = 2, .devices = 2});
    WorkOverSteps work(placement);
    work.add(std::vector<double>{10, 0, 3, 1});
    work.add(std::vector<double>{0, 10, 3, 1});
    const std::vector<WorkOverSteps::Layer> layers = work.layers();
    ASSERT_EQ(layers.size(), 2u);
    for (const WorkOverSteps::Devices& devices : {layers[0].before, layers[0].after}) {
        EXPECT_EQ(devices.load, std::vector<double>({5, 5}));
        EXPECT_EQ(devices.balance.fullest, 10);
        EXPECT_EQ(devices.balance.mean, 5);
    }
    EXPECT_EQ(layers[1].before.balance.fullest, 3);
    EXPECT_EQ(layers[1].before.balance.mean, 2);
    EXPECT_EQ(WorkOverSteps(placement).layers()[0].before.load, std::vector<double>({0, 0}));
}

TEST(Placement, WorkOverStepsIsNotBelowThatOfTheirSum) {
    std::mt19937 random(7);
    for (int round = 0; round < 100; ++round) {
        auto [loads, order] = random_case(random);
        std::vector<std::vector<double>> steps(1 + random() % 5, loads.load);
        std::fill(loads.load.begin(), loads.load.end(), 0.0);
        for (std::vector<double>& step : steps) {
            std::shuffle(step.begin(), step.end(), random);
            std::transform(step.begin(), step.end(), loads.load.begin(), loads.load.begin(), std::plus<>());
        }
        const Placement placement = place_experts(loads, order);
        WorkOverSteps work(placement);
        for (const std::vector<double>& step : steps) {
            work.add(step);
        }
        const auto count = static_cast<double>(steps.size());
        const std::vector<WorkOverSteps::Layer> layers = work.layers();
        for (std::size_t layer = 0; layer < loads.layers; ++layer) {
            const auto row = loads.layer(layer);
            const DeviceBalance sum = device_balance(device_loads(placement, layer, row)),
                                plain = device_balance(contiguous_loads(row, order.devices));
            const double slack = 1e-9 * (1 + sum.mean);
            ASSERT_GE(count * layers[layer].after.balance.fullest, sum.fullest - slack);
            ASSERT_NEAR(count * layers[layer].after.balance.mean, sum.mean, slack);
            ASSERT_GE(count * layers[layer].before.balance.fullest, plain.fullest - slack);
        }
    }
}

TEST(Placement, WhatCannotBeSharedEvenlyIsRefusedWithItsNumbers) {
    const auto problem = [](std::size_t experts, PlacementOrder order) {
        const std::string sentence = placement_problem(2, experts, order).english();
        const ExpertLoads loads{2, experts, std::vector<double>(2 * experts, 1.0)};
        std::string thrown;
        try {
            place_experts(loads, order);
        } catch (const Error& error) {
            thrown = error.what();
        }
        EXPECT_EQ(thrown, sentence);
        return sentence;
    };
    EXPECT_EQ(problem(12, {16, 4, 2, 8}), "");
    EXPECT_EQ(problem(12, {8, 4, 2, 8}), "8 places are too few for 12 experts: each needs one");
    EXPECT_EQ(problem(12, {15, 4, 2, 8}), "15 places cannot be shared evenly by 8 devices");
    EXPECT_EQ(problem(10, {16, 4, 2, 8}), "10 experts cannot be divided into 4 groups of one size");
    EXPECT_EQ(problem(12, {14, 4, 2, 7}), "7 devices cannot be shared evenly by 2 nodes");
    EXPECT_EQ(problem(12, {16, 0, 2, 8}), "groups, nodes and devices must be at least 1");
    EXPECT_EQ(problem(12, {16, 4, 0, 8}), "groups, nodes and devices must be at least 1");
    EXPECT_EQ(problem(12, {16, 4, 2, 0}), "groups, nodes and devices must be at least 1");
    EXPECT_EQ(problem(0, {16, 4, 2, 8}), "there are no experts to place");
    EXPECT_NE(problem(12, {std::size_t{1} << 40, 4, 2, 8}).find("more than the 4194304"), std::string::npos);
    // Groups are not looked at where the nodes do not divide them: they and the nodes come out even all the same.
    EXPECT_EQ(problem(12, {16, 4, 8, 8}), "");
    EXPECT_EQ(problem(12, {16, 1, 3, 8}), "8 devices cannot be shared evenly by 3 nodes");
    EXPECT_EQ(problem(12, {16, 5, 2, 8}), "12 experts cannot be divided into 5 groups of one size");
    EXPECT_EQ(problem(10, {16, 4, 3, 8}), "10 experts cannot be divided into 4 groups of one size");
}

TEST(Placement, ALayerWithoutExpertsIsNullAndChangesNoOther) {
    ExpertLoads loads = loads_of({{0, 0, 0, 0}, {1, 2, 3, 4}});
    loads.dense = {1, 0};
    const PlacementOrder order{.replicas = 6, .devices = 2};
    const Placement placement = place_experts(loads, order);
    const json placed = placement_to_json(placement),
               alone = placement_to_json(place_experts(loads_of({{1, 2, 3, 4}}), order));
    for (const char* key : {"physical_to_logical", "logical_to_physical", "logical_count"}) {
        EXPECT_EQ(placed.at(key), json::array({nullptr, alone.at(key).at(0)})) << key;
    }
    EXPECT_EQ(device_loads(placement, 0, loads.layer(0)), std::vector<double>({0, 0}));
    loads.dense = {1, 1};
    EXPECT_THROW(place_experts(loads, order), Error);
}

TEST(Placement, ATableThatWouldBeHugeIsRefusedBeforeItIsMade) {
    ExpertLoads loads{1, 4096, std::vector<double>(4096, 0.0)};
    loads.load[0] = 1;
    const Placement placement = place_experts(loads, {.replicas = std::size_t{1} << 16, .devices = 1});
    try {
        placement.logical_to_physical();
        FAIL() << "not refused";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("use fewer places"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace moescope::routing
