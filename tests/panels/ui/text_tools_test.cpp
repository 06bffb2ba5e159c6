// Text of models: what may be shown while it streams, word differences, token groups and the line cache.
#include "panels/ui/text_tools.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.hpp"

namespace {

namespace base = moescope::base;
using namespace moescope::panels;
using Random = std::mt19937;

/// UTF-8 by the table of the Unicode standard (3-7), written down apart from the code under test: length of a valid
/// character at the start, 0 if none.
std::size_t reference_length(std::string_view s) {
    const auto b = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
    const auto in = [](unsigned x, unsigned low, unsigned high) { return x >= low && x <= high; };
    const auto tail = [&](std::size_t i) { return in(b(i), 0x80, 0xBF); };
    if (s.empty()) {
        return 0;
    }
    if (in(b(0), 0x00, 0x7F)) {
        return 1;
    }
    if (in(b(0), 0xC2, 0xDF) && tail(1)) {
        return 2;
    }
    if ((b(0) == 0xE0 && in(b(1), 0xA0, 0xBF) && tail(2)) || (in(b(0), 0xE1, 0xEC) && tail(1) && tail(2)) ||
        (b(0) == 0xED && in(b(1), 0x80, 0x9F) && tail(2)) || (in(b(0), 0xEE, 0xEF) && tail(1) && tail(2))) {
        return 3;
    }
    if ((b(0) == 0xF0 && in(b(1), 0x90, 0xBF) && tail(2) && tail(3)) ||
        (in(b(0), 0xF1, 0xF3) && tail(1) && tail(2) && tail(3)) ||
        (b(0) == 0xF4 && in(b(1), 0x80, 0x8F) && tail(2) && tail(3))) {
        return 4;
    }
    return 0;
}

char32_t random_code(Random& random) {
    switch (random() % 6) {
        case 0:
            return 0x4E00 + random() % 0x5000;
        case 1:
            return 0xC0 + random() % 0x500;
        case 2:
            return 0x1F600 + random() % 64;
        default:
            return 0x20 + random() % 0x5F;
    }
}
std::string random_text(Random& random, std::size_t characters) {
    std::string text;
    for (std::size_t i = 0; i < characters; ++i) {
        base::append_utf8(text, random_code(random));
    }
    return text;
}
/// Bytes in which leads, tails and stray bytes follow each other in every order.
std::string random_bytes(Random& random, std::size_t n) {
    static constexpr unsigned char kBytes[] = {0x41, 0x20, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xA0, 0xE4,
                                               0xBD, 0xED, 0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF};
    std::string bytes;
    for (std::size_t i = 0; i < n; ++i) {
        bytes.push_back(static_cast<char>(kBytes[random() % std::size(kBytes)]));
    }
    return bytes;
}

TEST(Utf8, AgreesWithTheUnicodeTable) {
    Random random(1);
    for (int round = 0; round < 200'000; ++round) {
        const std::string bytes = random_bytes(random, 1 + random() % 5);
        const Character c = read_character(bytes, 0);
        const std::size_t expected = reference_length(bytes);
        ASSERT_EQ(c.valid, expected != 0);
        ASSERT_EQ(c.length, expected == 0 ? 1u : expected);
        if (c.valid) {
            std::string back;
            base::append_utf8(back, c.code);
            ASSERT_EQ(back, bytes.substr(0, c.length));
        }
    }
}

TEST(Utf8, WithholdsExactlyWhatCanStillBecomeACharacter) {
    Random random(2);
    for (int round = 0; round < 20'000; ++round) {
        const std::string whole = random_text(random, 1 + random() % 4);
        for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
            std::size_t boundary = 0;
            while (boundary < cut && boundary + reference_length(std::string_view(whole).substr(boundary)) <= cut) {
                boundary += reference_length(std::string_view(whole).substr(boundary));
            }
            ASSERT_EQ(base::complete_utf8_prefix(std::string_view(whole).substr(0, cut)), boundary);
        }
    }
    EXPECT_EQ(base::complete_utf8_prefix("a\xFF"), 2u);      // can't become anything
    EXPECT_EQ(base::complete_utf8_prefix("a\xED\xA0"), 3u);  // a surrogate never can
    EXPECT_EQ(base::complete_utf8_prefix("a\xE4\xBD"), 1u);
}

