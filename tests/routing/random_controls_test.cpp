// Random changes of equal size: as many experts in the same layers, other ones, drawn from the seed.
#include "routing/random_controls.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

std::map<int, std::set<int>> by_layer(const std::vector<ExpertPlace>& places) {
    std::map<int, std::set<int>> experts;
    for (const ExpertPlace& place : places) {
        EXPECT_TRUE(experts[place.layer].insert(place.expert).second) << "one expert twice";
    }
    return experts;
}

TEST(RandomControls, AreOfEqualSizeInTheSameLayersAndNameOthers) {
    const RouterSpec spec = make_spec(3, 16, 2);
    Interventions changes;
    changes.name = "mine";
    changes.knocked_out = {{0, 3}, {0, 5}, {2, 1}};
    changes.forced = {{1, 7}};
    changes.biases = {{{2, 4}, 0.5f}, {{1, 9}, -1}};
    changes.zeroed = {{2, 4}};
    changes.limits = {{0, 1}};
    const auto controls = random_controls(changes, spec, 40, 7);
    ASSERT_EQ(controls.size(), 40u);
    std::set<int> drawn;
    for (const Interventions& control : controls) {
        EXPECT_TRUE(control.name.empty());
        const auto out = by_layer(control.knocked_out);
        ASSERT_EQ(out.size(), 2u);
        EXPECT_EQ(out.at(0).size(), 2u);
        EXPECT_EQ(out.at(2).size(), 1u);
        for (const int expert : out.at(0)) {
            EXPECT_TRUE(expert != 3 && expert != 5);
            drawn.insert(expert);
        }
        ASSERT_EQ(control.forced.size(), 1u);
        EXPECT_EQ(control.forced[0].layer, 1);
        EXPECT_TRUE(control.forced[0].expert != 7 && control.forced[0].expert != 9);
        ASSERT_EQ(control.biases.size(), 2u);
        EXPECT_EQ(control.biases[0].place.layer, 2);
        EXPECT_EQ(control.biases[0].value, 0.5f);
        EXPECT_EQ(control.biases[1].value, -1);
        ASSERT_EQ(control.zeroed.size(), 1u);
        EXPECT_EQ(control.zeroed[0], control.biases[0].place) << "the same one, as before";
        EXPECT_NE(control.zeroed[0].expert, 4);
        EXPECT_NE(control.zeroed[0].expert, 1) << "which is knocked out there";
        EXPECT_FALSE(out.at(2).contains(control.zeroed[0].expert));
        EXPECT_EQ(control.limits, changes.limits);
    }
    EXPECT_GT(drawn.size(), 10u) << "all others come up";
    EXPECT_EQ(random_controls(changes, spec, 40, 7), controls);
    EXPECT_NE(random_controls(changes, spec, 40, 8), controls);
    const auto fewer = random_controls(changes, spec, 3, 7);
    EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), controls.begin()));
}

TEST(RandomControls, EveryLayerDrawsForItself) {
    const RouterSpec spec = make_spec(6, 32, 2);
    Interventions changes;
    changes.knocked_out = {{kEvery, 5}};
    const auto controls = random_controls(changes, spec, 4, 1);
    ASSERT_EQ(controls.size(), 4u);
    for (const Interventions& control : controls) {
        ASSERT_EQ(control.knocked_out.size(), 6u);
        std::set<int> experts;
        for (int layer = 0; layer < 6; ++layer) {
            EXPECT_EQ(control.knocked_out[static_cast<std::size_t>(layer)].layer, layer);
            experts.insert(control.knocked_out[static_cast<std::size_t>(layer)].expert);
        }
        EXPECT_GT(experts.size(), 1u);
        EXPECT_FALSE(experts.contains(5));
    }
}

TEST(RandomControls, WhereTooFewAreLeftOnesThatWereNamedComeUpAgain) {
    const RouterSpec spec = make_spec(1, 6, 2);
    Interventions changes;
    changes.knocked_out = {{0, 0}, {0, 1}, {0, 2}, {0, 3}};
    for (const Interventions& control : random_controls(changes, spec, 20, 3)) {
        EXPECT_EQ(by_layer(control.knocked_out).at(0).size(), 4u);
    }
}

TEST(RandomControls, LeaveOutWhatIsDisabled) {
    RouterSpec spec = make_spec(2, 6, 2);
    spec.disabled = {{0, 1}, {0, 2}, {1, 5}};
    Interventions changes;
    changes.knocked_out = {{0, 3}, {1, 0}};
    for (const Interventions& control : random_controls(changes, spec, 30, 3)) {
        for (const ExpertPlace& place : control.knocked_out) {
            EXPECT_TRUE(place.layer != 0 || (place.expert != 1 && place.expert != 2 && place.expert != 3));
            EXPECT_TRUE(place.layer != 1 || (place.expert != 5 && place.expert != 0));
        }
    }
}

TEST(RandomControls, NothingIsDrawnWhereNoExpertIsNamed) {
    const RouterSpec spec = make_spec(2, 8, 2);
    Interventions changes;
    changes.limits = {{kEvery, 1}};
    changes.zeroed = {{1, kEvery}};
    EXPECT_TRUE(random_controls(changes, spec, 8, 1).empty());
    changes.zeroed.push_back({0, 2});
    const auto controls = random_controls(changes, spec, 2, 1);
    ASSERT_EQ(controls.size(), 2u);
    EXPECT_EQ(controls[0].zeroed.size(), 2u);
    EXPECT_EQ(controls[0].zeroed[0], (ExpertPlace{1, kEvery}));
    changes.zeroed = {{0, 8}};
    EXPECT_NE(sentence_of([&] { random_controls(changes, spec, 2, 1); }).find("there is no expert 8"),
              std::string::npos);
}

TEST(ControlRank, TiesCountAgainstTheChange) {
    const auto ranked = [](double change, const std::vector<double>& controls) {
        const ControlRank among = rank_among(change, controls);
        return std::pair(among.rank, among.ties);
    };
    using Pair = std::pair<std::size_t, std::size_t>;
    EXPECT_EQ(ranked(0, {0, 0, 0, 0.1, 0, 0, 0, 0}), Pair(9, 7)) << "it did nothing, as seven of the eight";
    EXPECT_EQ(ranked(0, {0, 0, 0}), Pair(4, 3)) << "last of four, not first";
    EXPECT_EQ(ranked(0.2, {0.1, 0.3, 0.2}), Pair(3, 1));
    EXPECT_EQ(ranked(0.4, {0.1, 0.3, 0.2}), Pair(1, 0));
    EXPECT_EQ(ranked(0.4, {}), Pair(1, 0));
    EXPECT_EQ(ranked(0.4, {std::nan(""), 0.1}), Pair(2, 1)) << "what is not known does not count for it";
}

}  // namespace
}  // namespace moescope::routing
