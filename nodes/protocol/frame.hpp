// Frames of the wire: a 32-byte little-endian header and a body. The codec only; what a frame means stands in the
// sessions.
//
// Layout: length u32 (of the body), type u16, flags u8, channel u8, sequence u64, time_ns u64, crc32c u32 (of the
// header with this field zero, then the body), epoch u32.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::protocol {

inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::size_t kGreetingBodyLimit = 4 * 1024;  ///< either side, until the greeting is done
inline constexpr std::size_t kControlBodyLimit = 64 * 1024;  ///< what a node accepts from a viewer
inline constexpr std::size_t kDataBodyLimit = 1024 * 1024;   ///< what a viewer accepts from a node; the largest record
inline constexpr std::uint8_t kFlagSkippable = 1;            ///< an unknown type may be skipped
inline constexpr std::uint16_t kDataTypeBase = 0x8000;       ///< DATA frames are 0x8000 + record type

enum class FrameType : std::uint16_t {
    hello = 1,
    refuse = 2,
    auth_ok = 3,
    auth = 4,
    request = 10,
    response = 11,
    subscribe = 12,
    unsubscribe = 13,
    credit = 14,
    gap = 16,
    state = 17,
    ping = 18,
    pong = 19,
    bye = 20,
    // Files in pieces, see ranges.hpp.
    pull = 21,
    push = 22,
    chunk = 23,
    range = 24,
};

struct Frame {
    std::uint16_t type = 0;
    std::uint8_t flags = 0;
    std::uint8_t channel = 0;
    std::uint64_t sequence = 0;
    std::uint64_t time_ns = 0;  ///< wall clock
    std::uint32_t epoch = 0;
    std::vector<std::byte> body;

    bool operator==(const Frame&) const = default;
};

/// Bytes of a frame on the wire; what credits count.
inline std::size_t frame_bytes(const Frame& frame) {
    return kHeaderBytes + frame.body.size();
}
inline bool is_data(const Frame& frame) {
    return frame.type >= kDataTypeBase;
}

/// A control frame with this body.
Frame make_frame(FrameType type, std::vector<std::byte> body = {});
/// A frame's body as text, for REFUSE and BYE.
std::vector<std::byte> bytes_of(std::string_view text);
std::string body_text(std::span<const std::byte> body);

/// Appends the frame's bytes to `out`, in time that does not depend on what is in it already.
void append_frame(std::vector<std::byte>& out, const Frame& frame);

/// Cuts a stream of bytes into frames. Holds at most one incomplete frame beyond what was fed: a length over the limit
/// is an error before a byte of the body is kept.
class FrameReader {
 public:
    explicit FrameReader(std::size_t body_limit = kGreetingBodyLimit) : limit_(body_limit) {}
    /// Counts from the next frame on.
    void set_body_limit(std::size_t limit) { limit_ = limit; }

    void feed(std::span<const std::byte> bytes);
    /// The next whole frame. Nothing when more bytes are needed or after an error.
    std::optional<Frame> next();
    /// One sentence once the stream is broken; empty while it is whole. There is no way back from an error.
    const base::Sentence& error() const { return error_; }
    /// Bytes that wait for the rest of their frame.
    std::size_t pending() const { return buffer_.size() - start_; }

 private:
    std::vector<std::byte> buffer_;
    std::size_t start_ = 0;
    std::size_t limit_;
    base::Sentence error_;
};

}  // namespace moescope::protocol
