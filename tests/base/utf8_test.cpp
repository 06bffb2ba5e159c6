#include "base/utf8.hpp"

#include <gtest/gtest.h>
#include <random>

namespace moescope::base {
namespace {

TEST(Utf8, EveryCharacterComesBack) {
    for (char32_t code = 1; code <= 0x10FFFF; code += code < 0x1000 ? 1 : 37) {
        if (code >= 0xD800 && code < 0xE000) {
            continue;
        }
        std::string bytes;
        append_utf8(bytes, code);
        const CodePoint read = code_point_at(bytes, 0);
        ASSERT_EQ(read.value, code);
        ASSERT_EQ(read.length, bytes.size());
        ASSERT_EQ(decode_utf8(bytes), std::u32string(1, code));
        // Cut anywhere inside, it is no character, and a stream waits for the rest of it.
        for (std::size_t length = 1; length < bytes.size(); ++length) {
            const std::string cut = "a" + bytes.substr(0, length);
            ASSERT_EQ(code_point_at(cut, 1).length, 0u);
            ASSERT_EQ(complete_utf8_prefix(cut), 1u) << std::hex << static_cast<std::uint32_t>(code);
        }
        ASSERT_EQ(complete_utf8_prefix(bytes), bytes.size());
    }
}

TEST(Utf8, WhatIsNoCharacterIsRefused) {
    for (const char* bytes :
         {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
          "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3("}) {
        EXPECT_EQ(code_point_at(bytes, 0).length, 0u) << bytes;
        EXPECT_FALSE(decode_utf8(bytes));
        EXPECT_EQ(first_invalid_utf8(std::string("ab") + bytes), 2u);
    }
    EXPECT_EQ(to_valid_utf8("a\xFFz"), "a\uFFFDz");
    EXPECT_EQ(decode_utf8_lossy("\xE4\xBD"), U"\uFFFD\uFFFD") << "one for each byte that does not fit";
}

TEST(Utf8, RandomBytesNeverReadBeyondTheirEnd) {
    std::mt19937 random(7);
    for (int round = 0; round < 20000; ++round) {
        std::string bytes(random() % 8, '\0');
        for (char& byte : bytes) {
            byte = static_cast<char>(random());
        }
        const std::string exact(bytes.begin(), bytes.end());
        ASSERT_EQ(first_invalid_utf8(to_valid_utf8(exact)), to_valid_utf8(exact).size());
        ASSERT_EQ(encode_utf8(decode_utf8_lossy(exact)), to_valid_utf8(exact));
        ASSERT_LE(complete_utf8_prefix(exact), exact.size());
    }
}

TEST(Utf8, HanAreIdeographsAndNothingElse) {
    for (const char32_t code :
         {U'\u3400', U'\u4DBF', U'\u4E00', U'中', U'\u9FFF', U'\uF900', U'\uFAFF', U'\U00020000', U'\U000323AF'}) {
        EXPECT_TRUE(is_han(code)) << static_cast<std::uint32_t>(code);
    }
    for (const char32_t code : {U'a', U'。', U'あ', U'ア', U'한', U'\u4DC0', U'\u3000', U'\uFF21', U'\U000323B0'}) {
        EXPECT_FALSE(is_han(code)) << static_cast<std::uint32_t>(code);
    }
    EXPECT_DOUBLE_EQ(han_share("中 文 ab"), 0.5);
    EXPECT_DOUBLE_EQ(han_share(" \n"), 0);
}

TEST(Utf8, ABoundaryCutsNoCharacter) {
    const std::string text = "a中b";
    EXPECT_EQ(character_boundary(text, 0), 0u);
    EXPECT_EQ(character_boundary(text, 2), 1u);
    EXPECT_EQ(character_boundary(text, 3), 1u);
    EXPECT_EQ(character_boundary(text, 4), 4u);
    EXPECT_EQ(character_boundary(text, 99), text.size());
}

}  // namespace
}  // namespace moescope::base
