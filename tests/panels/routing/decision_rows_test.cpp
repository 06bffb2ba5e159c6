// Rows of a decision, by the golden shape of DeepSeek-V3: a bias that only the choice sees, groups that are masked, and
// the margin between the last that came in and the first that did not.
#include "panels/routing/decision_rows.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "routing/choice.hpp"
#include "routing/packed_trace.hpp"
#include "tests/paths.hpp"
#include "tests/routing/random_trace.hpp"

namespace {

using namespace moescope;
using panels::ExpertColumn;
using panels::ExpertRow;
using panels::LayerDetail;

routing::RouterSpec deepseek() {
    routing::RouterSpec spec = routing::make_spec(2, 8, 2);
    spec.scoring = "sigmoid";
    spec.groups = 4;
    spec.groups_kept = 2;
    spec.group_score = "top2";
    spec.selection_bias = true;
    spec.shared_experts = 1;
    return spec;
}

routing::LayerDecision decision(const routing::RouterSpec& spec) {
    routing::LayerDecision made;
    made.layer = 1;
    made.logits = {-1, 0, 1, 2, 0.5f, -2, 3, 0};
    for (const float logit : made.logits) {
        made.scores.push_back(1 / (1 + std::exp(-logit)));
    }
    made.selection = made.scores;
    made.selection[0] += 0.9f;  // biased up
    made.selection[6] -= 0.9f;  // the best score, biased down
    const routing::Choice choice = routing::choose(made.selection, routing::choice_rule(spec));
    made.ids = choice.ids;
    made.weights = {0.6f, 0.4f};
    routing::complete(made, routing::choice_rule(spec), nullptr, true);
    return made;
}

TEST(LayerDetail, PutsTheScoreAndTheSelectionScoreBesideEachOther) {
    const routing::RouterSpec spec = deepseek();
    const routing::LayerDecision made = decision(spec);
    const LayerDetail detail = panels::layer_detail(spec, made);
    ASSERT_EQ(detail.experts.size(), 8u);
    EXPECT_TRUE(detail.has_bias);
    EXPECT_TRUE(detail.has_logits);
    EXPECT_NEAR(detail.experts[0].bias, 0.9f, 1e-6);
    EXPECT_NEAR(detail.experts[6].bias, -0.9f, 1e-6);
    EXPECT_NEAR(detail.experts[3].bias, 0, 1e-6);
    // The groups by the sum of their two largest selection scores: of 0.27+0.9 with 0.5, and of 0.73 with 0.88.
    ASSERT_EQ(detail.groups.size(), 4u);
    EXPECT_TRUE(detail.groups[0].kept);
    EXPECT_TRUE(detail.groups[1].kept);
    EXPECT_FALSE(detail.groups[2].kept);
    EXPECT_FALSE(detail.groups[3].kept);
    EXPECT_NEAR(detail.groups[1].score, made.selection[2] + made.selection[3], 1e-6);
    for (const ExpertRow& row : detail.experts) {
        EXPECT_EQ(row.group, row.expert / 2);
        EXPECT_EQ(row.masked, row.group >= 2) << row.expert;
    }
    // Expert 6 has the largest score of all and is in no kept group.
    EXPECT_EQ(made.ids, (std::vector<std::int32_t>{0, 3}));
    EXPECT_EQ(detail.experts[0].rank, 0);
    EXPECT_EQ(detail.experts[3].rank, 1);
    EXPECT_EQ(detail.experts[6].rank, -1);
    EXPECT_FLOAT_EQ(detail.experts[3].weight, 0.4f);
    EXPECT_TRUE(std::isnan(detail.experts[6].weight));
    EXPECT_EQ(detail.last_chosen, 3);
    EXPECT_EQ(detail.first_left, 2);
    EXPECT_NEAR(detail.margin, detail.experts[3].selection - detail.experts[2].selection, 1e-6);
}

TEST(LayerDetail, SaysWhatWasChanged) {
    const routing::RouterSpec spec = deepseek();
    routing::Interventions changes;
    changes.knocked_out = {{1, 2}};
    changes.zeroed = {{1, 3}};
    const routing::InterventionPlan plan(changes, spec);
    const LayerDetail detail = panels::layer_detail(spec, decision(spec), plan.layer(1));
    EXPECT_TRUE(detail.experts[2].knocked_out);
    EXPECT_TRUE(detail.experts[3].zeroed);
    EXPECT_EQ(detail.first_left, 1);  // 2 can't come in
}

TEST(LayerDetail, WithoutScoresHasRowsAllTheSame) {
    routing::RouterSpec spec = routing::make_spec(1, 300, 4);
    const LayerDetail detail = panels::layer_detail(spec, routing::decided(0, {299, 0, 7, 5}, {}));
    EXPECT_EQ(detail.experts.size(), 300u);
    EXPECT_TRUE(detail.groups.empty());
    EXPECT_FALSE(detail.has_bias);
    EXPECT_EQ(detail.last_chosen, 5);
    EXPECT_EQ(detail.first_left, -1);
    EXPECT_TRUE(std::isnan(detail.experts[299].weight));
    EXPECT_EQ(detail.experts[299].rank, 0);
}

TEST(SortedExperts, ByAnyColumnNaNLast) {
    const routing::RouterSpec spec = deepseek();
    const LayerDetail detail = panels::layer_detail(spec, decision(spec));
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::expert, false).front(), 0u);
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::expert, true).front(), 7u);
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::score, true).front(), 6u);
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::selection, true).front(), 0u);
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::bias, false).front(), 6u);
    EXPECT_EQ(panels::sorted_experts(detail, ExpertColumn::logit, false).front(), 5u);
    // Only two have a weight: they stand first either way, the others by number.
    const std::vector<std::size_t> rising = panels::sorted_experts(detail, ExpertColumn::weight, false),
                                   falling = panels::sorted_experts(detail, ExpertColumn::weight, true);
    EXPECT_EQ(rising, (std::vector<std::size_t>{3, 0, 1, 2, 4, 5, 6, 7}));
    EXPECT_EQ(falling, (std::vector<std::size_t>{0, 3, 1, 2, 4, 5, 6, 7}));
}

