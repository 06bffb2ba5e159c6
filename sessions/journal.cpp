#include "sessions/journal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <fcntl.h>
#include <limits>
#include <set>
#include <stdexcept>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "sessions/segment.hpp"

namespace moescope::sessions {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChannelCount = 256;
constexpr const char* kLockName = "journal.lock";

/// Number of "seg-000123.wbj", 0 for any other name.
std::uint32_t segment_number(const std::string& name) {
    std::uint32_t number = 0;
    if (name.size() < 14 || !name.starts_with("seg-") || !name.ends_with(".wbj")) {
        return 0;
    }
    const char* last = name.data() + name.size() - 4;
    const auto [end, error] = std::from_chars(name.data() + 4, last, number);
    return error == std::errc() && end == last && number < 1'000'000'000 ? number : 0;
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

/// What journal.lock says of the journal: written by who holds the lock, after the records are durable.
struct LockNote {
    std::uint32_t epoch = 0;
    SegmentLink end;
};
constexpr std::size_t kLockNoteBytes = 96;

/// Takes no memory: it is written at the end, too, when there may be none.
std::array<char, kLockNoteBytes> encode_lock_note(const LockNote& note) {
    std::array<char, kLockNoteBytes> line;
    line.fill(' ');  // always as long: nothing of an older one is left behind it
    const int size = std::snprintf(line.data(), line.size(), "epoch %u records %llu last %u %llu", note.epoch,
                                   static_cast<unsigned long long>(note.end.records), note.end.last.epoch,
                                   static_cast<unsigned long long>(note.end.last.sequence));
    line[static_cast<std::size_t>(size)] = ' ';
    line.back() = '\n';
    return line;
}

/// All zero when the file is not there or says nothing that can be read.
LockNote read_lock_note(const fs::path& path) {
    const base::Descriptor file = base::open_for_reading(path);
    char text[kLockNoteBytes + 1]{};
    if (!file || !base::read_exactly(file.get(), std::as_writable_bytes(std::span(text, kLockNoteBytes)), 0)) {
        return {};
    }
    LockNote note;
    unsigned long long records = 0, sequence = 0;
    if (std::sscanf(text, "epoch %u records %llu last %u %llu", &note.epoch, &records, &note.end.last.epoch,
                    &sequence) != 4) {
        return {};
    }
    note.end.records = records;
    note.end.last.sequence = sequence;
    return note;
}

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
        load_segments(read_lock_note(folder / kLockName));
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
        if (mode_ == Mode::read_write && unsynced_ && io_.sync_data(segment_.get()) == 0) {
            note_in_lock({epoch_, {seen_, records_}});
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

    std::vector<Record> read(std::uint8_t channel, Position from, std::size_t max_records, std::size_t max_bytes,
                             std::vector<Hole>* holes) const override;

    Position last() const override {
        const std::lock_guard lock(mutex_);
        return last_;
    }
    std::uint32_t epoch() const override { return epoch_; }
    std::uint64_t bytes() const override {
        const std::lock_guard lock(mutex_);
        return bytes_;
    }
    bool follow() override;
    std::vector<Damage> damage() const override {
        const std::lock_guard lock(mutex_);
        return damage_;
    }
    std::uint64_t lost() const override {
        const std::lock_guard lock(mutex_);
        return lost_ + unreadable_.size();
    }
    Sentence out_of_place() const override {
        const std::lock_guard lock(mutex_);
        return mode_ == Mode::read_write ? out_of_place_locked() : Sentence();
    }
    void on_append(std::function<void()> callback) override {
        const std::lock_guard lock(callback_mutex_);
        callback_ = std::move(callback);
    }

 private:
    void take_lock(const fs::path& folder);
    void note_in_lock(const LockNote& note) const;
    void load_segments(const LockNote& note);
    std::vector<std::uint32_t> segment_numbers(std::error_code& error) const;
    void load_segment(std::uint32_t number, bool is_last);
    bool follow_segment(std::uint32_t number, bool is_last);
    void take_link(const SegmentScan& scan, std::uint32_t number);
    void take_records(const SegmentScan& scan, std::uint32_t number);
    void note_record(Position at);
    std::uint64_t catch_up(const SegmentLink& link);
    void note_hole(Position until, std::uint64_t count);
    Sentence out_of_place_locked() const;
    void begin_segment();
    std::uint64_t append_locked(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                std::span<const std::byte> body);
    void flush();
    std::vector<IndexEntry> entries_after(std::uint8_t channel, Position from, std::size_t max_records,
                                          std::size_t max_bytes) const;
    std::vector<Record> read_entries(const std::vector<IndexEntry>& entries, std::uint8_t channel, Position from,
                                     std::vector<Hole>& holes) const;
    void add_known_holes(std::uint8_t channel, Position from, Position to, std::vector<Hole>& holes) const;
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
    std::vector<Hole> holes_;                                               ///< found on opening, in order
    mutable std::set<std::pair<std::uint32_t, std::uint64_t>> unreadable_;  ///< segment and offset, found on reading
    Position last_;
    Position seen_;              ///< as last_, lost records included
    std::uint64_t records_ = 0;  ///< ever appended, lost ones included
    std::uint64_t lost_ = 0;     ///< of these, as found on opening
    std::uint32_t epoch_ = 0, newest_epoch_ = 0;
    std::uint64_t bytes_ = 0;

    base::Descriptor segment_;
    std::uint32_t segment_number_ = 0;
    std::uint64_t segment_end_ = 0;   ///< where the next record goes; read-only: up to where it was read
    std::uint64_t segment_size_ = 0;  ///< read-only: as it is counted in bytes_
    std::uint64_t stuck_at_ = 0;      ///< read-only: what was no record there may have been written at that moment
    bool segment_broken_ = false;     ///< no more appends to this file
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
    base::make_private_folders(folder_);
    const fs::path path = folder / kLockName;
    const int file = io_.open_for_writing(path);
    if (file < 0) {
        throw Error(say("the file {} can't be opened: {}", path, base::system_sentence(file)));
    }
    lock_file_ = base::Descriptor(file);
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) {
        return;
    }
    if (errno != EWOULDBLOCK) {
        throw Error(say("the file {} can't be locked: {}", path, base::system_sentence(errno)));
    }
    const auto holder = base::lock_holder(path);
    if (!holder || holder->process == 0) {
        throw InUse(
            say("the session {} is in use by another program; end that one, or open the session for reading", folder));
    }
    if (!holder->ours) {
        throw InUse(
            say("the session {} is locked by process {} of another user, who may enter its folder; take that "
                "right away (chmod 700) and end the process, or open the session for reading",
                folder, holder->process));
    }
    throw InUse(say("the session {} is in use by process {} ({}); end that one, or open the session for reading",
                    folder, holder->process, holder->program));
}

/// Only a note: a journal without it is whole.
void FileJournal::note_in_lock(const LockNote& note) const {
    const auto line = encode_lock_note(note);
    (void)!::pwrite(lock_file_.get(), line.data(), line.size(), 0);
}

/// Of the files that are there, rising.
std::vector<std::uint32_t> FileJournal::segment_numbers(std::error_code& error) const {
    std::vector<std::uint32_t> numbers;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
        if (const auto number = segment_number(it->path().filename().string())) {
            numbers.push_back(number);
        }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

void FileJournal::load_segments(const LockNote& note) {
    std::error_code error;
    const std::vector<std::uint32_t> numbers = segment_numbers(error);
    if (error && error != std::errc::no_such_file_or_directory) {
        if (mode_ == Mode::read_write) {
            throw Error(say("the folder {} can't be read: {}", folder_, error));
        }
        damage_.push_back({folder_.string(), 0, 0, say("the folder can't be read: {}", error)});
    }
    for (std::uint32_t number : numbers) {
        load_segment(number, number == numbers.back());
    }
    newest_epoch_ = std::max(newest_epoch_, note.epoch);
    if (const std::uint64_t missing = catch_up(note.end); missing > 0) {
        damage_.push_back({folder_.string(), 0, 0,
                           say("the newest {} records are missing: a file was removed, emptied or cut", missing)});
    }
}

void FileJournal::load_segment(std::uint32_t number, bool is_last) {
    const fs::path path = folder_ / segment_name(number);
    SegmentScan scan = scan_segment(path);
    if (is_last && scan.begun) {
        scan.damage.clear();
    }
    take_link(scan, number);
    if (scan.size == 0 && scan.damage.empty() && !is_last) {
        scan.damage.push_back({path.string(), 0, 0, say("the file is empty")});
    }
    if (mode_ == Mode::read_only && is_last && scan.end < scan.size && !scan.damage.empty() &&
        scan.damage.back().offset == scan.end && base::lock_holder(folder_.parent_path() / kLockName)) {
        scan.damage.pop_back();  // a record that is being written now
    }
    take_records(scan, number);
    bytes_ += scan.size;
    segment_end_ = scan.end;
    segment_size_ = scan.size;
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
    if (!scan.records.empty()) {
        // Its writer may have been killed before it was durable, and the next segment counts on it.
        const base::Descriptor file(io_.open_for_writing(path));
        if (const int error = file ? io_.sync_data(file.get()) : 0; error != 0) {
            throw Error(say("the journal in {} could not be made durable: {}", folder_, base::system_sentence(error)));
        }
    }
}

/// What the beginning of a segment says of those before it.
void FileJournal::take_link(const SegmentScan& scan, std::uint32_t number) {
    // Each epoch begins with a file of its own, so that none is higher than the number of its file.
    newest_epoch_ = std::max(newest_epoch_, scan.epoch > 0 ? scan.epoch : number);
    if (scan.link) {
        if (const std::uint64_t missing = catch_up(*scan.link); missing > 0) {
            damage_.push_back({folder_.string(), 0, 0,
                               say("{} records before {} are missing: a file was removed, emptied or cut", missing,
                                   segment_name(number))});
        }
    } else if (number > segment_number_ + 1 && scan.usable && !scan.records.empty()) {
        // Written before segments had links: a start that recorded nothing left no file, and its number is missing.
        damage_.push_back({folder_.string(), 0, 0,
                           say("a file before {} is missing: perhaps of a start that recorded nothing, perhaps with "
                               "records that are lost",
                               segment_name(number))});
    }
    segment_number_ = number;
}

void FileJournal::take_records(const SegmentScan& scan, std::uint32_t number) {
    damage_.insert(damage_.end(), scan.damage.begin(), scan.damage.end());
    for (const RecordPlace& place : scan.records) {
        auto& entries = index_[place.channel];
        if (!entries.empty() && place.position <= entries.back().position) {
            damage_.push_back({(folder_ / segment_name(number)).string(), place.offset, kRecordOverhead + place.length,
                               say("a record is out of order and was skipped")});
            continue;
        }
        entries.push_back({place.position, place.offset, place.length, number});
        last_ = std::max(last_, place.position);
        note_record(place.position);
    }
}

bool FileJournal::follow() {
    if (mode_ != Mode::read_only) {
        return false;
    }
    // The files that are there first: nothing comes any more to those before the newest of them.
    std::error_code error;
    const std::vector<std::uint32_t> numbers = segment_numbers(error);
    bool grew = false;
    for (const std::uint32_t number : numbers) {
        if (number >= segment_number_) {
            grew = follow_segment(number, number == numbers.back()) || grew;
        }
    }
    if (grew) {
        const std::lock_guard lock(callback_mutex_);
        if (callback_) {
            callback_();
        }
    }
    return grew;
}

/// True when there was a record in it that was not known.
bool FileJournal::follow_segment(std::uint32_t number, bool is_last) {
    const bool known = number == segment_number_ && segment_end_ > 0;
    const std::uint64_t from = known ? segment_end_ : 0;
    const fs::path path = folder_ / segment_name(number);
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error || (number == segment_number_ && size == segment_size_) || (is_last && size < kSegmentBeginBytes)) {
        return false;  // nothing new, or its beginning is being written
    }
    SegmentScan scan = scan_segment(path, from);
    if (!scan.usable) {
        return false;
    }
    if (is_last && !scan.damage.empty()) {
        // What is no record may be one that is being written now. The second time it is damage, but for the end.
        const std::uint64_t at = scan.damage.front().offset;
        if (at >= scan.end) {
            scan.damage.clear();
        } else if (at != stuck_at_) {
            stuck_at_ = at;
            std::erase_if(scan.records, [&](const RecordPlace& place) { return place.offset > at; });
            scan.damage.clear();
            scan.end = at;
        } else if (scan.damage.back().offset >= scan.end) {
            scan.damage.pop_back();
        }
    }
    const std::lock_guard lock(mutex_);
    if (!known) {
        take_link(scan, number);
        segment_size_ = 0;
    }
    const Position before = last_;
    take_records(scan, number);
    bytes_ += scan.size - std::min(scan.size, segment_size_);
    segment_size_ = scan.size;
    segment_end_ = scan.end;
    return last_ > before;
}

/// A record as it stands in the files, which have all channels in the order of their sequences.
void FileJournal::note_record(Position at) {
    if (at > seen_) {
        const std::uint64_t next = at.epoch == seen_.epoch ? seen_.sequence + 1 : 1;
        if (at.sequence > next) {
            note_hole({at.epoch, at.sequence - 1}, at.sequence - next);
        }
        seen_ = at;
    }
    ++records_;
}

/// Up to here there were so many records: what was not found is lost. Gives how many that are.
std::uint64_t FileJournal::catch_up(const SegmentLink& link) {
    const std::uint64_t missing = link.records > records_ ? link.records - records_ : 0;
    if (missing > 0) {
        note_hole(std::max(seen_, link.last), missing);
    }
    seen_ = std::max(seen_, link.last);
    return missing;
}

void FileJournal::note_hole(Position until, std::uint64_t count) {
    constexpr std::size_t kMost = 1000;
    records_ += count;
    lost_ += count;
    if (holes_.size() < kMost) {
        holes_.push_back({seen_, until, count, 0});
    } else {
        holes_.back().until = until;
        holes_.back().count += count;
    }
}

Sentence FileJournal::out_of_place_locked() const {
    const fs::path path = folder_ / segment_name(segment_number_);
    const int error = io_.check_name(segment_.get(), path);
    if (error == 0) {
        return {};
    }
    if (error == -ENOENT) {
        return say("the session's folder {} was removed or moved away; put it back to go on", folder_.parent_path());
    }
    return say("the journal file {} can't be reached: {}", path, base::system_sentence(error));
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
    const auto header = encode_segment_begin(epoch_, {seen_, records_});
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
    note_in_lock({epoch_, {seen_, records_}});
}

std::uint64_t FileJournal::append_locked(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                         std::span<const std::byte> body) {
    // A file that was removed or moved away takes everything and keeps nothing.
    if (Sentence gone = out_of_place_locked(); !gone.empty()) {
        throw Error(std::move(gone));
    }
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
    // Known first: once it is in the file, nothing may fail any more.
    index_[channel].push_back({position, segment_end_, static_cast<std::uint32_t>(body.size()), segment_number_});
    if (const int error = base::write_fully(io_, segment_.get(), bytes, segment_end_); error != 0) {
        index_[channel].pop_back();
        // Take the part that was written away again. If even that fails, the file is left alone: the half record is
        // skipped on reading.
        if (io_.truncate(segment_.get(), segment_end_) != 0) {
            segment_broken_ = true;
        }
        throw Error(say("the journal in {} can't be written: {}; make room on the disk", folder_,
                        base::system_sentence(error)));
    }
    segment_end_ += bytes.size();
    bytes_ += bytes.size();
    last_ = seen_ = position;
    ++records_;
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
    const LockNote note{epoch_, {seen_, records_}};
    unsynced_ = false;
    lock.unlock();
    const int error = file ? io_.sync_data(file.get()) : -EMFILE;
    lock.lock();
    if (error == 0) {
        note_in_lock(note);
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

std::vector<Record> FileJournal::read_entries(const std::vector<IndexEntry>& entries, std::uint8_t channel,
                                              Position from, std::vector<Hole>& holes) const {
    std::vector<Record> records;
    records.reserve(entries.size());
    base::Descriptor file;
    std::uint32_t open_segment = 0;
    std::vector<std::byte> bytes;
    bool in_hole = false;
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
            if (!in_hole) {
                holes.push_back({from, entry.position, 0, channel});
            }
            holes.back().until = entry.position;
            ++holes.back().count;
        }
        in_hole = !record;
        from = entry.position;
    }
    return records;
}

void FileJournal::note_unreadable(const IndexEntry& entry) const {
    constexpr std::size_t kMost = 1000;
    const std::lock_guard lock(mutex_);
    if (unreadable_.emplace(entry.segment, entry.offset).second && damage_.size() < kMost) {
        damage_.push_back({(folder_ / segment_name(entry.segment)).string(), entry.offset,
                           kRecordOverhead + entry.length, say("a record could not be read back")});
    }
}

void FileJournal::add_known_holes(std::uint8_t channel, Position from, Position to, std::vector<Hole>& holes) const {
    constexpr std::uint8_t kEvents = 1;
    std::erase_if(holes, [&](const Hole& hole) { return hole.until > to; });  // will be met again
    if (channel != kEvents) {
        return;
    }
    const std::lock_guard lock(mutex_);
    for (const Hole& hole : holes_) {
        if (hole.until > from && hole.until <= to) {
            holes.push_back(hole);
        }
    }
}

std::vector<Record> FileJournal::read(std::uint8_t channel, Position from, std::size_t max_records,
                                      std::size_t max_bytes, std::vector<Hole>* holes) const {
    const Position begin = from;
    std::vector<Hole> met;
    for (;;) {
        const auto wanted = entries_after(channel, from, std::max<std::size_t>(max_records, 1), max_bytes);
        auto records = read_entries(wanted, channel, from, met);
        if (!records.empty() || wanted.empty()) {
            if (holes != nullptr) {
                Position to;
                if (records.empty()) {
                    const std::lock_guard lock(mutex_);
                    to = seen_;
                } else {
                    to = {records.back().epoch, records.back().sequence};
                }
                add_known_holes(channel, begin, to, met);
                *holes = std::move(met);
            }
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
