// The ring between jobs and journal: nothing waits, what is lost is counted, what matters is never lost.
#include "nodes/service/jobs/record_sink.hpp"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

namespace moescope::test {
namespace {

using protocol::RecordType;

/// A journal in memory whose disk can be held up or full.
class MemoryJournal final : public sessions::Journal {
 public:
    std::uint64_t append(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                         std::span<const std::byte> body) override {
        std::unique_lock lock(mutex_);
        if (held_) {
            waiting_ = true;
            wake_.notify_all();
            wake_.wait(lock, [this] { return !held_; });
            waiting_ = false;
        }
        if (full_) {
            throw std::runtime_error("the disk is full");
        }
        if (body.size() > sessions::kRecordLimit) {
            throw std::runtime_error("a record that is too long");
        }
        records.push_back({1, records.size() + 1, time_ns, type, channel, {body.begin(), body.end()}});
        return records.size();
    }
    void hold(bool held) {
        {
            const std::lock_guard lock(mutex_);
            held_ = held;
        }
        wake_.notify_all();
    }
    /// Comes back when somebody's append is held up.
    void wait_until_held_up() {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return waiting_; });
    }
    void set_full(bool full) {
        const std::lock_guard lock(mutex_);
        full_ = full;
    }
    void sync() override {}
    std::vector<sessions::Record> read(std::uint8_t, sessions::Position, std::size_t, std::size_t,
                                       std::vector<sessions::Hole>*) const override {
        return {};
    }
    sessions::Position last() const override { return {1, 0}; }
    std::uint32_t epoch() const override { return 1; }
    std::uint64_t bytes() const override { return 0; }
    std::vector<sessions::Damage> damage() const override { return {}; }
    void on_append(std::function<void()>) override {}

    std::vector<sessions::Record> records;

 private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool held_ = false, waiting_ = false, full_ = false;
};

std::size_t count(const MemoryJournal& journal, RecordType type) {
    std::size_t n = 0;
    for (const auto& record : journal.records) {
        n += record.type == static_cast<std::uint16_t>(type) ? 1 : 0;
    }
    return n;
}

TEST(JournalWriter, WhatIsWrittenNowIsThereOrIsRefusedForGood) {
    MemoryJournal journal;
    node::JournalWriter writer(journal);
    const nlohmann::json set = {{"name", "quiet"}, {"items", nlohmann::json::array()}};
    journal.set_full(true);
    EXPECT_THROW(writer.write_now(RecordType::intervention_set, set), std::exception);
    writer.write_json(RecordType::event, {{"run", 1}, {"kind", "knob"}});  // waits for room
    EXPECT_THROW(writer.write_now(RecordType::intervention_set, set), std::exception) << "behind what was before it";
    journal.set_full(false);
    writer.flush();
    while (!writer.problem().empty()) {
        std::this_thread::yield();
    }
    EXPECT_EQ(count(journal, RecordType::intervention_set), 0u) << "it does not follow later";
    writer.write_now(RecordType::intervention_set, set);
    EXPECT_EQ(count(journal, RecordType::event), 1u);
    EXPECT_EQ(count(journal, RecordType::intervention_set), 1u) << "at once";
}

TEST(JournalWriter, AFullRingDropsStepsAndSaysSo) {
    MemoryJournal journal;
    std::uint64_t dropped = 0;
    {
        node::JournalWriter writer(journal, {16, std::size_t{1} << 20});
        journal.hold(true);
        // The writer's thread holds one record and takes no other: from here on the ring fills.
        writer.write_json(RecordType::event, {{"run", 1}, {"kind", "knob"}});
        journal.wait_until_held_up();
        for (std::uint64_t i = 1; i <= 100; ++i) {
            protocol::StepRecord step;
            step.run = 1;
            step.step = i;
            writer.write(RecordType::step, protocol::encode_step(step));
        }
        writer.write_json(RecordType::event, {{"run", 1}, {"kind", "knob"}});
        dropped = writer.dropped();
        EXPECT_EQ(dropped, 100u - 16u);
        journal.hold(false);
        writer.flush();
        writer.write_json(RecordType::event, {{"run", 1}, {"kind", "knob"}});
        writer.flush();
        EXPECT_EQ(count(journal, RecordType::gap), 1u) << "a gap is said as soon as there is room again";
    }
    EXPECT_EQ(count(journal, RecordType::step), 100 - dropped);
    EXPECT_EQ(count(journal, RecordType::event), 3u);
    ASSERT_EQ(count(journal, RecordType::gap), 1u);
    for (const auto& record : journal.records) {
        if (record.type == static_cast<std::uint16_t>(RecordType::gap)) {
            EXPECT_EQ(record.channel, static_cast<std::uint8_t>(protocol::Channel::metrics));
            EXPECT_EQ(protocol::decode_json(record.body)->at("count"), dropped);
        }
    }
}

