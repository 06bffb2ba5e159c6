// From the jobs to the journal without waiting: jobs hand records over in memory, one thread appends them to the
// journal. A full ring never stops a trainer: what does not fit is counted and becomes a gap record, drawn as a hole.
// So does a record that is longer than the journal takes. Who can wait, as a model can that is asked for its routing,
// waits for room instead, and loses nothing as long as the disk takes what is there.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/protocol/run_state.hpp"
#include "sessions/journal.hpp"

namespace moescope::node {

/// Where jobs write records. Thread safe; never waits for a disk or a viewer, but for write_waiting().
class RecordSink {
 public:
    virtual ~RecordSink() = default;
    virtual void write(protocol::RecordType type, std::vector<std::byte> body) = 0;
    /// The same, but waits for room first, unless the disk refuses what is there or `stop` turns true.
    virtual void write_waiting(protocol::RecordType type, std::vector<std::byte> body,
                               const std::atomic<bool>& /*stop*/) {
        write(type, std::move(body));
    }
    /// A JSON record. Start, end, events, labels and probe answers are never dropped for want of room.
    void write_json(protocol::RecordType type, const nlohmann::json& value);
    /// A line of the log: `level` info, warning or error; `source` the part of the node that says it.
    void log(const char* level, const char* source, const base::Sentence& text);
    /// What the log says of a run's end, by its state: done, failed (an error), anything else was stopped.
    struct EndSentences {
        base::Sentence done, stopped, failed;
    };
    void log_end(const char* source, protocol::RunState state, const EndSentences& sentences);
    /// Empty, or why records cannot be stored at the moment ("the disk is full ...").
    virtual base::Sentence problem() const = 0;
};

/// The sink of a session: a bounded ring and the thread that empties it into the journal.
class JournalWriter final : public RecordSink {
 public:
    struct Limits {
        std::size_t records = 8192;
        std::size_t bytes = std::size_t{64} << 20;
    };
    /// `journal` must outlive the writer.
    explicit JournalWriter(sessions::Journal& journal) : JournalWriter(journal, Limits{}) {}
    JournalWriter(sessions::Journal& journal, Limits limits);
    ~JournalWriter() override;  ///< appends what is left (unless the disk refuses), then joins
    JournalWriter(const JournalWriter&) = delete;
    JournalWriter& operator=(const JournalWriter&) = delete;

    void write(protocol::RecordType type, std::vector<std::byte> body) override;
    void write_waiting(protocol::RecordType type, std::vector<std::byte> body, const std::atomic<bool>& stop) override;
    base::Sentence problem() const override;
    /// A JSON record for which nothing else stands in: in the journal, behind what was written before, when this
    /// returns. Throws base::Error when the disk refuses or the record is too long; then it does not follow later
    /// either. Not for the trainer's thread.
    void write_now(protocol::RecordType type, const nlohmann::json& value);
    /// Waits until everything written before the call is in the journal, or the disk refuses. Not for the trainer's
    /// thread.
    void flush();
    std::uint64_t dropped() const;

 private:
    struct Pending {
        protocol::RecordType type;
        std::uint64_t time_ns;
        std::vector<std::byte> body;
    };
    struct Hole {
        std::uint64_t count = 0;
        std::uint64_t after = 0;  ///< sequence of the last record in the journal when the hole began
    };

    void run();
    bool is_full(std::size_t bytes) const;  ///< with the lock held: has no room for so many more
    void put(std::unique_lock<std::mutex>& lock, protocol::RecordType type, std::vector<std::byte> body);
    bool refuses(protocol::RecordType type, std::size_t bytes);  ///< a record that is too long, and says so
    bool append(const Pending& record);
    void drop(protocol::RecordType type);  ///< with the lock held: counts a record that is left out
    void close_holes();                    ///< with the lock held: turns counted drops into gap records

    sessions::Journal& journal_;
    const Limits limits_;
    mutable std::mutex mutex_;
    std::condition_variable wake_, drained_;  ///< something to do; something was done
    std::deque<Pending> ring_;
    std::size_t ring_bytes_ = 0;
    std::uint64_t written_ = 0, appended_ = 0, dropped_ = 0, last_sequence_ = 0;
    std::array<Hole, protocol::kChannels> holes_{};
    base::Sentence problem_;
    bool stopping_ = false;
    std::thread thread_;
};

/// Wall clock in nanoseconds, as in record headers.
std::uint64_t wall_clock_ns();

}  // namespace moescope::node
