#include "nodes/transfer/incoming.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"

namespace moescope::transfer {

namespace fs = std::filesystem;
using base::Error;
using base::say;

namespace {

constexpr std::uint64_t kLongestNotes = std::uint64_t{64} << 20;

Error not_written(const fs::path& path, int error) {
    return Error(say("{} can't be written: {}", path, base::system_sentence(error)));
}

base::Descriptor open_to_write(const fs::path& path) {
    const int file = base::FileIo::system().open_for_writing(path);
    if (file < 0) {
        throw not_written(path, file);
    }
    return base::Descriptor(file);
}

/// What may not be written is said before a byte comes: a part of a session, a device, what is there already.
void check_place(const fs::path& target, bool folder, sessions::Existing existing) {
    if (folder) {
        std::error_code error;
        if (fs::exists(fs::symlink_status(target, error))) {
            throw Error(say("{} is there already; choose another name", target));
        }
        const sessions::OutputFolder probe(target, sessions::Existing::refuse, {});
    } else {
        const sessions::OutputFile probe(target, existing);
    }
}

}  // namespace

Incoming::Incoming(fs::path target, Description what, sessions::Existing existing, std::uint64_t keep_free)
    : target_(std::move(target)), what_(std::move(what)), existing_(existing) {
    std::error_code error;
    target_ = fs::absolute(target_, error).lexically_normal();
    if (target_.filename().empty()) {
        target_ = target_.parent_path();
    }
    check_place(target_, what_.folder, existing_);
    part_ = target_;
    part_ += ".part";
    for (const FileEntry& file : what_.files) {
        have_.emplace_back(ranges_of(file.bytes));
    }
    lock();
    const bool known = take_notes();
    try {
        require_room(keep_free);
    } catch (const Error&) {
        if (!known && !afresh_) {
            fs::remove_all(part_, error);  // nothing has come yet
        }
        throw;
    }
    if (!known) {
        begin();
    }
}

Incoming::~Incoming() = default;

/// The notes are the lock, too.
void Incoming::lock() {
    std::error_code error;
    const fs::file_status there = fs::symlink_status(part_, error);
    const bool ours = fs::is_directory(there) && (fs::exists(part_ / kNotes, error) || fs::is_empty(part_, error));
    if (fs::exists(there) && !ours) {
        throw Error(say("{} is there and is no unfinished transfer; move it away first", part_));
    }
    if (!fs::exists(there)) {
        base::make_private_folders(part_);
    }
    notes_ = open_to_write(part_ / kNotes);
    if (::flock(notes_.get(), LOCK_EX | LOCK_NB) != 0) {
        throw Error(errno == EWOULDBLOCK ? say("another program is bringing {} here already", target_)
                                         : not_written(part_ / kNotes, errno).sentence());
    }
    if (base::FileIo::system().check_name(notes_.get(), part_ / kNotes) != 0) {
        throw Error(say("another program is bringing {} here already", target_));  // and has just finished
    }
}

bool Incoming::take_notes() {
    const std::string notes = base::read_file(part_ / kNotes, kLongestNotes);
    if (notes.empty()) {
        return false;
    }
    afresh_ = true;  // until they turn out to be of this version
    const std::size_t first = notes.find('\n');
    const auto known = first == std::string::npos
                           ? std::nullopt
                           : base::parse_object(std::string_view(notes).substr(0, first), kLongestNotes);
    const auto description = known ? description_from(*known) : std::nullopt;
    if (!description || *description != what_) {
        return false;
    }
    std::vector<bool> there;
    for (std::uint32_t i = 0; i < what_.files.size(); ++i) {
        std::error_code error;
        const bool plain = fs::is_regular_file(fs::symlink_status(file_at(i), error));
        there.push_back(plain && fs::file_size(file_at(i), error) == what_.files[i].bytes && !error);
    }
    // Each line "FILE RANGE"; the last one may be torn.
    notes_end_ = first + 1;
    for (std::size_t begin = first + 1, end = 0; (end = notes.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        std::uint32_t file = 0;
        std::uint64_t range = 0;
        const char* const last = notes.data() + end;
        const auto one = std::from_chars(notes.data() + begin, last, file);
        const auto two = one.ec == std::errc() && one.ptr != last ? std::from_chars(one.ptr + 1, last, range) : one;
        if (two.ec != std::errc() || two.ptr != last || file >= have_.size() || range >= have_[file].size()) {
            break;
        }
        notes_end_ = end + 1;
        if (there[file] && !have_[file][range]) {
            have_[file][range] = true;
            bytes_done_ += range_at(what_, file, range).length;
        }
    }
    afresh_ = false;
    for (std::uint32_t i = 0; i < what_.files.size(); ++i) {
        if (!there[i]) {
            make_room_for(i);
        }
    }
    return true;
}

void Incoming::make_room_for(std::uint32_t file) const {
    base::make_private_folders(file_at(file).parent_path());
    const base::Descriptor made = open_to_write(file_at(file));
    if (const int wrong = base::FileIo::system().truncate(made.get(), what_.files[file].bytes); wrong < 0) {
        throw not_written(file_at(file), wrong);
    }
}

/// Empty files of the right sizes; what was there before is thrown away, but for the notes, which are locked.
void Incoming::begin() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(part_, error)) {
        if (entry.path().filename() != kNotes) {
            std::error_code ignored;
            fs::remove_all(entry.path(), ignored);
        }
    }
    base::FileIo& io = base::FileIo::system();
    bytes_done_ = 0;
    open_.close();
    give_back_all();
    for (std::uint32_t i = 0; i < what_.files.size(); ++i) {
        have_[i].assign(have_[i].size(), false);
        make_room_for(i);
    }
    const std::string line = base::dump_json(to_json(what_)) + "\n";
    int wrong = io.truncate(notes_.get(), 0);
    wrong = wrong < 0 ? wrong : base::write_fully(io, notes_.get(), std::as_bytes(std::span(line)), 0);
    if (wrong < 0) {
        throw not_written(part_ / kNotes, wrong);
    }
    notes_end_ = line.size();
}

