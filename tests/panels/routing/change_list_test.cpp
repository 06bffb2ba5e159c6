// Changes to routers as a person puts them together: order, contradictions, steps, and the way to and from JSON.
#include "panels/routing/change_list.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using panels::Change;
using panels::ChangeList;
using Kind = Change::Kind;
using nlohmann::json;

const ui::Language& english() {
    static const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    return text;
}

Change at(Kind kind, int layer, int expert) {
    return {.kind = kind, .layer = layer, .expert = expert};
}

TEST(ChangeList, KeepsTheOrderAndWhatIsThereAlreadyIsNoStep) {
    ChangeList list;
    EXPECT_TRUE(list.add(at(Kind::knock_out, 3, 5)));
    EXPECT_TRUE(list.add(at(Kind::zero, 1, 2)));
    EXPECT_FALSE(list.add(at(Kind::knock_out, 3, 5)));
    EXPECT_EQ(list.changes(), (std::vector<Change>{at(Kind::knock_out, 3, 5), at(Kind::zero, 1, 2)}));
}

TEST(ChangeList, WhatContradictsGivesWay) {
    ChangeList list;
    list.add(at(Kind::knock_out, 3, 5));
    list.add(at(Kind::force, 3, 5));
    EXPECT_EQ(list.changes(), (std::vector<Change>{at(Kind::force, 3, 5)}));
    list.add({.kind = Kind::bias, .layer = 3, .expert = 5, .bias = 0.5f});
    list.add({.kind = Kind::bias, .layer = 3, .expert = 5, .bias = -1});
    ASSERT_EQ(list.changes().size(), 2u);
    EXPECT_EQ(list.changes()[1].bias, -1);
    list.add({.kind = Kind::limit, .layer = 2, .experts = 1});
    list.add({.kind = Kind::limit, .layer = 2, .experts = 3});
    list.add({.kind = Kind::limit, .experts = 2});  // of every layer: another place
    EXPECT_EQ(list.changes().size(), 4u);
    list.add({.kind = Kind::replay, .source = panels::replay_source(7)});
    list.add({.kind = Kind::replay, .source = panels::replay_source(8)});
    EXPECT_EQ(list.changes().back().source, "run:8");
    EXPECT_EQ(list.changes().size(), 5u);
    // Other places are left alone.
    list.add(at(Kind::knock_out, 4, 5));
    EXPECT_EQ(list.changes().size(), 6u);
}

TEST(ChangeList, EveryStepHasAVersionAndWhatIsNoneHasNone) {
    ChangeList list;
    std::uint64_t version = list.version();
    const auto is_step = [&] { return std::exchange(version, list.version()) != list.version(); };
    list.add(at(Kind::knock_out, 0, 0));
    EXPECT_TRUE(is_step());
    list.add(at(Kind::knock_out, 0, 0));
    EXPECT_FALSE(is_step());
    list.add(at(Kind::knock_out, 0, 1));
    EXPECT_TRUE(is_step());
    list.remove(0);
    EXPECT_TRUE(is_step());
    list.replace(0, at(Kind::force, 0, 1));
    EXPECT_TRUE(is_step());
    EXPECT_EQ(list.changes(), (std::vector<Change>{at(Kind::force, 0, 1)}));
    list.remove(17);
    list.replace(17, at(Kind::zero, 1, 1));
    EXPECT_FALSE(is_step());
    list.clear();
    EXPECT_TRUE(is_step());
    list.clear();  // nothing to clear
    EXPECT_FALSE(is_step());
    EXPECT_TRUE(list.empty());
}

TEST(ChangeList, OnePlaceIsTakenBackWithAllThatStandsThere) {
    ChangeList list;
    list.add({at(Kind::knock_out, 3, 5), at(Kind::force, 3, 6), {.kind = Kind::limit, .layer = 3, .experts = 1}});
    list.add({.kind = Kind::bias, .layer = 3, .expert = 6, .bias = 1});
    EXPECT_EQ(list.at(3, 6).size(), 2u);
    EXPECT_TRUE(list.remove_at(3, 6));
    EXPECT_FALSE(list.remove_at(3, 6));
    EXPECT_EQ(list.changes().size(), 2u);
    EXPECT_TRUE(list.at(3, routing::kEvery).empty());  // a limit is of no expert
}

TEST(Changes, AreItemsAsTheNodeKnowsThemAndBack) {
    const std::vector<Change> changes = {at(Kind::force, 3, 5),
                                         at(Kind::knock_out, routing::kEvery, 7),
                                         {.kind = Kind::bias, .layer = 1, .expert = 2, .bias = -0.5f},
                                         {.kind = Kind::limit, .layer = 4, .experts = 2},
                                         at(Kind::zero, 6, routing::kEvery),
                                         {.kind = Kind::replay, .source = "run:12"}};
    const json items = panels::items_of(changes);
    EXPECT_EQ(items, json::parse(R"([{"kind":"force","layer":3,"expert":5},{"kind":"knock_out","expert":7},
        {"kind":"bias","layer":1,"expert":2,"value":-0.5},{"kind":"limit_k","layer":4,"experts":2},
        {"kind":"zero","layer":6},{"kind":"replay","source":"run:12"}])"));
    EXPECT_EQ(panels::changes_from(items), changes);  // in their order
    // As the node's own reader writes them: the same changes, sorted by kind.
    const json sorted = routing::items_to_json(routing::interventions_from_json(items));
    EXPECT_EQ(panels::changes_from(sorted).size(), changes.size());
    EXPECT_EQ(panels::replayed_run("run:12"), 12u);
    for (const char* other : {"run", "run:", "run:12x", "12", "run:-1", "run:99999999999", "run 12"}) {
        EXPECT_EQ(panels::replayed_run(other), 0u) << other;
    }
}

