// What the expert view shows, against counts written out over random traces.
#include "panels/routing/expert_model.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>

#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using routing::chunks_of;
using routing::make_spec;
using routing::RandomTrace;
using routing::TokenDecisions;
using routing::Vocabulary;

constexpr int kLayers = 3, kExperts = 9, kChosen = 3;

bool chose(const TokenDecisions& token, int place, int expert) {
    const auto& ids = token.layers[static_cast<std::size_t>(place)].ids;
    return std::find(ids.begin(), ids.end(), expert) != ids.end();
}

class ExpertModel : public testing::TestWithParam<unsigned> {
 protected:
    template <class Figure>
    Figure over(Figure figure) const {
        for (const auto& chunk : chunks_of(spec_, tokens_, 33)) {
            figure.add(*chunk);
        }
        return figure;
    }
    double count(int place, int expert) const {
        return static_cast<double>(std::count_if(tokens_.begin(), tokens_.end(),
                                                 [&](const auto& token) { return chose(token, place, expert); }));
    }

    routing::RouterSpec spec_ = [] {
        routing::RouterSpec spec = make_spec(kLayers, kExperts, kChosen);
        // Not every layer of the model has a router.
        spec.layers = 7;
        spec.routed_layers = {1, 2, 5};
        return spec;
    }();
    const routing::Shape shape_ = routing::shape_of(spec_);
    const std::vector<TokenDecisions> tokens_ = RandomTrace(spec_, GetParam()).tokens(400);
};
INSTANTIATE_TEST_SUITE_P(Seeds, ExpertModel, testing::Values(1u, 2u));

TEST_P(ExpertModel, LoadAgainstCounts) {
    const ExpertPlace expert{1, 4, 2};
    const ExpertLoadShown shown =
        expert_load(over(ExpertLoadFigure(routing::Load(shape_), routing::LoadOverTime(shape_, 1))), spec_, expert);
    EXPECT_EQ(shown.expert, expert);
    EXPECT_EQ(shown.tokens, 400u);
    EXPECT_EQ(static_cast<double>(shown.chosen), count(1, 4));
    EXPECT_DOUBLE_EQ(shown.share.value, count(1, 4) / 400);
    EXPECT_LT(shown.share.low, shown.share.value);
    EXPECT_DOUBLE_EQ(shown.uniform, 1.0 / 3);
    std::size_t busier = 0;
    for (int other = 0; other < kExperts; ++other) {
        busier += count(1, other) > count(1, 4) ? 1 : 0;
    }
    EXPECT_EQ(shown.rank, busier + 1);
    ASSERT_TRUE(shown.over_layers && shown.over_time);
    EXPECT_EQ(shown.over_layers->labels, (std::vector<std::string>{"1", "2", "5"}));
    for (int place = 0; place < kLayers; ++place) {
        EXPECT_DOUBLE_EQ(shown.over_layers->series[0].y[static_cast<std::size_t>(place)].value, count(place, 4) / 400);
    }
    // 400 tokens are 200 bins of two, of which four make a point: of fewer than eight tokens none is.
    EXPECT_EQ(shown.tokens_of_point, 8u);
    ASSERT_EQ(shown.over_time->x.size(), 50u);
    for (std::size_t point = 0; point < 50; ++point) {
        double wanted = 0;
        for (std::size_t at = 8 * point; at < 8 * point + 8; ++at) {
            wanted += chose(tokens_[at], 1, 4) ? 0.125 : 0;
        }
        EXPECT_EQ(shown.over_time->series[0].y[point].value, wanted);
        EXPECT_EQ(shown.over_time->x[point], static_cast<double>(8 * point + 4));
    }
    EXPECT_EQ(shown.over_time->levels.size(), 2u);
    EXPECT_DOUBLE_EQ(shown.over_time->levels[1].y, shown.share.value);
}

TEST_P(ExpertModel, LoadOfCountsWithoutTokens) {
    routing::Chunk chunk;
    chunk.shape = shape_;
    chunk.loads.push_back({-1, std::vector<std::uint64_t>(kLayers * kExperts, 10)});
    chunk.loads[0].counts[kExperts + 4] = 40;  // 120 slots of layer 2, 3 experts per token
    ExpertLoadFigure figure(routing::Load(shape_), routing::LoadOverTime(shape_, 1));
    figure.add(chunk);
    const ExpertLoadShown shown = expert_load(figure, spec_, {1, 4, 2});
    EXPECT_EQ(shown.tokens, 40u);
    EXPECT_EQ(shown.chosen, 40u);
    EXPECT_EQ(shown.rank, 1u);
    EXPECT_DOUBLE_EQ(shown.over_layers->series[0].y[1].value, 1.0);
    EXPECT_DOUBLE_EQ(shown.over_layers->series[0].y[0].value, 1.0 / 3);
    EXPECT_FALSE(shown.over_time);
}

