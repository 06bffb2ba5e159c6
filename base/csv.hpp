// Tables as comma-separated values (RFC 4180).
#pragma once

#include <string>
#include <string_view>

namespace moescope::base {

/// A text as a field: in quotes where it needs them, with those in it doubled.
inline std::string csv_text(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
        return std::string(text);
    }
    std::string field = "\"";
    for (const char c : text) {
        if (c == '"') {
            field += '"';
        }
        field += c;
    }
    return field + '"';
}

}  // namespace moescope::base
