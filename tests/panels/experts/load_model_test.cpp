// What the expert load panel shows, against sums and shares written out; the history's rows against plain ones.
#include "panels/experts/load_model.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

#include "nodes/history/run_table.hpp"

namespace {

using namespace moescope;
using history::TrainingRun;
using panels::CellValue;
using panels::LoadMode;
using panels::LoadModel;
using panels::LoadRow;
using panels::LoadRows;

constexpr int kLayers = 3, kExperts = 4;
constexpr std::size_t kCells = kLayers * kExperts;

/// A run with the steps `first`, first + 1, ... Layer 0 is dense: no expert gets a token there.
TrainingRun run_of(std::size_t steps, std::uint64_t first = 1, std::uint32_t id = 7) {
    TrainingRun run;
    run.id = id;
    run.layers = kLayers;
    run.experts = kExperts;
    std::mt19937 random(5);
    for (std::size_t i = 0; i < steps; ++i) {
        auto step = std::make_shared<history::StepCounts>();
        step->step = first + i;
        step->counts.resize(2 * kCells);
        for (std::size_t cell = 0; cell < step->counts.size(); ++cell) {
            step->counts[cell] = cell % kCells < kExperts ? 0 : random() % 100;
        }
        run.counts.push_back(std::move(step));
    }
    return run;
}

double sum(const TrainingRun& run, std::size_t first, std::size_t last, int language, std::size_t cell) {
    double total = 0;
    for (std::size_t i = first; i <= last; ++i) {
        total += run.counts[i]->counts[static_cast<std::size_t>(language) * kCells + cell];
    }
    return total;
}

TEST(LoadModel, SharesOfEachMode) {
    const TrainingRun run = run_of(40);
    LoadModel model;
    model.window = 1;  // 16 steps
    for (const LoadMode mode : {LoadMode::all, LoadMode::english, LoadMode::chinese}) {
        model.mode = mode;
        model.update(run, {});
        ASSERT_EQ(model.cells().value.size(), kCells);
        for (std::size_t layer = 0; layer < kLayers; ++layer) {
            double total = 0, shares = 0;
            for (std::size_t e = 0; e < kExperts; ++e) {
                total += model.tokens(layer, e);
                shares += model.cells().value[layer * kExperts + e];
            }
            EXPECT_NEAR(shares, layer == 0 ? 0 : 1, 1e-12);
            for (std::size_t e = 0; e < kExperts; ++e) {
                const std::size_t cell = layer * kExperts + e;
                const double tokens = (mode != LoadMode::chinese ? sum(run, 24, 39, 0, cell) : 0) +
                                      (mode != LoadMode::english ? sum(run, 24, 39, 1, cell) : 0);
                EXPECT_EQ(model.tokens(layer, e), tokens);
                EXPECT_DOUBLE_EQ(model.cells().value[cell], total > 0 ? tokens / total : 0);
            }
        }
    }
}

TEST(LoadModel, DifferencesAreThoseOfTheShares) {
    const TrainingRun run = run_of(300);
    LoadModel model;
    model.mode = LoadMode::difference;
    model.window = 3;
    model.update(run, {});
    std::size_t beyond = 0;
    for (std::size_t cell = 0; cell < kCells; ++cell) {
        const std::size_t layer = cell / kExperts;
        const auto expected = routing::share_difference(sum(run, 44, 299, 0, cell), model.total(layer)[0],
                                                        sum(run, 44, 299, 1, cell), model.total(layer)[1]);
        if (layer == 0) {
            EXPECT_TRUE(std::isnan(model.cells().value[cell]));
        } else {
            EXPECT_DOUBLE_EQ(model.cells().value[cell], expected.difference);
            EXPECT_DOUBLE_EQ(model.cells().sigma[cell], expected.sigma);
        }
        EXPECT_EQ(model.cells().beyond[cell] != 0, expected.beyond_chance);
        beyond += expected.beyond_chance ? 1 : 0;
    }
    EXPECT_EQ(model.cells().beyond_count, beyond);
    EXPECT_DOUBLE_EQ(model.beyond_by_chance(), 0.0455 * kCells);
}

TEST(LoadModel, APinnedStepStaysAndNothingIsDoneTwice) {
    TrainingRun run = run_of(20, 100);
    LoadModel model;
    model.update(run, 105);
    EXPECT_EQ(model.loads().last_step, 105u);
    const std::uint64_t version = model.cells().version;
    model.update(run, 105);
    EXPECT_EQ(model.cells().version, version);
    model.update(run, {});
    EXPECT_EQ(model.loads().last_step, 119u);
    EXPECT_GT(model.cells().version, version);
    model.update(run, 3);  // before all that are kept
    EXPECT_EQ(model.loads().last_step, 100u);
    // Another run with the same steps is another one.
    TrainingRun other = run_of(20, 100, 8);
    auto changed = std::make_shared<history::StepCounts>(*other.counts[0]);
    changed->counts.assign(2 * kCells, 5);
    history::SharedList<std::shared_ptr<const history::StepCounts>> counts;
    counts.push_back(std::move(changed));
    for (std::size_t i = 1; i < other.counts.size(); ++i) {
        counts.push_back(other.counts[i]);
    }
    other.counts = counts;
    model.update(other, 3);
    EXPECT_EQ(model.tokens(0, 0), 10);
}

TEST(LoadModel, TheScaleRisesAndNeverFallsByItself) {
    const auto with_highest = [](std::uint32_t tokens, std::uint64_t step) {
        auto counts = std::make_shared<history::StepCounts>();
        counts->step = step;
        counts->counts.assign(2 * kCells, 0);
        for (std::size_t layer = 0; layer < kLayers; ++layer) {
            for (std::size_t e = 0; e < kExperts; ++e) {
                counts->counts[layer * kExperts + e] = e == 0 ? tokens : (1000 - tokens) / 3;
            }
        }
        return counts;
    };
    TrainingRun run = run_of(0);
    LoadModel model;
    const auto scale_after = [&](std::uint32_t tokens) {
        run.counts.push_back(with_highest(tokens, run.counts.size() + 1));
        model.update(run, {});
        return model.scale();
    };
    EXPECT_EQ(scale_after(400), 2);   // 1.6 of 1/N
    EXPECT_EQ(scale_after(700), 3);   // 2.8
    EXPECT_EQ(scale_after(1000), 4);  // all on one
    EXPECT_EQ(scale_after(260), 4);   // before and after have one scale, however even the load becomes
    model.update(run, 1);
    EXPECT_EQ(model.scale(), 4);
    // Another run, say the fork of this one, is compared by the same colours.
    TrainingRun other = run_of(0, 1, 8);
    other.counts.push_back(with_highest(300, 1));
    model.update(other, {});
    EXPECT_EQ(model.scale(), 4);
    EXPECT_FALSE(model.exceeds_scale());
    model.fit_scale_to_shown();
    EXPECT_EQ(model.scale(), 1.5);
    // Locked: whatever comes, and the other kind of values has its own.
    model.lock_scale(2);
    EXPECT_TRUE(model.scale_locked());
    EXPECT_EQ(scale_after(1000), 2);
    EXPECT_TRUE(model.exceeds_scale());
    model.mode = LoadMode::difference;
    EXPECT_FALSE(model.scale_locked());
    model.update(run, {});
    EXPECT_EQ(model.scale(), 1);
    model.mode = LoadMode::all;
    model.update(run, {});
    EXPECT_EQ(model.scale(), 2);
    model.fit_scale_to_shown();
    EXPECT_EQ(model.scale(), 4);
    EXPECT_FALSE(model.scale_locked());
}

TEST(LoadModel, TheMeanLeavesOutLayersWithoutExperts) {
    TrainingRun run = run_of(30);
    run.router_entropy = {0, 1, 2};
    for (int step = 1; step <= 30; ++step) {
        run.step.push_back(step);
        run.values[base::step_value_index(&base::StepValues::router_entropy_mean)].push_back(1.5);
    }
    LoadModel model;
    model.update(run, {});
    const LoadModel::Balance balance = model.balance(run, 1, true);
    EXPECT_TRUE(std::isnan(model.cells().layers[0].max_violation));
    EXPECT_DOUBLE_EQ(balance.here.gini, model.cells().layers[1].gini);
    EXPECT_DOUBLE_EQ(balance.other.gini, (model.cells().layers[1].gini + model.cells().layers[2].gini) / 2);
    EXPECT_EQ(balance.router_entropy, 1);
    EXPECT_EQ(balance.router_entropy_mean, 1.5);
    EXPECT_TRUE(std::isnan(model.balance(run, 1, false).router_entropy));  // kept for the newest step only
    model.mode = LoadMode::difference;
    model.update(run, {});
    EXPECT_DOUBLE_EQ(model.balance(run, 2, true).other.gini, model.cells().layers_chinese[2].gini);
    EXPECT_TRUE(std::isnan(model.balance(run, 1, true).router_entropy));
}

TEST(LoadModel, OfARunWithoutTokensThereIsNoBalance) {
    TrainingRun run = run_of(0);
    auto empty = std::make_shared<history::StepCounts>();
    empty->step = 1;
    empty->counts.assign(2 * kCells, 0);
    run.counts.push_back(std::move(empty));
    LoadModel model;
    model.update(run, {});
    EXPECT_EQ(model.cells().value, std::vector<double>(kCells, 0.0));
    EXPECT_TRUE(std::isnan(model.balance(run, 0, true).other.max_violation));
}

TEST(LoadsCsv, OneRowPerExpert) {
    const TrainingRun run = run_of(1, 9);
    LoadModel model;
    model.update(run, {});
    const std::string csv = panels::loads_csv(model.loads());
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), static_cast<std::ptrdiff_t>(kCells) + 1);
    EXPECT_NE(csv.find("\r\n9,9,1,0," + std::to_string(run.counts[0]->counts[kExperts]) + ","), std::string::npos);
}

