// A file or a folder that comes from another machine, put together beside its place: NAME.part is a folder with the
// files and with notes on which ranges are verified. After a cut or a kill it goes on with those that are missing. One
// program at a time fills it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/file_io.hpp"
#include "nodes/transfer/description.hpp"
#include "sessions/outputs.hpp"

namespace moescope::transfer {

/// Not thread safe.
class Incoming {
 public:
    /// Begins, or goes on with what an earlier one has left of the same version; what it has left of another one is
    /// thrown away (afresh()). `keep_free`: bytes that shall stay free on the disk. Throws base::Error before a byte is
    /// written: the target may not be written there (as sessions::OutputFile; a folder that is there is never
    /// replaced), the disk has not enough room, another program fills it, something else has the name NAME.part.
    Incoming(std::filesystem::path target, Description what, sessions::Existing existing, std::uint64_t keep_free = 0);
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;
    ~Incoming();  ///< what is there stays, to go on with

    const Description& what() const { return what_; }
    const std::filesystem::path& target() const { return target_; }
    const std::filesystem::path& part() const { return part_; }  ///< the folder NAME.part
    bool afresh() const { return afresh_; }
    std::uint64_t bytes_done() const { return bytes_done_; }  ///< verified
    /// The next range that is missing and was not handed out; nothing when there is none.
    std::optional<Range> next();
    void give_back(const Range& range);  ///< it was handed out and will not come
    void give_back_all();
    bool whole() const { return bytes_done_ == what_.bytes(); }
    /// How many ranges at the beginning of each file are verified, and which after these: [[file, first, count]].
    nlohmann::json have() const;

    /// Writes a range and notes it. False when the bytes do not have that hash: then nothing was written. Throws
    /// base::Error: no such range, or the disk takes nothing more.
    bool write(const Range& range, std::span<const std::byte> bytes, const std::string& sha256);
    /// Gives the files their place when each has the hash in `sha256`, in their order, and makes them durable. False
    /// when one has another: then all is thrown away and begins anew. `check` as of base::sha256_of_file(). Throws
    /// base::Error, and the parts stay.
    bool finish(const std::vector<std::string>& sha256, const std::function<void()>& check = {});

 private:
    std::filesystem::path file_at(std::uint32_t file) const { return part_ / what_.files[file].path; }
    void lock();
    bool take_notes();  ///< of an earlier one of the same version
    void begin();
    void make_room_for(std::uint32_t file) const;  ///< an empty file of the right size
    void look_again() { next_file_ = 0, next_range_ = 0; }
    void note(const Range& range);
    void require_room(std::uint64_t keep_free) const;
    void put_in_place();

    std::filesystem::path target_, part_;
    Description what_;
    sessions::Existing existing_;
    bool afresh_ = false, finished_ = false;
    std::vector<std::vector<bool>> have_;  ///< by file and range
    std::set<Range> handed_out_;
    std::uint32_t next_file_ = 0;  ///< before these nothing is missing that was not handed out
    std::uint64_t next_range_ = 0, bytes_done_ = 0;
    base::Descriptor notes_, open_;  ///< the former holds the lock
    std::uint32_t open_file_ = 0;    ///< which one `open_` is
    std::uint64_t notes_end_ = 0;
};

}  // namespace moescope::transfer
