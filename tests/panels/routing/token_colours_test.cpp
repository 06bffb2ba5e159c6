// What a token's colour stands for: the same expert always looks the same, neighbours differ, and tints follow the
// numbers of the decision.
#include "panels/routing/token_colours.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "tests/routing/random_trace.hpp"

namespace {

using namespace moescope;
using panels::Colouring;
using panels::expert_look;
using panels::TokenColour;

/// Two tokens in two layers; the second has no decision in the second layer.
routing::Chunk two_tokens() {
    routing::ChunkBuilder builder(routing::make_spec(2, 4, 2));
    for (int i = 0; i < 2; ++i) {
        routing::TokenDecisions token;
        token.position = i;
        token.bytes = "w";
        token.log_probability = -1.0f;
        routing::LayerDecision first = routing::decided(0, {3, 1}, {0.75f, 0.25f});
        first.margin = i == 0 ? 0.1f : 0.3f;
        first.entropy = 0.5f;
        token.layers.push_back(std::move(first));
        if (i == 0) {
            token.layers.push_back(routing::decided(1, {2}, {1.0f}));
        }
        builder.add(token);
    }
    return *builder.take();
}

TEST(ExpertLook, IsStableAndTellsThirtyTwoApart) {
    std::set<std::tuple<std::size_t, bool, bool>> looks;
    for (int expert = 0; expert < 32; ++expert) {
        const panels::ExpertLook look = expert_look(expert);
        EXPECT_EQ(look, expert_look(expert));
        EXPECT_TRUE(looks.insert({look.hue, look.underlined, look.faint}).second) << expert;
        EXPECT_EQ(look, expert_look(expert + 32)) << expert;
    }
    for (int expert = 0; expert < 300; ++expert) {
        EXPECT_NE(expert_look(expert).hue, expert_look(expert + 1).hue) << "neighbours look alike";
    }
    EXPECT_EQ(expert_look(-1), expert_look(0));
}

TEST(ExpertLook, LeavesTheTextReadableOnItsGround) {
    for (const bool dark : {true, false}) {
        const ui::Theme theme = ui::make_theme(dark);
        for (int expert = 0; expert < 16; ++expert) {
            const panels::TokenLook look = panels::look_of_expert(theme, expert);
            const auto part = [&](int shift, float under) {
                const float alpha = static_cast<float>(look.ground >> 24) / 255.0f;
                return static_cast<float>(look.ground >> shift & 255) / 255.0f * alpha + under * (1 - alpha);
            };
            const ImVec4 ground{part(0, theme.panel.x), part(8, theme.panel.y), part(16, theme.panel.z), 1};
            EXPECT_GE(ui::contrast(theme.text, ground), 4.5) << expert << (dark ? " dark" : " light");
        }
    }
}

TEST(Tints, TellNumbersOfTheChosenLayerAndRank) {
    const routing::Chunk chunk = two_tokens();
    const auto value = [&](TokenColour colour, std::size_t place, std::size_t rank, std::size_t at) {
        return panels::tinted_value({colour, place, rank, {}}, chunk, at, -2.0f);
    };
    EXPECT_FLOAT_EQ(static_cast<float>(value(TokenColour::weight, 0, 0, 0)), 0.75f);
    EXPECT_FLOAT_EQ(static_cast<float>(value(TokenColour::weight, 0, 1, 1)), 0.25f);
    EXPECT_TRUE(std::isnan(value(TokenColour::weight, 1, 1, 0)));  // so many were not chosen
    EXPECT_TRUE(std::isnan(value(TokenColour::weight, 1, 0, 1)));  // no decision
    EXPECT_TRUE(std::isnan(value(TokenColour::margin, 1, 0, 1)));
    EXPECT_TRUE(std::isnan(value(TokenColour::margin, 2, 0, 0)));  // no such layer
    EXPECT_TRUE(std::isnan(value(TokenColour::margin, 0, 0, 2)));
    EXPECT_FLOAT_EQ(static_cast<float>(value(TokenColour::margin, 0, 0, 1)), 0.3f);
    EXPECT_DOUBLE_EQ(value(TokenColour::log_probability, 0, 0, 0), -2.0);
    EXPECT_EQ(panels::expert_at(chunk, 0, 0, 0), 3);
    EXPECT_EQ(panels::expert_at(chunk, 0, 0, 1), 1);
    EXPECT_FALSE(panels::expert_at(chunk, 1, 1, 0));
    EXPECT_FALSE(panels::expert_at(chunk, 5, 0, 0));
    EXPECT_TRUE(panels::chooses(chunk, 0, 1, 1));
    EXPECT_FALSE(panels::chooses(chunk, 1, 1, 2));
    EXPECT_FALSE(panels::chooses(chunk, 0, 0, -1));
}

TEST(Tints, GoFromTheFifthToTheNinetyFifthPercentileOfWhatIsShown) {
    std::vector<double> values = {NAN, 100};  // one far from all others
    for (int i = 0; i <= 99; ++i) {
        values.push_back(0.4 + 0.002 * i);
    }
    const panels::TintScale scale = panels::scale_of(TokenColour::entropy, values);
    EXPECT_NEAR(scale.low, 0.41, 1e-9);
    EXPECT_NEAR(scale.high, 0.59, 1e-9);
    const panels::TintScale surprise = panels::scale_of(TokenColour::log_probability, {-1, -3, -2});
    EXPECT_DOUBLE_EQ(surprise.low, 1);
    EXPECT_DOUBLE_EQ(surprise.high, 3);
    EXPECT_EQ(panels::scale_of(TokenColour::weight, {NAN}).high, 1) << "nothing is known";
}

TEST(Tints, AreStrongWhereTheChoiceWasCloseOrTheTokenUnexpected) {
    Colouring colouring{TokenColour::margin, 0, 0, panels::scale_of(TokenColour::margin, {0.1, NAN, 0.3})};
    EXPECT_NEAR(colouring.scale.high, 0.2, 1e-12);  // their mean
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 0), 1);
    EXPECT_NEAR(panels::strength(colouring, 0.2), std::exp(-1), 1e-12);
    EXPECT_LT(panels::strength(colouring, 2), 0.01);
    colouring = {TokenColour::weight, 0, 0, {0.25, 0.75}};
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 0.75), 1);
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 3), 1);
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 0.5), 0.5);
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 0), 0);
    colouring.scale = panels::scale_of(TokenColour::weight, {1, 1, 1});
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 1), 0.5) << "all alike: neither weak nor strong";
    colouring = {TokenColour::log_probability, 0, 0, {std::log(2), std::log(8)}};  // from p = 1/2 to 1/8
    EXPECT_NEAR(panels::strength(colouring, std::log(0.25)), 0.5, 1e-12);
    EXPECT_DOUBLE_EQ(panels::strength(colouring, 0), 0);
    EXPECT_TRUE(std::isnan(panels::strength(colouring, NAN)));
    const ui::Theme theme = ui::make_theme(true);
    EXPECT_EQ(panels::look_of_strength(theme, NAN).ground, 0u);
    EXPECT_EQ(panels::look_of_strength(theme, 0).ground, 0u);
    EXPECT_NE(panels::look_of_strength(theme, 0.95).underline, 0u);
    EXPECT_EQ(panels::look_of_strength(theme, 0.5).underline, 0u);
}

}  // namespace
