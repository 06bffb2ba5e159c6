// The text of a trace in pages, whatever the chunks: every token once and in order, bytes of parts of characters shown,
// control tokens marked, the answer told from its prompt.
#include "panels/routing/token_pages.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "tests/routing/random_trace.hpp"

namespace {

using namespace moescope;
using panels::answer_begin;
using panels::token_text;
using panels::TokenKind;
using panels::TokenPage;
using panels::TokenPages;

routing::TokenDecisions said(int position, const std::string& bytes, std::uint32_t document = 0) {
    routing::TokenDecisions token;
    token.position = position;
    token.token = position + 100;
    token.bytes = bytes;
    token.document = document;
    token.language = document == 0 ? "en" : "zh";
    token.log_probability = -0.5f * static_cast<float>(position + 1);
    token.layers.push_back(routing::decided(0, {1}, {1.0f}));
    return token;
}

/// The tokens cut into chunks of so many, and read by a figure as its job does.
TokenPages pages_of(const std::vector<routing::TokenDecisions>& tokens, std::size_t chunk,
                    std::optional<std::uint64_t> cut = {}) {
    TokenPages pages(cut);
    routing::ChunkBuilder builder(routing::make_spec(1, 4, 1));
    std::size_t waiting = 0;
    for (const routing::TokenDecisions& token : tokens) {
        builder.add(token);
        if (++waiting == chunk) {
            pages.add(*builder.take());
            waiting = 0;
        }
    }
    if (waiting > 0) {
        pages.add(*builder.take());
    }
    return pages;
}

std::string all_text(const TokenPages& pages) {
    std::string text;
    for (const auto& page : pages.pages()) {
        text += page->text;
    }
    return text;
}

TEST(TokenText, ShowsBytesControlTokensAndLineEnds) {
    EXPECT_EQ(token_text("", 2).text, "‹2›");
    EXPECT_EQ(panels::shown_piece("", 2), "‹2›") << "in tables too";
    EXPECT_EQ(panels::shown_piece(" a", 2), "·a");
    EXPECT_EQ(token_text(" the", 1).text, " the");
    EXPECT_EQ(token_text("路由", 1).text, "路由");
    EXPECT_EQ(token_text("\xe4\xbd", 1).text, "‹E4›‹BD›");
    EXPECT_EQ(token_text("\xe4\xbd", 1).kind, TokenKind::bytes);
    EXPECT_EQ(token_text("a\xa0", 1).text, "a‹A0›");
    EXPECT_EQ(token_text("\n", 1).text, "¶\n");
    EXPECT_EQ(token_text(".\n\n", 1).text, ".¶\n¶\n");
    EXPECT_EQ(token_text("\n", 1).kind, TokenKind::text);
    EXPECT_EQ(token_text("\x01", 1).text, "‹01›");
    EXPECT_EQ(token_text("", 151644).text, "‹151644›");
    EXPECT_EQ(token_text("", -1).text, "‹?›");
    EXPECT_EQ(token_text("", 7).kind, TokenKind::control);
    for (const char* control :
         {"<|im_start|>", "</s>", "<｜begin▁of▁sentence｜>", "<start_of_turn>", "[INST]", "<unused12>"}) {
        EXPECT_EQ(token_text(control, 1).kind, TokenKind::control) << control;
        EXPECT_EQ(token_text(control, 1).text, control);
    }
    for (const char* text : {"<div>", "<", "<|", "a < b >", "[x]", "<| a |>"}) {
        EXPECT_EQ(token_text(text, 1).kind, TokenKind::text) << text;
    }
}

TEST(InLine, ShowsSpacesAndLineEndsOnOneLine) {
    EXPECT_EQ(panels::in_line(token_text(" the", 1).text), "·the");
    EXPECT_EQ(panels::in_line(token_text(".\n\n", 1).text), ".¶¶");
    EXPECT_EQ(panels::in_line(token_text("\t路 由", 1).text), "\\t路·由");
    EXPECT_EQ(panels::in_line(""), "");
}

TEST(TokenPages, HaveEveryTokenOnceWhateverTheChunks) {
    std::vector<routing::TokenDecisions> tokens;
    std::string expected;
    for (int i = 0; i < 3000; ++i) {
        tokens.push_back(said(i, i % 40 == 39 ? "\n" : " w" + std::to_string(i)));
        expected += token_text(tokens.back().bytes, 1).text;
    }
    for (const std::size_t chunk : {1u, 7u, 512u, 5000u}) {
        const TokenPages pages = pages_of(tokens, chunk);
        EXPECT_EQ(all_text(pages), expected) << chunk;
        EXPECT_EQ(pages.tokens(), 3000u);
        EXPECT_EQ(pages.end(), 3000u);
        std::uint64_t next = 0;
        for (const auto& page : pages.pages()) {
            EXPECT_EQ(page->first, next);
            EXPECT_LE(page->tokens(), TokenPages::kMostTokens);
            EXPECT_EQ(page->begins_document, next == 0);
            for (std::size_t at = 0; at < page->tokens(); ++at) {
                EXPECT_EQ(page->text_of(at), token_text(tokens[next + at].bytes, 1).text);
                EXPECT_EQ(page->ids[at], tokens[next + at].token);
                EXPECT_EQ(page->token_at(page->begin_of(at)), at);
                // A token's own probability is what the one before said of its next.
                const float own = page->own[at];
                if (next + at == 0) {
                    EXPECT_TRUE(std::isnan(own));
                } else {
                    EXPECT_FLOAT_EQ(own, *tokens[next + at - 1].log_probability);
                }
            }
            next += page->tokens();
        }
        EXPECT_EQ(next, 3000u);
        // Cut behind a line end, so that pages leave no ragged lines.
        EXPECT_TRUE(pages.pages().front()->text.ends_with('\n'));
    }
}

TEST(TokenPages, ThatWereGivenOutDoNotChange) {
    TokenPages pages;
    routing::ChunkBuilder builder(routing::make_spec(1, 4, 1));
    builder.add(said(0, "One"));
    pages.add(*builder.take());
    const std::shared_ptr<const TokenPage> before = pages.pages().back();
    builder.add(said(1, " two"));
    pages.add(*builder.take());
    EXPECT_EQ(before->text, "One");
    EXPECT_EQ(pages.pages().size(), 1u);
    EXPECT_EQ(pages.pages().back()->text, "One two");
}

TEST(TokenPages, EndWithTheirDocumentAndBeforeTheAnswer) {
    std::vector<routing::TokenDecisions> tokens;
    for (int i = 0; i < 6; ++i) {
        tokens.push_back(said(i % 3, "w" + std::to_string(i), i < 3 ? 0 : 1));
    }
    const TokenPages pages = pages_of(tokens, 4, 5);
    ASSERT_EQ(pages.pages().size(), 3u);
    EXPECT_TRUE(pages.many_documents());
    EXPECT_EQ(pages.pages()[1]->first, 3u);
    EXPECT_TRUE(pages.pages()[1]->begins_document);
    EXPECT_EQ(pages.pages()[1]->language, "zh");
    EXPECT_TRUE(std::isnan(pages.pages()[1]->own[0]));  // the text before says nothing of it
    EXPECT_EQ(pages.pages()[2]->first, 5u);
    EXPECT_FALSE(pages.pages()[2]->begins_document);
    EXPECT_EQ(panels::page_holding(pages.pages(), 4), 1u);
    EXPECT_EQ(panels::page_holding(pages.pages(), 5), 2u);
    EXPECT_EQ(panels::page_holding(pages.pages(), 6), 3u);
    EXPECT_EQ(panels::page_holding({}, 0), 0u);
}

TEST(TokenPages, JumpWhereAPieceIsMissing) {
    TokenPages pages;
    routing::ChunkBuilder builder(routing::make_spec(1, 4, 1));
    builder.add(said(0, "a"));
    builder.add(said(1, "b"));
    const auto first = builder.take();
    auto second = *first;
    second.first = 10;
    pages.add(*first);
    pages.add(second);
    ASSERT_EQ(pages.pages().size(), 2u);
    EXPECT_EQ(pages.pages()[1]->first, 10u);
    EXPECT_EQ(panels::page_holding(pages.pages(), 5), 2u);
    EXPECT_TRUE(std::isnan(pages.pages()[1]->own[0]));
}

TEST(AnswerBegin, IsToldByTheAnswersTokens) {
    const std::vector<std::int32_t> prompt = {5, 6, 7, 8}, answer = {9, 10, 11, 12, 13};
    std::vector<std::int32_t> trace = prompt;
    trace.insert(trace.end(), answer.begin(), answer.end() - 1);  // the last one is not fed
    EXPECT_EQ(answer_begin(trace, answer), 4u);
    // Either may be ahead.
    EXPECT_EQ(answer_begin({trace.begin(), trace.begin() + 6}, answer), std::nullopt);  // two are too few to tell
    EXPECT_EQ(answer_begin(trace, {answer.begin(), answer.begin() + 3}), 4u);
    EXPECT_EQ(answer_begin(prompt, answer), std::nullopt);
    EXPECT_EQ(answer_begin(trace, {}), std::nullopt);
    EXPECT_EQ(answer_begin({}, answer), std::nullopt);
    EXPECT_EQ(answer_begin(trace, {40, 41, 42, 43}), std::nullopt);
    // The prompt has the answer's words too: the end counts.
    EXPECT_EQ(answer_begin({9, 10, 11, 12, 9, 10, 11, 12}, answer), 4u);
}

TEST(WordsOf, ArePartOfATextOnOneLine) {
    const TokenPages pages = pages_of({said(0, "</s>"), said(1, "NAME"), said(2, "\n"), said(3, "strings"),
                                       said(4, " -"), said(0, "</s>", 1), said(1, "unset", 1)},
                                      3);
    EXPECT_EQ(panels::words_of(pages.pages(), 0, 5, 40), "NAME strings -");
    EXPECT_EQ(panels::words_of(pages.pages(), 0, 4, 40), "NAME strings");
    EXPECT_EQ(panels::words_of(pages.pages(), 5, 7, 40), "unset");
    EXPECT_EQ(panels::words_of(pages.pages(), 7, 9, 40), "");
}

}  // namespace
