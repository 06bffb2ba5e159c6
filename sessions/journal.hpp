// The journal of a session: an append-only sequence of records in segment files, written by one thread and read by
// offset. What was acknowledged as durable survives kill -9; a torn tail is cut off on opening, a damaged record in the
// middle is skipped and reported.
//
// Segment file segments/seg-000001.wbj, little-endian: 16-byte file header, then records: 4-byte magic, the 32-byte
// frame header of the wire (nodes/protocol/frame.hpp has the same fields: length u32, type u16, flags u8, channel u8,
// sequence u64, time_ns u64, crc32c u32 over header and body, epoch u32), body. The first record of a segment is its
// link (segment.hpp): how many records there were before it. journal.lock, which the writer locks, says how many there
// are (as of the last time that they were made durable). So a journal knows how many are missing, whatever file is
// gone. A segment that is full is packed (packed_segment.hpp) when the writer asked for that: its records stay the
// same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file_io.hpp"

namespace moescope::sessions {

using base::Error;
using base::say;
using base::Sentence;

struct Record {
    std::uint32_t epoch = 0;  ///< one node start; sequences start again at 1 in each epoch
    std::uint64_t sequence = 0;
    std::uint64_t time_ns = 0;  ///< wall clock
    std::uint16_t type = 0;
    std::uint8_t channel = 0;
    std::vector<std::byte> body;
};

/// Where a reader stands: the next record to read is the first one after (epoch, sequence).
struct Position {
    std::uint32_t epoch = 0;
    std::uint64_t sequence = 0;
    auto operator<=>(const Position&) const = default;
};

struct Damage {
    std::string file;
    std::uint64_t offset = 0, bytes = 0;
    base::Sentence what;
};

/// Records that were written and can't be read any more: those after `after` up to and with `until`.
struct Hole {
    Position after, until;
    std::uint64_t count = 0;
    std::uint8_t channel = 0;  ///< 0: not known
};

/// The largest body of a record.
inline constexpr std::size_t kRecordLimit = 1024 * 1024;

/// What whoever packs records must know of one, and this folder does not.
struct RecordParts {
    std::size_t head = 0;     ///< so many bytes of the body are wanted by who reads the heads of a long session only
    std::uint32_t group = 0;  ///< the run that it belongs to
};
using PartsOf = RecordParts (*)(std::uint16_t type, std::span<const std::byte> body);

/// Records of one channel, none missing between them, as they are packed in the files; without their tails.
struct PackedHeads {
    Position first, last;
    std::uint32_t records = 0;
    std::vector<std::byte> bytes;  ///< for unpack_heads() of packed_records.hpp
};

/// Another program writes to the session.
class InUse : public Error {
 public:
    using Error::Error;
};

/// For tests; the defaults are what the program uses.
struct JournalOptions {
    base::FileIo* io = nullptr;                         ///< nullptr: the system's calls. Must outlive the journal
    std::uint64_t segment_bytes = 64ull * 1024 * 1024;  ///< a new segment file begins beyond this
    int sync_milliseconds = 500;                        ///< of the background thread; 0: none
    std::uint64_t pack_bytes = 1024 * 1024;             ///< a full segment of fewer bytes is not packed
};

class Journal {
 public:
    enum class Mode { read_only, read_write };
    /// Opens or creates `folder`/segments. Read-write starts a new epoch and takes a lock (a second writer is refused:
    /// InUse). Throws std::runtime_error with the file name.
    static std::unique_ptr<Journal> open(const std::filesystem::path& folder, Mode mode);
    static std::unique_ptr<Journal> open(const std::filesystem::path& folder, Mode mode, const JournalOptions& options);
    virtual ~Journal() = default;

    /// Appends and gives the record's sequence. Thread safe. Throws std::runtime_error on a full disk and when the
    /// session's folder was removed or moved away (nothing half-written stays visible, the sequence is used again, and
    /// a later append may succeed), on a body over kRecordLimit and in read-only mode.
    virtual std::uint64_t append(std::uint16_t type, std::uint8_t channel, std::uint64_t time_ns,
                                 std::span<const std::byte> body) = 0;
    /// Makes everything appended so far durable (fdatasync). A background thread does so every 500 ms by itself. Throws
    /// std::runtime_error when the disk refused, also for a refusal that the background thread met since the last call:
    /// what was appended in between may be lost on a power cut. The journal then goes on in a new segment file, as an
    /// fsync that failed once can't be trusted on the same file again.
    virtual void sync() = 0;

    /// Up to `max_records` and `max_bytes` (but at least one, if there is one) records of one channel after `from`, in
    /// order. Thread safe, also while another thread appends. Reads from the files. `holes`: gets what is missing
    /// between `from` and the last record given (the journal's end when there is none); a hole whose channel is not
    /// known belongs to channel 1.
    virtual std::vector<Record> read(std::uint8_t channel, Position from, std::size_t max_records,
                                     std::size_t max_bytes, std::vector<Hole>* holes = nullptr) const = 0;
    /// The heads of the records that come next after `from`, when these are packed and at least `whole_bytes` of
    /// records of each of their groups are packed behind them; else nothing, and read() gives them. For who has no use
    /// for whole records but the newest ones. Thread safe.
    virtual std::optional<PackedHeads> read_heads(std::uint8_t channel, Position from,
                                                  std::uint64_t whole_bytes) const {
        (void)channel, (void)from, (void)whole_bytes;
        return std::nullopt;
    }
    /// In read-write mode: from now on a thread packs each segment that is full, those of earlier starts too; what
    /// can't be packed stays as it is. `parts_of` is called by that thread.
    virtual void pack_with(PartsOf parts_of) { (void)parts_of; }
    /// The same by the calling thread, now, of all that are full. Gives how many were packed.
    virtual std::size_t pack_now(PartsOf parts_of) {
        (void)parts_of;
        return 0;
    }
    virtual Position last() const = 0;  ///< of any channel
    virtual std::uint32_t epoch() const = 0;
    virtual std::uint64_t bytes() const = 0;  ///< of all segments
    /// In read-only mode: takes up what another program has appended since, and gives whether that was anything.
    /// Readers find it from then on; the function of on_append() is called. Does not throw: what can't be read now is
    /// looked at again the next time. From one thread. Nothing in read-write mode.
    virtual bool follow() { return false; }
    /// Found on opening (a torn tail included), and records that could not be read back later.
    virtual std::vector<Damage> damage() const = 0;
    /// How many records are known to be lost: found on opening from the numbers of the others and from what the journal
    /// says of itself, and those that could not be read back later. A torn tail was never acknowledged and is not among
    /// them.
    virtual std::uint64_t lost() const { return 0; }
    /// Empty, or why nothing can be written now: the file that is written was removed or moved away.
    virtual base::Sentence out_of_place() const { return {}; }
    /// Called (on the appending thread, outside the journal's lock) after each append; for waking senders. Replaces the
    /// earlier callback and returns when that one no longer runs; an empty function takes it away.
    virtual void on_append(std::function<void()> callback) = 0;
};

}  // namespace moescope::sessions
