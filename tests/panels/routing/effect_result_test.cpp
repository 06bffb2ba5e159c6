// What the node measured of changes: read whatever it says, told without claiming more, and trials found in a session.
#include "panels/routing/effect_result.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "tests/paths.hpp"

namespace {

using namespace moescope;
using nlohmann::json;
using panels::EffectResult;
using panels::SweepResult;
using panels::Trial;

const ui::Language& english() {
    static const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    return text;
}

json effect_json() {
    return json::parse(R"({"base":4,"set":"no 5","tokens":3,"kl":[0.5,null,0.25],"log_probability":[-0.1,0.2],
        "mean_kl":{"mean":0.375,"low":0.1,"high":0.6},"mean_loss":{"mean":-0.05},
        "shift":[{"layer":1,"changed":0.25},{"layer":2,"changed":0.5}],
        "controls":[{"items":[{"kind":"knock_out","layer":0,"expert":1}],"mean_kl":0.4,"mean_loss":0.01},
                    {"items":[],"mean_kl":0.1,"mean_loss":0.0}],
        "control_kl":{"mean":0.25,"low":0.0,"high":0.5},"control_loss":{"mean":0.005,"low":0.0,"high":0.01},
        "above":{"rank":2,"of":3}})");
}

TEST(EffectResult, IsReadWhole) {
    const auto effect = panels::read_effect(effect_json());
    ASSERT_TRUE(effect);
    EXPECT_EQ(effect->base, 4u);
    ASSERT_EQ(effect->kl.size(), 3u);
    EXPECT_TRUE(std::isnan(effect->kl[1]));
    EXPECT_EQ(effect->log_probability, (std::vector<double>{-0.1, 0.2}));
    EXPECT_EQ(effect->mean_kl.high, 0.6);
    EXPECT_TRUE(std::isnan(effect->mean_loss.low));
    ASSERT_EQ(effect->shift.size(), 2u);
    EXPECT_EQ(effect->shift[1].layer, 2);
    ASSERT_EQ(effect->controls.size(), 2u);
    EXPECT_EQ(effect->controls[0].changes.size(), 1u);
    EXPECT_EQ(effect->rank, 2u);
    EXPECT_EQ(effect->of, 3u);
    EXPECT_EQ(effect->ties, 0u);
    EXPECT_EQ(effect->decisions, 0u) << "a session of before says nothing of them";
    json now = effect_json();
    now.update({{"decisions", 126}, {"altered", 12}});
    EXPECT_EQ(panels::read_effect(now)->decisions, 126u);
    EXPECT_EQ(panels::read_effect(now)->altered, 12u);
    EXPECT_EQ(panels::altered_sentence(english(), *panels::read_effect(now)), "Altered decisions: 12 of 126.");
    EXPECT_EQ(panels::altered_sentence(english(), *effect), "");
}

TEST(EffectResult, OfBeforeIsRankedWithTiesToo) {
    json value = effect_json();
    value["mean_kl"] = 0.1;
    value["above"] = {{"rank", 2}, {"of", 3}};  // as they were counted once
    const auto effect = panels::read_effect(value);
    EXPECT_EQ(effect->rank, 3u);
    EXPECT_EQ(effect->ties, 1u);
    EXPECT_EQ(
        panels::control_sentence(english(), *effect, {}),
        "By KL this change ranks 3 of 3: 1 of 2 random changes of equal size moved the predictions more, and 1 as "
        "much, which count against it.");
}

TEST(EffectResult, ADivergenceIsNeverBelowZero) {
    json value = effect_json();
    value["mean_kl"]["low"] = -0.02;
    value["control_kl"]["low"] = -0.3;
    const auto effect = panels::read_effect(value);
    EXPECT_EQ(effect->mean_kl.low, 0);
    EXPECT_EQ(effect->control_kl.low, 0);
}

TEST(EffectResult, OfAnotherShapeIsNoneOrHasWhatCanBeRead) {
    for (const char* none : {"null", "[]", "{}", R"({"kl":3})", "\"kl\""}) {
        EXPECT_FALSE(panels::read_effect(json::parse(none))) << none;
    }
    const auto odd = panels::read_effect(
        json::parse(R"({"base":-3,"kl":[],"shift":"x","controls":{"a":1},"above":{"rank":99,"of":1},"mean_kl":0.5})"));
    ASSERT_TRUE(odd);
    EXPECT_EQ(odd->base, 0u);
    EXPECT_EQ(odd->rank, 0u);  // no rank that its controls can't have
    EXPECT_EQ(odd->mean_kl.value, 0.5);
}

