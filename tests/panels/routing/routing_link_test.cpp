// A view of routing as a text: what is written is read again, everything else is refused with a sentence.
#include "panels/routing/routing_link.hpp"

#include <gtest/gtest.h>
#include <tuple>

#include "panels/ui/language.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using panels::LinkProblem;
using panels::parse_link;
using panels::RoutingLink;
using panels::TokenColour;

TEST(RoutingLink, IsReadAsItWasWritten) {
    RoutingLink link{.run = 7};
    link.token = 120;
    link.layer = 3;
    link.expert = 5;
    link.colour = TokenColour::log_probability;
    link.rank = 1;
    const std::string text = panels::to_text(link);
    EXPECT_EQ(text, "moescope:routing?run=7&token=120&layer=3&expert=5&colour=log_probability&rank=1");
    LinkProblem problem;
    EXPECT_EQ(parse_link(text, problem), link);
    EXPECT_EQ(problem.key, nullptr);
    EXPECT_EQ(parse_link("  " + text + "\n", problem), link);
    EXPECT_EQ(panels::to_text({}), "moescope:routing");
    EXPECT_EQ(parse_link("moescope:routing", problem), RoutingLink{});
    EXPECT_EQ(parse_link("moescope:routing?", problem), RoutingLink{});
}

TEST(RoutingLink, PartsMayStandInAnyOrderAndBeLeftOut) {
    LinkProblem problem;
    const auto link = parse_link("moescope:routing?layer=0&run=3", problem);
    ASSERT_TRUE(link);
    EXPECT_EQ(link->run, 3u);
    EXPECT_EQ(link->layer, 0);
    EXPECT_FALSE(link->token);
    EXPECT_FALSE(link->colour);
}

TEST(RoutingLink, IsRefusedWithASentenceThatNamesWhatIsWrong) {
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    for (const auto& [link, key, what] :
         {std::tuple{"", "routing.link.none", ""}, std::tuple{"hello", "routing.link.none", "hello"},
          std::tuple{"https://example.org/?run=1", "routing.link.none", "https://example.org/?run=1"},
          std::tuple{"moescope:training?run=1", "routing.link.view", "moescope:training"},
          std::tuple{"moescope:routing?run=1&speed=3", "routing.link.part", "speed=3"},
          std::tuple{"moescope:routing?run", "routing.link.part", "run"},
          std::tuple{"moescope:routing?run=1&&layer=2", "routing.link.part", ""},
          std::tuple{"moescope:routing?run=1&run=2", "routing.link.twice", "run=2"},
          std::tuple{"moescope:routing?run=0", "routing.link.value", "run=0"},
          std::tuple{"moescope:routing?run=-1", "routing.link.value", "run=-1"},
          std::tuple{"moescope:routing?run=1e3", "routing.link.value", "run=1e3"},
          std::tuple{"moescope:routing?token=99999999999999999999", "routing.link.value", "token=99999999999999999999"},
          std::tuple{"moescope:routing?layer=", "routing.link.value", "layer="},
          std::tuple{"moescope:routing?colour=loud", "routing.link.value", "colour=loud"}}) {
        LinkProblem problem;
        EXPECT_FALSE(parse_link(link, problem)) << link;
        ASSERT_NE(problem.key, nullptr) << link;
        EXPECT_STREQ(problem.key, key) << link;
        EXPECT_EQ(problem.what, what) << link;
        EXPECT_TRUE(text.has(problem.key)) << problem.key;
    }
    LinkProblem problem;
    EXPECT_FALSE(parse_link("moescope:routing?run=1&token=" + std::string(600, '1'), problem));
}

TEST(TokenColours, HaveNames) {
    for (int i = 0; i < panels::kTokenColours; ++i) {
        const auto colour = static_cast<TokenColour>(i);
        EXPECT_EQ(panels::token_colour_named(panels::token_colour_name(colour)), colour);
    }
    EXPECT_FALSE(panels::token_colour_named("red"));
}

}  // namespace
