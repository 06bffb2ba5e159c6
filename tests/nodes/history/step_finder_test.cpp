// Single steps of a run found again in its journal: packed and not, across other runs, and after the run went back.
#include "nodes/history/step_finder.hpp"

#include <gtest/gtest.h>

#include "nodes/history/record_parts.hpp"
#include "nodes/protocol/records.hpp"
#include "tests/files.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;
using protocol::RecordType;

class SingleSteps : public testing::Test {
 protected:
    SingleSteps() {
        put_json(RecordType::run_started, {{"run", 1}, {"kind", "train"}, {"name", "a"}, {"manifest", json::object()}});
        put_json(RecordType::run_started, {{"run", 2}, {"kind", "train"}, {"name", "b"}, {"manifest", json::object()}});
    }
    void put(RecordType type, const std::vector<std::byte>& body) {
        journal->append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                        body);
    }
    void put_json(RecordType type, const json& body) { put(type, protocol::encode_json(body)); }
    /// Its counts say the run, the step and which attempt it was.
    void step(std::uint32_t run, std::uint64_t number, std::uint32_t attempt = 1, bool ranks = false) {
        protocol::StepRecord record;
        record.run = run;
        record.step = number;
        record.loss = 1;
        record.layers = 1;
        record.experts = 4;
        record.top_k = 1;
        record.counts = {run, static_cast<std::uint32_t>(number), attempt, 0, 0, 0, 0, 0};
        put(RecordType::step, protocol::encode_step(record));
        if (!ranks) {
            return;
        }
        protocol::RankRecord rank;
        rank.run = run;
        rank.step = number;
        rank.ranks = 1;
        rank.layers = 1;
        rank.compute_ms = {static_cast<double>(number)};
        rank.waiting_ms = rank.memory_bytes = {0};
        rank.load = rank.rows = rank.bytes = {0};
        put(RecordType::ranks, protocol::encode_ranks(rank));
    }
    void steps(std::uint32_t run, std::uint64_t first, std::uint64_t last, std::uint32_t attempt = 1) {
        for (std::uint64_t n = first; n <= last; ++n) {
            step(run, n, attempt);
        }
    }
    static std::vector<std::uint32_t> counts_of(const FoundRecord& found) {
        const auto record = protocol::decode_step(found.body);
        return record ? record->counts : std::vector<std::uint32_t>();
    }
    static void expect_step(const FoundRecord& found, std::uint32_t run, std::uint64_t number, std::uint32_t attempt) {
        EXPECT_EQ(found.type, RecordType::step);
        EXPECT_EQ(found.step, number);
        EXPECT_EQ(counts_of(found),
                  (std::vector<std::uint32_t>{run, static_cast<std::uint32_t>(number), attempt, 0, 0, 0, 0, 0}));
    }

    static constexpr std::size_t kPlenty = 1 << 20;
    test::TemporaryFolder folder;
    std::unique_ptr<sessions::Journal> journal = sessions::Journal::open(
        folder.path(), sessions::Journal::Mode::read_write, sessions::JournalOptions{nullptr, 50'000, 0, 0});
};

TEST_F(SingleSteps, AreFoundInPackedSegmentsAndBehindThem) {
    for (std::uint64_t n = 1; n <= 1500; ++n) {
        step(1, n);
        step(2, n);
    }
    EXPECT_GT(journal->pack_now(record_parts), 2U);
    StepFinder finder(*journal);
    for (const std::uint64_t n : {1U, 2U, 700U, 1499U, 1500U}) {
        const FoundSteps found = finder.find(2, n, n, kPlenty);
        ASSERT_EQ(found.records.size(), 1U) << n;
        expect_step(found.records[0], 2, n, 1);
        EXPECT_EQ(found.next, 0U);
    }
    EXPECT_EQ(finder.indexed(), 1U) << "gone through once";
    const FoundSteps some = finder.find(1, 601, 800, kPlenty);
    ASSERT_EQ(some.records.size(), 200U);
    for (std::size_t i = 0; i < 200; ++i) {
        expect_step(some.records[i], 1, 601 + i, 1);
    }
    EXPECT_TRUE(finder.find(1, 1501, 1600, kPlenty).records.empty());
    EXPECT_TRUE(finder.find(9, 1, 10, kPlenty).records.empty()) << "no such run";
}

TEST_F(SingleSteps, AsManyAsFitAndAtLeastOne) {
    steps(1, 1, 100);
    StepFinder finder(*journal);
    const std::size_t each = finder.find(1, 50, 50, kPlenty).records.at(0).body.size();
    const FoundSteps some = finder.find(1, 20, 90, 10 * each + each / 2);
    EXPECT_EQ(some.records.size(), 10U);
    EXPECT_EQ(some.next, 30U);
    const FoundSteps one = finder.find(1, 30, 90, 1);
    ASSERT_EQ(one.records.size(), 1U);
    expect_step(one.records[0], 1, 30, 1);
    EXPECT_EQ(one.next, 31U);
}

TEST_F(SingleSteps, ThoseOfTheNewestAttemptAndWhatCameSince) {
    steps(1, 1, 60);
    StepFinder finder(*journal);
    expect_step(finder.find(1, 50, 50, kPlenty).records.at(0), 1, 50, 1);
    // It goes back to 40, and is not yet where it was.
    put_json(RecordType::event, {{"run", 1}, {"step", 40}, {"kind", "rewind"}});
    steps(1, 41, 52, 2);
    expect_step(finder.find(1, 40, 40, kPlenty).records.at(0), 1, 40, 1);
    expect_step(finder.find(1, 41, 41, kPlenty).records.at(0), 1, 41, 2);
    const FoundSteps across = finder.find(1, 38, 44, kPlenty);
    ASSERT_EQ(across.records.size(), 7U);
    for (std::size_t i = 0; i < 7; ++i) {
        expect_step(across.records[i], 1, 38 + i, i < 3 ? 1 : 2);
    }
    EXPECT_TRUE(finder.find(1, 55, 60, kPlenty).records.empty()) << "taken back";
    steps(1, 53, 70, 2);
    expect_step(finder.find(1, 70, 70, kPlenty).records.at(0), 1, 70, 2);
    expect_step(finder.find(1, 58, 58, kPlenty).records.at(0), 1, 58, 2);
}

TEST_F(SingleSteps, WithWhatTheProcessesDidInThem) {
    for (std::uint64_t n = 1; n <= 200; ++n) {
        step(1, n, 1, true);
        if (n % 7 == 0) {  // what is read at once ends between a step and its ranks somewhere
            put_json(RecordType::evaluation, {{"run", 1}, {"step", n}, {"loss", {{"en", 1.5}}}});
        }
    }
    StepFinder finder(*journal);
    const FoundSteps found = finder.find(1, 1, 200, kPlenty);
    ASSERT_EQ(found.records.size(), 400U);
    for (std::size_t i = 0; i < 400; i += 2) {
        expect_step(found.records[i], 1, i / 2 + 1, 1);
        ASSERT_EQ(found.records[i + 1].type, RecordType::ranks);
        EXPECT_EQ(protocol::decode_ranks(found.records[i + 1].body)->step, i / 2 + 1);
    }
}

TEST_F(SingleSteps, ACheckMayStopIt) {
    steps(1, 1, 10);
    StepFinder finder(*journal);
    EXPECT_THROW(finder.find(1, 1, 1, kPlenty, [] { throw base::Error(base::say("the end")); }), base::Error);
    EXPECT_EQ(finder.find(1, 1, 1, kPlenty).records.size(), 1U) << "and it works afterwards";
}

}  // namespace
}  // namespace moescope::history