TEST_P(ExpertModel, TokensAgainstCounts) {
    for (const auto by : {Vocabulary::By::input, Vocabulary::By::next, Vocabulary::By::predicted}) {
        const auto token_of = [by](const TokenDecisions& token) {
            return by == Vocabulary::By::input  ? token.token
                   : by == Vocabulary::By::next ? token.next
                                                : token.predicted;
        };
        const ExpertTokensShown shown =
            expert_tokens(over(Vocabulary(shape_, 2, by, Vocabulary::Ranks::all)), {2, 7, 5}, 4, 1000);
        std::map<int, std::pair<double, double>> counts;  // with the expert, in all
        double with = 0, all = 0;
        for (const TokenDecisions& token : tokens_) {
            if (token_of(token) >= 0) {
                const double here = chose(token, 2, 7) ? 1 : 0;
                counts[token_of(token)].first += here;
                counts[token_of(token)].second += 1;
                with += here;
                ++all;
            }
        }
        EXPECT_DOUBLE_EQ(shown.baseline, with / all);
        std::size_t rows = 0;
        for (const auto& [token, pair] : counts) {
            rows += pair.first > 0 && pair.second >= 4 ? 1 : 0;
        }
        EXPECT_EQ(shown.table->rows.size(), rows);
        double before = 1;
        for (const Table::Row& row : shown.table->rows) {
            const auto [chosen, of] = counts[static_cast<int>(row[shown.token_column].number.value)];
            EXPECT_EQ(row[2].number.value, chosen);
            EXPECT_EQ(row[3].number.value, of);
            EXPECT_DOUBLE_EQ(row[4].number.value, chosen / of);
            EXPECT_LE(row[4].number.low, before) << "what is surely high comes first";
            before = row[4].number.low;
            EXPECT_DOUBLE_EQ(row[5].number.value, with / all);
            EXPECT_NEAR(row[6].number.value, chosen / of / (with / all), 1e-12);
        }
    }
}

TEST_P(ExpertModel, TextsHaveBaselinesAndIntervals) {
    const TextGroups figure = over(TextGroups(shape_));
    const ExpertTextsShown shown = expert_texts(figure, {0, 3, 1});
    ASSERT_EQ(shown.languages.table->rows.size(), 2u);
    EXPECT_TRUE(shown.languages.known);
    EXPECT_FALSE(shown.languages.single);
    for (const Table::Row& row : shown.languages.table->rows) {
        double chosen = 0, of = 0;
        for (const TokenDecisions& token : tokens_) {
            if (token.language == row[0].text) {
                chosen += chose(token, 0, 3) ? 1 : 0;
                ++of;
            }
        }
        EXPECT_EQ(row[1].number.value, row[0].text == "en" ? 13 : 12);  // texts of 16 tokens
        EXPECT_EQ(row[2].number.value, chosen);
        EXPECT_EQ(row[3].number.value, of);
        EXPECT_DOUBLE_EQ(row[4].number.value, chosen / of);
        EXPECT_TRUE(row[4].number.has_interval());
        EXPECT_DOUBLE_EQ(row[5].number.value, count(0, 3) / 400);
        EXPECT_DOUBLE_EQ(row[6].number.value, 1.0 / 3);
    }
    ASSERT_EQ(shown.groups.table->rows.size(), 2u);
    EXPECT_EQ(shown.groups.table->rows[0][0].text, "unknown");
    EXPECT_EQ(shown.groups.chart->labels[1], "news");
}

