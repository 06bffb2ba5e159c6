// What the node sends of old steps: taken where it is what was asked for, bounded, the nearest one found.
#include "nodes/history/step_store.hpp"

#include <gtest/gtest.h>

#include "base/base64.hpp"
#include "nodes/protocol/records.hpp"

namespace {

using namespace moescope;
using history::StepStore;
using nlohmann::json;
using protocol::RecordType;

json step_entry(std::uint32_t run, std::uint64_t step, std::size_t experts = 4) {
    protocol::StepRecord record;
    record.run = run;
    record.step = step;
    record.loss = 1;
    record.layers = 1;
    record.experts = static_cast<std::uint16_t>(experts);
    record.top_k = 1;
    record.counts.assign(2 * experts, static_cast<std::uint32_t>(step));
    return {{"type", static_cast<int>(RecordType::step)},
            {"step", step},
            {"body", base::encode_base64(protocol::encode_step(record))}};
}

json ranks_entry(std::uint32_t run, std::uint64_t step) {
    protocol::RankRecord record;
    record.run = run;
    record.step = step;
    record.ranks = 1;
    record.layers = 1;
    record.compute_ms = {static_cast<double>(step)};
    record.waiting_ms = record.memory_bytes = {0};
    record.load = record.rows = record.bytes = {0};
    return {{"type", static_cast<int>(RecordType::ranks)},
            {"step", step},
            {"body", base::encode_base64(protocol::encode_ranks(record))}};
}

TEST(StepStore, TakesWhatWasAskedForAndNothingElse) {
    StepStore store;
    json answer = {
        {"records", {step_entry(3, 10), ranks_entry(3, 10), step_entry(3, 12), step_entry(4, 13), step_entry(3, 99)}}};
    store.add(answer, 3, 10, 20, 10);
    ASSERT_NE(store.counts(10), nullptr);
    EXPECT_EQ(store.counts(10)->step, 10u);
    EXPECT_EQ(store.counts(10)->counts, std::vector<std::uint32_t>(8, 10));
    ASSERT_NE(store.ranks(10), nullptr);
    EXPECT_EQ(store.ranks(10)->compute_ms, std::vector<double>{10});
    EXPECT_EQ(store.ranks(12), nullptr);
    EXPECT_EQ(store.counts(13), nullptr) << "of another run";
    EXPECT_EQ(store.counts(99), nullptr) << "nobody asked for it";
    EXPECT_TRUE(store.knows(11)) << "the node does not have it";
    EXPECT_TRUE(store.knows(20));
    EXPECT_FALSE(store.knows(21));
    EXPECT_EQ(store.nearest(11)->step, 10u);
    EXPECT_EQ(store.nearest(500)->step, 12u);
    EXPECT_EQ(store.nearest(0)->step, 10u);
    store.clear();
    EXPECT_EQ(store.nearest(11), nullptr);
    EXPECT_FALSE(store.knows(10));
    EXPECT_EQ(store.bytes(), 0u);
}

TEST(StepStore, AnAnswerThatGoesOnLaterSaysNothingOfTheRest) {
    StepStore store;
    store.add({{"records", {step_entry(3, 10)}}, {"next", 14}}, 3, 10, 20, 10);
    EXPECT_TRUE(store.knows(13));
    EXPECT_FALSE(store.knows(14));
    EXPECT_FALSE(store.knows(20));
}

TEST(StepStore, DamagedAnswersAreLeftOut) {
    for (const json& answer :
         {json(), json(7), json::object(), json{{"records", 5}}, json{{"records", {5, "x", nullptr}}},
          json{{"records", {{{"type", 10}, {"body", "!!!"}}}}}, json{{"records", {{{"type", 10}, {"body", "AAAA"}}}}},
          json{{"records", {{{"type", -1}, {"body", 3}}}}}}) {
        StepStore store;
        store.add(answer, 3, 1, 5, 1);
        EXPECT_EQ(store.nearest(1), nullptr) << answer.dump();
        EXPECT_EQ(store.bytes(), 0u);
    }
    StepStore store;
    store.add({{"records", json::array()}}, 3, 1, std::uint64_t{1} << 60, 1);  // would never end
    EXPECT_FALSE(store.knows(2));
}

TEST(StepStore, KeepsWhatIsNearAndNoMoreThanFits) {
    StepStore store;
    constexpr std::size_t kExperts = 60'000;
    std::uint64_t last = 0;
    for (std::uint64_t step = 1; step <= 120; ++step) {
        store.add({{"records", {step_entry(3, step, kExperts)}}}, 3, step, step, step);
        EXPECT_LE(store.bytes(), StepStore::kMostBytes);
        last = step;
    }
    EXPECT_NE(store.counts(last), nullptr);
    EXPECT_EQ(store.counts(1), nullptr) << "furthest away";
    EXPECT_NE(store.counts(last - 40), nullptr);
    // The same again takes no more room.
    const std::size_t bytes = store.bytes();
    store.add({{"records", {step_entry(3, last, kExperts)}}}, 3, last, last, last);
    EXPECT_EQ(store.bytes(), bytes);
}

}  // namespace
