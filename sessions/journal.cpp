#include "sessions/journal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <fcntl.h>
#include <limits>
#include <stdexcept>
#include <sys/file.h>
#include <thread>
#include <utility>

#include "base/file_io.hpp"
#include "sessions/segment.hpp"

namespace moescope::sessions {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChannelCount = 256;

/// Number of "seg-000123.wbj", 0 for any other name.
std::uint32_t segment_number(const std::string& name) {
    std::uint32_t number = 0;
    if (name.size() < 14 || !name.starts_with("seg-") || !name.ends_with(".wbj")) {
        return 0;
    }
    const char* last = name.data() + name.size() - 4;
    const auto [end, error] = std::from_chars(name.data() + 4, last, number);
    return error == std::errc() && end == last ? number : 0;
}

std::string segment_name(std::uint32_t number) {
    char name[32];
    std::snprintf(name, sizeof name, "seg-%06u.wbj", number);
    return name;
}

struct IndexEntry {
    Position position;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t segment = 0;  ///< number of the file
};

class FileJournal final : public Journal {
 public:
    FileJournal(const fs::path& folder, Mode mode, const JournalOptions& options)
        : folder_(folder / "segments"),
          mode_(mode),
          options_(options),
          io_(options.io ? *options.io : base::FileIo::system()) {
        if (mode_ == Mode::read_write) {
            take_lock(folder);
        }
        load_segments();
        if (mode_ == Mode::read_write) {
            newest_epoch_ = std::max(newest_epoch_, last_.epoch);
            if (newest_epoch_ == std::numeric_limits<std::uint32_t>::max()) {
                throw Error(say("the journal in {} has no epoch left; it was not written by this program", folder_));
            }
            epoch_ = newest_epoch_ + 1;
            begin_segment();  // holds the epoch, so that it is never given out twice
            if (options_.sync_milliseconds > 0) {
                syncer_ = std::thread(&FileJournal::sync_regularly, this);
            }
        } else {
            epoch_ = last_.epoch;
        }
    }

    ~FileJournal() override {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_syncer_.notify_all();
        if (syncer_.joinable()) {
            syncer_.join();
        }
        if (mode_ == Mode::read_write && unsynced_) {
            (void)io_.sync_data(segment_.get());
        }
    }

    std::uint64_t append(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                         std::span<const std::byte> body) override {
        if (mode_ == Mode::read_only) {
            throw Error(say("the journal in {} was opened for reading only", folder_));
        }
        if (body.size() > kRecordLimit) {
            throw Error(say("a record of {} bytes is too long for the journal", body.size()));
        }
        std::uint64_t sequence;
        {
            const std::lock_guard lock(mutex_);
            sequence = append_locked(type, channel, time_ns, body);
        }
        const std::lock_guard lock(callback_mutex_);
        if (callback_) {
            callback_();
        }
        return sequence;
    }

    void sync() override {
        flush();
        const std::lock_guard lock(mutex_);
        if (!sync_error_.empty()) {
            throw Error(std::exchange(sync_error_, {}));
        }
    }

    std::vector<Record> read(std::uint8_t channel, Position from, std::size_t max_records,
                             std::size_t max_bytes) const override;

    Position last() const override {
        const std::lock_guard lock(mutex_);
        return last_;
    }
    std::uint32_t epoch() const override { return epoch_; }
    std::uint64_t bytes() const override {
        const std::lock_guard lock(mutex_);
        return bytes_;
    }
    std::vector<Damage> damage() const override {
        const std::lock_guard lock(mutex_);
        return damage_;
    }
    void on_append(std::function<void()> callback) override {
        const std::lock_guard lock(callback_mutex_);
        callback_ = std::move(callback);
    }

 private:
    void take_lock(const fs::path& folder);
    void load_segments();
    void load_segment(std::uint32_t number, bool is_last);
    void begin_segment();
    std::uint64_t append_locked(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                std::span<const std::byte> body);
    void flush();
    std::vector<IndexEntry> entries_after(std::uint8_t channel, Position from, std::size_t max_records,
                                          std::size_t max_bytes) const;
    std::vector<Record> read_entries(const std::vector<IndexEntry>& entries) const;
    void note_unreadable(const IndexEntry& entry) const;
    void sync_regularly();

    const fs::path folder_;
    const Mode mode_;
    const JournalOptions options_;
    base::FileIo& io_;
    base::Descriptor lock_file_;

    mutable std::mutex mutex_;
    std::array<std::vector<IndexEntry>, kChannelCount> index_;
    mutable std::vector<Damage> damage_;
    Position last_;
    std::uint32_t epoch_ = 0, newest_epoch_ = 0;
    std::uint64_t bytes_ = 0;

