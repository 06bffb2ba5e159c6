// Small things done with texts, one of each. Letters are those of ASCII: in UTF-8 all other bytes stay what they are,
// whatever the locale.
#pragma once

#include <cstddef>
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace moescope::base {

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower(std::string text);
/// Does `text` hold `part`, with letters in any case?
bool contains_any_case(std::string_view text, std::string_view part);

/// Without `blanks` at both ends.
std::string_view trimmed(std::string_view text, std::string_view blanks = " \t\r\n");
/// At most `bytes` bytes of whole characters, and "…" where something is missing.
std::string shortened(std::string text, std::size_t bytes);

/// "a, b, c": whatever fmt can print.
template <class Range>
std::string joined(const Range& parts, std::string_view between = ", ") {
    return fmt::format("{}", fmt::join(parts, between));
}
/// One more part of such a list.
inline void append_to_list(std::string& list, std::string_view part, std::string_view between = ", ") {
    list.append(list.empty() ? "" : between).append(part);
}

}  // namespace moescope::base
