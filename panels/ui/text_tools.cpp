#include "panels/ui/text_tools.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/foreign_text.hpp"
#include "base/utf8.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMaxDiffCells = 16'000'000;  // 2 bytes each

std::uint8_t byte_at(std::string_view bytes, std::size_t i) {
    return static_cast<std::uint8_t>(bytes[i]);
}

bool is_space(char32_t c) {
    return c == ' ' || c == '\t' || c == 0x3000;
}
bool is_control(char32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F || (c >= 0x80 && c < 0xA0);
}

bool is_letter(char32_t c) {
    if (c < 0x80) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    }
    return !is_wide(c) && !(c >= 0xA0 && c <= 0xBF) && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x2BFF);
}

template <std::size_t N>
bool one_of(char32_t c, const std::array<char32_t, N>& set) {
    return std::find(set.begin(), set.end(), c) != set.end();
}

/// Marks that must not begin a line, and those that must not end one.
bool must_not_begin(char32_t c) {
    static constexpr std::array<char32_t, 30> kMarks = {
        U'、', U'。', U'，', U'．', U'：', U'；', U'？', U'！', U'）', U'】', U'》', U'〉', U'」', U'』', U'”',
        U'’',  U'…',  U'—',  U'·',  U'％', U',',  U'.',  U':',  U';',  U'?',  U'!',  U')',  U']',  U'}',  U'›'};
    return one_of(c, kMarks);
}
bool must_not_end(char32_t c) {
    static constexpr std::array<char32_t, 12> kMarks = {U'（', U'【', U'《', U'〈', U'「', U'『',
                                                        U'“',  U'‘',  U'(',  U'[',  U'{',  U'‹'};
    return one_of(c, kMarks);
}

bool may_break(char32_t before, char32_t after) {
    if (must_not_begin(after) || must_not_end(before)) {
        return false;
    }
    // Behind a hyphen, but never behind the minus of a number.
    return is_wide(before) || is_wide(after) || (before == '-' && !(after >= '0' && after <= '9'));
}

}  // namespace

Character read_character(std::string_view bytes, std::size_t at) {
    if (at >= bytes.size()) {
        return {0, 0, true};
    }
    const base::CodePoint c = base::code_point_at(bytes, at);
    if (c.length == 0) {
        return {byte_at(bytes, at), 1, false};
    }
    return {c.value, static_cast<std::uint32_t>(c.length), true};
}

bool is_wide(char32_t c) {
    return base::is_han(c) || (c >= 0x2E80 && c <= 0x33FF) || (c >= 0xAC00 && c <= 0xD7A3) ||
           (c >= 0xFE30 && c <= 0xFE4F) || (c >= 0xFF00 && c <= 0xFFEF);
}

void DisplayText::clear() {
    text_.clear();
    chips_.clear();
    consumed_ = 0;
}

void DisplayText::update(std::string_view bytes, bool finished) {
    if (bytes.size() < consumed_) {
        clear();
    }
    const std::size_t end = finished ? bytes.size() : base::complete_utf8_prefix(bytes);
    while (consumed_ < end) {
        const Character c = read_character(bytes.substr(0, end), consumed_);
        if (c.valid && !is_control(c.code)) {
            text_.append(bytes.substr(consumed_, c.length));
        } else {
            for (std::uint32_t i = 0; i < c.length; ++i) {
                const auto begin = static_cast<std::uint32_t>(text_.size());
                base::append_byte_chip(text_, byte_at(bytes, consumed_ + i));
                chips_.push_back({begin, static_cast<std::uint32_t>(text_.size())});
            }
        }
        consumed_ += c.length;
    }
}

std::string displayable(std::string_view bytes) {
    DisplayText text;
    text.update(bytes, true);
    return text.text();
}

std::string in_one_line(std::string_view bytes, std::size_t most) {
    // What lies behind is never seen: a character takes three of its four bytes at the least.
    const std::string shown = displayable(bytes.substr(0, 2 * most + 8));
    return shortened(base::one_line(shown, shown.size()), most);
}

std::string places_text(const std::vector<std::pair<int, int>>& places) {
    constexpr std::size_t kMost = 40;
    std::string text;
    for (std::size_t i = 0; i < std::min(places.size(), kMost); ++i) {
        base::append_to_list(text, std::to_string(places[i].first) + ":" + std::to_string(places[i].second));
    }
    return places.size() > kMost ? text + ", \u2026 +" + std::to_string(places.size() - kMost) : text;
}

