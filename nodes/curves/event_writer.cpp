#include "nodes/curves/event_writer.hpp"

#include <bit>
#include <span>

#include "base/crc32c.hpp"
#include "nodes/curves/masked_checksum.hpp"

namespace moescope::curves {

namespace {

enum class Kind : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>((value & 0x7F) | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

void put_head(std::string& out, std::uint32_t number, Kind kind) {
    put_varint(out, (number << 3) | static_cast<std::uint32_t>(kind));
}

template <class T>
void put_fixed(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) {
        out += static_cast<char>((value >> (8 * i)) & 0xFF);
    }
}

void put_bytes(std::string& out, std::uint32_t number, std::string_view bytes) {
    put_head(out, number, Kind::bytes);
    put_varint(out, bytes.size());
    out += bytes;
}

std::uint32_t checksum(std::string_view bytes) {
    return masked(base::crc32c(std::as_bytes(std::span(bytes))));
}

std::string record(std::string_view event) {
    std::string out;
    put_fixed(out, std::uint64_t{event.size()});
    put_fixed(out, checksum(out));
    out += event;
    put_fixed(out, checksum(event));
    return out;
}

std::string event_at(double wall_time) {
    std::string event;
    put_head(event, 1, Kind::fixed64);
    put_fixed(event, std::bit_cast<std::uint64_t>(wall_time));
    return event;
}

}  // namespace

std::string version_record(double wall_time) {
    std::string event = event_at(wall_time);
    put_bytes(event, 3, "brain.Event:2");
    return record(event);
}

std::string scalars_record(double wall_time, std::uint64_t step,
                           const std::vector<std::pair<std::string_view, double>>& values) {
    std::string summary;
    for (const auto& [tag, value] : values) {
        std::string one;
        put_bytes(one, 1, tag);
        put_head(one, 2, Kind::fixed32);
        put_fixed(one, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
        put_bytes(summary, 1, one);
    }
    std::string event = event_at(wall_time);
    put_head(event, 2, Kind::varint);
    put_varint(event, step);
    put_bytes(event, 5, summary);
    return record(event);
}

}  // namespace moescope::curves