TEST(LayerRows, HaveEveryRoutedLayer) {
    routing::RouterSpec spec = routing::make_spec(4, 8, 2);
    spec.routed_layers = {1, 2, 3};
    spec.hash_layers = 1;
    spec.groups = 2;
    routing::ChunkBuilder builder(spec);
    routing::TokenDecisions token;
    token.layers = {routing::decided(1, {4, 5}, {0.5f, 0.5f}), routing::decided(3, {7, 0}, {0.7f, 0.3f})};
    token.layers[1].margin = 0.25f;
    builder.add(token);
    const auto chunk = builder.take();
    routing::LayerDecision scored = token.layers[1];
    scored.groups_kept = {1};
    const std::vector<panels::LayerRow> rows = panels::layer_rows(spec, *chunk, 0, {scored});
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].layer, 1);
    EXPECT_TRUE(rows[0].by_token);
    EXPECT_FALSE(rows[1].by_token);
    EXPECT_TRUE(rows[0].known);
    EXPECT_FALSE(rows[1].known);
    EXPECT_TRUE(rows[1].chosen.empty());
    ASSERT_EQ(rows[2].chosen.size(), 2u);
    EXPECT_EQ(rows[2].chosen[0].expert, 7);
    EXPECT_FLOAT_EQ(rows[2].chosen[1].weight, 0.3f);
    EXPECT_FLOAT_EQ(rows[2].margin, 0.25f);
    EXPECT_EQ(rows[2].groups_kept, (std::vector<std::int32_t>{1}));
    // A token that is not there has rows without anything.
    const std::vector<panels::LayerRow> none = panels::layer_rows(spec, routing::Chunk(), 0, {});
    ASSERT_EQ(none.size(), 3u);
    EXPECT_FALSE(none[0].known);
    EXPECT_TRUE(std::isnan(none[0].margin));
}

TEST(LayerRows, TakeTheirNumbersFromTheScoresWhereThereAreAny) {
    const routing::RouterSpec spec = routing::make_spec(1, 8, 2);
    routing::ChunkBuilder builder(spec);
    routing::TokenDecisions token;
    token.layers = {routing::decided(0, {4, 5}, {0.6562387f, 0.3437613f})};
    token.layers[0].margin = 0.019603506f;
    token.layers[0].entropy = 1.5f;
    builder.add(token);
    routing::PackedTrace trace(spec);
    ASSERT_TRUE(trace.append(routing::pack(*builder.take())));
    const auto packed = trace.chunk(0, routing::kAllColumns);
    const panels::LayerRow coarse = panels::layer_rows(spec, *packed, 0, {})[0];
    EXPECT_TRUE(coarse.rounded);
    EXPECT_NE(coarse.chosen[0].weight, 0.6562387f);
    const std::string csv = panels::decisions_csv({coarse});
    EXPECT_NE(csv.find("0,1,4,0.655,0.019,1.5\r\n"), std::string::npos) << csv;
    // The piece may have been unpacked before the scores came.
    const panels::LayerRow exact = panels::layer_rows(spec, *packed, 0, token.layers)[0];
    EXPECT_FALSE(exact.rounded);
    EXPECT_EQ(exact.chosen[0].weight, 0.6562387f);
    EXPECT_EQ(exact.margin, 0.019603506f);
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(panels::margin_text(text, exact.margin, false), "0.0196");
    EXPECT_EQ(panels::margin_text(text, coarse.margin, true), "0.019");
}

TEST(DecisionCsv, HasARowPerChoiceAndPerExpert) {
    panels::LayerRow row;
    row.layer = 3;
    row.chosen = {{5, 0.75f}, {1, NAN}};
    row.margin = 0.5f;
    row.entropy = NAN;
    EXPECT_EQ(panels::decisions_csv({row}),
              "layer,rank,expert,weight,margin,entropy (nats)\r\n3,1,5,0.75,0.5,\r\n3,2,1,,0.5,\r\n");
    const routing::RouterSpec spec = deepseek();
    const std::string csv = panels::detail_csv(panels::layer_detail(spec, decision(spec)));
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 9);
    EXPECT_NE(csv.find("\r\n1,6,3,no,3,"), std::string::npos) << csv;
}

TEST(ScoreText, HasADashForWhatIsNotKnown) {
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(panels::score_text(text, 0.12345f), "0.123");
    EXPECT_EQ(panels::score_text(text, NAN), "\u2013");
}

/// Numbers below each other have the digits that are known, zeros at the end included.
TEST(ScoreText, KeepsItsDigits) {
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(panels::score_text(text, 0.5f), "0.500");
    EXPECT_EQ(panels::score_text(text, 0.0014f), "0.00140");
    EXPECT_EQ(panels::score_text(text, -1.25f), "-1.25");
    EXPECT_EQ(panels::score_text(text, 20.0f), "20.0");
    EXPECT_EQ(panels::score_text(text, 0.0f), "0");
    EXPECT_EQ(panels::score_text(text, 2e-5f), "2e-05");
    EXPECT_EQ(panels::margin_text(text, 0.5f, true), "0.50");
    EXPECT_STREQ(panels::rounded_key(0.1f), "decision.rounded");
    EXPECT_STREQ(panels::rounded_key(NAN), "decision.rounded.weights");
}

}  // namespace