std::string visible_piece(std::string_view bytes) {
    const std::string text = displayable(bytes);
    std::string out;
    for (const char c : text) {
        if (c == ' ') {
            out += "·";
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else {
            out += c;
        }
    }
    return out;
}

std::vector<ByteRange> split_words(std::string_view text) {
    std::vector<ByteRange> words;
    std::uint32_t at = 0;
    const auto n = static_cast<std::uint32_t>(text.size());
    while (at < n) {
        const std::uint32_t begin = at;
        Character c = read_character(text, at);
        at += c.length;
        if (c.valid && is_letter(c.code)) {
            for (;;) {
                c = read_character(text, at);
                const bool apostrophe = c.valid && (c.code == '\'' || c.code == U'’') &&
                                        is_letter(read_character(text, at + c.length).code);
                if (c.length == 0 || !c.valid || !(is_letter(c.code) || apostrophe)) {
                    break;
                }
                at += c.length;
            }
        }
        // White space belongs to the word before it, so that a changed word is one change.
        for (c = read_character(text, at); c.length != 0 && (is_space(c.code) || c.code == '\n');
             c = read_character(text, at)) {
            at += c.length;
        }
        words.push_back({begin, at});
    }
    return words;
}

namespace {

std::string_view bytes_of(std::string_view text, ByteRange r) {
    return text.substr(r.begin, r.end - r.begin);
}

std::string_view without_space(std::string_view word) {
    std::size_t n = word.size();
    for (;;) {
        if (n > 0 && (word[n - 1] == ' ' || word[n - 1] == '\t' || word[n - 1] == '\n')) {
            n -= 1;
        } else if (n >= 3 && word.substr(n - 3, 3) == "　") {
            n -= 3;
        } else {
            break;
        }
    }
    return word.substr(0, n);
}

using Ids = std::vector<std::uint32_t>;

/// For each pair (i, j) of matched words in order. a and b are word ids of the part between common head and tail.
std::vector<std::pair<std::size_t, std::size_t>> common_subsequence(std::span<const std::uint32_t> a,
                                                                    std::span<const std::uint32_t> b) {
    std::vector<std::pair<std::size_t, std::size_t>> matches;
    const std::size_t n = a.size(), m = b.size();
    if (n == 0 || m == 0 || n >= 65'535 || m >= 65'535 || (n + 1) * (m + 1) > kMaxDiffCells) {
        return matches;
    }
    // length[i][j] = longest common subsequence of a[i..] and b[j..]
    std::vector<std::uint16_t> length((n + 1) * (m + 1), 0);
    const auto at = [&](std::size_t i, std::size_t j) -> std::uint16_t& { return length[i * (m + 1) + j]; };
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t j = m; j-- > 0;) {
            at(i, j) =
                a[i] == b[j] ? static_cast<std::uint16_t>(at(i + 1, j + 1) + 1) : std::max(at(i + 1, j), at(i, j + 1));
        }
    }
    for (std::size_t i = 0, j = 0; i < n && j < m;) {
        if (a[i] == b[j]) {
            matches.emplace_back(i++, j++);
        } else if (at(i + 1, j) >= at(i, j + 1)) {
            ++i;
        } else {
            ++j;
        }
    }
    return matches;
}

struct WordPairs {
    std::vector<ByteRange> a, b;
    std::vector<std::pair<std::size_t, std::size_t>> matches;
};

WordPairs match_words(std::string_view a, std::string_view b) {
    WordPairs result{split_words(a), split_words(b), {}};
    std::unordered_map<std::string_view, std::uint32_t> known;
    const auto ids_of = [&known](std::string_view text, const std::vector<ByteRange>& words) {
        Ids ids;
        ids.reserve(words.size());
        for (const ByteRange& word : words) {
            ids.push_back(
                known.try_emplace(without_space(bytes_of(text, word)), static_cast<std::uint32_t>(known.size()))
                    .first->second);
        }
        return ids;
    };
    const Ids ia = ids_of(a, result.a), ib = ids_of(b, result.b);
    const std::size_t shorter = std::min(ia.size(), ib.size());
    std::size_t head = 0, tail = 0;
    while (head < shorter && ia[head] == ib[head]) {
        ++head;
    }
    while (tail < shorter - head && ia[ia.size() - 1 - tail] == ib[ib.size() - 1 - tail]) {
        ++tail;
    }
    for (std::size_t i = 0; i < head; ++i) {
        result.matches.emplace_back(i, i);
    }
    const auto middle = common_subsequence(std::span(ia).subspan(head, ia.size() - head - tail),
                                           std::span(ib).subspan(head, ib.size() - head - tail));
    for (const auto& [i, j] : middle) {
        result.matches.emplace_back(i + head, j + head);
    }
    for (std::size_t i = tail; i-- > 0;) {
        result.matches.emplace_back(ia.size() - 1 - i, ib.size() - 1 - i);
    }
    return result;
}

