#include "sessions/journal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <fcntl.h>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <stdexcept>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "sessions/packed_records.hpp"
#include "sessions/packed_segment.hpp"
#include "sessions/segment.hpp"

namespace moescope::sessions {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChannelCount = 256;
constexpr std::size_t kMostUnpackedKept = std::size_t{48} << 20;  ///< of all readers together
constexpr const char* kLockName = "journal.lock";

/// Number of "seg-000123.wbj", 0 for any other name.
std::uint32_t segment_number(const std::string& name, const char* ending) {
    std::uint32_t number = 0;
    if (name.size() < 14 || !name.starts_with("seg-") || !name.ends_with(ending)) {
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

std::string packed_name(std::uint32_t number) {
    char name[32];
    std::snprintf(name, sizeof name, "seg-%06u.wbp", number);
    return name;
}

constexpr std::uint32_t kBlock = std::numeric_limits<std::uint32_t>::max();

/// A record, or a block of packed ones.
struct IndexEntry {
    Position position;          ///< of a block's last one
    std::uint64_t offset = 0;   ///< of a block: its number in blocks_
    std::uint32_t length = 0;   ///< kBlock: a block
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
        wake_packer_.notify_all();
        if (packer_.joinable()) {
            packer_.join();
        }
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
    std::optional<PackedHeads> read_heads(std::uint8_t channel, Position from,
                                          std::uint64_t whole_bytes) const override;
    void pack_with(PartsOf parts_of) override;
    std::size_t pack_now(PartsOf parts_of) override;

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
        return lost_ + unreadable_count_;
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
    struct SegmentFile {
        std::uint32_t number = 0;
        bool packed = false;
        auto operator<=>(const SegmentFile&) const = default;
    };
    std::vector<SegmentFile> segment_files(std::error_code& error, std::vector<fs::path>* others = nullptr) const;
    void load_segment(std::uint32_t number, bool is_last);
    void load_packed(std::uint32_t number);
    void take_packed_link(const PackedIndex& index, std::uint32_t number);
    void take_blocks(PackedIndex index, std::uint32_t number);
    void put_blocks(PackedIndex index, std::uint32_t number) const;
    void count_newer() const;
    bool adopt_packed(std::uint32_t number) const;
    bool follow_segment(std::uint32_t number, bool is_last);
    bool follow_packed(std::uint32_t number);
    void take_link(const SegmentScan& scan, std::uint32_t number);
    void take_records(const SegmentScan& scan, std::uint32_t number);
    void note_record(Position at);
    bool pack_segment(std::uint32_t number, PartsOf parts_of);
    void pack_regularly();
    std::uint64_t catch_up(const SegmentLink& link);
    void note_hole(Position until, std::uint64_t count);
    Sentence out_of_place_locked() const;
    void begin_segment();
    std::uint64_t append_locked(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                std::span<const std::byte> body);
    void flush();
    std::vector<IndexEntry> entries_after(std::uint8_t channel, Position from, std::size_t max_records,
                                          std::size_t max_bytes) const;
    /// What was asked for and could be read; `moved`: a file is packed by now, ask again.
    std::vector<Record> read_entries(const std::vector<IndexEntry>& entries, std::uint8_t channel, Position from,
                                     std::vector<Hole>& holes, bool& moved) const;
    std::vector<Record> read_block(const IndexEntry& entry, Position from, std::size_t max_records,
                                   std::size_t max_bytes, std::vector<Hole>& holes) const;
    std::shared_ptr<const PackedBlock> block_of(const IndexEntry& entry) const;
    struct Unpacked;
    /// The part of that place; `find` gives its place in an Unpacked, `make` unpacks it.
    template <class Find, class Make>
    auto unpacked(std::uint32_t segment, const PartPlace& place, Find find, Make make) const
        -> std::remove_cvref_t<decltype(find(std::declval<Unpacked&>()))>;
    std::shared_ptr<const Heads> heads_of(std::uint32_t segment, const PackedBlock& block) const;
    std::shared_ptr<const Tails> tails_of(std::uint32_t segment, const TailPart& part,
                                          std::span<const PackedRecord> records) const;
    void add_known_holes(std::uint8_t channel, Position from, Position to, std::vector<Hole>& holes) const;
    void note_unreadable(std::uint32_t segment, std::uint64_t offset, std::uint64_t bytes, std::uint64_t records) const;
    void sync_regularly();

    const fs::path folder_;
    const Mode mode_;
    const JournalOptions options_;
    base::FileIo& io_;
    base::Descriptor lock_file_;

    mutable std::mutex mutex_;
    mutable std::array<std::vector<IndexEntry>, kChannelCount> index_;  ///< a reader finds what was packed meanwhile
    struct Block {
        std::shared_ptr<const PackedBlock> block;
        std::uint64_t newer = 0;  ///< packed bytes behind it, of the group of its records that has the fewest
    };
    mutable std::vector<Block> blocks_;
    mutable std::set<std::uint32_t> packed_;  ///< segments whose blocks are in the index
    std::uint32_t counted_packed_ = 0;        ///< the newest of them that records_ counts
    mutable std::vector<Damage> damage_;
    std::vector<Hole> holes_;  ///< found on opening, in order
    mutable std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t>
        unreadable_;  ///< segment and offset, found on reading; how many records
    mutable std::uint64_t unreadable_count_ = 0;
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
    std::set<std::uint32_t> full_;  ///< segments that may be packed
    PartsOf parts_of_ = nullptr;
    std::condition_variable wake_packer_;
    std::thread packer_;
    std::mutex pack_mutex_;  ///< one at a time

    /// Unpacked parts, the one that was used last in front.
    struct Unpacked {
        std::uint32_t segment = 0;
        std::uint64_t offset = 0;
        std::size_t bytes = 0;
        std::shared_ptr<const Heads> heads;
        std::shared_ptr<const Tails> tails;
    };
    mutable std::mutex unpacked_mutex_;
    mutable std::list<Unpacked> unpacked_;

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

/// Those that are there, rising. Of one that is there twice (its packing was interrupted) the one that is not packed.
/// `others`: gets what ends like a segment and has no number of one.
std::vector<FileJournal::SegmentFile> FileJournal::segment_files(std::error_code& error,
                                                                 std::vector<fs::path>* others) const {
    std::vector<SegmentFile> files;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (const auto number = segment_number(name, ".wbj")) {
            files.push_back({number, false});
        } else if (const auto packed = segment_number(name, ".wbp")) {
            files.push_back({packed, true});
        } else if (others != nullptr && (name.ends_with(".wbj") || name.ends_with(".wbp"))) {
            others->push_back(it->path());
        }
    }
    std::sort(files.begin(), files.end());
    const auto same = [](const SegmentFile& a, const SegmentFile& b) { return a.number == b.number; };
    files.erase(std::unique(files.begin(), files.end(), same), files.end());
    return files;
}

void FileJournal::load_segments(const LockNote& note) {
    std::error_code error;
    std::vector<fs::path> others;
    const std::vector<SegmentFile> files = segment_files(error, &others);
    if (error && error != std::errc::no_such_file_or_directory) {
        if (mode_ == Mode::read_write) {
            throw Error(say("the folder {} can't be read: {}", folder_, error));
        }
        damage_.push_back({folder_.string(), 0, 0, say("the folder can't be read: {}", error)});
    }
    for (const SegmentFile& file : files) {
        if (file.packed) {
            load_packed(file.number);
        } else {
            load_segment(file.number, file.number == files.back().number);
        }
    }
    std::sort(others.begin(), others.end());
    for (const fs::path& other : others) {
        damage_.push_back({other.string(), 0, 0, say("it is no file of the journal and was not read")});
    }
    count_newer();
    newest_epoch_ = std::max(newest_epoch_, note.epoch);
    if (const std::uint64_t missing = catch_up(note.end); missing > 0) {
        damage_.push_back({folder_.string(), 0, 0,
                           say("the newest {} records are missing: a file was removed, emptied or cut", missing)});
    }
}

void FileJournal::load_segment(std::uint32_t number, bool is_last) {
    const fs::path path = folder_ / segment_name(number);
    SegmentScan scan = scan_segment(path);
    std::error_code ignored;
    if (!scan.usable && !fs::exists(path, ignored) && fs::exists(folder_ / packed_name(number), ignored)) {
        return load_packed(number);  // its writer has packed it just now
    }
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
    if (mode_ == Mode::read_write && !scan.records.empty()) {
        full_.insert(number);
    }
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

/// Nothing of its records is read, but what its index says of them.
void FileJournal::load_packed(std::uint32_t number) {
    PackedFile file = read_packed_file(folder_ / packed_name(number));
    damage_.insert(damage_.end(), file.damage.begin(), file.damage.end());
    bytes_ += file.size;
    if (!file.index) {
        newest_epoch_ = std::max(newest_epoch_, number);
        segment_number_ = number;
        segment_end_ = segment_size_ = 0;
        return;
    }
    take_packed_link(*file.index, number);
    segment_end_ = segment_size_ = file.size;
    take_blocks(std::move(*file.index), number);
}

void FileJournal::take_packed_link(const PackedIndex& index, std::uint32_t number) {
    SegmentScan scan;
    scan.usable = true;
    scan.epoch = index.epoch;
    scan.link = index.link;
    take_link(scan, number);
}

/// Those of a segment that is packed. What is known of it already, record by record, gives way (put_blocks).
void FileJournal::take_blocks(PackedIndex index, std::uint32_t number) {
    if (index.first > seen_) {
        const std::uint64_t next = index.first.epoch == seen_.epoch ? seen_.sequence + 1 : 1;
        if (index.first.sequence > next) {
            note_hole({index.first.epoch, index.first.sequence - 1}, index.first.sequence - next);
        }
        records_ += index.last.sequence - index.first.sequence + 1;
        seen_ = index.last;
    } else if (index.last > seen_) {
        records_ += index.last.sequence - seen_.sequence;
        seen_ = index.last;
    }
    last_ = std::max(last_, index.last);
    counted_packed_ = number;
    put_blocks(std::move(index), number);
}

void FileJournal::put_blocks(PackedIndex index, std::uint32_t number) const {
    if (!packed_.insert(number).second) {
        return;
    }
    for (auto& entries : index_) {  // of every channel, whatever the index says: their file is gone
        std::erase_if(entries, [&](const IndexEntry& entry) { return entry.segment == number; });
    }
    for (PackedBlock& block : index.blocks) {
        auto& entries = index_[block.channel];
        const auto place = std::upper_bound(
            entries.begin(), entries.end(), block.last,
            [](const Position& position, const IndexEntry& entry) { return position < entry.position; });
        if (place != entries.begin() && std::prev(place)->position >= block.first) {
            damage_.push_back({(folder_ / packed_name(number)).string(), block.heads.offset, block.heads.size,
                               say("a record is out of order and was skipped")});
            continue;
        }
        entries.insert(place, {block.last, blocks_.size(), kBlock, number});
        blocks_.push_back({std::make_shared<const PackedBlock>(std::move(block)), 0});
    }
}

/// Backwards, so that each block knows what is behind it.
void FileJournal::count_newer() const {
    for (auto& entries : index_) {
        std::map<std::uint32_t, std::uint64_t> behind;
        for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
            if (entry->length != kBlock) {
                continue;
            }
            Block& block = blocks_[entry->offset];
            block.newer = std::numeric_limits<std::uint64_t>::max();
            for (const GroupBytes& group : block.block->groups) {
                block.newer = std::min(block.newer, behind[group.group]);
            }
            for (const GroupBytes& group : block.block->groups) {
                behind[group.group] += group.bytes;
            }
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
    const std::vector<SegmentFile> files = segment_files(error);
    bool grew = false;
    for (const SegmentFile& file : files) {
        if (file.number < segment_number_) {
            continue;
        }
        grew = (file.packed ? follow_packed(file.number)
                            : follow_segment(file.number, file.number == files.back().number)) ||
               grew;
        if (!file.packed && !fs::exists(folder_ / segment_name(file.number), error)) {
            break;  // packed just now: first the rest of it, the next time
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

bool FileJournal::follow_packed(std::uint32_t number) {
    if (number == segment_number_ && number == counted_packed_) {
        return false;
    }
    PackedFile file = read_packed_file(folder_ / packed_name(number));
    if (!file.index) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    if (number != segment_number_) {
        take_packed_link(*file.index, number);
        segment_size_ = 0;
    }
    const Position before = last_;
    take_blocks(std::move(*file.index), number);
    count_newer();
    bytes_ = bytes_ - std::min(bytes_, segment_size_) + file.size;
    segment_end_ = segment_size_ = file.size;
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
        const std::uint32_t full = segment_number_;
        begin_segment();
        full_.insert(full);
        wake_packer_.notify_all();
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
    if (it != entries.end() && it->length == kBlock) {
        return {*it};  // one at a time
    }
    for (; it != entries.end() && wanted.size() < max_records && it->length != kBlock; ++it) {
        total += it->length + kRecordHeaderBytes;
        if (!wanted.empty() && total > max_bytes) {
            break;
        }
        wanted.push_back(*it);
    }
    return wanted;
}

/// The file was packed since its records were looked up, by this journal or by the one that writes.
bool FileJournal::adopt_packed(std::uint32_t number) const {
    {
        const std::lock_guard lock(mutex_);
        if (packed_.contains(number)) {
            return true;
        }
    }
    PackedFile file = read_packed_file(folder_ / packed_name(number));
    if (!file.index) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    put_blocks(std::move(*file.index), number);
    count_newer();
    return true;
}

std::vector<Record> FileJournal::read_entries(const std::vector<IndexEntry>& entries, std::uint8_t channel,
                                              Position from, std::vector<Hole>& holes, bool& moved) const {
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
            if (!file && adopt_packed(entry.segment)) {
                moved = true;
                return records;
            }
        }
        bytes.resize(kRecordOverhead + entry.length);
        std::optional<Record> record;
        if (file && base::read_exactly(file.get(), bytes, entry.offset)) {
            record = decode_record(bytes);
        }
        if (record) {
            records.push_back(std::move(*record));
        } else {
            note_unreadable(entry.segment, entry.offset, kRecordOverhead + entry.length, 1);
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

std::shared_ptr<const PackedBlock> FileJournal::block_of(const IndexEntry& entry) const {
    const std::lock_guard lock(mutex_);
    return blocks_[entry.offset].block;
}

template <class Find, class Make>
auto FileJournal::unpacked(std::uint32_t segment, const PartPlace& place, Find find, Make make) const
    -> std::remove_cvref_t<decltype(find(std::declval<Unpacked&>()))> {
    {
        const std::lock_guard lock(unpacked_mutex_);
        for (auto part = unpacked_.begin(); part != unpacked_.end(); ++part) {
            if (part->segment == segment && part->offset == place.offset) {
                unpacked_.splice(unpacked_.begin(), unpacked_, part);
                return find(unpacked_.front());
            }
        }
    }
    const base::Descriptor file = base::open_for_reading(folder_ / packed_name(segment));
    const auto bytes = file ? read_part(file.get(), place) : std::nullopt;
    if (!bytes) {
        return {};
    }
    auto made = make(*bytes);
    if (!made) {
        return {};
    }
    Unpacked part{segment, place.offset, made->bytes.size(), {}, {}};
    find(part) = std::make_shared<std::remove_reference_t<decltype(*made)>>(std::move(*made));
    const auto result = find(part);
    const std::lock_guard lock(unpacked_mutex_);
    std::size_t total = part.bytes;
    unpacked_.push_front(std::move(part));
    for (auto old = std::next(unpacked_.begin()); old != unpacked_.end();) {
        total += old->bytes;
        old = total > kMostUnpackedKept ? unpacked_.erase(old) : std::next(old);
    }
    return result;
}

std::shared_ptr<const Heads> FileJournal::heads_of(std::uint32_t segment, const PackedBlock& block) const {
    const auto make = [&](const std::vector<std::byte>& bytes) {
        auto heads = unpack_heads(bytes);
        const bool fits = heads && heads->records.size() == block.records && heads->records.front().at == block.first &&
                          heads->records.back().at == block.last;
        return fits ? std::move(heads) : std::nullopt;
    };
    return unpacked(
        segment, block.heads, [](Unpacked & part) -> auto& { return part.heads; }, make);
}

std::shared_ptr<const Tails> FileJournal::tails_of(std::uint32_t segment, const TailPart& part,
                                                   std::span<const PackedRecord> records) const {
    return unpacked(
        segment, part.place, [](Unpacked & unpacked) -> auto& { return unpacked.tails; },
        [&](const std::vector<std::byte>& bytes) { return unpack_tails(bytes, records); });
}

std::vector<Record> FileJournal::read_block(const IndexEntry& entry, Position from, std::size_t max_records,
                                            std::size_t max_bytes, std::vector<Hole>& holes) const {
    const auto block = block_of(entry);
    const auto lose = [&](const PartPlace& part, Position after, Position until, std::uint64_t count) {
        note_unreadable(entry.segment, part.offset, part.size, count);
        holes.push_back({after, until, count, block->channel});
    };
    const auto heads = heads_of(entry.segment, *block);
    if (!heads) {
        lose(block->heads, from, block->last, block->records);
        return {};
    }
    std::vector<Record> records;
    std::size_t total = 0, begin = 0;
    // One part without tails when every head is whole.
    const std::size_t parts = std::max<std::size_t>(block->tails.size(), 1);
    for (std::size_t p = 0; p < parts && records.size() < max_records; ++p) {
        const std::size_t count = block->tails.empty() ? block->records : block->tails[p].records;
        const auto of_part = std::span(heads->records).subspan(begin, count);
        begin += count;
        if (of_part.back().at <= from) {
            continue;
        }
        if (!records.empty() && total >= max_bytes) {
            break;
        }
        const auto tails = block->tails.empty() ? nullptr : tails_of(entry.segment, block->tails[p], of_part);
        if (!block->tails.empty() && !tails) {
            if (!records.empty()) {
                break;  // the hole is met the next time
            }
            lose(block->tails[p].place, from, of_part.back().at, count);
            from = of_part.back().at;
            continue;
        }
        for (std::size_t i = 0; i < count; ++i) {
            const PackedRecord& packed = of_part[i];
            if (packed.at <= from) {
                continue;
            }
            total += kRecordHeaderBytes + packed.length;
            if (!records.empty() && (total > max_bytes || records.size() == max_records)) {
                return records;
            }
            if (!tails && packed.head.size() != packed.length) {
                continue;  // of an index that says something else than its block; nothing of ours
            }
            Record record{packed.at.epoch, packed.at.sequence, packed.time_ns, packed.type, block->channel, {}};
            record.body.reserve(packed.length);
            record.body.assign(packed.head.begin(), packed.head.end());
            if (tails) {
                record.body.insert(record.body.end(), tails->of[i].begin(), tails->of[i].end());
            }
            records.push_back(std::move(record));
        }
    }
    return records;
}

std::optional<PackedHeads> FileJournal::read_heads(std::uint8_t channel, Position from,
                                                   std::uint64_t whole_bytes) const {
    std::shared_ptr<const PackedBlock> block;
    std::uint32_t segment = 0;
    {
        const std::lock_guard lock(mutex_);
        const auto& entries = index_[channel];
        const auto entry = std::upper_bound(
            entries.begin(), entries.end(), from,
            [](const Position& position, const IndexEntry& other) { return position < other.position; });
        if (entry == entries.end() || entry->length != kBlock) {
            return std::nullopt;
        }
        const Block& known = blocks_[entry->offset];
        if (known.newer < whole_bytes || known.block->first <= from || known.block->heads.size > kRecordLimit) {
            return std::nullopt;
        }
        block = known.block;
        segment = entry->segment;
    }
    const base::Descriptor file = base::open_for_reading(folder_ / packed_name(segment));
    auto bytes = file ? read_part(file.get(), block->heads) : std::nullopt;
    if (!bytes) {
        return std::nullopt;  // read() meets the damage and tells of it
    }
    return PackedHeads{block->first, block->last, block->records, std::move(*bytes)};
}

void FileJournal::note_unreadable(std::uint32_t segment, std::uint64_t offset, std::uint64_t bytes,
                                  std::uint64_t records) const {
    constexpr std::size_t kMost = 1000;
    const std::lock_guard lock(mutex_);
    if (!unreadable_.emplace(std::pair(segment, offset), records).second) {
        return;
    }
    unreadable_count_ += records;
    if (damage_.size() < kMost) {
        const std::string name = packed_.contains(segment) ? packed_name(segment) : segment_name(segment);
        damage_.push_back({(folder_ / name).string(), offset, bytes,
                           records == 1 ? say("a record could not be read back")
                                        : say("{} records could not be read back", records)});
    }
}

void FileJournal::pack_with(PartsOf parts_of) {
    const std::lock_guard lock(mutex_);
    if (mode_ == Mode::read_write && parts_of != nullptr && !packer_.joinable()) {
        parts_of_ = parts_of;
        packer_ = std::thread(&FileJournal::pack_regularly, this);
    }
}

void FileJournal::pack_regularly() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_packer_.wait(lock, [&] { return stopping_ || !full_.empty(); });
        if (stopping_) {
            return;
        }
        const std::uint32_t number = *full_.begin();
        full_.erase(full_.begin());
        lock.unlock();
        pack_segment(number, parts_of_);
        lock.lock();
    }
}

std::size_t FileJournal::pack_now(PartsOf parts_of) {
    std::size_t packed = 0;
    std::unique_lock lock(mutex_);
    while (mode_ == Mode::read_write && !full_.empty()) {
        const std::uint32_t number = *full_.begin();
        full_.erase(full_.begin());
        lock.unlock();
        packed += pack_segment(number, parts_of) ? 1 : 0;
        lock.lock();
    }
    return packed;
}

/// False when it stays as it is: it is short, damaged, records are missing in it, or the disk took no more.
bool FileJournal::pack_segment(std::uint32_t number, PartsOf parts_of) {
    const std::lock_guard one_at_a_time(pack_mutex_);
    const fs::path path = folder_ / segment_name(number), packed = folder_ / packed_name(number);
    std::error_code error;
    if (const auto size = fs::file_size(path, error); error || size < options_.pack_bytes) {
        return false;
    }
    SegmentScan scan = scan_segment(path);
    if (!scan.usable || !scan.damage.empty() || !scan.link || scan.epoch == 0 || scan.records.empty()) {
        return false;
    }
    PackedIndex index{scan.epoch, *scan.link, scan.records.front().position, scan.records.back().position, 0, {}};
    for (std::size_t i = 0; i < scan.records.size(); ++i) {
        if (scan.records[i].position != Position{scan.epoch, index.first.sequence + i}) {
            return false;
        }
        index.bytes += kRecordOverhead + scan.records[i].length;
    }
    std::stable_sort(scan.records.begin(), scan.records.end(),
                     [](const RecordPlace& a, const RecordPlace& b) { return a.channel < b.channel; });
    std::optional<std::vector<std::byte>> bytes;
    {
        const base::Descriptor file = base::open_for_reading(path);
        SegmentPacker packer(parts_of);
        std::vector<std::byte> piece;
        for (const RecordPlace& place : scan.records) {
            piece.resize(kRecordOverhead + place.length);
            auto record =
                file && base::read_exactly(file.get(), piece, place.offset) ? decode_record(piece) : std::nullopt;
            if (!record || !packer.add(std::move(*record))) {
                return false;
            }
        }
        bytes = packer.finish(index);
    }
    if (!bytes || bytes->size() >= scan.size) {
        return false;
    }
    const fs::path part = packed.string() + ".part";
    base::Descriptor file(io_.open_for_writing(part));
    const bool written = file && io_.truncate(file.get(), 0) == 0 &&
                         base::write_fully(io_, file.get(), *bytes, 0) == 0 && io_.sync_data(file.get()) == 0;
    file.close();
    if (written) {
        fs::rename(part, packed, error);
    }
    if (!written || error || io_.sync_folder(folder_) != 0) {
        fs::remove(part, error);
        return false;
    }
    {
        const std::lock_guard lock(mutex_);
        put_blocks(std::move(index), number);
        count_newer();
        bytes_ = bytes_ - std::min(bytes_, scan.size) + bytes->size();
    }
    // Whoever reads it now finds its place empty and looks again.
    fs::remove(path, error);
    return true;
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
        bool moved = false;
        auto records = !wanted.empty() && wanted.front().length == kBlock
                           ? read_block(wanted.front(), from, std::max<std::size_t>(max_records, 1), max_bytes, met)
                           : read_entries(wanted, channel, from, met, moved);
        if (moved && records.empty()) {
            continue;
        }
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
