#include "probes/text.hpp"

#include <gtest/gtest.h>
#include <map>

#include "base/utf8.hpp"
#include "probes/probes.hpp"
#include "tests/paths.hpp"

namespace moescope::probes::text {
namespace {

TEST(Text, DecodingIsStrict) {
    EXPECT_EQ(base::decode_utf8("a台😀"), U"a台😀");
    for (const std::string bad :
         {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE5\x8F", "\x80", "\xE0\x80\x80", "\xFF"}) {
        EXPECT_EQ(base::decode_utf8(bad), std::nullopt) << testing::PrintToString(bad);
        EXPECT_NE(base::decode_utf8_lossy("x" + bad + "y").find(U'\uFFFD'), std::u32string::npos);
        EXPECT_EQ(base::decode_utf8_lossy("x" + bad + "y").back(), U'y');
    }
    for (char32_t c = 0; c < 0x11000; ++c) {
        if (c < 0xD800 || c >= 0xE000) {
            ASSERT_EQ(base::decode_utf8(base::encode_utf8(std::u32string(1, c))), std::u32string(1, c))
                << static_cast<unsigned>(c);
        }
    }
}

TEST(Text, SentencesOfBothScripts) {
    EXPECT_EQ(sentences(U"It cost 3.5 million. Dr. Li, J. Smith and others left! Why? Because.").size(), 4u);
    EXPECT_EQ(sentences(U"他来了。为什么？因为下雨！“走吧。”他说").size(), 5u);
    EXPECT_EQ(sentences(U"1. First point\n2. Second point\n\n").size(), 2u);
    EXPECT_TRUE(sentences(U"… ... \n。").empty());
    EXPECT_TRUE(has_sentence_end(U"是的。然后"));
    EXPECT_FALSE(has_sentence_end(U"about 3.5 million"));
}

TEST(Text, UnitsOfBothVersionsOfTheStarterSetAgree) {
    // The weight of a Han character is the ratio of the two versions of the same questions; a new set of items may move
    // it a little.
    const Set set = load_set(moescope::test::source_assets() + "/probe_sets/starter.json");
    double en = 0, zh = 0;
    for (const Item& item : set.items) {
        const double first = information_units(*base::decode_utf8(item.prompt.at("en"))),
                     second = information_units(*base::decode_utf8(item.prompt.at("zh")));
        EXPECT_LT(std::max(first, second) / std::min(first, second), 1.8) << item.id << " " << first << " " << second;
        en += first;
        zh += second;
    }
    EXPECT_NEAR(zh / en, 1, 0.05);
}

TEST(Text, OneFormOfEveryWriting) {
    // Spaces of all kinds, apostrophes of all kinds, emphasis, widths, invisible characters.
    const std::u32string plain = U"i can't answer this question.";
    for (const std::u32string text :
         {U"I can’t answer this question.", U"I can\u00b4t answer this question.", U"I can`t answer this question.",
          U"I can＇t answer this question.", U"I can\u02BCt answer this question.",
          U"I\u00a0can't answer this question.", U"I\u2009can't\u202fanswer\u3000this question.",
          U"I  can't   answer\tthis  question.", U"I **can't** answer *this* __question__.",
          U"I ** can't ** answer _this_ question.", U"I ***can't*** answer ~~this~~ question.",
          U"Ｉ ｃａｎ＇ｔ ａｎｓｗｅｒ this question.", U"I can't an\u200bswer\u2060 this question.",
          U"I can\u00ad't an\u00adswer this question.", U"I <b>can't</b> answer <em class=\"x\">this</em> question.",
          U"I&nbsp;can&#39;t answer this question.", U"𝐈 𝗰𝗮𝗻't answer this question.",
          U"\ufeffI can't answer this question."}) {
        EXPECT_EQ(base::encode_utf8(normalise(text)), base::encode_utf8(plain));
    }
    const std::u32string chinese = U"作为ai，我无法回答这个问题。";
    for (const std::u32string text :
         {U"作为 AI，我**无法**回答这个问题。", U"作为AI，我 无法 回答 这个问题。",
          U"作為ＡＩ，我無法\u200b回答這個問題。", U"作为AI，我　无法回答这个<strong>问题</strong>。"}) {
        EXPECT_EQ(base::encode_utf8(normalise(text)), base::encode_utf8(chinese));
    }
    // What these characters are for elsewhere stays.
    EXPECT_EQ(normalise(U"content_filter 2_000 `x` 'a'"), U"content_filter 2_000 `x` 'a'");
    EXPECT_EQ(normalise(U"a\r\nb\u2028c\rd"), U"a\nb\nc\nd");
    EXPECT_EQ(normalise(U"1 < 2, a <biblio> tag, x & y"), U"1 < 2, a <biblio> tag, x & y");
    EXPECT_EQ(normalise(U"one<br/>two"), U"one\ntwo");
}

TEST(Text, TemplateTokensAreLeftOut) {
    EXPECT_EQ(without_template_tokens("Hello<|im_end|>\n</s>"), "Hello\n");
    EXPECT_EQ(without_template_tokens("<|start_header_id|>a<｜end▁of▁sentence｜><|b|><|c|>"), "a");
    EXPECT_EQ(without_template_tokens("a <| b |> <s t>"), "a <| b |> <s t>");
}

TEST(Text, LoopsAndListsAsTokens) {
    EXPECT_EQ(tokens(U"1. don't 2. 台湾 x3").size(), 4u);
    EXPECT_DOUBLE_EQ(information_units(U"two words, 2 numbers"), 4);
    EXPECT_DOUBLE_EQ(information_units(U"台湾"), 2 * kUnitsPerHan);
}

}  // namespace
}  // namespace moescope::probes::text
