// UTF-8 as the engine needs it: strict decoding, and how much of a text is Chinese.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moescope::engine {

struct CodePoint {
    char32_t value = 0;
    std::size_t length = 0;  ///< bytes; 0 when the bytes at the offset are no valid UTF-8 character
};

/// The character that starts at `offset` (< text.size()). Strict: no overlong forms, no surrogates, nothing above
/// U+10FFFF.
CodePoint code_point_at(std::string_view text, std::size_t offset);

/// Offset of the first byte that is not valid UTF-8, or text.size().
std::size_t first_invalid_utf8(std::string_view text);

/// The text with U+FFFD for every byte that is no valid UTF-8, as JSON needs it.
std::string to_valid_utf8(std::string_view text);

/// The largest offset <= `limit` at which no character is cut in two (for valid UTF-8).
std::size_t character_boundary(std::string_view text, std::size_t limit);

/// Han characters divided by characters that are not blank; 0 for a blank text.
double han_share(std::string_view text);

}  // namespace moescope::engine
