// The layout of one segment file and how it is read back when parts of it are damaged. Internal to this folder and its
// tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sessions/journal.hpp"

namespace moescope::sessions {

inline constexpr std::size_t kSegmentHeaderBytes =
    16;  ///< "MOESWBJ" 0x01, epoch u32, crc32c u32 of the 12 bytes before
inline constexpr std::size_t kRecordMagicBytes = 4;
inline constexpr std::size_t kRecordHeaderBytes = 32;
inline constexpr std::size_t kRecordOverhead = kRecordMagicBytes + kRecordHeaderBytes;
/// The header and the link, which every segment begins with since November 2026.
inline constexpr std::size_t kSegmentBeginBytes = kSegmentHeaderBytes + kRecordOverhead + 8;

/// What was in the journal when a segment was begun: from it a reader learns what is missing before. A record of type 0
/// on channel 0 with `last` as its position and `records` u64 as its body.
struct SegmentLink {
    Position last;              ///< of the newest record
    std::uint64_t records = 0;  ///< ever appended, lost ones included
};

/// Where a whole record stands; `offset` is that of its magic.
struct RecordPlace {
    Position position;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;  ///< of the body
    std::uint16_t type = 0;
    std::uint8_t channel = 0;
};

/// Header and link.
std::vector<std::byte> encode_segment_begin(std::uint32_t epoch, const SegmentLink& link);
/// Magic, header with checksum, body.
std::vector<std::byte> encode_record(Position position, std::uint64_t time_ns, std::uint16_t type, std::uint8_t channel,
                                     std::span<const std::byte> body);
/// The record that begins exactly at the start of `bytes`, when it is whole and its checksum fits; `body` of the result
/// is filled.
std::optional<Record> decode_record(std::span<const std::byte> bytes);

struct SegmentScan {
    bool usable = false;  ///< a segment of this format that could be read to its end
    bool begun = false;   ///< it ends within header and link, as when its writer was killed before anything was in it
    std::uint32_t epoch = 0;  ///< from the header; 0 when that is damaged
    std::uint64_t end = 0;    ///< after the last whole record: where a torn tail begins, and where a later scan goes on
    std::uint64_t size = 0;   ///< of the file
    std::optional<SegmentLink> link;
    std::vector<RecordPlace> records;  ///< without the link
    std::vector<Damage> damage;        ///< the torn tail is the last one, when end < size
};
/// Reads a whole segment, skipping what is damaged. Does not throw: a file that can't be read, or is none, is damage.
/// With `from`, the `end` of an earlier scan, only what has come since.
SegmentScan scan_segment(const std::filesystem::path& file, std::uint64_t from = 0);

}  // namespace moescope::sessions