TEST(ControlSentence, SaysTheRankAndNoMore) {
    EffectResult effect = *panels::read_effect(effect_json());
    EXPECT_EQ(panels::control_sentence(english(), effect, {}),
              "By KL this change ranks 2 of 3: 1 of 2 random changes of equal size moved the predictions more.");
    effect.rank = 1;
    EXPECT_EQ(panels::control_sentence(english(), effect, {}),
              "None of 2 random changes of equal size moved the predictions more (by KL). If this change were no more "
              "than one of them, that would happen in 1 of 3 cases.");
    EXPECT_EQ(effect.asked, 0u) << "a session of before says nothing of it";
    json fewer = effect_json();
    fewer["controls_asked"] = 64;
    EXPECT_TRUE(panels::control_sentence(english(), *panels::read_effect(fewer), {})
                    .ends_with("more. These are 2 of the 64 controls that were asked for: there are no more different "
                               "ones."));
    fewer["controls_asked"] = 2;
    EXPECT_TRUE(panels::control_sentence(english(), *panels::read_effect(fewer), {}).ends_with("predictions more."));
    effect.rank = 0;
    EXPECT_NE(panels::control_sentence(english(), effect, {}).find("no random controls"), std::string::npos);
}

TEST(ControlSentence, OfAChangeThatDidNothingSaysThatAndWhy) {
    using panels::Change;
    json value = effect_json();
    value.update({{"mean_kl", 0.0}, {"decisions", 126}, {"altered", 0}});
    value["controls"][1]["mean_kl"] = 0.0;
    EffectResult effect = *panels::read_effect(value);
    EXPECT_EQ(effect.rank, 3u);
    const std::vector<Change> knocked_out = {{.kind = Change::Kind::knock_out, .layer = 0, .expert = 12}};
    EXPECT_EQ(
        panels::control_sentence(english(), effect, knocked_out),
        "This change did nothing on this text: mean KL 0, and none of 126 decisions was altered. No token of the "
        "text goes to an expert that is knocked out. 1 of 2 random changes of equal size moved the predictions; 1 "
        "did nothing either.");
    std::vector<Change> two = knocked_out;
    two.push_back({.kind = Change::Kind::bias, .layer = 0, .expert = 1, .bias = 0.001f});
    const std::string both = panels::control_sentence(english(), effect, two);
    EXPECT_NE(both.find("knocked out. The bias is too small to change a choice"), std::string::npos) << both;
    // All as little, fewer than were asked for.
    value["controls"][0]["mean_kl"] = 0.0;
    value["controls_asked"] = 8;
    effect = *panels::read_effect(value);
    EXPECT_TRUE(
        panels::control_sentence(english(), effect, knocked_out)
            .ends_with("None of 2 random changes of equal size moved the predictions either. These are 2 of the "
                       "8 controls that were asked for: there are no more different ones."));
    // It chose otherwise, and no prediction moved.
    value["altered"] = 3;
    effect = *panels::read_effect(value);
    EXPECT_TRUE(
        panels::control_sentence(english(), effect, knocked_out)
            .starts_with("This change altered 3 of 126 decisions on this text, but no prediction moved: mean KL "
                         "0. None of 2"));
    // Without controls, and without counts of decisions.
    value["controls"] = json::array();
    value.erase("decisions");
    effect = *panels::read_effect(value);
    EXPECT_TRUE(panels::control_sentence(english(), effect, knocked_out)
                    .starts_with("This change did nothing on this text: mean KL 0. There are no random controls"));
}

TEST(ControlSentence, HasAWhyForEveryKindInBothLanguages) {
    const ui::Language chinese = ui::Language::load(test::source_assets() + "/languages/zh", "zh");
    json value = effect_json();
    value.update({{"mean_kl", 0.0}, {"decisions", 126}, {"altered", 0}});
    const EffectResult effect = *panels::read_effect(value);
    for (const ui::Language* text : {&english(), &chinese}) {
        std::set<std::string> sentences;
        for (int i = 0; i < panels::kChangeKinds; ++i) {
            const std::vector<panels::Change> one = {{.kind = static_cast<panels::Change::Kind>(i)}};
            const std::string sentence = panels::control_sentence(*text, effect, one);
            EXPECT_EQ(sentence.find("effect."), std::string::npos) << sentence;
            sentences.insert(sentence);
        }
        EXPECT_EQ(sentences.size(), static_cast<std::size_t>(panels::kChangeKinds));
    }
}

TEST(Estimates, ReadWithTheirInterval) {
    EXPECT_EQ(panels::estimate_text(english(), {0.0123, 0.01, 0.02}), "0.0123 nats [0.01, 0.02]");
    EXPECT_EQ(panels::estimate_text(english(), {-0.5, NAN, NAN}), "-0.5 nats");
}

TEST(EffectCsv, PutsWhatWasSaidAtATokenBesideTheNext) {
    const EffectResult effect = *panels::read_effect(effect_json());
    EXPECT_EQ(panels::effect_csv(effect, {"A", " \"b\"", " c"}),
              "token,text,KL (nats),log-probability changed minus untouched (nats)\r\n"
              "0,A,,\r\n1,\" \"\"b\"\"\",0.5,-0.1\r\n2, c,,0.2\r\n");
}

