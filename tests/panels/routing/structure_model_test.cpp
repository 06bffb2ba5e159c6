// Maps and tables of the structure view, against counts written out over random traces.
#include "panels/routing/structure_model.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <thread>

#include "base/intervals.hpp"
#include "routing/load_metrics.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using routing::chunks_of;
using routing::CoActivation;
using routing::GroupLoad;
using routing::make_spec;
using routing::RandomTrace;
using routing::TokenDecisions;

constexpr int kExperts = 9, kChosen = 3;

bool chose(const TokenDecisions& token, int place, int expert) {
    const auto& ids = token.layers[static_cast<std::size_t>(place)].ids;
    return std::find(ids.begin(), ids.end(), expert) != ids.end();
}

class StructureModel : public testing::TestWithParam<unsigned> {
 protected:
    template <class Figure>
    Figure over(Figure figure) const {
        for (const auto& chunk : chunks_of(spec_, tokens_, 33)) {
            figure.add(*chunk);
        }
        return figure;
    }
    template <class Fits>
    double count(const Fits& fits) const {
        return static_cast<double>(std::count_if(tokens_.begin(), tokens_.end(), fits));
    }

    routing::RouterSpec spec_ = [] {
        routing::RouterSpec spec = make_spec(2, kExperts, kChosen);
        spec.layers = 5;
        spec.routed_layers = {1, 4};
        return spec;
    }();
    const routing::Shape shape_ = routing::shape_of(spec_);
    const std::vector<TokenDecisions> tokens_ = RandomTrace(spec_, GetParam()).tokens(320);
};
INSTANTIATE_TEST_SUITE_P(Seeds, StructureModel, testing::Values(1u, 2u));

TEST_P(StructureModel, LoadIsTheShareOfTheLayersChoices) {
    const LoadMapShown shown = load_map(over(routing::Load(shape_)), spec_);
    EXPECT_EQ(shown.map->row_names, (std::vector<std::string>{"1", "4"}));
    for (int place = 0; place < 2; ++place) {
        std::vector<double> load;
        for (int expert = 0; expert < kExperts; ++expert) {
            load.push_back(count([&](const auto& token) { return chose(token, place, expert); }));
            const auto row = static_cast<std::size_t>(place), column = static_cast<std::size_t>(expert);
            EXPECT_FLOAT_EQ(shown.map->at(row, column), static_cast<float>(load.back() / (320 * kChosen)));
            EXPECT_EQ(static_cast<double>(shown.counts[row * kExperts + column]), load.back());
        }
        const Table::Row& row = shown.table->rows[static_cast<std::size_t>(place)];
        EXPECT_EQ(row[0].number.value, place == 0 ? 1 : 4);
        EXPECT_DOUBLE_EQ(row[1].number.value, routing::max_violation(load));
        EXPECT_DOUBLE_EQ(row[4].number.value, routing::gini(load));
        EXPECT_EQ(row[6].number.value, static_cast<double>(std::max_element(load.begin(), load.end()) - load.begin()));
        EXPECT_EQ(row[8].number.value, 320);
    }
    const LoadMapShown nothing = load_map(routing::Load(shape_), spec_);
    EXPECT_TRUE(std::isnan(nothing.map->at(0, 0)));
    EXPECT_TRUE(std::isnan(nothing.table->rows[0][5].number.value));
}

TEST_P(StructureModel, PairsAgainstCounts) {
    for (const auto pairs : {CoActivation::Pairs::all, CoActivation::Pairs::adjacent}) {
        const CoActivation figure = over(CoActivation(shape_, 1, pairs));
        for (const PairValue value : {PairValue::share, PairValue::above}) {
            const PairMapShown shown = pair_map(figure, kExperts, 1, 4, value);
            EXPECT_EQ(shown.layer, 4);
            EXPECT_EQ(shown.decisions, 320u);
            for (int i = 0; i < kExperts; ++i) {
                const double of = count([&](const auto& token) { return chose(token, 1, i); });
                for (int j = 0; j < kExperts; ++j) {
                    const auto row = static_cast<std::size_t>(i), column = static_cast<std::size_t>(j);
                    if (i == j) {
                        EXPECT_TRUE(std::isnan(shown.map->at(row, column)));
                        continue;
                    }
                    const double both = count([&](const auto& token) {
                        const auto& ids = token.layers[1].ids;
                        const auto a = std::find(ids.begin(), ids.end(), i), b = std::find(ids.begin(), ids.end(), j);
                        return a != ids.end() && b != ids.end() &&
                               (pairs == CoActivation::Pairs::all || std::abs(a - b) == 1);
                    });
                    const double other = count([&](const auto& token) { return chose(token, 1, j); }) / 320;
                    const double wanted = value == PairValue::share ? both / of : both / of - other;
                    EXPECT_NEAR(shown.map->at(row, column), wanted, 1e-6);
                    if (value == PairValue::above) {
                        const auto interval =
                            base::wilson(static_cast<std::uint64_t>(both), static_cast<std::uint64_t>(of));
                        EXPECT_EQ(shown.map->is_quiet(row * kExperts + column),
                                  interval.low <= other && other <= interval.high);
                    }
                }
            }
            for (std::size_t i = 1; i < shown.table->rows.size(); ++i) {
                EXPECT_GE(shown.table->rows[i - 1][2].number.value, shown.table->rows[i][2].number.value);
            }
            EXPECT_LE(shown.table->rows.size(), static_cast<std::size_t>(kExperts * (kExperts - 1) / 2));
        }
    }
}

