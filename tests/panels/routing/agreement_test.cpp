// Recomputed choices against executed ones over a packed trace, and what the badge says of them.
#include "panels/routing/agreement.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "routing/figures/figure_job.hpp"
#include "tests/paths.hpp"
#include "tests/routing/random_trace.hpp"

namespace {

using namespace moescope;
using nlohmann::json;
using panels::AgreementFigure;

/// Twelve tokens in two layers, with scores of every second one; of one choice the ids are others than the scores give.
std::shared_ptr<const routing::PackedTrace> scored_trace(const routing::Interventions& changes, bool one_differs) {
    const routing::RouterSpec spec = routing::make_spec(2, 8, 2);
    const routing::InterventionPlan plan(changes, spec);
    auto trace = std::make_shared<routing::PackedTrace>(spec);
    routing::ChunkBuilder builder(spec);
    std::mt19937 random(7);
    std::uniform_real_distribution<float> score(0, 1);
    for (int i = 0; i < 12; ++i) {
        routing::TokenDecisions token;
        token.position = i;
        token.bytes = "w";
        for (int layer = 0; layer < 2; ++layer) {
            routing::LayerDecision decision;
            decision.layer = layer;
            for (int expert = 0; expert < 8; ++expert) {
                decision.scores.push_back(score(random));
            }
            decision.selection = decision.scores;
            decision.ids = routing::choose(decision.selection, routing::choice_rule(spec), plan.layer(layer)).ids;
            if (one_differs && i == 4 && layer == 1) {
                decision.ids[1] = decision.ids[1] == 0 ? 1 : 0;
                decision.ids[0] = 7;
            }
            decision.weights = {0.5f, 0.5f};
            token.layers.push_back(std::move(decision));
        }
        if (i % 2 == 0) {
            EXPECT_TRUE(trace->append_scores(static_cast<std::uint64_t>(i), routing::pack_decisions(token)));
        }
        builder.add(token);
    }
    EXPECT_TRUE(trace->append(routing::pack(*builder.take())));
    return trace;
}

routing::Agreement counted(const std::shared_ptr<const routing::PackedTrace>& trace, const json& items) {
    routing::FigureJob<AgreementFigure> job(trace, AgreementFigure(trace, items));
    for (;;) {
        const auto state = job.latest();
        if (state->finished) {
            EXPECT_TRUE(state->problem.empty());
            EXPECT_EQ(state->figure.tokens(), state->figure.agreement().decisions / 2);
            return state->figure.agreement();
        }
        std::this_thread::yield();
    }
}

TEST(Agreement, CountsTheChoicesWithScores) {
    EXPECT_EQ(counted(scored_trace({}, false), json::array()), (routing::Agreement{12, 12}));
    EXPECT_EQ(counted(scored_trace({}, true), json::array()), (routing::Agreement{12, 11}));
}

TEST(Agreement, KnowsTheChangesOfTheRecord) {
    routing::Interventions changes;
    changes.knocked_out = {{0, 3}, {1, 3}, {0, 5}, {1, 5}};
    const auto trace = scored_trace(changes, false);
    EXPECT_EQ(counted(trace, routing::items_to_json(changes)), (routing::Agreement{12, 12}));
    EXPECT_LT(counted(trace, json::array()).equal, 12u);  // without them the same ids look wrong
    // A replay is in another trace: nothing is claimed.
    EXPECT_EQ(counted(trace, json::parse(R"([{"kind":"replay","source":"run:1"}])")).decisions, 0u);
    EXPECT_EQ(counted(trace, json::parse(R"([{"kind":"melt"}])")).decisions, 0u);
}

TEST(AgreementText, NeverRoundsUpToAll) {
    const ui::Language text = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(panels::agreement_share(text, {0, 0}), "");
    EXPECT_EQ(panels::agreement_share(text, {10, 10}), "100 %");
    EXPECT_EQ(panels::agreement_share(text, {100'000, 99'999}), "99.9 %");
    EXPECT_EQ(panels::agreement_share(text, {1000, 0}), "0 %");
    EXPECT_EQ(panels::agreement_share(text, {100'000, 1}), "0.001 %");
    EXPECT_EQ(panels::agreement_text(text, {1234, 1234}), "All 1,234 choices are those that their scores give.");
    EXPECT_EQ(panels::agreement_text(text, {1000, 998}),
              "99.8 % of 1,000 choices are those that their scores give; 2 are others.");
    EXPECT_EQ(panels::agreement_text(text, {0, 0}), "No choice could be compared with its scores.");
}

}  // namespace
