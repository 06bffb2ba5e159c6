#include "engine/text/tokenizer.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

// A small bilingual text with a fixed random order of words: enough pieces for a real vocabulary.
std::vector<std::string> sample_text() {
    const std::vector<std::string> words = {"the",    "router", "expert", "token", "loads",  "model",
                                            "reads ", "writes", "42",     "file",  "system", "程序",
                                            "文件",   "系统",   "目录",   "选项",  "返回",   "调用"};
    std::mt19937 random(7);
    std::vector<std::string> lines;
    for (int i = 0; i < 400; ++i) {
        std::string line;
        for (int k = 0; k < 12; ++k) {
            const std::string& word = words[random() % words.size()];
            line += word;
            line += static_cast<unsigned char>(word[0]) < 0x80 ? " " : "";
        }
        lines.push_back(line + "\n" + std::to_string(random() % 1000) + "。\n");
    }
    return lines;
}

const Tokenizer& small_tokenizer() {
    static const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::train(sample_text(), 400);
    return *tokenizer;
}

std::string random_text(std::mt19937& random) {
    static const std::vector<std::string> parts = {"a",
                                                   " ",
                                                   "  ",
                                                   "\n",
                                                   "\n\n",
                                                   "\t",
                                                   "\r\n",
                                                   "the router",
                                                   "程序",
                                                   "文件系统",
                                                   "。",
                                                   "\xe2\x96\x81",
                                                   "\xef\xbf\xbd",
                                                   "\xf0\x9f\xa6\x99",
                                                   "<s>",
                                                   "</s>",
                                                   "<unk>",
                                                   "<0x41>",
                                                   "<unused_399>",
                                                   " \xe2\x81\x87 ",
                                                   std::string(1, '\0'),
                                                   "\xff",
                                                   "\xc3",
                                                   "\xe4\xb8",
                                                   "\xed\xa0\x80",
                                                   "\xf4\x90\x80\x80",
                                                   "\xc0\xaf",
                                                   "\xef\xbb\xbf",
                                                   "\xe3\x80\x80",
                                                   "e\xcc\x81",
                                                   "ﬁ",
                                                   "１２",
                                                   "\x7f",
                                                   "\x1b[0m"};
    std::string text;
    for (auto n = random() % 24; n > 0; --n) {
        if (random() % 4 == 0) {
            text += static_cast<char>(random() % 256);
        } else {
            text += parts[random() % parts.size()];
        }
    }
    return text;
}

TEST(Tokenizer, EveryByteStringComesBackUnchanged) {
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        const std::string text = random_text(random);
        const auto tokens = small_tokenizer().encode(text);
        ASSERT_EQ(small_tokenizer().decode(tokens), text) << "round " << i;
        std::string pieces;
        for (const std::int32_t token : tokens) {
            ASSERT_GE(token, 0);
            ASSERT_LT(token, small_tokenizer().size());
            ASSERT_NE(token, small_tokenizer().begin_token()) << "text must never become a control token";
            ASSERT_NE(token, small_tokenizer().end_token());
            pieces += small_tokenizer().piece_bytes(token);
        }
        ASSERT_EQ(pieces, text);
    }
}

TEST(Tokenizer, LongTextComesBackUnchanged) {
    std::mt19937 random(2);
    std::string text;
    while (text.size() < 300000) {
        text += random_text(random);
    }
    EXPECT_EQ(small_tokenizer().decode(small_tokenizer().encode(text)), text);
    const std::string blank(100000, ' ');
    EXPECT_EQ(small_tokenizer().decode(small_tokenizer().encode(blank)), blank);
}

TEST(Tokenizer, TrainingIsDeterministicAndDependsOnTheText) {
    const auto again = Tokenizer::train(sample_text(), 400);
    EXPECT_EQ(again->model_bytes(), small_tokenizer().model_bytes());
    auto other = sample_text();
    for (std::string& line : other) {
        line += " another word entirely";
    }
    EXPECT_NE(Tokenizer::train(other, 400)->model_bytes(), small_tokenizer().model_bytes());
}

TEST(Tokenizer, HasExactlyTheSizeAskedForEvenWhenTheTextGivesLess) {
    EXPECT_EQ(small_tokenizer().size(), 400);
    const auto tiny = Tokenizer::train({"only a few words here\n"}, 512);
    EXPECT_EQ(tiny->size(), 512);
    EXPECT_EQ(tiny->decode(tiny->encode("only 文件\n")), "only 文件\n");
    EXPECT_EQ(tiny->piece_bytes(511), "") << "filler pieces add no text";
}