TEST_P(StructureModel, SpreadAgainstDecisions) {
    const SpreadShown shown =
        spread_map(over(SpreadFigure(routing::RouterEntropy(shape_), routing::Margins(shape_))), spec_);
    ASSERT_TRUE(shown.entropy && shown.margin);
    for (const auto& map : {shown.entropy, shown.margin}) {
        ASSERT_GE(map->column_ticks.size(), 2u);
        for (const auto& [place, name] : map->column_ticks) {
            EXPECT_TRUE(place >= 0 && place <= static_cast<double>(map->columns)) << name;
            std::string digits = name.substr(0, name.find('e'));
            digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
            const std::size_t last = digits.find_last_of("123456789");
            EXPECT_TRUE(last == std::string::npos || digits.find_first_of("123456789") + 1 >= last)
                << name << " is no round number";
        }
    }
    for (std::size_t place = 0; place < 2; ++place) {
        double sum = 0;
        std::vector<double> margins;
        for (const TokenDecisions& token : tokens_) {
            sum += token.layers[place].entropy;
            margins.push_back(token.layers[place].margin);
        }
        std::sort(margins.begin(), margins.end());
        const Table::Row& row = shown.table->rows[place];
        EXPECT_NEAR(row[1].number.value, sum / 320, 1e-6);
        EXPECT_NEAR(row[2].number.value, sum / 320 / std::log(9), 1e-6);
        EXPECT_NEAR(std::log2(row[7].number.value), std::log2(margins[160]), 0.3);  // a bin is a quarter of an octave
        double whole = 0;
        for (std::size_t bin = 0; bin < shown.entropy->columns; ++bin) {
            whole += shown.entropy->at(place, bin);
        }
        EXPECT_NEAR(whole, 1, 1e-5) << "every decision is in a bin that is shown";
        EXPECT_GT(shown.entropy_median[place], 0);
        EXPECT_LT(shown.entropy_median[place], static_cast<double>(shown.entropy->columns));
        EXPECT_EQ(row[10].number.value, 320);
    }
    const SpreadShown nothing =
        spread_map(SpreadFigure(routing::RouterEntropy(shape_), routing::Margins(shape_)), spec_);
    EXPECT_FALSE(nothing.entropy || nothing.margin);
    EXPECT_TRUE(std::isnan(nothing.entropy_median[0]));
}

TEST_P(StructureModel, DifferencesOfLanguages) {
    const GroupLoad load = over(GroupLoad(shape_, GroupLoad::By::language));
    const GroupChoice choice = default_groups(load);
    EXPECT_TRUE(knows_groups(load));
    ASSERT_EQ(load.groups()[choice.first], "en");
    ASSERT_EQ(load.groups()[choice.second], "zh");
    const DifferenceShown shown = difference_map(load, spec_, choice.first, choice.second);
    EXPECT_EQ(shown.first_name, "en");
    EXPECT_EQ(shown.cells, 18u);
    EXPECT_FALSE(shown.single);
    std::size_t beyond = 0;
    for (std::size_t place = 0; place < 2; ++place) {
        const auto english = load.shares(choice.first, place), chinese = load.shares(choice.second, place);
        for (std::size_t expert = 0; expert < 9; ++expert) {
            const base::Interval &a = english[expert].share, &b = chinese[expert].share;
            EXPECT_NEAR(shown.map->at(place, expert), a.estimate - b.estimate, 1e-6);
            // Newcombe's tenth method, written out.
            const double low =
                a.estimate - b.estimate - std::sqrt(std::pow(a.estimate - a.low, 2) + std::pow(b.high - b.estimate, 2));
            const double high =
                a.estimate - b.estimate + std::sqrt(std::pow(a.high - a.estimate, 2) + std::pow(b.estimate - b.low, 2));
            const DifferenceShown::Cell& cell = shown.details[place * 9 + expert];
            EXPECT_NEAR(cell.difference.low, low, 1e-12);
            EXPECT_NEAR(cell.difference.high, high, 1e-12);
            const bool chance = low <= 0 && high >= 0;
            EXPECT_EQ(shown.map->is_quiet(place * 9 + expert), chance);
            beyond += chance ? 0 : 1;
        }
    }
    EXPECT_EQ(shown.beyond, beyond);
    EXPECT_EQ(shown.table->rows.size(), 18u);
}

