// A chunk as bytes of a trace file: a header with its own checksum, then parts, one for each kind of column, each
// packed with zstd and with a checksum of its own. A reader takes the parts that it wants; the bytes are untrusted.
// Private to this folder.
//
//   u32 mark "MTCK"  u32 parts  u64 number of the first token  u32 tokens  u32 load samples
//   parts x { u32 kind  u32 bytes unpacked  u32 bytes packed  u32 CRC-32C of the packed bytes }
//   u32 CRC-32C of all of the above
//   the packed bytes of each part, in the order of the parts
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::routing {

enum class Part : std::uint32_t { tokens = 1, texts, chosen, ids, weights, margins, entropies, loads };

inline constexpr std::uint32_t kChunkMark = 0x4b43544d;
inline constexpr std::size_t kMostParts = 16, kMostPartBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMostHeaderBytes = 24 + kMostParts * 16 + 4;
inline constexpr std::size_t kMostChunkTokens = kDecisionsOfChunk;

struct PartEntry {
    std::uint32_t kind = 0, raw = 0, packed = 0, crc = 0;
};
struct ChunkHeader {
    std::uint64_t first = 0;
    std::uint32_t tokens = 0, samples = 0;
    std::vector<PartEntry> parts;
    std::size_t header_bytes = 0;
    std::uint64_t packed_bytes = 0;  ///< of all parts
};

std::vector<std::byte> encode_chunk(const Chunk& chunk);

/// Nothing when `bytes` do not begin with the sound header of a chunk that fits `shape` and has each kind of part once
/// at most; they may be cut.
std::optional<ChunkHeader> read_chunk_header(std::span<const std::byte> bytes, const Shape& shape);

/// What of `wanted` (Columns) a part holds.
bool holds_wanted(const PartEntry& part, unsigned wanted);

/// Takes parts in the order of the file. Each function gives false when the part is damaged.
class ChunkDecoder {
 public:
    ChunkDecoder(const ChunkHeader& header, const Shape& shape);
    bool take(const PartEntry& part, std::span<const std::byte> packed);
    /// Null when a part is missing without which there is nothing to show.
    std::shared_ptr<Chunk> finish(unsigned wanted);

 private:
    bool take_tokens(std::span<const std::byte> raw);
    bool take_texts(std::span<const std::byte> raw);
    bool take_chosen(std::span<const std::byte> raw);
    bool take_ids(std::span<const std::byte> raw);
    bool take_weights(std::span<const std::byte> raw);
    bool take_codes(std::span<const std::byte> raw, std::vector<float>& into, float (*value_of)(std::uint16_t));
    bool take_loads(std::span<const std::byte> raw);

    const Shape shape_;
    const std::uint32_t samples_;
    std::shared_ptr<Chunk> chunk_;
    std::size_t all_chosen_ = 0, decisions_ = 0;  ///< experts; decisions with any
    bool has_chosen_ = false;
    std::vector<std::byte> raw_;
};

}  // namespace moescope::routing
