#include "base/foreign_text.hpp"

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace moescope::base {
namespace {

constexpr std::string_view kLeftOut = " ... ";

/// Next line, line and paragraph separator besides those of ASCII.
bool breaks_line(char32_t code) {
    return (code >= 0x09 && code <= 0x0d) || code == 0x85 || code == 0x2028 || code == 0x2029;
}

/// Characters that are not seen but change what is seen around them. Joiners (U+200C, U+200D) are part of writing.
bool is_command(char32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e || code == 0x200f ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff9 && code <= 0xfffb) || (code >= 0xe0000 && code <= 0xe0fff) || (code & 0xfffe) == 0xfffe;
}

void append_line(std::string& out, std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = code_point_at(text, at);
        if (c.length != 0 && breaks_line(c.value)) {
            out += ' ';
        } else {
            append_utf8(out, c.length == 0 || is_command(c.value) ? U'\ufffd' : c.value);
        }
        at += c.length == 0 ? 1 : c.length;
    }
}

}  // namespace

void require_utf8(std::string_view text, Marked what) {
    if (const std::size_t bad = first_invalid_utf8(text); bad != text.size()) {
        throw Error(say("{} is not valid UTF-8 at byte {}; convert it first", what, bad));
    }
}

std::string one_line(std::string_view text, std::size_t most) {
    std::string line;
    // What is no text becomes longer when it is repaired. Then it is text, and is cut once more.
    const auto short_enough = [&] { return line.size() <= most + kLeftOut.size(); };
    if (text.size() <= most) {
        append_line(line, text);
        return short_enough() ? line : one_line(line, most);
    }
    // No character is cut in two; what is no UTF-8 has no characters and is cut anywhere.
    const std::string_view front = text.substr(0, most - most / 3);
    std::string_view back = text.substr(text.size() - most / 3);
    for (int i = 0; i < 3 && !back.empty() && (static_cast<unsigned char>(back.front()) & 0xc0) == 0x80; ++i) {
        back.remove_prefix(1);
    }
    append_line(line, front.substr(0, complete_utf8_prefix(front)));
    line += kLeftOut;
    append_line(line, back);
    return short_enough() ? line : one_line(line, most);
}

}  // namespace moescope::base