    base::Descriptor segment_;
    std::uint32_t segment_number_ = 0;
    std::uint64_t segment_end_ = 0;
    bool segment_broken_ = false;  ///< no more appends to this file
    bool unsynced_ = false;
    Sentence sync_error_;

    bool stopping_ = false;
    std::condition_variable wake_syncer_;
    std::thread syncer_;
    std::mutex sync_mutex_;  ///< one fdatasync at a time

    std::mutex callback_mutex_;
    std::function<void()> callback_;
};

void FileJournal::take_lock(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) {
        throw Error(say("the folder {} can't be made: {}", folder_, error));
    }
    const fs::path path = folder / "journal.lock";
    const int file = io_.open_for_writing(path);
    if (file < 0) {
        throw Error(say("the file {} can't be opened: {}", path, base::system_sentence(file)));
    }
    lock_file_ = base::Descriptor(file);
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
        throw Error(
            say("the session {} is in use by another node; end that one or open the session for reading", folder));
    }
}

void FileJournal::load_segments() {
    std::vector<std::uint32_t> numbers;
    std::error_code error;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
        if (const auto number = segment_number(it->path().filename().string())) {
            numbers.push_back(number);
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        throw Error(say("the folder {} can't be read: {}", folder_, error));
    }
    std::sort(numbers.begin(), numbers.end());
    for (std::uint32_t number : numbers) {
        load_segment(number, number == numbers.back());
    }
}

void FileJournal::load_segment(std::uint32_t number, bool is_last) {
    const fs::path path = folder_ / segment_name(number);
    SegmentScan scan = scan_segment(path);
    segment_number_ = number;
    newest_epoch_ = std::max(newest_epoch_, scan.epoch);
    damage_.insert(damage_.end(), scan.damage.begin(), scan.damage.end());
    for (const RecordPlace& place : scan.records) {
        auto& entries = index_[place.channel];
        if (!entries.empty() && place.position <= entries.back().position) {
            damage_.push_back({path.string(), place.offset, kRecordOverhead + place.length,
                               say("a record is out of order and was skipped")});
            continue;
        }
        entries.push_back({place.position, place.offset, place.length, number});
        last_ = std::max(last_, place.position);
    }
    bytes_ += scan.size;
    if (mode_ != Mode::read_write || !is_last || !scan.usable) {
        return;
    }
    if (scan.records.empty()) {
        // Nothing in it: an earlier start that wrote no record. Its epoch was counted above.
        std::error_code error;
        if (scan.damage.empty() && fs::remove(path, error)) {
            bytes_ -= scan.size;
        }
    } else if (scan.end < scan.size && scan.damage.back().offset + scan.damage.back().bytes == scan.size) {
        const base::Descriptor file(io_.open_for_writing(path));
        if (file && io_.truncate(file.get(), scan.end) == 0) {
            bytes_ -= scan.size - scan.end;
        }
    }
}

void FileJournal::begin_segment() {
    const std::uint32_t number = segment_number_ + 1;
    const fs::path path = folder_ / segment_name(number);
    const int opened = io_.open_for_writing(path);
    if (opened < 0) {
        throw Error(
            say("the journal file {} can't be made: {}; make room on the disk", path, base::system_sentence(opened)));
    }
    base::Descriptor file(opened);
    const auto header = encode_segment_header(epoch_);
    int error = io_.truncate(file.get(), 0);
    if (error == 0) {
        error = base::write_fully(io_, file.get(), header, 0);
    }
    if (error == 0) {
        error = io_.sync_data(file.get());
    }
    if (error == 0) {
        error = io_.sync_folder(folder_);
    }
    if (error != 0) {
        std::error_code ignored;
        fs::remove(path, ignored);
        throw Error(
            say("the journal file {} can't be written: {}; make room on the disk", path, base::system_sentence(error)));
    }
    segment_ = std::move(file);
    segment_number_ = number;
    segment_end_ = header.size();
    segment_broken_ = false;
    unsynced_ = false;
    bytes_ += header.size();
}

std::uint64_t FileJournal::append_locked(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                         std::span<const std::byte> body) {
    if (segment_broken_ || segment_end_ >= options_.segment_bytes) {
        if (unsynced_ && !segment_broken_) {
            if (const int error = io_.sync_data(segment_.get()); error != 0) {
                sync_error_ =
                    say("the journal in {} could not be made durable: {}", folder_, base::system_sentence(error));
            }
        }
        begin_segment();
    }
    const Position position{epoch_, last_.epoch == epoch_ ? last_.sequence + 1 : 1};
    const auto bytes = encode_record(position, time_ns, type, channel, body);
    if (const int error = base::write_fully(io_, segment_.get(), bytes, segment_end_); error != 0) {
        // Take the part that was written away again. If even that fails, the file is left alone: the half record is
        // skipped on reading.
        if (io_.truncate(segment_.get(), segment_end_) != 0) {
            segment_broken_ = true;
        }
        throw Error(say("the journal in {} can't be written: {}; make room on the disk", folder_,
                        base::system_sentence(error)));
    }
    index_[channel].push_back({position, segment_end_, static_cast<std::uint32_t>(body.size()), segment_number_});
    segment_end_ += bytes.size();
    bytes_ += bytes.size();
    last_ = position;
    unsynced_ = true;
    return position.sequence;
}

