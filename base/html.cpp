#include "base/html.hpp"

#include "base/utf8.hpp"

namespace moescope::base {
namespace {

bool may_stand_in_xml(char32_t c) {
    const bool control = (c < 0x20 && c != U'\n' && c != U'\t') || (c >= 0x7F && c < 0xA0);
    return !control && !(c >= 0xFDD0 && c < 0xFDF0) && (c & 0xFFFE) != 0xFFFE;
}

}  // namespace

std::string escape_html(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char32_t c : decode_utf8_lossy(text)) {
        switch (c) {
            case U'&':
                out += "&amp;";
                break;
            case U'<':
                out += "&lt;";
                break;
            case U'>':
                out += "&gt;";
                break;
            case U'"':
                out += "&quot;";
                break;
            case U'\'':
                out += "&#39;";
                break;
            default:
                append_utf8(out, may_stand_in_xml(c) ? c : U'\uFFFD');
        }
    }
    return out;
}

}  // namespace moescope::base