TEST(DisplayText, IsTheSameHoweverTheBytesArrive) {
    Random random(3);
    for (int round = 0; round < 3'000; ++round) {
        const std::string bytes = round % 2 ? random_bytes(random, random() % 40) : random_text(random, random() % 20);
        DisplayText whole;
        whole.update(bytes, true);
        DisplayText parts;
        std::string shown;
        for (std::size_t at = 0; at < bytes.size();) {
            at = std::min(bytes.size(), at + 1 + random() % 4);
            parts.update(std::string_view(bytes).substr(0, at), false);
            ASSERT_EQ(parts.text().substr(0, shown.size()), shown);  // what was shown never changes
            shown = parts.text();
        }
        parts.update(bytes, true);
        ASSERT_EQ(parts.text(), whole.text());
        ASSERT_EQ(parts.chips(), whole.chips());
        for (std::size_t at = 0; at < whole.text().size();) {
            const Character c = read_character(whole.text(), at);
            ASSERT_TRUE(c.valid);
            ASSERT_NE(c.code, U'\uFFFD');
            at += c.length;
        }
        if (round % 2 == 0) {
            ASSERT_EQ(whole.text(), bytes);
        }
    }
    EXPECT_EQ(displayable("a\xE4 b"), "a‹E4› b");
    EXPECT_EQ(displayable(std::string("\x1b[2J\0", 5)), "‹1B›[2J‹00›");
}

TEST(InOneLine, IsShortSafeAndUnbroken) {
    EXPECT_EQ(in_one_line("one\ntwo\tthree", 40), "one two three");
    EXPECT_EQ(in_one_line("a\xE4 b", 40), "a‹E4› b");
    EXPECT_EQ(in_one_line("专家路由", 12), "专家路由");
    EXPECT_EQ(in_one_line("专家路由的选择，还有更多的文字在后面", 10), "专家路…");
    EXPECT_EQ(in_one_line("ab\u202ecd", 40), "ab\uFFFDcd") << "marks that turn the direction";
    EXPECT_EQ(in_one_line(std::string(100, 'a') + "\xE4\xB8", 100), std::string(100, 'a') + "…");
    EXPECT_EQ(in_one_line("", 5), "");
}

std::string random_words(Random& random, std::size_t n) {
    static const std::vector<std::string> kWords = {"the ", "sky ", "is", " ",      "blue. ", "天", "空",   "很",
                                                    "蓝",   "，",   "\n", "don't ", "42",     "-",  "sky\n"};
    std::string text;
    for (std::size_t i = 0; i < n; ++i) {
        text += kWords[random() % kWords.size()];
    }
    return text;
}

TEST(Words, CoverTheTextAndSplitHan) {
    Random random(4);
    for (int round = 0; round < 2'000; ++round) {
        const std::string text = round % 2 ? random_words(random, random() % 30) : random_text(random, random() % 30);
        std::uint32_t at = 0;
        for (const ByteRange& word : split_words(text)) {
            ASSERT_EQ(word.begin, at);
            ASSERT_GT(word.end, word.begin);
            at = word.end;
        }
        ASSERT_EQ(at, text.size());
    }
    const std::string text = "I don't know 天空 42.";
    std::vector<std::string> words;
    for (const ByteRange& word : split_words(text)) {
        words.push_back(text.substr(word.begin, word.end - word.begin));
    }
    EXPECT_EQ(words, (std::vector<std::string>{"I ", "don't ", "know ", "天", "空 ", "42", "."}));
}

std::vector<std::string> bare_words(const std::string& text) {
    std::vector<std::string> words;
    for (const ByteRange& range : split_words(text)) {
        std::string word = text.substr(range.begin, range.end - range.begin);
        word.erase(word.find_last_not_of(" \n\t") + 1);
        words.push_back(word);
    }
    return words;
}
/// Longest common subsequence straight from its recursive definition, with a memo.
std::size_t reference_common(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    std::map<std::pair<std::size_t, std::size_t>, std::size_t> memo;
    const std::function<std::size_t(std::size_t, std::size_t)> common = [&](std::size_t i,
                                                                            std::size_t j) -> std::size_t {
        if (i == a.size() || j == b.size()) {
            return 0;
        }
        if (const auto known = memo.find({i, j}); known != memo.end()) {
            return known->second;
        }
        const std::size_t best = a[i] == b[j] ? 1 + common(i + 1, j + 1) : std::max(common(i + 1, j), common(i, j + 1));
        return memo[{i, j}] = best;
    };
    return common(0, 0);
}

