// Files in pieces between a node and a viewer. An object is a file or a folder of files that the node has opened for a
// viewer (files.open, files.receive) under an id that nobody can guess. The viewer asks for ranges of its files (PULL)
// or sends them (PUSH); the bytes of a range travel as CHUNK frames, in order, and RANGE ends it: with the SHA-256 of
// what was read, or whether what came was kept. What was asked for is the credit: nobody sends more than that, and at
// most kMaximumRanges are under way on one connection.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/protocol/frame.hpp"

namespace moescope::protocol {

inline constexpr std::string_view kFilesFeature = "files";     ///< of a node that has these frames
inline constexpr std::uint32_t kRangeBytes = 4 * 1024 * 1024;  ///< the longest range
inline constexpr std::size_t kChunkBytes = 60 * 1024;          ///< the longest piece of one
inline constexpr std::size_t kMaximumRanges = 4;               ///< under way, per connection

using ObjectId = std::array<std::uint8_t, 16>;
std::string to_text(const ObjectId& id);  ///< 32 lower-case hex digits
std::optional<ObjectId> object_named(std::string_view text);

/// A part of a file of an object. `number` is chosen by the viewer; no two under way on a connection have the same.
struct RangeOrder {
    std::uint32_t number = 0;
    ObjectId object{};
    std::uint32_t file = 0;  ///< from 0, in the order of the object's description
    std::uint64_t offset = 0;
    std::uint32_t length = 0;  ///< 1 to kRangeBytes

    bool operator==(const RangeOrder&) const = default;
};
std::vector<std::byte> encode_range_order(const RangeOrder& order);
/// Nothing for a length that no range has, and for an end beyond what can be counted.
std::optional<RangeOrder> decode_range_order(std::span<const std::byte> body);

/// PUSH: the order, and the SHA-256 (64 lower-case hex digits; 32 bytes on the wire) of what follows in chunks.
struct PushBody {
    RangeOrder order;
    std::string sha256;

    bool operator==(const PushBody&) const = default;
};
std::vector<std::byte> encode_push(const PushBody& body);
std::optional<PushBody> decode_push(std::span<const std::byte> body);

struct ChunkBody {
    std::uint32_t number = 0;
    std::uint64_t offset = 0;  ///< in the file
    std::span<const std::byte> bytes;
};
std::vector<std::byte> encode_chunk(const ChunkBody& chunk);
/// The bytes are those of `body`.
std::optional<ChunkBody> decode_chunk(std::span<const std::byte> body);

struct RangeEnd {
    enum class State : std::uint8_t {
        whole = 0,      ///< sent, or kept
        failed = 1,     ///< `error` says why; asking again is of no use
        differs = 2,    ///< of a PUSH: the bytes do not have the hash; send them again
        open_again = 3  ///< the node has forgotten the object, or its file is another by now; `error` says which
    };
    std::uint32_t number = 0;
    State state = State::whole;
    std::string sha256;  ///< of a PULL that is whole; else empty
    base::Sentence error;

    bool operator==(const RangeEnd&) const = default;
};
std::vector<std::byte> encode_range_end(const RangeEnd& end);
std::optional<RangeEnd> decode_range_end(std::span<const std::byte> body);

/// Puts together what comes in chunks. Memory grows with what has come, never with what was announced.
class RangeAssembly {
 public:
    /// False: too many are under way, or this number is.
    bool begin(RangeOrder order, std::string sha256 = {});
    /// False: of no range under way, or not its next bytes.
    bool add(const ChunkBody& chunk);
    struct Range {
        RangeOrder order;
        std::string sha256;  ///< as begin() was told
        std::vector<std::byte> bytes;
    };
    bool whole(std::uint32_t number) const;
    /// Takes it out, whole or not; nothing when none of that number is under way.
    std::optional<Range> take(std::uint32_t number);
    bool contains(std::uint32_t number) const { return ranges_.contains(number); }

 private:
    std::map<std::uint32_t, Range> ranges_;
};

/// Ranges on their way out, one frame at a time, so that whatever else is to be sent goes in between.
class RangeSender {
 public:
    /// `before` and `after` go out as they are in front of and behind the chunks.
    void add(const RangeOrder& order, std::vector<std::byte> bytes, std::optional<Frame> before,
             std::optional<Frame> after);
    bool empty() const { return waiting_.empty(); }
    Frame next();  ///< not when empty()

 private:
    struct Waiting {
        RangeOrder order;
        std::vector<std::byte> bytes;
        std::size_t sent = 0;
        std::optional<Frame> before, after;
    };
    std::deque<Waiting> waiting_;
};

}  // namespace moescope::protocol
