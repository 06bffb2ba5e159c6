// What the ranks panel shows, against records written by hand.
#include "panels/experts/ranks_model.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace {

using namespace moescope;
using panels::latest_ranks;
using panels::RanksShown;
using panels::show_ranks;

/// Two ranks that share the experts of two layers: 3 and 5 rows in layer 0, 10 and 20 in layer 1, times `factor`.
std::shared_ptr<const protocol::RankRecord> record(std::uint64_t step, std::uint64_t factor = 1) {
    auto ranks = std::make_shared<protocol::RankRecord>();
    ranks->run = 1;
    ranks->step = step;
    ranks->ranks = ranks->expert_ranks = ranks->layers = 2;
    ranks->tokens_travel = 1;
    ranks->row_bytes = 1000;
    ranks->compute_ms = {60, 90};
    ranks->waiting_ms = {40, 10};
    ranks->memory_bytes = {1e6, 2e6};
    ranks->load = {3 * factor, 5 * factor, 10 * factor, 20 * factor};
    ranks->rows = {0, 4 * factor, 6 * factor, 0, 0, 100 * factor, 200 * factor, 0};
    ranks->bytes = {0, 3'000'000, 1'000'000, 0};
    return ranks;
}

history::TrainingRun run_of(const panels::RankRecords& records) {
    history::TrainingRun run;
    run.id = 1;
    for (const auto& one : records) {
        run.ranks.push_back(one);
    }
    return run;
}

TEST(RanksModel, NumbersAreOfOneStep) {
    const RanksShown shown = show_ranks({record(3), record(4, 3)}, 1, 8);
    EXPECT_EQ(shown.first_step, 3u);
    EXPECT_EQ(shown.last_step, 4u);
    EXPECT_EQ(shown.steps, 2u);
    EXPECT_EQ(shown.layer, 1u);
    EXPECT_EQ(shown.load->series[0].y[0].value, 20);
    EXPECT_EQ(shown.load->series[0].y[1].value, 40);
    EXPECT_EQ(shown.load->levels[0].y, 30);
    EXPECT_EQ(shown.waiting->series[0].y[0].value, 40);
    EXPECT_EQ(shown.tokens_map->at(0, 1), 200);
    EXPECT_EQ(shown.tokens_map->at(1, 0), 400);
    EXPECT_TRUE(std::isnan(shown.tokens_map->at(1, 1))) << "nobody sends to itself";
    EXPECT_FLOAT_EQ(shown.bytes_map->at(1, 0), 0.4f);
    EXPECT_EQ(shown.all_map->at(0, 1), 3);
    EXPECT_EQ(shown.rows, 600);
    EXPECT_EQ(shown.row_bytes, 600'000);
    EXPECT_EQ(shown.bytes, 4'000'000);
    EXPECT_EQ(shown.slowest, 1u);
    EXPECT_EQ(shown.fastest, 0u);
    EXPECT_TRUE(shown.uneven());
}

TEST(RanksModel, AllLayersTogether) {
    const RanksShown shown = show_ranks({record(3)}, {}, 8);
    EXPECT_FALSE(shown.layer);
    EXPECT_EQ(shown.load->series[0].y[1].value, 25);
    EXPECT_EQ(shown.tokens_map->at(1, 0), 206);
    // A layer that the record does not have: one whose ranks only say the sums of all layers.
    auto folded = std::make_shared<protocol::RankRecord>(*record(3));
    folded->fold_layers();
    const RanksShown sums = show_ranks({folded}, 1, 8);
    EXPECT_FALSE(sums.layer);
    EXPECT_EQ(sums.tokens_map->at(1, 0), 206);
    EXPECT_FALSE(show_ranks({record(3)}, 7, 8).layer);
}

TEST(RanksModel, TheTableHasARowPerRank) {
    const RanksShown shown = show_ranks({record(3)}, 0, 9);
    ASSERT_EQ(shown.table->rows.size(), 2u);
    const auto& second = shown.table->rows[1];
    EXPECT_EQ(shown.table->rows[0][1].text, "0\u20133");
    EXPECT_EQ(second[1].text, "4\u20138") << "as the engine shares nine";
    EXPECT_EQ(second[2].number.value, 5);
    EXPECT_EQ(second[3].number.value, 90);
    EXPECT_EQ(second[4].number.value, 10);
    EXPECT_EQ(second[5].number.value, 0.1);
    EXPECT_EQ(second[6].number.value, 1);
    EXPECT_EQ(second[7].number.value, 2);
    EXPECT_EQ(panels::to_csv(*shown.table).substr(0, 64),
              "rank,experts,load,work_ms,waiting_ms,waiting,sent_mb,memory_mb\r\n");
    const std::string csv = panels::to_csv(*shown.tokens_map);
    EXPECT_EQ(csv, "from,to,tokens\r\n0,1,4\r\n1,0,6\r\n");
}

TEST(RanksModel, TheLatestStepsOfTheSameRanks) {
    auto other = std::make_shared<protocol::RankRecord>(*record(2));
    other->expert_ranks = 1;
    other->rows.resize(4);
    const history::TrainingRun run = run_of({record(1), other, record(3), record(4), record(5)});
    const auto steps = [&](std::optional<std::uint64_t> pinned, std::size_t most) {
        std::vector<std::uint64_t> list;
        for (const auto& one : latest_ranks(run, pinned, most)) {
            list.push_back(one->step);
        }
        return list;
    };
    using List = std::vector<std::uint64_t>;
    EXPECT_EQ(steps({}, 1), List({5}));
    EXPECT_EQ(steps({}, 2), List({4, 5}));
    EXPECT_EQ(steps({}, 256), List({3, 4, 5})) << "before, the ranks shared the run otherwise";
    EXPECT_EQ(steps(4, 256), List({3, 4}));
    EXPECT_EQ(steps(2, 256), List({2}));
    EXPECT_EQ(steps(0, 256), List({1})) << "older ones are not kept";
    EXPECT_TRUE(latest_ranks(history::TrainingRun(), {}, 1).empty());
}

}  // namespace