LoadRows rows_of(const TrainingRun& run, LoadMode mode, std::size_t limit) {
    LoadRows rows;
    rows.update(run, 1, mode, LoadRows::range(run, 0, 1e9), limit);
    return rows;
}

TEST(LoadRows, OneRowPerStepAndTheirShares) {
    const TrainingRun run = run_of(12, 3);
    const LoadRows rows = rows_of(run, LoadMode::english, 100);
    ASSERT_EQ(rows.rows().size(), 12u);
    for (std::size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(rows.rows()[i].first, 3 + i);
        EXPECT_EQ(rows.rows()[i].last, 3 + i);
        double total = 0;
        for (std::size_t e = 0; e < kExperts; ++e) {
            total += sum(run, i, i, 0, kExperts + e);
        }
        for (std::size_t e = 0; e < kExperts; ++e) {
            EXPECT_DOUBLE_EQ(rows.rows()[i].experts[e].value, sum(run, i, i, 0, kExperts + e) / total);
        }
    }
    EXPECT_EQ(rows.at(2.5), nullptr);
    EXPECT_EQ(rows.at(7.9)->first, 7u);
    EXPECT_EQ(rows.at(1000)->first, 14u);
}

TEST(LoadRows, ManyStepsShareARowCutAtPowersOfTwo) {
    const TrainingRun run = run_of(100);
    const LoadRows rows = rows_of(run, LoadMode::difference, 20);
    EXPECT_LE(rows.rows().size(), 20u);
    EXPECT_EQ(rows.rows().front().first, 1u);
    EXPECT_EQ(rows.rows().back().last, 100u);
    for (const LoadRow& row : rows.rows()) {
        EXPECT_EQ(row.first / 8, row.last / 8);
        const std::size_t first = row.first - 1, last = row.last - 1;
        panels::ByLanguage total{};
        for (std::size_t e = 0; e < kExperts; ++e) {
            total[0] += sum(run, first, last, 0, kExperts + e);
            total[1] += sum(run, first, last, 1, kExperts + e);
        }
        for (std::size_t e = 0; e < kExperts; ++e) {
            const CellValue expected = panels::cell_value(
                LoadMode::difference, {sum(run, first, last, 0, kExperts + e), sum(run, first, last, 1, kExperts + e)},
                total);
            EXPECT_DOUBLE_EQ(row.experts[e].value, expected.value);
            EXPECT_EQ(row.experts[e].beyond, expected.beyond);
        }
    }
}

