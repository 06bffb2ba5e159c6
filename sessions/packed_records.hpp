// Many records of one channel in few bytes. Pure. Records of one type and length stand as rows of a table whose columns
// are what repeats from record to record (the same field of each step, byte by byte): a column that never changes is
// kept once, one that grows evenly as differences, and zstd takes what is left. A record is cut in two: the head, which
// who opens a long session reads of every record, and the tail, which is read when the record is wanted whole.
//
// A packed part is: layout u8 (1), method u8 (0 as it is, 1 zstd), reserved u16 (0), bytes before packing u32, then the
// bytes. Those of heads: number of records u32, epoch u32, then per record as LEB128: sequence less the one before,
// time less the one before plus the difference before that (zigzag), type, length of the body, length of its head; then
// the tables of heads. Those of tails: the tables only; the heads say how long each row is. A table is all records of
// one type and row length, in the order of the first of each; of fewer than four rows they stand as they are, else one
// byte for each column (0 as it is, 1 differences modulo 256, 2 never changes), one byte for each column of kind 2,
// then the others.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sessions/journal.hpp"

namespace moescope::sessions {

inline constexpr std::size_t kMostPackedRecords = 16'384;                ///< in one block
inline constexpr std::size_t kMostUnpackedBytes = std::size_t{8} << 20;  ///< of one part

/// One record of a block.
struct PackedRecord {
    Position at;
    std::uint64_t time_ns = 0;
    std::uint16_t type = 0;
    std::uint32_t length = 0;         ///< of the body
    std::span<const std::byte> head;  ///< of the body, so many bytes from its beginning
};
struct Heads {
    std::vector<PackedRecord> records;
    std::vector<std::byte> bytes;  ///< what the heads are spans into
};
/// Tails, one for each record, into `bytes`.
struct Tails {
    std::vector<std::span<const std::byte>> of;
    std::vector<std::byte> bytes;
};

/// Records of one epoch in order, and how much of each body is its head (no more than the body is long).
std::vector<std::byte> pack_heads(std::span<const Record> records, std::span<const std::uint32_t> heads);
std::vector<std::byte> pack_tails(std::span<const Record> records, std::span<const std::uint32_t> heads);

/// From outside: every count is checked before anything is allocated for it. Nothing when a part is no such thing.
std::optional<Heads> unpack_heads(std::span<const std::byte> packed);
/// `records`: those that the part is of.
std::optional<Tails> unpack_tails(std::span<const std::byte> packed, std::span<const PackedRecord> records);

}  // namespace moescope::sessions
