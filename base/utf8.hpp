// UTF-8: strict decoding, repair, and what of a text is Chinese. One definition for engine, probes and window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moescope::base {

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

/// Strict: nothing when the bytes are not valid UTF-8.
std::optional<std::u32string> decode_utf8(std::string_view bytes);
/// As decode_utf8, with U+FFFD for every byte that does not fit.
std::u32string decode_utf8_lossy(std::string_view bytes);
std::string encode_utf8(std::u32string_view text);
void append_utf8(std::string& out, char32_t code);
/// A byte that is no text, as people read it: ‹E4›.
void append_byte_chip(std::string& out, std::uint8_t byte);
/// The text with such a chip for every byte that is no valid UTF-8.
std::string with_byte_chips(std::string_view text);

/// The largest offset <= `limit` at which no character is cut in two (for valid UTF-8).
std::size_t character_boundary(std::string_view text, std::size_t limit);

/// Bytes of `bytes` before a character that has begun but not ended at the end of the text. Invalid bytes count as
/// complete.
std::size_t complete_utf8_prefix(std::string_view bytes);

/// Han characters: the unified ideographs with extensions A to H and the compatibility ideographs. Not kana, hangul or
/// CJK punctuation.
bool is_han(char32_t code);

/// Han characters divided by characters that are not blank; 0 for a blank text.
double han_share(std::string_view text);

}  // namespace moescope::base