TEST(LoadRows, OfAGrowingRunOnlyNewRowsAreMade) {
    TrainingRun run = run_of(200);
    LoadRows rows;
    const auto update = [&] { rows.update(run, 1, LoadMode::all, LoadRows::range(run, 0, 1e9), 500); };
    update();
    EXPECT_EQ(rows.made(), 200u);
    const std::uint64_t version = rows.version();
    update();
    EXPECT_EQ(rows.version(), version);
    auto next = std::make_shared<history::StepCounts>(*run.counts.back());
    next->step = 201;
    run.counts.push_back(std::move(next));
    update();
    EXPECT_EQ(rows.made(), 201u);
    EXPECT_EQ(rows.rows().size(), 201u);
    EXPECT_GT(rows.version(), version);
}

TEST(LoadRows, StepsReadAgainStandBeforeThoseThatAreKept) {
    const TrainingRun all = run_of(60);
    TrainingRun run = run_of(60);
    run.counts = {};
    for (std::size_t i = 40; i < 60; ++i) {
        run.counts.push_back(all.counts[i]);
    }
    for (std::uint64_t n = 1; n <= 60; ++n) {
        protocol::StepRecord record;
        record.step = n;
        record.loss = 1;
        std::vector<history::TableRow> rows;
        history::steps_of(run, rows).add(history::row_of(record), {{1, n}});
    }
    panels::OldRange old{.most = 100, .version = 1};
    for (std::size_t i = 8; i < 40; ++i) {
        if (i == 21) {
            old.missing.push_back(all.counts[i]->step);  // on its way
        } else {
            old.counts.push_back(all.counts[i]);
        }
    }
    const LoadRows::Range range = LoadRows::range(run, 9, 50, old);
    EXPECT_EQ(range.from, 9);
    EXPECT_EQ(range.to, 50);
    LoadRows rows, whole;
    rows.update(run, 1, LoadMode::all, range, 12, &old);
    whole.update(all, 1, LoadMode::all, range, 12);
    // The row with the missing step is none: a sum of the others would pass for that of all.
    ASSERT_EQ(rows.rows().size() + 1, whole.rows().size());
    for (const LoadRow& row : rows.rows()) {
        const LoadRow* same = whole.at(static_cast<double>(row.first));
        ASSERT_NE(same, nullptr);
        EXPECT_EQ(row.first, same->first);
        EXPECT_EQ(row.last, same->last);
        for (std::size_t e = 0; e < kExperts; ++e) {
            EXPECT_DOUBLE_EQ(row.experts[e].value, same->experts[e].value);
        }
        EXPECT_FALSE(row.first <= 22 && 22 <= row.last);
    }
    // It comes: the rows of the others are not made anew.
    old.counts.insert(old.counts.begin() + 13, all.counts[21]);
    old.missing.clear();
    old.version = 2;
    const std::uint64_t made = rows.made();
    rows.update(run, 1, LoadMode::all, range, 12, &old);
    EXPECT_EQ(rows.rows().size(), whole.rows().size());
    EXPECT_LE(rows.made(), made + 1);
    // Too many to be read: as before, what is kept; alone in sight, nothing.
    old = {.state = panels::OldRange::State::wide, .most = 5, .version = 3};
    EXPECT_EQ(LoadRows::range(run, 1, 1e9, old).from, 41);
    rows.update(run, 1, LoadMode::all, LoadRows::range(run, 5, 30, old), 12, &old);
    EXPECT_TRUE(rows.rows().empty());
}