/// Appends a piece, joined with the one before when both are of one kind and adjoin.
void add_piece(std::vector<DiffPiece>& pieces, DiffPiece piece) {
    if (piece.a.begin == piece.a.end && piece.b.begin == piece.b.end) {
        return;
    }
    if (!pieces.empty() && pieces.back().kind == piece.kind) {
        pieces.back().a.end = piece.a.end;
        pieces.back().b.end = piece.b.end;
    } else {
        pieces.push_back(piece);
    }
}

}  // namespace

WordDiff word_diff(std::string_view a, std::string_view b) {
    const WordPairs words = match_words(a, b);
    WordDiff diff;
    std::uint32_t done_a = 0, done_b = 0;
    const auto up_to = [&](std::uint32_t end_a, std::uint32_t end_b) {
        add_piece(diff.pieces, {DiffPiece::Kind::removed, {done_a, end_a}, {done_b, done_b}});
        add_piece(diff.pieces, {DiffPiece::Kind::added, {end_a, end_a}, {done_b, end_b}});
    };
    for (const auto& [i, j] : words.matches) {
        up_to(words.a[i].begin, words.b[j].begin);
        add_piece(diff.pieces, {DiffPiece::Kind::same, words.a[i], words.b[j]});
        done_a = words.a[i].end;
        done_b = words.b[j].end;
    }
    up_to(static_cast<std::uint32_t>(a.size()), static_cast<std::uint32_t>(b.size()));
    const std::size_t all = words.a.size() + words.b.size();
    if (all > 0) {
        diff.similarity = 2.0 * static_cast<double>(words.matches.size()) / static_cast<double>(all);
    }
    return diff;
}

std::vector<TokenGroup> group_tokens(std::span<const std::string_view> pieces) {
    std::vector<TokenGroup> groups;
    std::string joined;  // bytes of the group that is being collected
    TokenGroup group;
    for (std::uint32_t i = 0; i < pieces.size(); ++i) {
        joined += pieces[i];
        group.last = i + 1;
        group.bytes.end += static_cast<std::uint32_t>(pieces[i].size());
        if (base::complete_utf8_prefix(joined) == joined.size() || i + 1 == pieces.size()) {
            groups.push_back(group);
            group = {i + 1, i + 1, {group.bytes.end, group.bytes.end}};
            joined.clear();
        }
    }
    return groups;
}

bool WrappedText::update(std::uint64_t identity, std::string_view text, float width, float font_size,
                         const Advance& advance, const Begins& begins) {
    const bool same = identity == identity_ && width == width_ && font_size == font_size_ && !lines_.empty();
    if (same && text.size() == size_) {
        return false;
    }
    std::uint32_t from = 0;
    if (same && text.size() > size_) {
        // Breaks of all lines but the last depend only on what is already there.
        from = lines_.back().begin;
        lines_.pop_back();
    } else {
        lines_.clear();
    }
    identity_ = identity;
    width_ = width;
    font_size_ = font_size;
    size_ = text.size();
    lay_out(text, from, advance, begins);
    return true;
}

void WrappedText::lay_out(std::string_view text, std::uint32_t from, const Advance& advance, const Begins& begins) {
    const auto n = static_cast<std::uint32_t>(text.size());
    std::uint32_t begin = from, at = from, next_begin = 0;  // next_begin: where the next line could start, 0 = nowhere
    std::uint32_t next_part = 0;                            // the last part that begins behind `begin`, 0 = none
    float x = 0;
    char32_t before = 0;
    const auto push = [&](std::uint32_t end) {
        while (end > begin && text[end - 1] == ' ') {
            --end;
        }
        lines_.push_back({begin, end});
    };
    while (at < n) {
        const Character c = read_character(text, at);
        if (c.code == '\n') {
            push(at);
            begin = at += 1;
            next_begin = next_part = 0;
            x = 0;
            before = 0;
            continue;
        }
        const float w = advance(at, c.code);
        ++measured_;
        const bool space = is_space(c.code);
        const bool part = !begins || begins(at);
        if (begins && part && at > begin) {
            next_part = at;
        }
        const bool breakable = at > begin && before != 0 && !space && part && may_break(before, c.code);
        if (x + w > width_ && at > begin && !space) {
            const std::uint32_t cut = breakable            ? at
                                      : next_begin > begin ? next_begin
                                      : next_part > begin  ? next_part
                                                           : at;
            push(cut);
            begin = cut;
            x = 0;
            for (std::uint32_t i = cut; i < at;) {
                const Character moved = read_character(text, i);
                x += advance(i, moved.code);
                i += moved.length;
            }
            next_begin = next_part = 0;
            continue;  // looks at the same character again, on its new line
        }
        if (breakable) {
            next_begin = at;
        }
        x += w;
        at += c.length;
        if (space) {
            next_begin = at;
        }
        before = c.code;
    }
    push(n);
}

}  // namespace moescope::panels
