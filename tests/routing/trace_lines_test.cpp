// What a trace looks like as text, word for word: scripts rely on it.
#include "routing/trace_lines.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>

namespace moescope::routing {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

TEST(TraceLines, HaveTheKeysThatScriptsRelyOn) {
    TokenDecisions token;
    token.position = 3;
    token.token = 12;
    token.bytes = "The \"x\"";
    token.next = 311;
    token.predicted = 262;
    token.log_probability = -1.5f;
    LayerDecision layer;
    layer.layer = 2;
    layer.ids = {3, 7};
    layer.weights = {0.61f, 0.39f};
    layer.margin = 0.125f;
    layer.entropy = 1.9f;
    layer.logits = {1, -2.5f};
    layer.scores = {0.1f, 1e-10f};
    layer.selection = {0.1f, -std::numeric_limits<float>::infinity()};
    layer.group_scores = {1.25f};
    layer.groups_kept = {0};
    token.layers = {layer};
    EXPECT_EQ(trace_line(token),
              R"({"position":3,"token":12,"piece":"The \"x\"","next":311,"predicted":262,"log_probability":-1.5,)"
              R"("layers":[{"layer":2,"ids":[3,7],"weights":[0.61,0.39],"margin":0.125,"entropy":1.9,)"
              R"("logits":[1,-2.5],"scores":[0.1,1e-10],"selection":[0.1,null],"group_scores":[1.25],)"
              R"("groups_kept":[0]}]})");
}

TEST(TraceLines, LeaveOutWhatIsNotKnown) {
    TokenDecisions token;
    token.layers.resize(1);
    token.layers[0].margin = token.layers[0].entropy = kNone;
    EXPECT_EQ(trace_line(token), R"({"position":0,"token":0,"layers":[{"layer":0,"ids":[]}]})");
}

TEST(TraceLines, PartsOfCharactersHaveTheirBytes) {
    TokenDecisions token;
    token.bytes = "\xe4\xbd";
    const auto line = nlohmann::json::parse(trace_line(token));
    EXPECT_EQ(line.at("bytes"), "e4bd");
    EXPECT_EQ(line.at("piece"), "\xef\xbf\xbd");
    token.bytes = "\xe4\xbd\xa0";
    EXPECT_FALSE(nlohmann::json::parse(trace_line(token)).contains("bytes"));
}

TEST(TraceLines, NumbersReadBackAsTheSameFloat) {
    TokenDecisions token;
    token.layers.resize(1);
    for (float value = 1e-38f; value < 1e38f; value *= 1.37f) {
        token.layers[0].weights.push_back(value);
    }
    token.layers[0].weights.push_back(1.0f / 3);
    const auto line = nlohmann::json::parse(trace_line(token));
    EXPECT_EQ(line.at("layers")[0].at("weights").get<std::vector<float>>(), token.layers[0].weights);
}

TEST(TraceLines, TheFirstLineHasTheRouter) {
    RouterSpec spec;
    spec.model = "m";
    spec.architecture = "deepseek2";
    spec.layers = 3;
    spec.experts = 8;
    spec.experts_per_token = 2;
    spec.shared_experts = 1;
    spec.routed_layers = {1, 2};
    spec.scoring = "sigmoid";
    spec.group_score = "top2";
    spec.groups = 4;
    spec.groups_kept = 2;
    spec.selection_bias = spec.normalise = true;
    spec.scale = 2.5;
    spec.doubts = {base::say("no group keys")};
    Interventions out;
    out.knocked_out = {{1, 5}};
    const std::string line = trace_line({}, &spec, out);
    EXPECT_TRUE(line.ends_with(R"(},"position":0,"token":0,"layers":[]})")) << line;
    EXPECT_EQ(
        nlohmann::json::parse(line).at("router"),
        nlohmann::json::parse(
            R"({"model":"m","architecture":"deepseek2","layers":3,"experts":8,"experts_per_token":2,)"
            R"("shared_experts":1,"routed_layers":[1,2],"hash_layers":0,"scoring":"sigmoid","group_score":"top2",)"
            R"("groups":4,"groups_kept":2,"selection_bias":true,"normalise":true,"scale":2.5,"source":"executed",)"
            R"("doubts":["no group keys"],"interventions":[{"expert":5,"kind":"knock_out","layer":1}]})"));
    EXPECT_EQ(router_with_changes(spec, items_to_json(out)), nlohmann::json::parse(line).at("router"));
    EXPECT_FALSE(router_with_changes(spec, nullptr).contains("interventions"));
    spec.scoring.clear();
    spec.group_score.clear();
    const auto router = nlohmann::json::parse(router_json(spec));
    EXPECT_FALSE(router.contains("scoring"));
    EXPECT_FALSE(router.contains("group_score"));
    EXPECT_FALSE(router.contains("interventions"));
}

}  // namespace
}  // namespace moescope::routing
