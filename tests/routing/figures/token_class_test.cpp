#include "routing/figures/token_class.hpp"

#include <gtest/gtest.h>

namespace moescope::routing {
namespace {

using enum TokenClass;

TEST(TokenClasses, ByHand) {
    const auto is = [](std::string_view bytes, std::string_view before = "") { return token_class(bytes, before); };
    EXPECT_EQ(is(""), special);
    EXPECT_EQ(is("<|im_end|>"), special);
    EXPECT_EQ(is("<｜end▁of▁sentence｜>"), special);
    EXPECT_EQ(is("</s>"), special);
    EXPECT_EQ(is("<div>"), code);
    EXPECT_EQ(is("\xe8\xb7"), part);
    EXPECT_EQ(is("\xaf"), part);
    EXPECT_EQ(is("<0xE4>"), part);
    EXPECT_EQ(is(" "), space);
    EXPECT_EQ(is("\n\n\t"), space);
    EXPECT_EQ(is("　"), space);
    EXPECT_EQ(is("路由"), han);
    EXPECT_EQ(is(" 路"), han);
    EXPECT_EQ(is("的，"), han);
    EXPECT_EQ(is(" the"), word_start);
    EXPECT_EQ(is("The"), word_start);
    EXPECT_EQ(is("The", "\n"), word_start);
    EXPECT_EQ(is("The", "("), word_start);
    EXPECT_EQ(is("ing", " rout"), word_inside);
    EXPECT_EQ(is("ing", "é"), word_inside);
    EXPECT_EQ(is("'t", " don"), word_inside);
    EXPECT_EQ(is(" Müller"), word_start);
    EXPECT_EQ(is("expert", "专"), word_start);
    EXPECT_EQ(is("42"), digit);
    EXPECT_EQ(is(" 7"), digit);
    EXPECT_EQ(is("."), punctuation);
    EXPECT_EQ(is(" ("), punctuation);
    EXPECT_EQ(is("。”"), punctuation);
    EXPECT_EQ(is("..."), punctuation);
    EXPECT_EQ(is("{"), code);
    EXPECT_EQ(is(" =>"), code);
    EXPECT_EQ(is("foo_bar"), code);
    EXPECT_EQ(is("getElement"), code);
    EXPECT_EQ(is("x1"), code);
    EXPECT_EQ(is("привет"), other);
    EXPECT_EQ(is("カ"), other);
    EXPECT_EQ(is("😀"), other);
}

TEST(TokenClasses, EachHasAName) {
    for (const TokenClass kind : kTokenClasses) {
        EXPECT_NE(std::string_view(token_class_name(kind)), "");
    }
}

}  // namespace
}  // namespace moescope::routing