void Incoming::require_room(std::uint64_t keep_free) const {
    std::error_code error;
    const fs::space_info space = fs::space(part_, error);
    const std::uint64_t needed = what_.bytes() - bytes_done_;
    const std::uint64_t free = space.available > keep_free ? space.available - keep_free : 0;
    if (!error && needed > free) {
        throw Error(
            say("{} needs {} more bytes, and the disk has room for {}; make room first", target_, needed, free));
    }
}

std::optional<Range> Incoming::next() {
    for (; next_file_ < have_.size(); ++next_file_, next_range_ = 0) {
        for (; next_range_ < have_[next_file_].size(); ++next_range_) {
            const Range range = range_at(what_, next_file_, next_range_);
            if (!have_[next_file_][next_range_] && handed_out_.insert(range).second) {
                ++next_range_;
                return range;
            }
        }
    }
    return std::nullopt;
}

void Incoming::give_back(const Range& range) {
    handed_out_.erase(range);
    look_again();
}

void Incoming::give_back_all() {
    handed_out_.clear();
    look_again();
}

nlohmann::json Incoming::have() const {
    nlohmann::json list = nlohmann::json::array();
    for (std::uint32_t file = 0; file < have_.size(); ++file) {
        const std::vector<bool>& ranges = have_[file];
        for (std::size_t begin = 0; begin < ranges.size();) {
            std::size_t end = begin;
            while (end < ranges.size() && ranges[end]) {
                ++end;
            }
            if (end > begin) {
                list.push_back({file, begin, end - begin});
            }
            begin = end + 1;
        }
    }
    return list;
}

bool Incoming::write(const Range& range, std::span<const std::byte> bytes, const std::string& sha256) {
    const bool known = range.file < have_.size() && range.offset % protocol::kRangeBytes == 0 &&
                       range.offset / protocol::kRangeBytes < have_[range.file].size() &&
                       range == range_at(what_, range.file, range.offset / protocol::kRangeBytes);
    if (!known || finished_) {
        throw Error(say("{} has no such range of bytes", target_));
    }
    handed_out_.erase(range);
    if (bytes.size() != range.length || sha256_of(bytes) != sha256) {
        give_back(range);
        return false;
    }
    if (!open_ || open_file_ != range.file) {
        open_ = open_to_write(file_at(range.file));
        open_file_ = range.file;
    }
    if (const int wrong = base::write_fully(base::FileIo::system(), open_.get(), bytes, range.offset); wrong < 0) {
        give_back(range);
        throw not_written(file_at(range.file), wrong);
    }
    note(range);
    return true;
}

void Incoming::note(const Range& range) {
    const std::uint64_t index = range.offset / protocol::kRangeBytes;
    if (have_[range.file][index]) {
        return;
    }
    const std::string line = fmt::format("{} {}\n", range.file, index);
    base::FileIo& io = base::FileIo::system();
    if (const int wrong = base::write_fully(io, notes_.get(), std::as_bytes(std::span(line)), notes_end_); wrong < 0) {
        throw not_written(part_ / kNotes, wrong);
    }
    notes_end_ += line.size();
    have_[range.file][index] = true;
    bytes_done_ += range.length;
}

bool Incoming::finish(const std::vector<std::string>& sha256, const std::function<void()>& check) {
    if (!whole() || sha256.size() != what_.files.size() || finished_) {
        throw Error(say("{} is not whole yet", target_));
    }
    open_.close();
    for (std::uint32_t i = 0; i < what_.files.size(); ++i) {
        if (base::sha256_of_file(file_at(i), check) != sha256[i]) {
            begin();
            return false;
        }
    }
    put_in_place();
    return true;
}

void Incoming::put_in_place() {
    base::FileIo& io = base::FileIo::system();
    std::set<fs::path> folders{part_};
    for (std::uint32_t i = 0; i < what_.files.size(); ++i) {
        const base::Descriptor file = open_to_write(file_at(i));
        if (const int wrong = io.sync_data(file.get()); wrong < 0) {
            throw not_written(file_at(i), wrong);
        }
        for (fs::path folder = file_at(i).parent_path(); folder != part_; folder = folder.parent_path()) {
            folders.insert(folder);
        }
    }
    for (const fs::path& folder : folders) {
        io.sync_folder(folder);
    }
    const fs::path from = what_.folder ? part_ : file_at(0);
    // Whoever has made a file of that name meanwhile keeps it.
    const unsigned flags = what_.folder || !existing_.replaced ? RENAME_NOREPLACE : 0;
    int moved = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, target_.c_str(), flags);
    if (moved != 0 && (errno == EINVAL || errno == ENOSYS) && !base::is_there(target_)) {  // not of every file system
        moved = ::rename(from.c_str(), target_.c_str());
    }
    if (moved != 0) {
        throw not_written(target_, errno);
    }
    finished_ = true;
    std::error_code ignored;
    if (what_.folder) {
        fs::remove(target_ / kNotes, ignored);
    } else {
        fs::remove_all(part_, ignored);
    }
    io.sync_folder(target_.parent_path());
}

}  // namespace moescope::transfer
