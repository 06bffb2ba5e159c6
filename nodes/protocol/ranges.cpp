#include "nodes/protocol/ranges.hpp"

#include <algorithm>
#include <limits>

#include "base/json_guard.hpp"
#include "base/little_endian.hpp"

namespace moescope::protocol {

namespace {

constexpr std::size_t kHashBytes = 32;
constexpr std::string_view kDigits = "0123456789abcdef";

std::string hex(std::span<const std::uint8_t> bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

/// Fills `out` with what the digits say; false when these are others, or not as many.
bool from_hex(std::string_view text, std::span<std::uint8_t> out) {
    if (text.size() != 2 * out.size()) {
        return false;
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto high = kDigits.find(text[2 * i]), low = kDigits.find(text[2 * i + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos) {
            return false;
        }
        out[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return true;
}

void put_hash(base::Writer& writer, std::string_view sha256) {
    std::array<std::uint8_t, kHashBytes> bytes{};
    from_hex(sha256, bytes);  // zeros for none
    writer.put_bytes(bytes.data(), bytes.size());
}

template <std::size_t count>
std::array<std::uint8_t, count> get_bytes(base::Reader& reader) {
    std::array<std::uint8_t, count> bytes{};
    for (auto& byte : bytes) {
        byte = reader.get<std::uint8_t>();
    }
    return bytes;
}

void put_order(base::Writer& writer, const RangeOrder& order) {
    writer.put(order.number);
    writer.put(order.file);
    writer.put(order.offset);
    writer.put(order.length);
    writer.put(std::uint32_t{0});
    writer.put_bytes(order.object.data(), order.object.size());
}

std::optional<RangeOrder> get_order(base::Reader& reader) {
    RangeOrder order;
    order.number = reader.get<std::uint32_t>();
    order.file = reader.get<std::uint32_t>();
    order.offset = reader.get<std::uint64_t>();
    order.length = reader.get<std::uint32_t>();
    reader.skip(4);
    order.object = get_bytes<std::tuple_size_v<ObjectId>>(reader);
    constexpr auto kEnd = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!reader.good() || order.length == 0 || order.length > kRangeBytes || order.offset > kEnd - order.length) {
        return std::nullopt;
    }
    return order;
}

}  // namespace

std::string to_text(const ObjectId& id) {
    return hex(id);
}

std::optional<ObjectId> object_named(std::string_view text) {
    ObjectId id{};
    return from_hex(text, id) ? std::optional(id) : std::nullopt;
}

std::vector<std::byte> encode_range_order(const RangeOrder& order) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    put_order(writer, order);
    return body;
}

std::optional<RangeOrder> decode_range_order(std::span<const std::byte> body) {
    base::Reader reader(body);
    const auto order = get_order(reader);
    return order && reader.left() == 0 ? order : std::nullopt;
}

std::vector<std::byte> encode_push(const PushBody& push) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    put_order(writer, push.order);
    put_hash(writer, push.sha256);
    return body;
}

std::optional<PushBody> decode_push(std::span<const std::byte> body) {
    base::Reader reader(body);
    const auto order = get_order(reader);
    const auto hash = get_bytes<kHashBytes>(reader);
    if (!order || !reader.good() || reader.left() != 0) {
        return std::nullopt;
    }
    return PushBody{*order, hex(hash)};
}

std::vector<std::byte> encode_chunk(const ChunkBody& chunk) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put(chunk.number);
    writer.put(std::uint32_t{0});
    writer.put(chunk.offset);
    writer.put_array(chunk.bytes);
    return body;
}

std::optional<ChunkBody> decode_chunk(std::span<const std::byte> body) {
    base::Reader reader(body);
    ChunkBody chunk;
    chunk.number = reader.get<std::uint32_t>();
    reader.skip(4);
    chunk.offset = reader.get<std::uint64_t>();
    if (!reader.good() || reader.left() == 0 || reader.left() > kChunkBytes) {
        return std::nullopt;
    }
    chunk.bytes = body.last(reader.left());
    return chunk;
}

std::vector<std::byte> encode_range_end(const RangeEnd& end) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put(end.number);
    writer.put(end.state);
    const std::byte reserved[3]{};
    writer.put_bytes(reserved, sizeof reserved);
    put_hash(writer, end.sha256);
    if (!end.error.empty()) {
        nlohmann::json error = nlohmann::json::object();
        base::put_sentence(error, "error", end.error);
        const std::string text = base::dump_json(error);
        writer.put_bytes(text.data(), text.size());
    }
    return body;
}

std::optional<RangeEnd> decode_range_end(std::span<const std::byte> body) {
    base::Reader reader(body);
    RangeEnd end;
    end.number = reader.get<std::uint32_t>();
    const auto state = reader.get<std::uint8_t>();
    reader.skip(3);
    const auto hash = get_bytes<kHashBytes>(reader);
    if (!reader.good() || state > static_cast<std::uint8_t>(RangeEnd::State::open_again)) {
        return std::nullopt;
    }
    end.state = static_cast<RangeEnd::State>(state);
    if (hash != decltype(hash){}) {
        end.sha256 = hex(hash);
    }
    if (reader.left() > 0) {
        const auto error = base::parse_object(body.last(reader.left()), kControlBodyLimit);
        if (!error) {
            return std::nullopt;
        }
        end.error = base::sentence_in(*error, "error");
    }
    return end;
}

bool RangeAssembly::begin(RangeOrder order, std::string sha256) {
    if (ranges_.size() >= kMaximumRanges) {
        return false;
    }
    return ranges_.try_emplace(order.number, Range{order, std::move(sha256), {}}).second;
}

bool RangeAssembly::add(const ChunkBody& chunk) {
    const auto found = ranges_.find(chunk.number);
    if (found == ranges_.end()) {
        return false;
    }
    Range& range = found->second;
    if (chunk.offset != range.order.offset + range.bytes.size() ||
        chunk.bytes.size() > range.order.length - range.bytes.size()) {
        return false;
    }
    range.bytes.insert(range.bytes.end(), chunk.bytes.begin(), chunk.bytes.end());
    return true;
}

bool RangeAssembly::whole(std::uint32_t number) const {
    const auto found = ranges_.find(number);
    return found != ranges_.end() && found->second.bytes.size() == found->second.order.length;
}

std::optional<RangeAssembly::Range> RangeAssembly::take(std::uint32_t number) {
    auto node = ranges_.extract(number);
    return node.empty() ? std::nullopt : std::optional(std::move(node.mapped()));
}

void RangeSender::add(const RangeOrder& order, std::vector<std::byte> bytes, std::optional<Frame> before,
                      std::optional<Frame> after) {
    waiting_.push_back({order, std::move(bytes), 0, std::move(before), std::move(after)});
}

Frame RangeSender::next() {
    Waiting& first = waiting_.front();
    Frame frame;
    if (first.before) {
        frame = std::move(*first.before);
        first.before.reset();
    } else if (first.sent < first.bytes.size()) {
        const auto piece = std::span<const std::byte>(first.bytes).subspan(first.sent);
        const auto bytes = piece.first(std::min(piece.size(), kChunkBytes));
        frame =
            make_frame(FrameType::chunk, encode_chunk({first.order.number, first.order.offset + first.sent, bytes}));
        first.sent += bytes.size();
    } else if (first.after) {
        frame = std::move(*first.after);
        first.after.reset();
    }
    if (!first.before && first.sent == first.bytes.size() && !first.after) {
        waiting_.pop_front();
    }
    return frame;
}

}  // namespace moescope::protocol