TEST(WordDiff, GivesBothTextsBackAndIsShortest) {
    Random random(5);
    for (int round = 0; round < 2'000; ++round) {
        const std::string a = random_words(random, random() % 25);
        std::string b = round % 3 == 0 ? a : random_words(random, random() % 25);
        if (round % 6 == 0 && !b.empty()) {
            b.insert(0, "very ");
        }
        std::string first, second;
        DiffPiece::Kind last = DiffPiece::Kind::same;
        bool any = false;
        const WordDiff diff = word_diff(a, b);
        for (const DiffPiece& piece : diff.pieces) {
            ASSERT_FALSE(any && piece.kind == last);  // neighbours are joined
            last = piece.kind;
            any = true;
            if (piece.kind != DiffPiece::Kind::added) {
                first += a.substr(piece.a.begin, piece.a.end - piece.a.begin);
            }
            if (piece.kind != DiffPiece::Kind::removed) {
                second += b.substr(piece.b.begin, piece.b.end - piece.b.begin);
            }
        }
        ASSERT_EQ(first, a);
        ASSERT_EQ(second, b);
        const auto words_a = bare_words(a), words_b = bare_words(b);
        const std::size_t all = words_a.size() + words_b.size();
        const double expected =
            all == 0 ? 1 : 2.0 * static_cast<double>(reference_common(words_a, words_b)) / static_cast<double>(all);
        ASSERT_DOUBLE_EQ(diff.similarity, expected);
    }
}

TEST(WordDiff, HugeTextsAreReplacedNotRefused) {
    std::string a, b;
    for (int i = 0; i < 6'000; ++i) {
        a += "a" + std::to_string(i) + " ";
        b += "b" + std::to_string(i) + " ";
    }
    const auto pieces = word_diff("same " + a, "same " + b).pieces;
    ASSERT_EQ(pieces.size(), 3u);
    EXPECT_EQ(pieces[0].kind, DiffPiece::Kind::same);
    EXPECT_EQ(pieces[1].kind, DiffPiece::Kind::removed);
    EXPECT_EQ(pieces[2].kind, DiffPiece::Kind::added);
}

TEST(TokenGroups, NeverCutACharacter) {
    Random random(6);
    for (int round = 0; round < 3'000; ++round) {
        const std::string text = random_text(random, 1 + random() % 12);
        std::vector<std::string_view> pieces;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t n = std::min<std::size_t>(random() % 4, text.size() - at);  // empty tokens happen
            pieces.push_back(std::string_view(text).substr(at, n));
            at += n;
        }
        std::uint32_t token = 0, byte = 0;
        for (const TokenGroup& group : group_tokens(pieces)) {
            ASSERT_EQ(group.first, token);
            ASSERT_EQ(group.bytes.begin, byte);
            ASSERT_GT(group.last, group.first);
            token = group.last;
            byte = group.bytes.end;
            ASSERT_EQ(base::complete_utf8_prefix(std::string_view(text).substr(0, byte)), byte);
        }
        ASSERT_EQ(token, pieces.size());
        ASSERT_EQ(byte, text.size());
    }
}

/// Han are twice as wide as the rest.
float width_of(char32_t c) {
    return is_wide(c) ? 2.0f : 1.0f;
}
const WrappedText::Advance kAdvance = [](std::uint32_t, char32_t c) { return width_of(c); };

void check_lines(const std::string& text, const WrappedText& layout, float width) {
    std::uint32_t at = 0;
    for (const ByteRange& line : layout.lines()) {
        for (; at < line.begin; ++at) {
            ASSERT_TRUE(text[at] == ' ' || text[at] == '\n') << "only spaces and line ends may lie between lines";
        }
        float x = 0;
        std::size_t characters = 0;
        for (std::uint32_t i = line.begin; i < line.end; ++characters) {
            const Character c = read_character(text, i);
            ASSERT_NE(c.code, U'\n');
            x += width_of(c.code);
            i += c.length;
        }
        ASSERT_TRUE(x <= width || characters == 1) << "line of " << x;
        at = line.end;
    }
    for (; at < text.size(); ++at) {
        ASSERT_TRUE(text[at] == ' ' || text[at] == '\n');
    }
}

