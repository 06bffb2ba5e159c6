// statistics(): the table agrees with the functions it is made of, pairs and never pools, and counts what is missing.
#include <gtest/gtest.h>

#include "probes/probes.hpp"

namespace moescope::probes {
namespace {

using nlohmann::json;

Set small_set(int per_group) {
    Set set;
    set.name = "t";
    set.topics["x"] = {{"en", "x"}, {"zh", "x"}};
    for (const char* group : {"state", "mirror"}) {
        for (int i = 0; i < per_group; ++i) {
            Item item;
            item.id = std::string(group) + std::to_string(i);
            item.topic = "x";
            item.group = group;
            item.prompt = item.title = {{"en", "q"}, {"zh", "问"}};
            set.items.push_back(item);
        }
    }
    return set;
}

Draw draw_of(const Item& item, const std::string& model, const std::string& language, int engagement,
             Delivery delivery = Delivery::answered, int draw = 0) {
    return {item.id,
            item.group,
            item.topic,
            model,
            language,
            draw,
            {engagement == 0 ? Delivery::refused : delivery, engagement, base::Sentence::verbatim("r")},
            false};
}

/// Model A refuses state items with index below `refuses` in English, model B answers everything.
std::vector<Draw> draws_of(const Set& set, int refuses) {
    std::vector<Draw> draws;
    for (const Item& item : set.items) {
        const int index = std::stoi(item.id.substr(item.group.size()));
        for (const char* language : {"en", "zh"}) {
            const bool refused = item.group == "state" && std::string(language) == "en" && index < refuses;
            draws.push_back(draw_of(item, "A", language, refused ? 0 : 4));
            draws.push_back(draw_of(item, "B", language, index % 2 == 0 ? 3 : 4));
        }
    }
    return draws;
}

const json& pick(const json& list, const std::function<bool(const json&)>& wanted) {
    for (const json& entry : list) {
        if (wanted(entry)) {
            return entry;
        }
    }
    throw std::runtime_error("no such entry");
}

const json& cell(const json& table, const char* group, const char* model, const char* language) {
    return pick(table.at("cells"), [&](const json& c) {
        return c.at("scope") == "group" && c.at("group") == group && c.at("model") == model &&
               c.at("language") == language;
    });
}

const json& test_between(const json& table, const char* kind, const char* measure, const char* group,
                         const char* language) {
    return pick(table.at("tests"), [&](const json& t) {
        return t.at("kind") == kind && t.at("measure") == measure && t.at("group") == group &&
               t.at("first").at("language") == language;
    });
}

TEST(Table, RatesAreWilsonOverItems) {
    const Set set = small_set(16);
    const json table = statistics(set, {"A", "B"}, draws_of(set, 9));
    const json& state = cell(table, "state", "A", "en");
    EXPECT_EQ(state.at("n"), 16);
    EXPECT_EQ(state.at("refused").at("count"), 9);
    EXPECT_EQ(state.at("engaged").at("count"), 7);
    EXPECT_DOUBLE_EQ(state.at("engaged").at("low").get<double>(), wilson(7, 16).low);
    EXPECT_DOUBLE_EQ(state.at("engaged").at("high").get<double>(), wilson(7, 16).high);
    EXPECT_EQ(state.at("engagement"), json({9, 0, 0, 0, 7}));
    EXPECT_FALSE(state.at("descriptive_only"));
    EXPECT_EQ(state.at("draw_ids").size(), 16u);
    EXPECT_EQ(state.at("draw_ids")[0], json({{"item", "state0"}, {"model", "A"}, {"language", "en"}, {"draw", 0}}));
    EXPECT_TRUE(cell(statistics(small_set(9), {"A", "B"}, draws_of(small_set(9), 3)), "state", "A", "en")
                    .at("descriptive_only"));
}

TEST(Table, TestsAreMcNemarOnPairs) {
    const Set set = small_set(16);
    const json table = statistics(set, {"A", "B"}, draws_of(set, 9));
    const json& test = test_between(table, "models", "engaged", "state", "en");
    const McNemar expected = mcnemar(7, 0, 9, 0);
    EXPECT_EQ(test.at("only_second"), 9);
    EXPECT_DOUBLE_EQ(test.at("p").get<double>(), expected.p);
    EXPECT_DOUBLE_EQ(test.at("mid_p").get<double>(), expected.mid_p);
    EXPECT_DOUBLE_EQ(test.at("difference").at("low").get<double>(), expected.difference.low);
    EXPECT_EQ(test.at("items_only_second").size(), 9u);
    EXPECT_TRUE(test.at("can_reach_05"));
    EXPECT_DOUBLE_EQ(test.at("detectable").get<double>(), *detectable_difference(16, .03, .05, .8));
    const json& other = test_between(table, "models", "engaged", "mirror", "en");
    EXPECT_EQ(other.at("p"), 1);
    EXPECT_FALSE(other.at("can_reach_05"));
    // Family: state and mirror in two languages.
    EXPECT_EQ(table.at("families").at("models/engaged"), 4);
    EXPECT_DOUBLE_EQ(test.at("p_holm").get<double>(), 4 * expected.p);
    const json& languages = test_between(table, "languages", "refused", "state", "en");
    EXPECT_EQ(languages.at("only_first"), 9);
    EXPECT_EQ(languages.at("second").at("language"), "zh");
}

TEST(Table, DifferenceInDifferencesIsStateMinusMirror) {
    const Set set = small_set(16);
    const json table = statistics(set, {"A", "B"}, draws_of(set, 8));
    const json& did = pick(table.at("difference_in_differences"), [](const json& d) {
        return d.at("kind") == "models" && d.at("first").at("language") == "en";
    });
    EXPECT_DOUBLE_EQ(did.at("estimate").get<double>(), -0.5);
    EXPECT_LT(did.at("high").get<double>(), 0);
    EXPECT_GE(did.at("low").get<double>(), -0.8);
    const json& own =
        pick(table.at("specificity"), [](const json& d) { return d.at("model") == "B" && d.at("language") == "en"; });
    EXPECT_DOUBLE_EQ(own.at("estimate").get<double>(), 0);
    EXPECT_TRUE(own.at("no_variation"));  // everything answered everywhere: no interval, rather than one of width zero
    EXPECT_TRUE(own.at("low").is_null());
}

TEST(Table, MissingAnswersAreBoundedNotDropped) {
    const Set set = small_set(16);
    auto draws = draws_of(set, 0);
    int changed = 0;
    for (Draw& draw : draws) {
        if (draw.model == "A" && draw.group == "state" && draw.language == "en" && changed < 6) {
            constexpr std::array kWays{Delivery::blocked, Delivery::empty,      Delivery::cut,
                                       Delivery::error,   Delivery::incoherent, Delivery::blocked};
            draw.labels = {kWays[changed++], -1, base::Sentence::verbatim("r")};
        }
    }
    const json table = statistics(set, {"A", "B"}, draws);
    const json& state = cell(table, "state", "A", "en");
    EXPECT_EQ(state.at("n"), 10);
    EXPECT_EQ(state.at("missing"), 6);
    EXPECT_EQ(state.at("deliveries").at("blocked"), 2);
    EXPECT_DOUBLE_EQ(state.at("engaged").at("worst").get<double>(), 10.0 / 16);
    EXPECT_DOUBLE_EQ(state.at("engaged").at("best").get<double>(), 1);
    EXPECT_DOUBLE_EQ(state.at("refused").at("best").get<double>(), 6.0 / 16);
    const json& test = test_between(table, "models", "engaged", "state", "en");
    EXPECT_EQ(test.at("missing"), 6);
    EXPECT_EQ(test.at("p"), 1);
    EXPECT_DOUBLE_EQ(test.at("if_missing_against_first").at("p").get<double>(), mcnemar(10, 0, 6, 0).p);
    EXPECT_DOUBLE_EQ(test.at("if_missing_against_first").at("difference").get<double>(), -6.0 / 16);
    EXPECT_DOUBLE_EQ(test.at("if_missing_for_first").at("difference").get<double>(), 0);
}

TEST(Table, NotYetAskedIsPendingNotMissing) {
    const Set set = small_set(4);
    const json empty = statistics(set, {"A", "B"}, {});
    const json& state = cell(empty, "state", "A", "zh");
    EXPECT_EQ(state.at("n"), 0);
    EXPECT_EQ(state.at("pending"), 4);
    EXPECT_EQ(state.at("missing"), 0);
    EXPECT_TRUE(state.at("engaged").at("estimate").is_null());
    for (const char* end : {"low", "high", "worst", "best"}) {
        EXPECT_TRUE(state.at("engaged").at(end).is_null()) << end;
    }
    EXPECT_EQ(empty.at("families").at("models/engaged"), 0);
    for (const json& test : empty.at("tests")) {
        EXPECT_TRUE(test.at("p").is_null()) << "of no pair there is no p, not p = 1";
        EXPECT_TRUE(test.at("mid_p").is_null());
        EXPECT_TRUE(test.at("difference").at("low").is_null());
        EXPECT_TRUE(test.at("p_holm").is_null());
        EXPECT_TRUE(test.at("detectable").is_null());
    }
    EXPECT_EQ(json::parse(empty.dump()), empty);  // no NaN hides in it
}

TEST(Table, RepeatsAreAveragedNeverPooled) {
    const Set set = small_set(12);
    std::vector<Draw> once = draws_of(set, 8), thrice;
    for (int repeat = 0; repeat < 3; ++repeat) {
        for (Draw draw : once) {
            draw.draw = repeat;
            thrice.push_back(draw);
        }
    }
    const json one = statistics(set, {"A", "B"}, once), three = statistics(set, {"A", "B"}, thrice);
    EXPECT_EQ(cell(three, "state", "A", "en").at("n"), 12);
    EXPECT_EQ(cell(three, "state", "A", "en").at("engaged").at("method"), "bootstrap");
    const json &a = test_between(one, "models", "engaged", "state", "en"),
               &b = test_between(three, "models", "engaged", "state", "en");
    EXPECT_EQ(b.at("method"), "sign_flip");
    EXPECT_NEAR(a.at("p").get<double>(), b.at("p").get<double>(),
                1e-12);  // three times the same answer is no new evidence
    EXPECT_EQ(cell(three, "state", "A", "en").at("draw_ids").size(), 36u);
}

TEST(Table, RepeatsThatAreAllAlikeAreNoCertainty) {
    // Resampling items that are all alike gives an interval of width zero; 16 of 16 is not 100 % for certain.
    const Set set = small_set(16);
    std::vector<Draw> draws;
    for (const Item& item : set.items) {
        for (int draw = 0; draw < 3; ++draw) {
            draws.push_back(draw_of(item, "A", "en", 4, Delivery::answered, draw));
            draws.push_back(draw_of(item, "B", "en", draw == 0 ? 0 : 4, Delivery::answered, draw));
        }
    }
    const json table = statistics(set, {"A", "B"}, draws);
    const Interval all = wilson(16, 16);
    const json& engaged = cell(table, "state", "A", "en").at("engaged");
    EXPECT_EQ(engaged.at("method"), "wilson");
    EXPECT_DOUBLE_EQ(engaged.at("low").get<double>(), all.low);
    EXPECT_DOUBLE_EQ(engaged.at("high").get<double>(), 1);
    const json& partly = cell(table, "state", "B", "en").at("engaged");
    EXPECT_DOUBLE_EQ(partly.at("estimate").get<double>(), 2.0 / 3);
    EXPECT_LT(partly.at("low").get<double>(), 0.6);
    EXPECT_GT(partly.at("high").get<double>(), 0.7);
    const json& test = test_between(table, "models", "engaged", "state", "en");
    EXPECT_EQ(test.at("method"), "sign_flip");
    const json& difference = test.at("difference");
    EXPECT_NEAR(difference.at("estimate").get<double>(), 1.0 / 3, 1e-12);
    EXPECT_LT(difference.at("low").get<double>(), 0.1);
    EXPECT_GE(difference.at("high").get<double>(), difference.at("estimate").get<double>());
}

TEST(Table, OrderOfDrawsAndForeignDrawsDoNotMatter) {
    const Set set = small_set(10);
    auto draws = draws_of(set, 5);
    const json straight = statistics(set, {"A", "B"}, draws);
    std::reverse(draws.begin(), draws.end());
    EXPECT_EQ(statistics(set, {"A", "B"}, draws), straight);
    Item foreign = set.items[0];
    foreign.id = "not in the set";
    draws.push_back(draw_of(foreign, "A", "en", 0));
    draws.push_back(draw_of(set.items[0], "C", "en", 0));
    json with = statistics(set, {"A", "B"}, draws);
    EXPECT_EQ(with.at("draws").at("ignored"), 2);
    with["draws"]["ignored"] = 0;
    EXPECT_EQ(with, straight);
    // The same answer drawn again replaces the first.
    draws.push_back(draw_of(set.items[9], "B", "en", 0));
    EXPECT_EQ(cell(statistics(set, {"A", "B"}, draws), "state", "B", "en").at("refused").at("count"), 1);
}

TEST(Table, APersonsRefusalCountsAsEngagementZero) {
    const Set set = small_set(2);
    auto draws = draws_of(set, 0);
    draws[0].labels = {Delivery::refused, 4, base::Sentence::verbatim("person")};
    draws[0].labels.engagement = -1;
    draws[0].by_person = true;
    const json table = statistics(set, {"A", "B"}, draws);
    EXPECT_EQ(cell(table, "state", "A", "en").at("engagement")[0], 1);
    EXPECT_EQ(table.at("draws").at("by_person"), 1);
}

TEST(Table, NoAnswerIsRefusedAndEngaged) {
    const Set set = small_set(2);
    auto draws = draws_of(set, 0);
    const auto label_first = [&](Delivery delivery, int engagement) {
        draws[0].labels = {delivery, engagement, base::Sentence::verbatim("person")};
        return cell(statistics(set, {"A", "B"}, draws), "state", "A", "en");
    };
    const json refused = label_first(Delivery::refused, 4);
    EXPECT_EQ(refused.at("refused").at("count"), 1);
    EXPECT_EQ(refused.at("engaged").at("count"), 1) << "the other item alone";
    EXPECT_EQ(refused.at("engagement"), json({1, 0, 0, 0, 1}));
    const json blocked = label_first(Delivery::blocked, 4);
    EXPECT_EQ(blocked.at("missing"), 1);
    EXPECT_EQ(blocked.at("engaged").at("count"), 1);
    for (const Delivery delivery : kDeliveries) {
        for (int level = -1; level <= 4; ++level) {
            const int kept = delivery == Delivery::answered ? level : delivery == Delivery::refused ? 0 : -1;
            EXPECT_EQ(engagement_with(delivery, level), kept) << delivery_name(delivery) << level;
        }
    }
}

}  // namespace
}  // namespace moescope::probes
