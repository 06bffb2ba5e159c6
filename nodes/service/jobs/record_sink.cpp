#include "nodes/service/jobs/record_sink.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "base/error.hpp"
#include "nodes/history/record_parts.hpp"

namespace moescope::node {
using protocol::RecordType;

namespace {

/// Records that come by the thousand and may be dropped when the ring is full. Everything else is rare and always kept.
bool may_drop(RecordType type) {
    return type == RecordType::step || type == RecordType::tokens || type == RecordType::sample ||
           type == RecordType::evaluation || type == RecordType::ranks || type == RecordType::routing_chunk ||
           type == RecordType::routing_scores;
}

}  // namespace

std::uint64_t wall_clock_ns() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void RecordSink::write_json(RecordType type, const nlohmann::json& value) {
    write(type, protocol::encode_json(value));
}

void RecordSink::log(const char* level, const char* source, const base::Sentence& text) {
    nlohmann::json line = {{"level", level}, {"source", source}};
    base::put_sentence(line, "text", text);
    write_json(RecordType::log, line);
}

void RecordSink::log_end(const char* source, protocol::RunState state, const EndSentences& sentences) {
    if (state == protocol::RunState::failed) {
        log("error", source, sentences.failed);
    } else {
        log("info", source, state == protocol::RunState::done ? sentences.done : sentences.stopped);
    }
}

JournalWriter::JournalWriter(sessions::Journal& journal, Limits limits)
    : journal_(journal), limits_(limits), last_sequence_(journal.last().sequence), thread_([this] { run(); }) {
    journal_.pack_with(history::record_parts);
}

JournalWriter::~JournalWriter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

bool JournalWriter::refuses(RecordType type, std::size_t bytes) {
    if (bytes <= sessions::kRecordLimit) {
        return false;
    }
    // The journal would refuse it again and again, and everything behind it would wait.
    {
        const std::lock_guard lock(mutex_);
        drop(type);
    }
    log("error", "journal",
        base::say("a record of {} bytes was left out: a record holds at most {}", bytes, sessions::kRecordLimit));
    return true;
}

bool JournalWriter::is_full(std::size_t bytes) const {
    return ring_.size() >= limits_.records || ring_bytes_ + bytes > limits_.bytes;
}

void JournalWriter::put(std::unique_lock<std::mutex>& lock, RecordType type, std::vector<std::byte> body) {
    const bool full = is_full(body.size());
    if (full && may_drop(type)) {
        drop(type);
        return;
    }
    if (!full) {
        close_holes();
    }
    ring_bytes_ += body.size();
    ring_.push_back({type, wall_clock_ns(), std::move(body)});
    ++written_;
    lock.unlock();
    wake_.notify_one();
}

void JournalWriter::write(RecordType type, std::vector<std::byte> body) {
    if (!refuses(type, body.size())) {
        std::unique_lock lock(mutex_);
        put(lock, type, std::move(body));
    }
}

void JournalWriter::write_waiting(RecordType type, std::vector<std::byte> body, const std::atomic<bool>& stop) {
    constexpr std::chrono::milliseconds kLook{20};  // whoever stops only sets the flag
    if (refuses(type, body.size())) {
        return;
    }
    std::unique_lock lock(mutex_);
    while (is_full(body.size()) && problem_.empty() && !stop && !stopping_) {
        drained_.wait_for(lock, kLook);
    }
    put(lock, type, std::move(body));
}

void JournalWriter::drop(RecordType type) {
    Hole& hole = holes_[static_cast<std::size_t>(channel_of(type))];
    if (hole.count == 0) {
        hole.after = last_sequence_;
    }
    ++hole.count;
    ++dropped_;
}

base::Sentence JournalWriter::problem() const {
    const std::lock_guard lock(mutex_);
    return problem_;
}

std::uint64_t JournalWriter::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

void JournalWriter::flush() {
    std::unique_lock lock(mutex_);
    const std::uint64_t target = written_;
    drained_.wait(lock, [&] { return appended_ >= target || !problem_.empty(); });
}

void JournalWriter::write_now(RecordType type, const nlohmann::json& value) {
    const std::vector<std::byte> body = protocol::encode_json(value);
    flush();
    if (base::Sentence refused = problem(); !refused.empty()) {
        throw base::Error(std::move(refused));
    }
    const std::uint64_t sequence = journal_.append(static_cast<std::uint16_t>(type),
                                                   static_cast<std::uint8_t>(channel_of(type)), wall_clock_ns(), body);
    const std::lock_guard lock(mutex_);
    last_sequence_ = std::max(last_sequence_, sequence);
}

void JournalWriter::close_holes() {
    for (std::size_t channel = 0; channel < holes_.size(); ++channel) {
        Hole& hole = holes_[channel];
        if (hole.count == 0) {
            continue;
        }
        nlohmann::json gap = {{"from", hole.after},
                              {"to", last_sequence_ + ring_.size() + 1},
                              {"count", hole.count},
                              {"channel", channel}};
        base::put_sentence(gap, "reason", base::say("the node's journal could not keep up; the run itself went on"));
        auto body = protocol::encode_json(gap);
        ring_bytes_ += body.size();
        ring_.push_back({RecordType::gap, wall_clock_ns(), std::move(body)});
        ++written_;
        hole = {};
    }
}

bool JournalWriter::append(const Pending& record) {
    auto channel = static_cast<std::uint8_t>(channel_of(record.type));
    if (record.type == RecordType::gap) {
        // A gap travels on the channel that lost records.
        if (const auto gap = protocol::decode_json(record.body)) {
            channel = gap->value("channel", channel);
        }
    }
    try {
        const std::uint64_t sequence =
            journal_.append(static_cast<std::uint16_t>(record.type), channel, record.time_ns, record.body);
        const std::lock_guard lock(mutex_);
        last_sequence_ = sequence;
        problem_ = {};
        return true;
    } catch (const std::exception& error) {
        const std::lock_guard lock(mutex_);
        problem_ = base::sentence_of(error);
        return false;
    }
}

void JournalWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !ring_.empty(); });
        if (ring_.empty()) {
            close_holes();
            if (ring_.empty()) {
                return;
            }
        }
        // The record stays counted in ring_bytes_ until it is in the journal, so that the bound holds.
        Pending record = std::move(ring_.front());
        ring_.pop_front();
        lock.unlock();
        const bool stored = append(record);
        lock.lock();
        if (stored) {
            ring_bytes_ -= record.body.size();
            ++appended_;
        } else {
            ring_.push_front(std::move(record));
            drained_.notify_all();
            if (stopping_) {
                return;
            }
            // The disk refused: try again in a moment. New records meanwhile fill the ring and then count as dropped.
            wake_.wait_for(lock, std::chrono::milliseconds(100), [this] { return stopping_; });
        }
        if (ring_.empty() || appended_ % 64 == 0) {
            drained_.notify_all();
        }
    }
}

}  // namespace moescope::node
