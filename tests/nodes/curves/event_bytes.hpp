// Event files, byte by byte as TensorFlow's and PyTorch's programs write them; shares no code with the reader.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace moescope::test {

inline std::uint32_t plain_crc32c(const std::string& bytes) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (const char c : bytes) {
        crc ^= static_cast<std::uint8_t>(c);
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
        }
    }
    return ~crc;
}

template <class T>
std::string raw(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

inline std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) {
        bytes += static_cast<char>(value | 0x80);
    }
    return bytes + static_cast<char>(value);
}
inline std::string number_field(int number, std::uint64_t value) {
    return varint(static_cast<std::uint64_t>(number) * 8) + varint(value);
}
inline std::string bytes_field(int number, const std::string& bytes) {
    return varint(static_cast<std::uint64_t>(number) * 8 + 2) + varint(bytes.size()) + bytes;
}
inline std::string float_field(int number, float value) {
    return varint(static_cast<std::uint64_t>(number) * 8 + 5) + raw(value);
}
inline std::string double_field(int number, double value) {
    return varint(static_cast<std::uint64_t>(number) * 8 + 1) + raw(value);
}

inline std::string masked_crc(const std::string& bytes) {
    const std::uint32_t crc = plain_crc32c(bytes);
    return raw(static_cast<std::uint32_t>(((crc >> 15) | (crc << 17)) + 0xA282EAD8u));
}
inline std::string event_record(const std::string& event) {
    const std::string length = raw(std::uint64_t{event.size()});
    return length + masked_crc(length) + event + masked_crc(event);
}
inline std::string version_event() {
    return event_record(double_field(1, 1.76e9) + bytes_field(3, "brain.Event:2"));
}
/// `values`: fields of the summary, each made by one of the three below.
inline std::string summary_event(std::uint64_t step, const std::string& values, double wall_time = 1.76e9) {
    return event_record(double_field(1, wall_time) + number_field(2, step) + bytes_field(5, values));
}
/// PyTorch's SummaryWriter.add_scalar.
inline std::string simple_value(const std::string& tag, float value) {
    return bytes_field(1, bytes_field(1, tag) + float_field(2, value));
}
inline std::string metadata(const std::string& plugin) {
    return bytes_field(9, bytes_field(1, bytes_field(1, plugin)));
}
/// tf.summary.scalar: a tensor without dimensions. `parts`: float_val, double_val or tensor_content.
inline std::string tensor_value(const std::string& tag, std::uint64_t type, const std::string& parts,
                                const std::string& plugin = "scalars") {
    const std::string tensor = number_field(1, type) + bytes_field(2, "") + parts;
    return bytes_field(1, bytes_field(1, tag) + bytes_field(8, tensor) + (plugin.empty() ? "" : metadata(plugin)));
}
/// SessionLog START: what is said of that step and later ones before counts no more.
inline std::string restart_event(std::uint64_t step) {
    return event_record(double_field(1, 1.76e9) + number_field(2, step) + bytes_field(7, number_field(1, 1)));
}

}  // namespace moescope::test
