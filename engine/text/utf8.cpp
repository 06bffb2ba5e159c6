#include "engine/text/utf8.hpp"

#include <algorithm>

namespace moescope::engine {

CodePoint code_point_at(std::string_view text, std::size_t offset) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[offset + i]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) {
        return {lead, 1};
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - offset < length) {
        return {};
    }
    char32_t value = lead & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return {};
        }
        value = (value << 6) | (byte(i) & 0x3fU);
    }
    const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (overlong || surrogate || value > 0x10ffff) {
        return {};
    }
    return {value, length};
}

std::size_t first_invalid_utf8(std::string_view text) {
    std::size_t offset = 0;
    while (offset < text.size()) {
        const std::size_t length = code_point_at(text, offset).length;
        if (length == 0) {
            return offset;
        }
        offset += length;
    }
    return offset;
}

std::string to_valid_utf8(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t valid = first_invalid_utf8(text);
        result += text.substr(0, valid);
        if (valid < text.size()) {
            result += "\xef\xbf\xbd";
        }
        text.remove_prefix(std::min(text.size(), valid + 1));
    }
    return result;
}

std::size_t character_boundary(std::string_view text, std::size_t limit) {
    if (limit >= text.size()) {
        return text.size();
    }
    while (limit > 0 && (static_cast<std::uint8_t>(text[limit]) & 0xc0) == 0x80) {
        --limit;
    }
    return limit;
}

double han_share(std::string_view text) {
    std::uint64_t han = 0, solid = 0;
    for (std::size_t offset = 0; offset < text.size();) {
        const CodePoint c = code_point_at(text, offset);
        offset += c.length == 0 ? 1 : c.length;
        if (c.length == 0 || c.value <= 0x20 || c.value == 0x3000) {
            continue;
        }
        ++solid;
        han += (c.value >= 0x3400 && c.value <= 0x4dbf) || (c.value >= 0x4e00 && c.value <= 0x9fff);
    }
    return solid == 0 ? 0.0 : static_cast<double>(han) / static_cast<double>(solid);
}

}  // namespace moescope::engine