TEST_P(StructureModel, DifferencesAgainstAllTexts) {
    const GroupLoad load = over(GroupLoad(shape_, GroupLoad::By::language));
    const DifferenceShown shown = difference_map(load, spec_, 1, kAllTexts);
    for (std::size_t expert = 0; expert < 9; ++expert) {
        const double overall =
            count([&](const auto& token) { return chose(token, 0, static_cast<int>(expert)); }) / 320;
        const GroupLoad::Share share = load.shares(1, 0)[expert];
        EXPECT_NEAR(shown.map->at(0, expert), share.share.estimate - overall, 1e-6);
        EXPECT_NEAR(shown.details[expert].difference.low, share.share.low - overall, 1e-12);
    }
    EXPECT_FALSE(difference_map(load, spec_, 7, kAllTexts).map);
}

TEST(Groups, AreChosenByTheirNamesThenBySize) {
    const routing::RouterSpec spec = make_spec(1, 4, 1);
    GroupLoad load(routing::shape_of(spec), GroupLoad::By::group);
    EXPECT_EQ(default_groups(load).second, kAllTexts);
    EXPECT_FALSE(knows_groups(load));
    routing::ChunkBuilder builder(spec);
    TokenDecisions token;
    token.layers = {routing::decided(0, {1})};
    for (const char* group : {"small", "large", "large", "middle", "large", "middle"}) {
        token.group = group;
        ++token.document;
        builder.add(token);
    }
    load.add(*builder.take());
    EXPECT_EQ(load.groups()[default_groups(load).first], "large");
    EXPECT_EQ(load.groups()[default_groups(load).second], "middle");
}

TEST(Saturation, IsWhatEachCheckpointHasOfTheLast) {
    const routing::RouterSpec spec = make_spec(2, 8, 2);
    const auto last = RandomTrace(spec, 1).tokens(100);
    const auto trace = [&](const std::vector<TokenDecisions>& tokens) {
        return std::make_shared<const routing::MemoryTrace>(spec, chunks_of(spec, tokens));
    };
    // The checkpoint at 20 has half of the tokens as the last one, that at 10 a quarter.
    const auto other = RandomTrace(spec, 2).tokens(100);
    auto early = last, later = last;
    for (std::size_t i = 0; i < 100; ++i) {
        early[i].layers = i % 4 == 0 ? last[i].layers : other[i].layers;
        later[i].layers = i % 2 == 0 ? last[i].layers : other[i].layers;
    }
    const routing::ComparisonJob job(trace(last), {trace(later), trace(early)});
    while (!job.latest()->finished) {
        std::this_thread::yield();
    }
    const auto results = job.latest()->results;
    for (const bool best : {false, true}) {
        const SaturationShown shown = saturation({{20, results[0]}, {10, results[1]}}, 30, spec, best);
        EXPECT_EQ(shown.points, 2u);
        EXPECT_EQ(shown.chart->x, (std::vector<double>{10, 20, 30}));
        ASSERT_EQ(shown.chart->series.size(), 3u);
        for (std::size_t layer = 0; layer < 2; ++layer) {
            double same = 0;
            for (std::size_t i = 0; i < 100; ++i) {
                const auto &was = last[i].layers[layer].ids, &is = early[i].layers[layer].ids;
                same += best ? (was[0] == is[0] ? 1 : 0)
                             : static_cast<double>(std::count_if(
                                   was.begin(), was.end(),
                                   [&](std::int32_t id) { return std::find(is.begin(), is.end(), id) != is.end(); })) /
                                   2;
            }
            EXPECT_NEAR(shown.chart->series[layer + 1].y[0].value, same / 100, 1e-12);
            EXPECT_LT(shown.chart->series[layer + 1].y[0].value, shown.chart->series[layer + 1].y[1].value);
            EXPECT_EQ(shown.chart->series[layer + 1].y[2].value, 1);
        }
        EXPECT_NEAR(shown.chart->series[0].y[0].value,
                    (shown.chart->series[1].y[0].value + shown.chart->series[2].y[0].value) / 2, 1e-12);
        EXPECT_DOUBLE_EQ(shown.chart->levels[0].y, best ? 0.125 : 0.25);
        EXPECT_EQ(shown.table->rows.size(), 4u);
        EXPECT_EQ(shown.table->rows[0][0].number.value, 10);
    }
}

}  // namespace
}  // namespace moescope::panels