TEST(WrappedText, LinesFitAndLoseNothing) {
    Random random(7);
    for (int round = 0; round < 2'000; ++round) {
        const std::string text = random_words(random, random() % 60);
        const float width = 1 + static_cast<float>(random() % 30);
        WrappedText layout;
        layout.update(1, text, width, 16, kAdvance);
        check_lines(text, layout, width);
        if (HasFatalFailure()) {
            return;
        }
    }
}

TEST(WrappedText, ClosingMarksNeverBeginALine) {
    WrappedText layout;
    layout.update(1, "天空很蓝，很高。", 8, 16, kAdvance);  // four Han fill a line; the comma takes one along
    ASSERT_GE(layout.lines().size(), 2u);
    EXPECT_EQ(layout.lines()[1].begin, std::string("天空很").size());
}

TEST(WrappedText, AMinusStaysWithItsNumber) {
    for (const char* text : {"[-0.739, -0.278]", "1e-05", "well-known -7"}) {
        for (float width = 6; width < 20; ++width) {
            WrappedText layout;
            layout.update(1, text, width, 16, kAdvance);
            for (const ByteRange& line : layout.lines()) {
                const std::string part = std::string(text).substr(line.begin, line.end - line.begin);
                EXPECT_FALSE(part.size() > 1 && part.ends_with('-') && part != "well-" && !part.ends_with("well-"))
                    << part << " of " << text << " at " << width;
            }
        }
    }
}

TEST(WrappedText, PartsStayWholeWhereTheyFitIntoALine) {
    const auto lines = [](const std::string& text, float width, const std::vector<std::uint32_t>& begins) {
        WrappedText layout;
        layout.update(1, text, width, 16, kAdvance, [&](std::uint32_t at) {
            return at == 0 || std::find(begins.begin(), begins.end(), at) != begins.end();
        });
        return layout.lines();
    };
    // Four Han fill a line; the second word would be cut.
    EXPECT_EQ(lines("路由器选择专家", 8, {9, 15}), (std::vector<ByteRange>{{0, 9}, {9, 21}}));
    // No place to break but between parts.
    EXPECT_EQ(lines("xxxxxxxx", 4, {3, 6}), (std::vector<ByteRange>{{0, 3}, {3, 6}, {6, 8}}));
    EXPECT_EQ(lines("xxxxxx", 4, {}), (std::vector<ByteRange>{{0, 4}, {4, 6}})) << "longer than a line";
    EXPECT_EQ(lines("ab cd", 4, {2}), (std::vector<ByteRange>{{0, 2}, {3, 5}})) << "a space is a place to break";
}

TEST(WrappedText, StreamingGivesTheSameLinesAsTheWholeText) {
    Random random(8);
    for (int round = 0; round < 500; ++round) {
        const std::string text = random_words(random, 80);
        const float width = 4 + static_cast<float>(random() % 30);
        WrappedText streamed, whole;
        for (std::size_t at = 0; at < text.size();) {
            at = std::min(text.size(), at + 1 + random() % 9);
            at = base::complete_utf8_prefix(std::string_view(text).substr(0, at));
            if (at == 0) {
                at = reference_length(text);
            }
            while (at < text.size() && reference_length(std::string_view(text).substr(at)) == 0) {
                ++at;
            }
            streamed.update(1, std::string_view(text).substr(0, at), width, 16, kAdvance);
        }
        whole.update(1, text, width, 16, kAdvance);
        ASSERT_EQ(streamed.lines(), whole.lines());
    }
}

TEST(WrappedText, KeepsItsResult) {
    std::string text;
    for (int i = 0; i < 5'000; ++i) {
        text += "word ";
    }
    WrappedText layout;
    EXPECT_TRUE(layout.update(1, text, 60, 16, kAdvance));
    const std::uint64_t first = layout.measured();
    EXPECT_FALSE(layout.update(1, text, 60, 16, kAdvance));
    EXPECT_EQ(layout.measured(), first);
    EXPECT_TRUE(layout.update(1, text + "more", 60, 16, kAdvance));
    EXPECT_LT(layout.measured() - first, 200u);                      // one line, not five thousand words
    EXPECT_TRUE(layout.update(1, text + "more", 50, 16, kAdvance));  // another width
    EXPECT_TRUE(layout.update(1, text + "more", 50, 17, kAdvance));  // another font size
    EXPECT_TRUE(layout.update(2, text + "MORE", 50, 17, kAdvance));  // another text of the same size
}

}  // namespace