void FileJournal::flush() {
    // Held all the time: whoever asks while another flush is under way comes back only after that one is done.
    const std::lock_guard one_at_a_time(sync_mutex_);
    std::unique_lock lock(mutex_);
    if (!unsynced_) {
        return;
    }
    // The slow call runs outside the lock on a descriptor of its own, so that nobody who appends waits for the disk.
    const base::Descriptor file(::fcntl(segment_.get(), F_DUPFD_CLOEXEC, 0));
    const std::uint32_t number = segment_number_;
    unsynced_ = false;
    lock.unlock();
    const int error = file ? io_.sync_data(file.get()) : -EMFILE;
    lock.lock();
    if (error == 0) {
        return;
    }
    sync_error_ =
        say("the journal in {} could not be made durable: {}; the newest records may be lost if the power fails",
            folder_, base::system_sentence(error));
    if (number == segment_number_) {
        segment_broken_ = true;
    }
}

void FileJournal::sync_regularly() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        wake_syncer_.wait_for(lock, std::chrono::milliseconds(options_.sync_milliseconds), [&] { return stopping_; });
        if (!unsynced_) {
            continue;
        }
        lock.unlock();
        flush();
        lock.lock();
    }
}

std::vector<IndexEntry> FileJournal::entries_after(std::uint8_t channel, Position from, std::size_t max_records,
                                                   std::size_t max_bytes) const {
    std::vector<IndexEntry> wanted;
    const std::lock_guard lock(mutex_);
    const auto& entries = index_[channel];
    auto it =
        std::upper_bound(entries.begin(), entries.end(), from,
                         [](const Position& position, const IndexEntry& entry) { return position < entry.position; });
    std::size_t total = 0;
    for (; it != entries.end() && wanted.size() < max_records; ++it) {
        total += it->length + kRecordHeaderBytes;
        if (!wanted.empty() && total > max_bytes) {
            break;
        }
        wanted.push_back(*it);
    }
    return wanted;
}

std::vector<Record> FileJournal::read_entries(const std::vector<IndexEntry>& entries) const {
    std::vector<Record> records;
    records.reserve(entries.size());
    base::Descriptor file;
    std::uint32_t open_segment = 0;
    std::vector<std::byte> bytes;
    for (const IndexEntry& entry : entries) {
        if (entry.segment != open_segment) {
            file = base::open_for_reading(folder_ / segment_name(entry.segment));
            open_segment = entry.segment;
        }
        bytes.resize(kRecordOverhead + entry.length);
        std::optional<Record> record;
        if (file && base::read_exactly(file.get(), bytes, entry.offset)) {
            record = decode_record(bytes);
        }
        if (record) {
            records.push_back(std::move(*record));
        } else {
            note_unreadable(entry);
        }
    }
    return records;
}

void FileJournal::note_unreadable(const IndexEntry& entry) const {
    constexpr std::size_t kMost = 1000;
    const std::string file = (folder_ / segment_name(entry.segment)).string();
    const std::lock_guard lock(mutex_);
    const bool known = std::any_of(damage_.begin(), damage_.end(),
                                   [&](const Damage& d) { return d.file == file && d.offset == entry.offset; });
    if (!known && damage_.size() < kMost) {
        damage_.push_back({file, entry.offset, kRecordOverhead + entry.length, say("a record could not be read back")});
    }
}

std::vector<Record> FileJournal::read(std::uint8_t channel, Position from, std::size_t max_records,
                                      std::size_t max_bytes) const {
    for (;;) {
        const auto wanted = entries_after(channel, from, std::max<std::size_t>(max_records, 1), max_bytes);
        auto records = read_entries(wanted);
        if (!records.empty() || wanted.empty()) {
            return records;
        }
        from = wanted.back().position;  // all of them unreadable: that must not look like the end
    }
}

}  // namespace

std::unique_ptr<Journal> Journal::open(const std::filesystem::path& folder, Mode mode) {
    return open(folder, mode, JournalOptions{});
}

std::unique_ptr<Journal> Journal::open(const std::filesystem::path& folder, Mode mode, const JournalOptions& options) {
    return std::make_unique<FileJournal>(folder, mode, options);
}

}  // namespace moescope::sessions
