// What the adapter between the files of a session and its history adds: the labels of the database.
#include "nodes/history/journal_reader.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

#include "nodes/history/record_parts.hpp"
#include "nodes/protocol/records.hpp"
#include "tests/files.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;
using protocol::RecordType;

class StoredLabels : public testing::Test {
 protected:
    StoredLabels() {
        put(RecordType::run_started, {{"run", 1}, {"kind", "probe"}, {"name", "p"}, {"manifest", json::object()}});
        put(RecordType::probe_draw, {{"run", 1},
                                     {"item", "i"},
                                     {"model", "m"},
                                     {"language", "en"},
                                     {"draw", 0},
                                     {"delivery", "answered"},
                                     {"engagement", 4}});
    }
    void put(RecordType type, const json& body) {
        session->journal().append(static_cast<std::uint16_t>(type),
                                  static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                                  protocol::encode_json(body));
    }
    void label(const std::string& value) { session->put_label({1, kKey, "delivery", value, "", 1}); }
    static std::string delivery(const Session& history) { return history.probes().at(1).value.draws.at(0)->delivery; }

    static constexpr const char* kKey = "i/m/en/0";
    test::TemporaryFolder folder;
    std::unique_ptr<sessions::Session> session =
        sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
};

TEST_F(StoredLabels, CountBeforeTheirRecordHasCome) {
    label("refused");
    EXPECT_EQ(delivery(read_run(*session, 1)), "refused");
}

TEST_F(StoredLabels, OneThatWasTakenBackCountsNoMore) {
    label("refused");
    put(RecordType::probe_label, {{"run", 1},
                                  {"item", "i"},
                                  {"model", "m"},
                                  {"language", "en"},
                                  {"draw", 0},
                                  {"field", "delivery"},
                                  {"value", "refused"}});
    Session history = read_run(*session, 1);
    ASSERT_EQ(delivery(history), "refused");
    label("");  // its record may come later
    add_stored_labels(history, *session);
    EXPECT_EQ(delivery(history), "answered") << "a history that is kept, as by a running probe";
    EXPECT_EQ(delivery(read_run(*session, 1)), "answered") << "and one that is read anew";
}

/// A run of many steps in a journal whose segments are packed.
class PackedSteps : public testing::Test {
 protected:
    static constexpr std::uint64_t kSteps = 2000;
    PackedSteps() {
        put(RecordType::run_started,
            protocol::encode_json({{"run", 1}, {"kind", "train"}, {"name", "r"}, {"manifest", json::object()}}));
        for (std::uint64_t n = 1; n <= kSteps; ++n) {
            protocol::StepRecord step;
            step.run = 1;
            step.step = n;
            step.loss = loss_of(n);
            step.learning_rate = 1e-3;
            step.layers = 2;
            step.experts = 8;
            step.counts.assign(32, static_cast<std::uint32_t>(n));
            step.router_entropy = {0.5F, 0.75F};
            step.router_entropy_mean = 0.625;
            put(RecordType::step, protocol::encode_step(step));
            if (n % 100 == 0) {
                put(RecordType::evaluation, protocol::encode_json({{"run", 1}, {"step", n}, {"loss", {{"en", 1.5}}}}));
            }
        }
        EXPECT_GT(journal->pack_now(record_parts), 3U);
    }
    void put(RecordType type, const std::vector<std::byte>& body) {
        journal->append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                        body);
    }
    /// With outliers that a plot must not lose.
    static double loss_of(std::uint64_t n) {
        return n % 977 == 0 ? 1000.0 + static_cast<double>(n) : 3 + 1 / static_cast<double>(n);
    }
    static void expect_steps(const TrainingRun& run) {
        ASSERT_EQ(run.step.size(), kSteps);
        for (std::uint64_t n = 1; n <= kSteps; ++n) {
            ASSERT_EQ(run.step[n - 1], static_cast<double>(n));
            ASSERT_EQ(run[&base::StepValues::loss][n - 1], loss_of(n));
            ASSERT_TRUE(std::isnan(run[&base::StepValues::z_loss][n - 1]));
        }
        EXPECT_EQ(run.evaluation_step.size(), kSteps / 100);
    }

    test::TemporaryFolder folder;
    std::unique_ptr<sessions::Journal> journal = sessions::Journal::open(
        folder.path(), sessions::Journal::Mode::read_write, sessions::JournalOptions{nullptr, 100'000, 0, 0});
};

TEST_F(PackedSteps, AreReadAsAlways) {
    const Session history = read_session(*journal);
    expect_steps(history.trainings().at(1).value);
    EXPECT_EQ(history.trainings().at(1).value.counts.size(), kSteps);
    EXPECT_EQ(history.trainings().at(1).value.counts[6]->counts.at(31), 7U);
}

TEST_F(PackedSteps, AreReadByTheirHeadsWhereNobodyWantsCounts) {
    const Session history = read_session(*journal, {.keep = {.counts = 0}});
    expect_steps(history.trainings().at(1).value);
    EXPECT_TRUE(history.trainings().at(1).value.counts.empty());
    ASSERT_TRUE(history.log().empty());
}

TEST_F(PackedSteps, KeepTheCountsThatFitIn) {
    const std::size_t each = 32 * sizeof(std::uint32_t);
    const Session history = read_session(*journal, {.keep = {.count_bytes = 50 * each + 1}});
    const auto& counts = history.trainings().at(1).value.counts;
    ASSERT_EQ(counts.size(), 50U);
    EXPECT_EQ(counts.front()->step, kSteps - 49);
    const Session one = read_session(*journal, {.keep = {.count_bytes = 0}});
    EXPECT_EQ(one.trainings().at(1).value.counts.size(), 1U);
}

/// What a plot draws of any part: its extremes, those of the records.
TEST_F(PackedSteps, HaveTheExtremesOfTheirRecords) {
    const Session history = read_session(*journal, {.keep = {.counts = 0}});
    const Column& loss = history.trainings().at(1).value[&base::StepValues::loss];
    std::mt19937_64 random(1);
    for (int i = 0; i < 2000; ++i) {
        const std::size_t a = random() % kSteps, b = random() % kSteps, first = std::min(a, b),
                          last = std::max(a, b) + 1;
        MinMax expected;
        for (std::size_t n = first; n < last; ++n) {
            expected.add(loss_of(n + 1));
        }
        const MinMax drawn = loss.range(first, last);
        ASSERT_EQ(drawn.min, expected.min);
        ASSERT_EQ(drawn.max, expected.max);
    }
}

TEST_F(PackedSteps, ThatAreNoneAreALineOfTheLog) {
    Session history;
    EXPECT_EQ(history.apply_heads({}, 5), 0U);
    ASSERT_EQ(history.log().size(), 1U);
    EXPECT_EQ(history.log().back().level, "warning");
}

}  // namespace
}  // namespace moescope::history
