// Interventions as text, as JSON, and checked against a router.
#include "routing/interventions.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "routing/intervention_plan.hpp"
#include "routing/router_spec.hpp"

namespace moescope::routing {
namespace {

using nlohmann::json;

std::string said(const std::function<void()>& action) {
    try {
        action();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "nothing";
}

bool says(const std::function<void()>& action, const std::string& part) {
    const std::string words = said(action);
    if (words.find(part) == std::string::npos) {
        ADD_FAILURE() << words;
        return false;
    }
    return true;
}

/// Layers 1 to 3 of 4 have routers of 6 experts, of which 2 are chosen; layer 1 chooses by hash.
RouterSpec small_router() {
    RouterSpec spec;
    spec.model = "small";
    spec.layers = 4;
    spec.experts = 6;
    spec.experts_per_token = 2;
    spec.routed_layers = {1, 2, 3};
    spec.hash_layers = 1;
    return spec;
}

RouterSpec without_hash_layers() {
    RouterSpec spec = small_router();
    spec.hash_layers = 0;
    return spec;
}

TEST(Interventions, AreReadFromText) {
    EXPECT_EQ(parse_places("3:5,3:7"), (std::vector<ExpertPlace>{{3, 5}, {3, 7}}));
    EXPECT_EQ(parse_places("1-2:0-1"), (std::vector<ExpertPlace>{{1, 0}, {1, 1}, {2, 0}, {2, 1}}));
    EXPECT_EQ(parse_places("*:5,3:*"), (std::vector<ExpertPlace>{{kEvery, 5}, {3, kEvery}}));
    EXPECT_EQ(parse_biases("3:5=-0.5,*:1=2e-1"), (std::vector<AddedBias>{{{3, 5}, -0.5f}, {{kEvery, 1}, 0.2f}}));
    EXPECT_EQ(parse_limits("1"), (std::vector<ChosenLimit>{{kEvery, 1}}));
    EXPECT_EQ(parse_limits("3:1,4-5:2"), (std::vector<ChosenLimit>{{3, 1}, {4, 2}, {5, 2}}));
}

TEST(Interventions, TextThatIsNoneIsNamed) {
    for (const char* wrong : {"", "3", "3:", ":5", "3:x", "-1:5", "3:5,", "3:7-5", "3:99999", "3:5=1", "3 :5"}) {
        says([&] { parse_places(wrong); }, "is no LAYER:EXPERT");
    }
    says([] { parse_places("0-65535:0-65535"); }, "more than 65536 experts");
    for (const char* wrong : {"3:5", "3:5=", "3:5=x", "3:5=1=2"}) {
        says([&] { parse_biases(wrong); }, "is no LAYER:EXPERT=VALUE");
    }
    says([] { parse_biases("3:5=nan"); }, "a bias has to be a number");
    says([] { parse_biases("3:5=100.5"); }, "a bias has to be a number from -100 to 100: beside a larger one");
    EXPECT_EQ(parse_biases("3:5=-100"), (std::vector<AddedBias>{{{3, 5}, -100.0f}}));
    for (const char* wrong : {"", "x", "3:", "3:1,", "-1"}) {
        says([&] { parse_limits(wrong); }, "is no number of experts");
    }
}

TEST(Interventions, SurviveJson) {
    Interventions all;
    all.name = "quiet 安静";
    all.knocked_out = {{3, 5}, {kEvery, 1}};
    all.forced = {{2, 0}};
    all.biases = {{{3, kEvery}, -0.25f}};
    all.limits = {{kEvery, 1}, {2, 2}};
    all.zeroed = {{3, 4}};
    all.replay.source = "T.jsonl";
    EXPECT_EQ(interventions_from_json(json::parse(to_json(all).dump())), all);
    Interventions unnamed = all;
    unnamed.name.clear();
    EXPECT_EQ(interventions_from_json(items_to_json(all)), unnamed);
    EXPECT_EQ(items_to_json(all)[0], (json{{"kind", "knock_out"}, {"layer", 3}, {"expert", 5}}));
    EXPECT_TRUE(items_to_json({}).empty());
}

TEST(Interventions, JsonThatIsNoneIsRefused) {
    const auto refused = [](const char* text, const std::string& part) {
        says([&] { interventions_from_json(json::parse(text)); }, part);
    };
    refused("3", "is a list");
    refused(R"({"name":"x"})", "is a list");
    refused(R"({"items":[],"extra":1})", "has no 'extra'");
    refused(R"([{"kind":"delete","layer":1}])", "no intervention 'delete'");
    refused(R"([5])", "no intervention ''");
    refused(R"([{"kind":"zero","layer":-3}])", "'layer' of an intervention");
    refused(R"([{"kind":"zero","layer":"3"}])", "'layer' of an intervention");
    refused(R"([{"kind":"zero","layer":1e30}])", "'layer' of an intervention");
    refused(R"([{"kind":"zero","value":1}])", "has no 'value'");
    refused(R"([{"kind":"bias","layer":1,"expert":1}])", "a bias has to be a number");
    refused(R"([{"kind":"replay"}])", "has to name the trace");
}

TEST(InterventionPlan, SortsChangesByLayer) {
    Interventions wanted;
    wanted.knocked_out = {{2, 5}, {kEvery, 1}};
    wanted.biases = {{{3, 2}, 0.5f}, {{3, kEvery}, 0.25f}};
    wanted.limits = {{kEvery, 2}, {3, 1}};
    wanted.zeroed = {{3, 0}};
    const InterventionPlan plan(wanted, small_router());
    EXPECT_FALSE(plan.empty());
    EXPECT_EQ(plan.layer(0), nullptr) << "dense";
    EXPECT_EQ(plan.layer(-1), nullptr);
    EXPECT_EQ(plan.layer(4), nullptr);
    ASSERT_NE(plan.layer(2), nullptr);
    EXPECT_EQ(plan.layer(2)->knocked_out, (std::vector<std::uint8_t>{0, 1, 0, 0, 0, 1}));
    EXPECT_EQ(plan.layer(2)->experts, 2);
    EXPECT_TRUE(plan.layer(2)->bias.empty());
    EXPECT_EQ(plan.layer(3)->bias, (std::vector<float>{0, 0, 0.5f, 0, 0, 0}))
        << "they add up; what all have in common is left out";
    EXPECT_EQ(plan.layer(3)->experts, 1) << "the later one counts";
    EXPECT_EQ(plan.layer(3)->zeroed, (std::vector<std::uint8_t>{1, 0, 0, 0, 0, 0}));
    EXPECT_TRUE(InterventionPlan({}, RouterSpec()).empty()) << "nothing fits every model";
    Interventions twice;
    twice.forced = {{3, 4}, {2, 0}, {kEvery, 4}};
    EXPECT_EQ(InterventionPlan(twice, without_hash_layers()).layer(3)->forced, (std::vector<std::int32_t>{4}));
    EXPECT_EQ(InterventionPlan(twice, without_hash_layers()).layer(2)->forced, (std::vector<std::int32_t>{0, 4}));
}

TEST(InterventionPlan, RefusesWhatTheRouterCannotDo) {
    const auto refused = [](const std::function<void(Interventions&)>& fill, const std::string& part) {
        Interventions wanted;
        fill(wanted);
        says([&] { InterventionPlan(wanted, small_router()); }, part);
    };
    refused([](auto& w) { w.knocked_out = {{0, 1}}; }, "layer 0 of small has no router; those with one are 1 to 3");
    refused([](auto& w) { w.knocked_out = {{9, 1}}; }, "layer 9 of small has no router");
    refused([](auto& w) { w.zeroed = {{2, 6}}; }, "has the experts 0 to 5; there is no expert 6");
    refused([](auto& w) { w.zeroed = {{99, 98}}; }, "neither a router in layer 99 nor an expert 98");
    refused([](auto& w) { w.knocked_out = {{2, kEvery}}; }, "layer 2 keeps 0 experts, but 2 are chosen");
    refused([](auto& w) { w.knocked_out = {{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 4}}; }, "layer 3 keeps 1 experts");
    refused([](auto& w) { w.forced = {{3, 0}, {3, 1}, {3, 2}}; }, "3 experts are forced in layer 3, but only 2");
    refused([](auto& w) { w.forced = w.knocked_out = {{3, 0}}; }, "both forced and knocked out");
    refused([](auto& w) { w.forced = {{1, 0}}; }, "chooses by the token's id");
    refused([](auto& w) { w.biases = {{{kEvery, 0}, 1.0f}}; }, "chooses by the token's id");
    refused([](auto& w) { w.limits = {{2, 3}}; }, "a limit of 3");
    refused([](auto& w) { w.limits = {{2, 0}}; }, "a limit of 0");
    refused([](auto& w) { w.replay.source = "T.jsonl"; }, "no routing was read from T.jsonl");
    refused([](auto& w) { w.replay.ids[{0, 0}] = {1}; }, "layer 0, which has no router");
    refused([](auto& w) { w.replay.ids[{0, 2}] = {1, 2, 3}; }, "3 experts for a token in layer 2");
    refused([](auto& w) { w.replay.ids[{0, 2}] = {6}; }, "the replay has expert 6");
    refused([](auto& w) { w.replay.ids[{0, 2}] = {-1}; }, "the replay has expert -1");
    refused([](auto& w) { w.replay.ids[{0, 2}] = {4, 4}; }, "expert 4 twice");
    refused(
        [](auto& w) {
            w.biases = {{{2, kEvery}, 60}, {{2, 1}, 60}};
        },
        "the biases of expert 1 in layer 2 add up to 120, which is not between -100 and 100");
    // Four may go where one is enough.
    Interventions few;
    few.knocked_out = {{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 4}};
    few.limits = {{3, 1}};
    EXPECT_FALSE(InterventionPlan(few, small_router()).empty());
    RouterSpec dense;
    dense.model = "dense";
    says([&] { InterventionPlan(few, dense); }, "dense has no router");
}

/// A set from outside that says the same again and again must not keep who reads it.
// What is disabled in the run of a model is knocked out in every plan for it, and survives JSON.
TEST(InterventionPlan, HasWhatIsDisabled) {
    RouterSpec spec;
    spec.model = "m";
    spec.layers = 2;
    spec.experts = 4;
    spec.experts_per_token = 2;
    spec.routed_layers = {0, 1};
    spec.device = "cuda:0";
    spec.disabled = {{1, 3}};
    const RouterSpec read = router_from_json(router_to_json(spec));
    EXPECT_EQ(read.disabled, spec.disabled);
    EXPECT_EQ(read.device, "cuda:0");
    EXPECT_FALSE(router_to_json(RouterSpec{}).contains("disabled_experts"));
    const InterventionPlan plan({}, read);
    EXPECT_EQ(plan.layer(0), nullptr);
    ASSERT_NE(plan.layer(1), nullptr);
    EXPECT_TRUE(plan.layer(1)->is_out(3));
    EXPECT_FALSE(plan.layer(1)->is_out(2));
    EXPECT_TRUE(plan.interventions().empty()) << "nobody has changed anything";
    const auto refused = [&](const Interventions& changes) {
        try {
            const InterventionPlan none(changes, read);
        } catch (const base::Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    Interventions force, out;
    force.forced = {{1, 3}};
    EXPECT_EQ(refused(force), "expert 3 of layer 1 is disabled in the run of this model and can't be forced");
    out.knocked_out = {{1, 0}, {1, 1}};
    EXPECT_EQ(refused(out), "layer 1 keeps 1 experts, but 2 are chosen per token; knock out fewer or limit k there");
    const auto with = [&](const char* disabled) {
        nlohmann::json value = router_to_json(spec);
        value["disabled_experts"] = nlohmann::json::parse(disabled);
        return value;
    };
    EXPECT_NO_THROW(router_from_json(with("[[0,1],[0,1],[0,0]]")));
    for (const char* wrong : {"7", "[7]", "[[0]]", "[[0,4]]", "[[2,0]]", "[[-1,0]]", "[[0,0.5]]", "[[0,99999999999]]",
                              "[[0,0],[0,1],[0,2]]", "{}"}) {
        EXPECT_THROW(router_from_json(with(wrong)), base::Error) << wrong;
    }
}

TEST(InterventionPlan, RefusesToNameExpertsAgainAndAgain) {
    RouterSpec large = without_hash_layers();
    large.layers = 256;
    large.experts = 4096;
    large.routed_layers.clear();
    for (int layer = 0; layer < large.layers; ++layer) {
        large.routed_layers.push_back(layer);
    }
    Interventions wanted;
    wanted.zeroed.assign(4, {kEvery, kEvery});
    EXPECT_FALSE(InterventionPlan(wanted, large).empty());
    wanted.zeroed.push_back({0, 0});
    says([&] { InterventionPlan(wanted, large); }, "more than 4194304 times");
}

TEST(InterventionPlan, RefusesForceAndBiasWhereExpertsComeFromAReplay) {
    const auto said_of = [](const std::function<void(Interventions&)>& fill) {
        Interventions wanted;
        wanted.replay.source = "T.jsonl";
        wanted.replay.ids[{0, 2}] = {1};
        fill(wanted);
        return said([&] { InterventionPlan(wanted, small_router()); });
    };
    const std::string problem =
        "layer 2 of small takes its experts from the replay, so that neither a force nor a bias does anything there; "
        "take out these or the replay";
    EXPECT_EQ(said_of([](auto& w) { w.forced = {{2, 0}}; }), problem);
    EXPECT_EQ(said_of([](auto& w) { w.biases = {{{2, 0}, 1}}; }), problem);
    EXPECT_EQ(said_of([](auto& w) { w.biases = {{{2, kEvery}, 1}}; }), problem);
    // In another layer they do what they are called, and what acts on replayed choices may stand beside them.
    EXPECT_EQ(said_of([](auto& w) { w.forced = {{3, 0}}; }), "nothing");
    EXPECT_EQ(said_of([](auto& w) {
                  w.knocked_out = {{2, 1}};
                  w.zeroed = {{2, 0}};
                  w.limits = {{2, 1}};
              }),
              "nothing");
    // Before the ids are read, the router of the replay is enough to say so.
    const auto by_router = [&](const ReplayedRouter& router, const std::function<void(Interventions&)>& fill) {
        return said_of([&](auto& w) {
            w.replay = {};
            w.replay.router = router;
            fill(w);
        });
    };
    const ReplayedRouter same{6, 2, {1, 2, 3}, false};
    EXPECT_EQ(by_router(same, [](auto& w) { w.forced = {{2, 0}}; }), problem);
    EXPECT_EQ(by_router(same, [](auto& w) { w.knocked_out = {{2, 0}}; }), "nothing");
    EXPECT_NE(by_router({8, 2, {1, 2, 3}, false},
                        [](auto& w) {
                            w.knocked_out = {{2, 0}};
                        })
                  .find("the replay is of a router that chooses 2 of 8 experts"),
              std::string::npos);
}

TEST(InterventionPlan, LeavesOutTheBiasThatAllExpertsHave) {
    const auto bias_of = [](std::vector<AddedBias> biases) {
        Interventions wanted;
        wanted.biases = std::move(biases);
        return InterventionPlan(wanted, small_router()).layer(2)->bias;
    };
    EXPECT_EQ(bias_of({{{2, kEvery}, 100}}), (std::vector<float>(6, 0.0f)));
    EXPECT_EQ(bias_of({{{2, kEvery}, -3}, {{2, 2}, 1}}), (std::vector<float>{-1, -1, 0, -1, -1, -1}));
    EXPECT_EQ(bias_of({{{2, 2}, -1}}), (std::vector<float>{0, 0, -1, 0, 0, 0}));
    EXPECT_EQ(bias_of({{{2, kEvery}, 1}, {{2, 2}, -2}}), (std::vector<float>{1, 1, -1, 1, 1, 1}));
}

TEST(InterventionPlan, LargerBiasesOfBeforeAreReadAndNotMade) {
    const Interventions before =
        interventions_from_json(json::parse(R"([{"kind":"bias","layer":2,"expert":1,"value":5000}])"));
    EXPECT_EQ(before.biases, (std::vector<AddedBias>{{{2, 1}, 5000.0f}}));
    says([&] { InterventionPlan(before, small_router()); }, "add up to 5000");
}

TEST(InterventionPlan, ReplaysWhatIsLeftAfterKnockOutsAndLimits) {
    Interventions wanted;
    wanted.replay.source = "T.jsonl";
    wanted.replay.ids = {{{0, 2}, {4, 1}}, {{0, 3}, {5, 0}}};
    wanted.knocked_out = {{2, 4}};
    wanted.limits = {{3, 1}};
    const InterventionPlan plan(wanted, small_router());
    EXPECT_TRUE(plan.replays());
    EXPECT_EQ(plan.replayed(0, 2), (std::vector<std::int32_t>{1}));
    EXPECT_EQ(plan.replayed(0, 3), (std::vector<std::int32_t>{5}));
    EXPECT_TRUE(plan.replayed(1, 2).empty());
    EXPECT_TRUE(plan.replayed(0, 1).empty());
    EXPECT_EQ(plan.replayed_places(0, 2), 2u) << "one of them is free";
    EXPECT_EQ(plan.replayed_places(0, 3), 1u);
    EXPECT_EQ(plan.replayed_places(1, 2), 0u);
    TokenDecisions token;
    token.layers.resize(2);
    token.layers[0].layer = 2;
    token.layers[0].ids = {1, 4};
    token.layers[1].layer = 3;
    token.layers[1].ids = {5};
    ReplayCount count;
    count_replayed(count, plan, token);
    EXPECT_EQ(count, (ReplayCount{2, 1})) << "the same experts in another order are no other choice";
    token.layers[0].ids = {1, 3};
    count_replayed(count, plan, token);
    EXPECT_EQ(count, (ReplayCount{4, 3}));
    token.position = 1;
    count_replayed(count, plan, token);
    EXPECT_EQ(count, (ReplayCount{4, 3})) << "the replay has no such position";
}

}  // namespace
}  // namespace moescope::routing