TEST(Tokenizer, PiecesShortenTheTextAndNewlineIsOneToken) {
    EXPECT_EQ(small_tokenizer().encode("\n").size(), 1u);
    EXPECT_EQ(small_tokenizer().encode("文件").size(), 1u);
    std::string text;
    for (const std::string& line : sample_text()) {
        text += line;
    }
    EXPECT_LT(small_tokenizer().encode(text).size() * 3, text.size() * 2);
    EXPECT_TRUE(small_tokenizer().encode("").empty());
}

TEST(Tokenizer, ControlTokensAddNoTextAndOutsideNumbersAreIgnored) {
    const Tokenizer& t = small_tokenizer();
    EXPECT_NE(t.begin_token(), t.end_token());
    EXPECT_EQ(t.piece_bytes(t.begin_token()), "");
    EXPECT_EQ(t.piece_bytes(t.end_token()), "");
    EXPECT_EQ(t.piece_bytes(-1), "");
    EXPECT_EQ(t.piece_bytes(t.size()), "");
    std::set<std::string> single;
    for (int i = 0; i < t.size(); ++i) {
        if (t.piece_bytes(i).size() == 1) {
            single.insert(t.piece_bytes(i));
        }
    }
    EXPECT_EQ(single.size(), 256u) << "byte fallback is complete";
}

TEST(Tokenizer, BytesOfAModelGiveTheSameTokenizer) {
    const auto copy = Tokenizer::from_bytes(small_tokenizer().model_bytes());
    EXPECT_EQ(copy->encode("the router reads 文件 \xff"), small_tokenizer().encode("the router reads 文件 \xff"));
}

TEST(Tokenizer, RefusesDamagedModels) {
    EXPECT_THROW(Tokenizer::from_bytes(""), Error);
    EXPECT_THROW(Tokenizer::from_bytes("not a model"), Error);
    const std::string& model = small_tokenizer().model_bytes();
    for (std::size_t cut = 1; cut < 2000; cut += 37) {
        EXPECT_THROW(Tokenizer::from_bytes(model.substr(0, cut)), Error) << cut;
    }
    EXPECT_THROW(Tokenizer::train({}, 400), Error);
    EXPECT_THROW(Tokenizer::train({"\n\n", ""}, 400), Error);
    EXPECT_THROW(Tokenizer::train({"text"}, 10), Error);
    EXPECT_THROW(Tokenizer::train({"text"}, 70000), Error);
}

TEST(Tokenizer, TakesTrainingTextWithInvalidBytesAndEndlessLines) {
    const auto tokenizer =
        Tokenizer::train({std::string(20000, 'a') + "\xff\xfe text\n" + std::string("\x80\x80\x80"), "b b b"}, 320);
    EXPECT_EQ(tokenizer->size(), 320);
}

// Every code point against the definition of UTF-8, written the other way round: encode, then decode.
TEST(Utf8, EveryCodePointAndItsNeighbours) {
    for (char32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 17) {
        std::string s;
        if (c < 0x80) {
            s = {static_cast<char>(c)};
        } else if (c < 0x800) {
            s = {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
        } else if (c < 0x10000) {
            s = {static_cast<char>(0xe0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
                 static_cast<char>(0x80 | (c & 63))};
        } else {
            s = {static_cast<char>(0xf0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 63)),
                 static_cast<char>(0x80 | ((c >> 6) & 63)), static_cast<char>(0x80 | (c & 63))};
        }
        const base::CodePoint got = base::code_point_at(s, 0);
        if (c >= 0xd800 && c <= 0xdfff) {
            ASSERT_EQ(got.length, 0u);
        } else {
            ASSERT_EQ(got.length, s.size());
            ASSERT_EQ(got.value, c);
            ASSERT_EQ(base::first_invalid_utf8(s.substr(0, s.size() - 1)), 0u);
            ASSERT_EQ(base::character_boundary("x" + s, s.size()), s.size() > 1 ? 1u : s.size());
        }
    }
    EXPECT_EQ(base::first_invalid_utf8("ab\xff"), 2u);
    EXPECT_EQ(base::first_invalid_utf8("文件"), 6u);
    EXPECT_DOUBLE_EQ(base::han_share("ab 文件\n"), 0.5);
    EXPECT_DOUBLE_EQ(base::han_share(" \n"), 0.0);
}

}  // namespace
}  // namespace moescope::engine
