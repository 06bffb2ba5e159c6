// The small things done with texts.
#include "base/text.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace moescope::base {
namespace {

TEST(Text, OnlyLettersOfAsciiBecomeSmall) {
    EXPECT_EQ(lower("Q4_K_M.GGUF"), "q4_k_m.gguf");
    EXPECT_EQ(lower("ÄÖ 专家 \xff\xc3"), "ÄÖ 专家 \xff\xc3");
    for (int c = 0; c < 128; ++c) {
        const bool capital = c >= 'A' && c <= 'Z';
        EXPECT_EQ(lower(static_cast<char>(c)), static_cast<char>(capital ? c + 32 : c)) << c;
    }
}

TEST(Text, IsFoundInAnyCase) {
    EXPECT_TRUE(contains_any_case("Learning RATE", "rate"));
    EXPECT_TRUE(contains_any_case("学习率 Rate", "学习率 rATE"));
    EXPECT_TRUE(contains_any_case("x", ""));
    EXPECT_FALSE(contains_any_case("", "x"));
    EXPECT_FALSE(contains_any_case("rat", "rate"));
    EXPECT_FALSE(contains_any_case("Ä", "ä"));
}

TEST(Text, IsTrimmedAtBothEnds) {
    EXPECT_EQ(trimmed(" \t\r\n a b \n"), "a b");
    EXPECT_EQ(trimmed(" \n"), "");
    EXPECT_EQ(trimmed(""), "");
    EXPECT_EQ(trimmed("\fa\f", "\f"), "a");
    EXPECT_EQ(trimmed("\fa"), "\fa");
}

TEST(Text, IsShortenedBetweenCharacters) {
    EXPECT_EQ(shortened("abc", 3), "abc");
    EXPECT_EQ(shortened("abcd", 3), "abc…");
    for (std::size_t bytes = 0; bytes < 6; ++bytes) {
        EXPECT_EQ(shortened("专家", bytes), bytes < 3 ? "…" : "专…");
    }
    EXPECT_EQ(shortened("专家", 6), "专家");
}

TEST(Text, ListsHaveCommasBetweenTheirParts) {
    EXPECT_EQ(joined(std::vector<int>{1, 2, 3}), "1, 2, 3");
    EXPECT_EQ(joined(std::vector<std::string>{"a", "b"}, "、"), "a、b");
    EXPECT_EQ(joined(std::vector<std::string>{}), "");
    std::string list;
    append_to_list(list, "a");
    append_to_list(list, "b");
    append_to_list(list, "c", " | ");
    EXPECT_EQ(list, "a, b | c");
}

}  // namespace
}  // namespace moescope::base
