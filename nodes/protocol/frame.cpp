#include "nodes/protocol/frame.hpp"

#include <algorithm>
#include <cstring>

#include "base/checksums.hpp"
#include "base/crc32c.hpp"
#include "base/json_fields.hpp"
#include "base/little_endian.hpp"

namespace moescope::protocol {

namespace {

constexpr std::size_t kCrcOffset = 24;

std::uint32_t checksum(std::span<const std::byte> header, std::span<const std::byte> body) {
    constexpr std::byte zero[4]{};
    std::uint32_t crc = base::crc32c(header.first(kCrcOffset));
    crc = base::crc32c(zero, crc);
    crc = base::crc32c(header.subspan(kCrcOffset + 4, kHeaderBytes - kCrcOffset - 4), crc);
    return base::crc32c(body, crc);
}

}  // namespace

Frame make_frame(FrameType type, std::vector<std::byte> body) {
    Frame frame;
    frame.type = static_cast<std::uint16_t>(type);
    frame.body = std::move(body);
    return frame;
}

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return {data, data + text.size()};
}

std::string body_text(std::span<const std::byte> body) {
    return {reinterpret_cast<const char*>(body.data()), body.size()};
}

void append_frame(std::vector<std::byte>& out, const Frame& frame) {
    const std::size_t start = out.size();  // room is left to the vector: exactly enough each time copies all each time
    base::Writer writer(out);
    writer.put(static_cast<std::uint32_t>(frame.body.size()));
    writer.put(frame.type);
    writer.put(frame.flags);
    writer.put(frame.channel);
    writer.put(frame.sequence);
    writer.put(frame.time_ns);
    writer.put(std::uint32_t{0});
    writer.put(frame.epoch);
    const std::uint32_t crc = checksum(std::span(out).subspan(start, kHeaderBytes), frame.body);
    std::memcpy(out.data() + start + kCrcOffset, &crc, sizeof crc);
    writer.put_bytes(frame.body.data(), frame.body.size());
}

void FrameReader::feed(std::span<const std::byte> bytes) {
    if (!error_.empty()) {
        return;
    }
    // Only here, so that a burst of small frames costs one move and not one per frame.
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
    start_ = 0;
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

std::optional<Frame> FrameReader::next() {
    const auto bytes = std::span<const std::byte>(buffer_).subspan(start_);
    if (!error_.empty() || bytes.size() < kHeaderBytes) {
        return std::nullopt;
    }
    base::Reader reader(bytes);
    const auto length = reader.get<std::uint32_t>();
    if (length > limit_) {
        error_ = base::say("a frame announces a body of {} bytes where at most {} are allowed", length, limit_);
        return std::nullopt;
    }
    if (bytes.size() < kHeaderBytes + length) {
        return std::nullopt;
    }
    Frame frame;
    frame.type = reader.get<std::uint16_t>();
    frame.flags = reader.get<std::uint8_t>();
    frame.channel = reader.get<std::uint8_t>();
    frame.sequence = reader.get<std::uint64_t>();
    frame.time_ns = reader.get<std::uint64_t>();
    const auto crc = reader.get<std::uint32_t>();
    frame.epoch = reader.get<std::uint32_t>();
    const auto body = bytes.subspan(kHeaderBytes, length);
    if (base::kChecksumsCount && crc != checksum(bytes.first(kHeaderBytes), body)) {
        error_ = base::say("a frame of type {} has a wrong checksum; the connection is damaged", frame.type);
        return std::nullopt;
    }
    frame.body.assign(body.begin(), body.end());
    start_ += kHeaderBytes + length;
    return frame;
}

}  // namespace moescope::protocol
