// A segment file that no more records come to, packed: segments/seg-000001.wbp takes the place of seg-000001.wbj and
// holds the same records. What is needed to open a journal stands in its index, so that no record is read for it.
// Internal to this folder and its tests.
//
// Layout, little-endian: "MOESWBP" 0x01; index size u32, crc32c u32 of the index; index; the parts of all blocks
// (packed_records.hpp), tails before heads; the index once more; its size and checksum once more, "MOESWBPE". So one
// damaged place costs the records of one part at most. Index: epoch u32, link (epoch u32, sequence u64, records u64: as
// a segment's, segment.hpp), first sequence u64, last sequence u64, bytes u64 that its records take unpacked, blocks
// u32; of each block channel u8, 3 bytes reserved (0), records u32, first sequence u64, last sequence u64, bytes u64
// (unpacked, as stored in a segment), place of its heads (offset u64 from the first part, size u32, crc32c u32), parts
// of tails u32, groups u32; of each part of tails records u32, place; of each group number u32, bytes u64. A block has
// records of one channel, all of it that there are between its first and its last.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>

#include "sessions/packed_records.hpp"
#include "sessions/segment.hpp"

namespace moescope::sessions {

struct PartPlace {
    std::uint64_t offset = 0;  ///< in the file
    std::uint32_t size = 0, crc = 0;
};
struct TailPart {
    std::uint32_t records = 0;
    PartPlace place;
};
/// Bytes of the records of one group (a run) in a block, of those that have tails.
struct GroupBytes {
    std::uint32_t group = 0;
    std::uint64_t bytes = 0;
};
struct PackedBlock {
    std::uint8_t channel = 0;
    std::uint32_t records = 0;
    Position first, last;
    std::uint64_t bytes = 0;  ///< of its records in a segment that is not packed
    PartPlace heads;
    std::vector<TailPart> tails;  ///< in order; none when every head is whole
    std::vector<GroupBytes> groups;
};
struct PackedIndex {
    std::uint32_t epoch = 0;
    SegmentLink link;
    Position first, last;  ///< of all channels; none is missing between
    std::uint64_t bytes = 0;
    std::vector<PackedBlock> blocks;  ///< of one channel in order, the channels rising
};

/// Packs the records of a segment, which come channel after channel.
class SegmentPacker {
 public:
    explicit SegmentPacker(PartsOf parts_of) : parts_of_(parts_of) {}
    /// False when what was packed before does not come out as it went in: then the segment must stay as it is.
    bool add(Record record);
    /// The file; `index` gets its blocks. Nothing as of add().
    std::optional<std::vector<std::byte>> finish(PackedIndex& index);

 private:
    bool end_block();
    bool end_tails(std::size_t end);
    PartPlace put(const std::vector<std::byte>& part, std::vector<std::byte>& where);

    PartsOf parts_of_;
    std::vector<Record> records_;  ///< of the block that is being made
    std::vector<std::uint32_t> heads_;
    std::size_t head_bytes_ = 0, tail_bytes_ = 0, tails_from_ = 0;
    std::vector<std::byte> head_parts_, tail_parts_;
    PackedBlock block_;
    std::vector<PackedBlock> blocks_;
};

struct PackedFile {
    std::optional<PackedIndex> index;  ///< with offsets in the file
    std::uint64_t size = 0;            ///< of the file
    std::vector<Damage> damage;        ///< without an index: why
};
/// Reads the index only. Does not throw.
PackedFile read_packed_file(const std::filesystem::path& file);
/// Nothing when the bytes are not there or are not those that were written.
std::optional<std::vector<std::byte>> read_part(int file, const PartPlace& place);

}  // namespace moescope::sessions