TEST(Changes, ThatAreNoneAreRefused) {
    for (const char* items : {R"({"a":1})", R"([{"kind":"melt"}])", R"([{"kind":"bias","layer":1,"expert":2}])",
                              R"([{"kind":"force","layer":-3}])", R"(["force"])", "7"}) {
        EXPECT_THROW(panels::changes_from(json::parse(items)), base::Error) << items;
        EXPECT_TRUE(panels::changes_or_none(json::parse(items)).empty()) << items;
    }
}

TEST(Changes, AreMadeOfWhatIsTypedIntoTwoFields) {
    const auto places = [](const char* layers, const char* experts) {
        std::vector<std::pair<int, int>> found;
        for (const Change& change : panels::changes_at(Kind::knock_out, layers, experts, 0, 1)) {
            found.emplace_back(change.layer, change.expert);
        }
        return found;
    };
    using Places = std::vector<std::pair<int, int>>;
    EXPECT_EQ(places("3", "5"), (Places{{3, 5}}));
    EXPECT_EQ(places(" 1-2 ", " 4 , 6-7"), (Places{{1, 4}, {2, 4}, {1, 6}, {1, 7}, {2, 6}, {2, 7}}));
    EXPECT_EQ(places("", "5"), (Places{{-1, 5}}));
    EXPECT_EQ(places("*", "*"), (Places{{-1, -1}}));
    const std::vector<Change> limits = panels::changes_at(Kind::limit, "0,2", "ignored", 0, 3);
    ASSERT_EQ(limits.size(), 2u);
    EXPECT_EQ(limits[1], (Change{.kind = Kind::limit, .layer = 2, .experts = 3}));
    EXPECT_EQ(panels::changes_at(Kind::bias, "0", "1", 0.25f, 1).front().bias, 0.25f);
    for (const auto& [layers, experts] :
         {std::pair{"a", "1"}, std::pair{"1,", "1"}, std::pair{"3", "9-2"}, std::pair{"1", "1;2"}}) {
        EXPECT_THROW(panels::changes_at(Kind::knock_out, layers, experts, 0, 1), base::Error) << layers << experts;
    }
}

TEST(Changes, ReadAsSentences) {
    const ui::Language& text = english();
    EXPECT_EQ(panels::change_text(text, at(Kind::knock_out, 3, 5)), "layer 3, expert 5: knocked out");
    EXPECT_EQ(panels::change_text(text, {.kind = Kind::bias, .expert = 5, .bias = -0.5f}),
              "every layer, expert 5: bias -0.5");
    EXPECT_EQ(panels::change_text(text, {.kind = Kind::limit, .layer = 2, .experts = 1}),
              "layer 2, all experts: at most 1 expert per token");
    EXPECT_EQ(panels::change_text(text, {.kind = Kind::replay, .source = "run:7"}), "routing of run 7 replayed");
    EXPECT_EQ(panels::changes_text(text, {}), "no changes");
    EXPECT_EQ(panels::changes_text(text, {at(Kind::zero, 0, 1)}), "layer 0, expert 1: contribution zero");
    EXPECT_EQ(panels::changes_text(text, {at(Kind::knock_out, 0, 1), at(Kind::knock_out, 0, 2), at(Kind::force, 1, 1)}),
              "2 knocked out, 1 forced");
}

TEST(SetNames, AreShortAndCanStandBehindAModel) {
    EXPECT_EQ(panels::set_name_problem("no maths 没有"), nullptr);
    EXPECT_STREQ(panels::set_name_problem("  "), "change.name.none");
    EXPECT_STREQ(panels::set_name_problem("a|b"), "change.name.sign");
    EXPECT_STREQ(panels::set_name_problem("a\nb"), "change.name.sign");
    EXPECT_STREQ(panels::set_name_problem(std::string(61, 'a')), "change.name.long");
    EXPECT_EQ(panels::set_name_problem(std::string(60, 'a')), nullptr);
}

TEST(ChangeText, OfOneExpertIsSingular) {
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_NE(panels::change_text(text, {.kind = Kind::limit, .layer = 2, .experts = 1}).find("at most 1 expert per"),
              std::string::npos);
    EXPECT_NE(panels::change_text(text, {.kind = Kind::limit, .layer = 2, .experts = 3}).find("at most 3 experts per"),
              std::string::npos);
}

TEST(ChangesAt, NameTheFieldThatIsWrong) {
    const auto problem = [](const char* layers, const char* experts, Kind kind = Kind::knock_out) {
        try {
            panels::changes_at(kind, layers, experts, 0, 1);
        } catch (const base::Error& error) {
            return error.sentence().english();
        }
        return std::string();
    };
    EXPECT_EQ(problem("0", "0-4, 7"), "");
    EXPECT_EQ(problem("", ""), "");
    EXPECT_NE(problem("0", "abc").find("'abc' in the field of experts"), std::string::npos);
    EXPECT_NE(problem("0", "5-2").find("'5-2' in the field of experts"), std::string::npos);
    EXPECT_NE(problem("0", "3:5").find("'3:5' in the field of experts"), std::string::npos);
    EXPECT_NE(problem("x", "0").find("'x' in the field of layers"), std::string::npos);
    EXPECT_NE(problem("1,", "0").find("in the field of layers"), std::string::npos);
    EXPECT_EQ(problem("2", "abc", Kind::limit), "") << "that field is not on show";
}

}  // namespace