TEST_P(ExpertModel, NeighboursAgainstCounts) {
    const ExpertNeighboursShown shown = expert_neighbours(over(NeighbourPairs(shape_, 1)), spec_, {1, 4, 2});
    EXPECT_EQ(shown.layer_before, 1);
    EXPECT_EQ(shown.layer_after, 5);
    for (const Table::Row& row : shown.together->rows) {
        const int other = static_cast<int>(row[0].number.value);
        const double both = static_cast<double>(std::count_if(tokens_.begin(), tokens_.end(), [&](const auto& token) {
            return chose(token, 1, 4) && chose(token, 1, other);
        }));
        EXPECT_NE(other, 4);
        EXPECT_EQ(row[1].number.value, both);
        EXPECT_DOUBLE_EQ(row[3].number.value, both / count(1, 4));
        EXPECT_DOUBLE_EQ(row[4].number.value, count(1, other) / 400);
    }
    for (const bool after : {false, true}) {
        const int place = after ? 2 : 0;
        double before = 1;
        for (const Table::Row& row : (after ? shown.after : shown.before)->rows) {
            const int other = static_cast<int>(row[0].number.value);
            const double both =
                static_cast<double>(std::count_if(tokens_.begin(), tokens_.end(), [&](const auto& token) {
                    return chose(token, 1, 4) && chose(token, place, other);
                }));
            // Each choice of the expert is in as many pairs as the other layer chooses experts.
            EXPECT_EQ(row[1].number.value, both);
            EXPECT_EQ(row[2].number.value, count(1, 4) * kChosen);
            EXPECT_DOUBLE_EQ(row[4].number.value, count(place, other) / (400.0 * kChosen));
            EXPECT_LE(row[3].number.value, before);
            before = row[3].number.value;
        }
    }
    EXPECT_FALSE(expert_neighbours(over(NeighbourPairs(shape_, 0)), spec_, {0, 4, 1}).before);
    EXPECT_FALSE(expert_neighbours(over(NeighbourPairs(shape_, 2)), spec_, {2, 4, 5}).after);
}

TEST_P(ExpertModel, FindsTheNextPlaceOfAToken) {
    const routing::MemoryTrace trace(spec_, chunks_of(spec_, tokens_, 33));
    for (const std::int32_t token : {5, 17}) {
        std::vector<std::uint64_t> places;
        for (std::size_t i = 0; i < tokens_.size(); ++i) {
            if (tokens_[i].next == token && chose(tokens_[i], 1, 4)) {
                places.push_back(i);
            }
        }
        std::int64_t at = -1;
        for (const std::uint64_t place : places) {
            const auto found = find_token(trace, {1, 4, 2}, Vocabulary::By::next, token, at);
            ASSERT_EQ(found, place);
            at = static_cast<std::int64_t>(place);
        }
        const auto again = find_token(trace, {1, 4, 2}, Vocabulary::By::next, token, at);
        EXPECT_EQ(again.has_value(), !places.empty());
        EXPECT_TRUE(places.empty() || *again == places.front()) << "from the beginning again";
    }
    EXPECT_FALSE(find_token(trace, {1, 4, 2}, Vocabulary::By::input, 999, -1).has_value());
}

history::TrainingRun training_run(int steps) {
    history::TrainingRun run;
    run.layers = 2;
    run.experts = 4;
    run.top_k = 2;
    for (int step = 1; step <= steps; ++step) {
        auto counts = std::make_shared<history::StepCounts>();
        counts->step = static_cast<std::uint64_t>(step);
        for (std::uint32_t cell = 0; cell < 16; ++cell) {
            counts->counts.push_back((cell * 7 + static_cast<std::uint32_t>(step) * 3) % 11);
        }
        run.counts.push_back(std::move(counts));
    }
    return run;
}

TEST(TrainingHistory, AddsUpStepsThatShareAPoint) {
    const history::TrainingRun run = training_run(10);
    const auto chart = training_history(run, 1, 2, 4);  // four steps each
    ASSERT_TRUE(chart);
    EXPECT_EQ(chart->x, (std::vector<double>{4, 8, 10}));
    EXPECT_DOUBLE_EQ(chart->levels[0].y, 0.5);
    for (std::size_t point = 0; point < 3; ++point) {
        double chosen[2] = {}, slots[2] = {};
        for (std::size_t i = 4 * point; i < std::min<std::size_t>(10, 4 * point + 4); ++i) {
            for (std::size_t language = 0; language < 2; ++language) {
                for (std::size_t expert = 0; expert < 4; ++expert) {
                    const double count = run.counts[i]->counts[language * 8 + 4 + expert];
                    slots[language] += count;
                    chosen[language] += expert == 2 ? count : 0;
                }
            }
        }
        EXPECT_DOUBLE_EQ(chart->series[0].y[point].value, 2 * (chosen[0] + chosen[1]) / (slots[0] + slots[1]));
        EXPECT_DOUBLE_EQ(chart->series[1].y[point].value, 2 * chosen[0] / slots[0]);
        EXPECT_DOUBLE_EQ(chart->series[2].y[point].value, 2 * chosen[1] / slots[1]);
    }
    EXPECT_FALSE(training_history(run, 2, 2, 4));
    EXPECT_FALSE(training_history(run, 1, 4, 4));
    EXPECT_FALSE(training_history(training_run(0), 1, 2, 4));
}

}  // namespace
}  // namespace moescope::panels
