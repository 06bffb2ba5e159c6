// Text as models produce it: bytes that may end inside a character or be no UTF-8 at all. Pure functions (no ImGui), so
// that tests drive them directly: what may be shown yet, hex chips, word differences, line wrapping with a cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace moescope::panels {

/// One character read from bytes. An invalid byte gives valid = false, code = the byte, length = 1. At the end: length
/// = 0.
struct Character {
    char32_t code = 0;
    std::uint32_t length = 0;
    bool valid = true;
};
Character read_character(std::string_view bytes, std::size_t at);

/// Han characters (base::is_han) and what is set like them, without spaces between words.
bool is_wide(char32_t code);

/// Half-open byte range.
struct ByteRange {
    std::uint32_t begin = 0, end = 0;
    friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// Bytes of an answer turned into text that a font can draw: valid characters stay, every invalid byte and control
/// character becomes a chip like ‹E4›. Grows with the answer: feeding the same bytes in any pieces gives the same text.
class DisplayText {
 public:
    /// `bytes` is the whole answer so far and must begin with what was given before (else call clear()). An unfinished
    /// character at the end is withheld until it is complete, or, with `finished`, shown as chips.
    void update(std::string_view bytes, bool finished);
    void clear();
    const std::string& text() const { return text_; }
    const std::vector<ByteRange>& chips() const { return chips_; }  ///< ranges of text(), ascending
    std::size_t consumed() const { return consumed_; }              ///< bytes of the answer that text() shows

 private:
    std::string text_;
    std::vector<ByteRange> chips_;
    std::size_t consumed_ = 0;
};
std::string displayable(std::string_view bytes);
/// The same on one line, of `most` bytes at most and "…" where something is missing: a question in a list.
std::string in_one_line(std::string_view bytes, std::size_t most);
/// A token's bytes for a table: the same with spaces and line ends made visible.
std::string visible_piece(std::string_view bytes);
using base::shortened;
/// "3:5, 3:7" of pairs of layer and expert; of many the first, and how many more there are.
std::string places_text(const std::vector<std::pair<int, int>>& places);

/// Words (with the white space behind them), Han characters and punctuation marks, in order; together they are the
/// whole text.
std::vector<ByteRange> split_words(std::string_view text);

struct DiffPiece {
    enum class Kind { same, removed, added };
    Kind kind = Kind::same;
    ByteRange a, b;  ///< bytes of the first and of the second text; removed has an empty b, added an empty a
};
struct WordDiff {
    std::vector<DiffPiece> pieces;
    /// Share of words that are the same, 2 same / (words of a + words of b); 1 for two empty texts.
    double similarity = 1;
};
/// Longest common subsequence of words. The pieces cover both texts in order: same + removed give a, same + added give
/// b. Words that differ only in the white space behind them are the same. Beyond 16 million word pairs what lies
/// between the common head and tail counts as replaced; below, long texts take some tenths of a second.
WordDiff word_diff(std::string_view a, std::string_view b);

/// Tokens that share a character, because a byte-level token may end inside one. Byte range of the joined pieces.
struct TokenGroup {
    std::uint32_t first = 0, last = 0;  ///< tokens [first, last)
    ByteRange bytes;
};
std::vector<TokenGroup> group_tokens(std::span<const std::string_view> pieces);

/// Lines of a text at one width. Keeps its result; only what was appended is laid out again.
class WrappedText {
 public:
    /// Width of the character at a byte offset, in pixels.
    using Advance = std::function<float(std::uint32_t offset, char32_t code)>;

    /// Whether a part that is to stay whole begins at a byte offset.
    using Begins = std::function<bool(std::uint32_t offset)>;

    /// True when lines changed. `identity` stands for the text's content: the same identity with a longer text means
    /// that it was appended to. With `begins` a line breaks behind a space or before such a part, and within one only
    /// where it is longer than a line.
    bool update(std::uint64_t identity, std::string_view text, float width, float font_size, const Advance& advance,
                const Begins& begins = {});
    const std::vector<ByteRange>& lines() const { return lines_; }  ///< without trailing spaces and line ends
    /// How many characters were measured so far (tests watch it to see that the cache works).
    std::uint64_t measured() const { return measured_; }

 private:
    void lay_out(std::string_view text, std::uint32_t from, const Advance& advance, const Begins& begins);
    std::vector<ByteRange> lines_;
    std::uint64_t identity_ = 0, measured_ = 0;
    std::size_t size_ = 0;
    float width_ = -1, font_size_ = 0;
};

}  // namespace moescope::panels
