// What runs are compared by: load figures over steps against the definitions, and what a table says of a curve.
#include "nodes/history/run_figures.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <set>

#include "routing/load_metrics.hpp"

namespace moescope::history {
namespace {

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max() / 2;

std::shared_ptr<const StepCounts> counts(std::uint64_t step, std::mt19937& random) {
    auto one = std::make_shared<StepCounts>();
    one->step = step;
    for (int cell = 0; cell < 2 * 3 * 4; ++cell) {
        const bool dense = cell % 12 < 4;  // layer 0
        one->counts.push_back(dense || random() % 4 == 0 ? 0 : random() % 50);
    }
    return one;
}

TrainingRun run_of(std::uint64_t first, std::uint64_t last, std::mt19937& random) {
    TrainingRun run;
    run.layers = 3;
    run.experts = 4;
    for (std::uint64_t step = first; step <= last; ++step) {
        run.counts.push_back(counts(step, random));
    }
    return run;
}

TEST(LoadSeries, IsTheMeanOverLayersThatHaveExperts) {
    std::mt19937 random(5);
    const TrainingRun run = run_of(3, 30, random);
    LoadSeriesReader reader;
    EXPECT_TRUE(reader.update(run, kAll));
    const LoadSeries& series = reader.series();
    ASSERT_EQ(series.step.size(), 28u);
    for (std::size_t i = 0; i < series.step.size(); ++i) {
        EXPECT_EQ(series.step[i], static_cast<double>(3 + i));
        double violation = 0, variation = 0, entropy = 0, dead = 0;
        for (std::size_t layer = 1; layer < 3; ++layer) {
            std::vector<double> load;
            for (std::size_t e = 0; e < 4; ++e) {
                load.push_back(run.counts[i]->counts[layer * 4 + e] + run.counts[i]->counts[12 + layer * 4 + e]);
            }
            violation += routing::max_violation(load) / 2;
            variation += routing::variation(load) / 2;
            entropy += routing::normalised_entropy(load) / 2;
            dead += static_cast<double>(routing::dead_experts(load));
        }
        EXPECT_DOUBLE_EQ(series.max_violation[i], violation);
        EXPECT_DOUBLE_EQ(series.variation[i], variation);
        EXPECT_DOUBLE_EQ(series.entropy[i], entropy);
        EXPECT_EQ(series.dead[i], dead);
    }
}

TEST(LoadSeries, FollowsARunThatGrowsForgetsAndGoesBack) {
    std::mt19937 random(6);
    TrainingRun run = run_of(1, 10, random);
    LoadSeriesReader reader;
    EXPECT_FALSE(reader.update(run, 24 * 3)) << "a part at a time";
    EXPECT_LT(reader.series().step.size(), 10u);
    EXPECT_TRUE(reader.update(run, kAll));
    ASSERT_EQ(reader.series().step.size(), 10u);
    const double first = reader.series().max_violation[0];
    // The run keeps the latest counts only; the series keeps what it has.
    for (std::uint64_t step = 11; step <= 20; ++step) {
        run.counts.push_back(counts(step, random));
    }
    run.counts.drop_front(12);
    EXPECT_TRUE(reader.update(run, kAll));
    EXPECT_EQ(reader.series().step.size(), 18u) << "the counts of steps 11 and 12 were gone before they were seen";
    EXPECT_EQ(reader.series().max_violation[0], first);
    // It goes back to step 15 and does the steps after it again.
    run.counts.truncate(3);
    for (std::uint64_t step = 16; step <= 17; ++step) {
        run.counts.push_back(counts(step, random));
    }
    EXPECT_TRUE(reader.update(run, kAll));
    const LoadSeries& series = reader.series();
    EXPECT_EQ(series.step.back(), 17);
    for (std::size_t i = 1; i < series.step.size(); ++i) {
        EXPECT_LT(series.step[i - 1], series.step[i]);
    }
    LoadSeriesReader fresh;
    fresh.update(run, kAll);
    const std::size_t kept = fresh.series().step.size();
    for (std::size_t i = 0; i < kept; ++i) {
        EXPECT_EQ(series.max_violation[series.step.size() - kept + i], fresh.series().max_violation[i]);
    }
}

TEST(LoadSeries, CountsOfAnotherShapeAreNoLoad) {
    TrainingRun run;
    run.layers = 2;
    run.experts = 2;
    auto odd = std::make_shared<StepCounts>();
    odd->step = 1;
    odd->counts = {1, 2, 3};
    run.counts.push_back(odd);
    LoadSeriesReader reader;
    EXPECT_TRUE(reader.update(run, kAll));
    ASSERT_EQ(reader.series().step.size(), 1u);
    EXPECT_TRUE(std::isnan(reader.series().dead[0]));
    EXPECT_TRUE(LoadSeriesReader().update(TrainingRun(), kAll));
}

TEST(RunFigures, TheTableIsInTheOrderOfTheFigures) {
    std::set<std::string> keys;
    for (std::size_t i = 0; i < kRunFigures; ++i) {
        EXPECT_EQ(static_cast<std::size_t>(kRunFigureRows[i].figure), i);
        EXPECT_TRUE(keys.insert(kRunFigureRows[i].key).second);
        EXPECT_EQ(&row_of(kRunFigureRows[i].figure), &kRunFigureRows[i]);
    }
}

RunCurve curve(const Column& step, const Column& value) {
    return {step, value};
}

TEST(RunFigures, ASummaryIsLastBestAndTheMeanOfTheLastTenth) {
    Column step, value, none;
    for (int i = 0; i <= 100; ++i) {
        step.push_back(i);
        value.push_back(i == 95 ? base::kAbsent : 200.0 - i);
        none.push_back(base::kAbsent);
    }
    // The run goes on: its newest step has no such value.
    step.push_back(101);
    value.push_back(base::kAbsent);
    none.push_back(base::kAbsent);
    CurveSummary summary = summary_of(curve(step, value), Better::lower);
    EXPECT_EQ(summary.last, 100);
    EXPECT_EQ(summary.best, 100);
    // Steps 91 to 100 without 95.
    EXPECT_DOUBLE_EQ(summary.mean, (109 + 108 + 107 + 106 + 104 + 103 + 102 + 101 + 100) / 9.0);
    EXPECT_EQ(summary_of(curve(step, value), Better::higher).best, 200);
    EXPECT_TRUE(std::isnan(summary_of(curve(step, value), Better::neither).best));
    summary = summary_of(curve(step, none), Better::lower);
    EXPECT_TRUE(std::isnan(summary.last) && std::isnan(summary.best) && std::isnan(summary.mean));
    EXPECT_TRUE(curve(step, none).empty());
    Column one_step, one_value;
    EXPECT_TRUE(std::isnan(summary_of(curve(one_step, one_value), Better::lower).mean));
    one_step.push_back(50);
    one_value.push_back(2.5);
    EXPECT_EQ(summary_of(curve(one_step, one_value), Better::lower).mean, 2.5);
}

}  // namespace
}  // namespace moescope::history
