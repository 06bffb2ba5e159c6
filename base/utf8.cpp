#include "base/utf8.hpp"

#include <algorithm>
#include <boost/locale/utf.hpp>
#include <iterator>

namespace moescope::base {

namespace utf = boost::locale::utf;

CodePoint code_point_at(std::string_view text, std::size_t offset) {
    // decode() moves past what it read: overlong forms, surrogates and what is above U+10FFFF are "illegal", an
    // unfinished character at the end is "incomplete". Both are no character here.
    const char* at = text.data() + offset;
    const auto code = utf::utf_traits<char>::decode(at, text.data() + text.size());
    if (code == utf::illegal || code == utf::incomplete) {
        return {};
    }
    return {static_cast<char32_t>(code), static_cast<std::size_t>(at - text.data()) - offset};
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

void append_byte_chip(std::string& out, std::uint8_t byte) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    out += "‹";
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
    out += "›";
}

std::string with_byte_chips(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = code_point_at(text, at).length;
        if (length == 0) {
            append_byte_chip(out, static_cast<std::uint8_t>(text[at++]));
            continue;
        }
        out.append(text.substr(at, length));
        at += length;
    }
    return out;
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

std::size_t complete_utf8_prefix(std::string_view bytes) {
    // An unfinished character is at most three bytes long.
    for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
        const std::size_t begin = bytes.size() - back;
        if (utf::utf_traits<char>::is_trail(bytes[begin])) {
            continue;
        }
        const int trail = utf::utf_traits<char>::trail_length(bytes[begin]);  // below 0: no character begins so
        if (trail < static_cast<int>(back)) {
            return bytes.size();
        }
        // Some beginnings lead to overlong forms and surrogates only. One that can still become a character does so
        // with the least or with the largest bytes behind it.
        for (const char fill : {'\x80', '\xBF'}) {
            std::string whole(bytes.substr(begin));
            whole.resize(static_cast<std::size_t>(trail) + 1, fill);
            if (code_point_at(whole, 0).length == whole.size()) {
                return begin;
            }
        }
        return bytes.size();
    }
    return bytes.size();
}

bool is_han(char32_t code) {
    return (code >= 0x3400 && code <= 0x4dbf) || (code >= 0x4e00 && code <= 0x9fff) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0x20000 && code <= 0x323af);
}

std::optional<std::u32string> decode_utf8(std::string_view bytes) {
    if (first_invalid_utf8(bytes) != bytes.size()) {
        return std::nullopt;
    }
    return decode_utf8_lossy(bytes);
}

std::u32string decode_utf8_lossy(std::string_view bytes) {
    std::u32string out;
    for (std::size_t at = 0; at < bytes.size();) {
        const CodePoint c = code_point_at(bytes, at);
        out += c.length == 0 ? U'\ufffd' : c.value;
        at += std::max<std::size_t>(c.length, 1);
    }
    return out;
}

void append_utf8(std::string& out, char32_t code) {
    utf::utf_traits<char>::encode(code, std::back_inserter(out));
}

std::string encode_utf8(std::u32string_view text) {
    std::string out;
    for (const char32_t code : text) {
        append_utf8(out, code);
    }
    return out;
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
        han += is_han(c.value);
    }
    return solid == 0 ? 0.0 : static_cast<double>(han) / static_cast<double>(solid);
}

}  // namespace moescope::base