TEST(JournalWriter, AGapAtTheVeryEndIsWrittenToo) {
    MemoryJournal journal;
    std::uint64_t dropped = 0;
    {
        node::JournalWriter writer(journal, {4, std::size_t{1} << 20});
        journal.hold(true);
        writer.write(RecordType::step, protocol::encode_step({}));
        journal.wait_until_held_up();
        for (std::uint64_t i = 2; i <= 20; ++i) {
            writer.write(RecordType::step, protocol::encode_step({}));
        }
        dropped = writer.dropped();
        journal.hold(false);
    }
    EXPECT_EQ(dropped, 19u - 4u);
    ASSERT_EQ(count(journal, RecordType::gap), 1u);
    EXPECT_EQ(count(journal, RecordType::step), 20 - dropped);
}

TEST(JournalWriter, AFullDiskIsSaidAndNothingImportantIsLost) {
    MemoryJournal journal;
    journal.set_full(true);
    node::JournalWriter writer(journal, {16, std::size_t{1} << 20});
    writer.write_json(RecordType::run_ended, {{"run", 1}, {"state", "done"}});
    writer.flush();
    EXPECT_EQ(writer.problem().english(), "the disk is full");
    journal.set_full(false);
    while (!writer.problem().empty()) {
        std::this_thread::yield();
    }
    EXPECT_EQ(count(journal, RecordType::run_ended), 1u);
}

TEST(JournalWriter, ARecordThatIsTooLongHoldsNobodyUp) {
    MemoryJournal journal;
    node::JournalWriter writer(journal, {16, std::size_t{8} << 20});
    writer.write_json(RecordType::sample, {{"run", 1}, {"text", std::string(sessions::kRecordLimit, 'x')}});
    writer.write_json(RecordType::event, {{"run", 1}, {"kind", "knob"}});
    writer.flush();
    EXPECT_EQ(writer.problem().english(), "");
    EXPECT_EQ(writer.dropped(), 1u);
    EXPECT_EQ(count(journal, RecordType::sample), 0u);
    EXPECT_EQ(count(journal, RecordType::event), 1u);
    EXPECT_EQ(count(journal, RecordType::gap), 1u);
    EXPECT_EQ(count(journal, RecordType::log), 1u);
}

TEST(JournalWriter, WhoCanWaitLosesNothing) {
    MemoryJournal journal;
    node::JournalWriter writer(journal, {4, std::size_t{1} << 20});
    const std::atomic<bool> never{false};
    journal.hold(true);
    std::thread model([&] {
        for (int i = 0; i < 40; ++i) {
            writer.write_waiting(RecordType::routing_chunk, std::vector<std::byte>(100), never);
        }
    });
    journal.wait_until_held_up();
    journal.hold(false);
    model.join();
    writer.flush();
    EXPECT_EQ(writer.dropped(), 0u);
    EXPECT_EQ(count(journal, RecordType::routing_chunk), 40u);
    // Without waiting they are dropped like steps, and told on their channel.
    journal.hold(true);
    writer.write(RecordType::routing_chunk, {});
    journal.wait_until_held_up();
    for (int i = 0; i < 10; ++i) {
        writer.write(RecordType::routing_chunk, {});
    }
    EXPECT_EQ(writer.dropped(), 6u);
    journal.hold(false);
    writer.flush();
    writer.write(RecordType::routing_chunk, {});
    writer.flush();
    ASSERT_EQ(count(journal, RecordType::gap), 1u);
    for (const auto& record : journal.records) {
        if (record.type == static_cast<std::uint16_t>(RecordType::gap)) {
            EXPECT_EQ(record.channel, static_cast<std::uint8_t>(protocol::Channel::bulk));
        }
    }
}

TEST(JournalWriter, NobodyWaitsForADiskThatRefusesOrAfterACancel) {
    MemoryJournal journal;
    node::JournalWriter writer(journal, {2, std::size_t{1} << 20});
    std::atomic<bool> stop{false};
    journal.hold(true);
    writer.write(RecordType::routing_chunk, {});
    journal.wait_until_held_up();
    std::thread model([&] {
        for (int i = 0; i < 3; ++i) {
            writer.write_waiting(RecordType::routing_chunk, {}, stop);
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(writer.dropped(), 0u) << "the third waits";
    stop = true;
    model.join();
    EXPECT_EQ(writer.dropped(), 1u);
    journal.set_full(true);
    journal.hold(false);
    while (writer.problem().empty()) {
        std::this_thread::yield();
    }
    stop = false;
    for (int i = 0; i < 5; ++i) {
        writer.write_waiting(RecordType::routing_chunk, {}, stop);  // comes back
    }
    EXPECT_GE(writer.dropped(), 5u);
    journal.set_full(false);
}

}  // namespace
}  // namespace moescope::test
