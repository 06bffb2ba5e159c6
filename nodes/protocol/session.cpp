#include "nodes/protocol/session.hpp"

#include <algorithm>

#include "base/little_endian.hpp"

namespace moescope::protocol {

nlohmann::json failed_answer(const base::Sentence& why) {
    nlohmann::json answer = {{"state", "failed"}};
    base::put_sentence(answer, "error", why);
    return answer;
}

bool is_command_id(std::string_view id) {
    return id.size() == 32 &&
           std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::vector<std::byte> encode_subscribe(const SubscribeBody& body) {
    std::vector<std::byte> bytes;
    base::Writer writer(bytes);
    writer.put(body.channel);
    const std::byte reserved[3]{};
    writer.put_bytes(reserved, sizeof reserved);
    writer.put(body.after.epoch);
    writer.put(body.after.sequence);
    if (body.whole_bytes) {
        writer.put(*body.whole_bytes);
    }
    return bytes;
}

std::optional<SubscribeBody> decode_subscribe(std::span<const std::byte> body) {
    base::Reader reader(body);
    SubscribeBody result;
    result.channel = reader.get<std::uint8_t>();
    reader.skip(3);
    result.after.epoch = reader.get<std::uint32_t>();
    result.after.sequence = reader.get<std::uint64_t>();
    if (reader.good() && reader.left() > 0) {
        result.whole_bytes = reader.get<std::uint64_t>();
    }
    if (!reader.good() || reader.left() != 0) {
        return std::nullopt;
    }
    return result;
}

std::vector<std::byte> encode_credit(const CreditBody& body) {
    std::vector<std::byte> bytes;
    base::Writer writer(bytes);
    writer.put(body.channel);
    const std::byte reserved[3]{};
    writer.put_bytes(reserved, sizeof reserved);
    writer.put(body.bytes);
    return bytes;
}

std::optional<CreditBody> decode_credit(std::span<const std::byte> body) {
    base::Reader reader(body);
    CreditBody result;
    result.channel = reader.get<std::uint8_t>();
    reader.skip(3);
    result.bytes = reader.get<std::uint32_t>();
    if (!reader.good() || reader.left() != 0) {
        return std::nullopt;
    }
    return result;
}

Actions Heartbeat::ping(double now) {
    sent_ = now;
    std::vector<std::byte> body;
    base::Writer(body).put(now);
    return {SendFrame{make_frame(FrameType::ping, std::move(body))}};
}

Actions Heartbeat::ping_when_due(double now) {
    return now - sent_ < kPingSeconds ? Actions{} : ping(now);
}

std::optional<Actions> Heartbeat::on_ping_or_pong(Frame frame, double now) {
    if (frame.type == static_cast<std::uint16_t>(FrameType::ping)) {
        if (frame.body.size() != sizeof(double)) {
            return std::nullopt;
        }
        return Actions{SendFrame{make_frame(FrameType::pong, std::move(frame.body))}};
    }
    base::Reader reader(frame.body);
    const auto sent = reader.get<double>();
    // The comparisons are false for a NaN too.
    if (reader.good() && reader.left() == 0 && sent <= now && now - sent < 2 * kDeadSeconds) {
        return Actions{RoundTrip{now - sent}};
    }
    return Actions{};
}

}  // namespace moescope::protocol