TEST(LoadModel, RoutersEntropyOfAnOlderStep) {
    TrainingRun run = run_of(3);
    for (std::uint64_t n = 1; n <= 3; ++n) {
        protocol::StepRecord record;
        record.step = n;
        record.loss = 1;
        record.router_entropy_mean = static_cast<double>(n);
        std::vector<history::TableRow> rows;
        history::steps_of(run, rows).add(history::row_of(record), {{1, n}});
    }
    LoadModel model;
    model.update(run, 2);
    EXPECT_DOUBLE_EQ(model.balance(run, 1, false).router_entropy_mean, 2);
    EXPECT_TRUE(std::isnan(model.balance(run, 1, false).router_entropy));
    const std::vector<float> entropies = {0.25f, 0.5f, 0.75f};
    EXPECT_DOUBLE_EQ(model.balance(run, 1, false, &entropies).router_entropy, 0.5);
    model.mode = LoadMode::difference;
    model.update(run, 2);
    EXPECT_TRUE(std::isnan(model.balance(run, 1, false, &entropies).router_entropy));
}

TEST(LoadRows, StepsDoneAgainAreOtherRows) {
    TrainingRun run = run_of(10);
    LoadRows rows;
    rows.update(run, 1, LoadMode::all, LoadRows::range(run, 0, 1e9), 100);
    // Back to a checkpoint: step 10 again, with other counts.
    history::SharedList<std::shared_ptr<const history::StepCounts>> counts;
    for (std::size_t i = 0; i < 9; ++i) {
        counts.push_back(run.counts[i]);
    }
    for (const std::uint64_t step : {10u, 11u}) {
        auto again = std::make_shared<history::StepCounts>();
        again->step = step;
        again->counts.assign(2 * kCells, 1);
        counts.push_back(std::move(again));
    }
    run.counts = counts;
    rows.update(run, 1, LoadMode::all, LoadRows::range(run, 0, 1e9), 100);
    ASSERT_EQ(rows.rows().size(), 11u);
    EXPECT_DOUBLE_EQ(rows.rows()[9].experts[0].value, 0.25);
    EXPECT_EQ(rows.made(), 12u);
}

TEST(LoadRows, StepsWithOtherCountsAreEmpty) {
    TrainingRun run = run_of(2);
    auto strange = std::make_shared<history::StepCounts>();
    strange->step = 3;
    strange->counts.assign(5, 1);
    run.counts.push_back(std::move(strange));
    const LoadRows rows = rows_of(run, LoadMode::all, 100);
    EXPECT_FALSE(std::isnan(rows.rows()[1].experts[0].value));
    EXPECT_TRUE(std::isnan(rows.rows()[2].experts[0].value));
}

TEST(LoadRows, TheRangeIsWhatIsKeptOfTheOneWanted) {
    const TrainingRun run = run_of(50, 100);
    const auto range = [&](double from, double to) {
        const LoadRows::Range r = LoadRows::range(run, from, to);
        return std::pair(r.from, r.to);
    };
    EXPECT_EQ(range(0, 1000), std::pair(100.0, 150.0));
    EXPECT_EQ(range(120, 130), std::pair(120.0, 130.0));
    EXPECT_EQ(range(0, 50), std::pair(100.0, 150.0));  // nothing is kept there: all
}

}  // namespace