json sweep_json() {
    const auto figure = [](double mean) { return json{{"mean", mean}, {"low", mean - 1}, {"high", mean + 1}}; };
    json experts = json::array();
    for (const int expert : {2, 0, 1}) {
        experts.push_back({{"expert", expert},
                           {"tokens", 10 * expert},
                           {"kl", figure(0.1 * expert)},
                           {"loss", figure(-0.1 * expert)},
                           {"control_kl", figure(0.5)},
                           {"control_loss", figure(0.5)},
                           {"above_kl", figure(1)},
                           {"above_loss", figure(1)}});
    }
    experts[1].erase("kl");
    return {{"layer", 3}, {"texts", 8}, {"tokens", 120}, {"loss", figure(3)}, {"experts", experts}};
}

TEST(SweepResult, IsReadByNumberAndSortedByAnyColumn) {
    const auto sweep = panels::read_sweep(sweep_json());
    ASSERT_TRUE(sweep);
    EXPECT_EQ(sweep->layer, 3);
    ASSERT_EQ(sweep->experts.size(), 3u);
    EXPECT_EQ(sweep->experts[0].expert, 0);
    EXPECT_TRUE(std::isnan(sweep->experts[0].kl.value));
    using Column = panels::SweepColumn;
    EXPECT_EQ(panels::sorted_sweep(*sweep, Column::kl, true), (std::vector<std::size_t>{2, 1, 0}));
    EXPECT_EQ(panels::sorted_sweep(*sweep, Column::kl, false), (std::vector<std::size_t>{1, 2, 0}));
    EXPECT_EQ(panels::sorted_sweep(*sweep, Column::tokens, true), (std::vector<std::size_t>{2, 1, 0}));
    EXPECT_EQ(panels::sorted_sweep(*sweep, Column::loss, false), (std::vector<std::size_t>{2, 1, 0}));
    EXPECT_EQ(panels::sorted_sweep(*sweep, Column::above, true), (std::vector<std::size_t>{0, 1, 2}));
    const std::string csv = panels::sweep_csv(*sweep);
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
    EXPECT_NE(csv.find("\r\n3,0,0,,"), std::string::npos) << csv;
    EXPECT_FALSE(panels::read_sweep(json::parse(R"({"experts":4})")));
}

std::shared_ptr<history::Generation> answer(std::uint32_t id, const char* group, const char* model) {
    auto made = std::make_shared<history::Generation>();
    made->id = id;
    made->group = group;
    made->model = model;
    made->manifest = json::object();
    return made;
}

TEST(Trials, AreGroupsWithAChangedAnswerOrAnEffect) {
    client::Snapshot snapshot;
    const json items = json::parse(R"([{"kind":"knock_out","layer":3,"expert":5}])");
    const auto add = [&](const std::shared_ptr<history::Generation>& made) { snapshot.generations[made->id] = made; };
    add(answer(1, "compare", "a"));
    add(answer(2, "compare", "b"));
    add(answer(3, "trial", "a"));
    auto changed = answer(4, "trial", "a");
    changed->manifest["interventions"] = items;
    add(changed);
    // A comparison with a model that has a set: the untouched one of the same model is the other side.
    add(answer(6, "sets", "b"));
    add(answer(7, "sets", "a"));
    auto with_set = answer(8, "sets", "a|no 5");
    add(with_set);
    auto routing = std::make_shared<history::RunRouting>();
    routing->run = 8;
    routing->interventions = items;
    routing->set = "no 5";
    snapshot.routing[8] = routing;
    // One without an untouched side is a comparison of models and no trial.
    add(answer(10, "alone", "b"));
    auto alone = answer(11, "alone", "a");
    alone->manifest["interventions"] = items;
    add(alone);
    auto effect = std::make_shared<history::RouteRun>();
    effect->id = 12;
    effect->what = history::RouteRun::What::effect;
    effect->group = "text";
    effect->model = "c";
    effect->manifest = {{"interventions", items}, {"set", "S"}};
    snapshot.routes[12] = effect;
    auto read = std::make_shared<history::RouteRun>();
    read->id = 13;
    read->group = "text";
    snapshot.routes[13] = read;

    const std::vector<Trial> trials = panels::trials_of(snapshot);
    ASSERT_EQ(trials.size(), 3u);
    EXPECT_EQ(trials[0].group, "text");  // the newest first
    EXPECT_EQ(trials[0].effect->id, 12u);
    EXPECT_EQ(trials[0].set, "S");
    EXPECT_EQ(trials[0].changes.size(), 1u);
    EXPECT_EQ(trials[1].group, "sets");
    EXPECT_EQ(trials[1].model, "a");
    EXPECT_EQ(trials[1].untouched->id, 7u);
    EXPECT_EQ(trials[1].changed->id, 8u);
    EXPECT_EQ(trials[2].group, "trial");
    EXPECT_EQ(trials[2].untouched->id, 3u);
    EXPECT_EQ(trials[2].first_run, 3u);
    EXPECT_TRUE(panels::trials_of(client::Snapshot()).empty());
}

}  // namespace
