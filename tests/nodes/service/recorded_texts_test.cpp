// The tokens that a run has read, text by text, out of its trace: what another reading of the very same is made of.
#include "nodes/service/jobs/recorded_texts.hpp"

#include <gtest/gtest.h>
#include <memory>

#include "base/error.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::node {
namespace {

routing::TokenDecisions token(int position, std::uint32_t document, std::int32_t id, std::int32_t next) {
    routing::TokenDecisions made;
    made.position = position;
    made.document = document;
    made.language = document == 0 ? "en" : "zh";
    made.token = id;
    made.next = next;
    made.bytes = "p" + std::to_string(id);
    made.layers.push_back(routing::decided(0, {1}, {1.0f}));
    return made;
}

/// Two texts of three and two tokens, in pieces of two tokens.
std::unique_ptr<routing::PackedTrace> two_texts(std::int32_t last = 8) {
    const routing::RouterSpec spec = routing::make_spec(1, 4, 1);
    auto trace = std::make_unique<routing::PackedTrace>(spec);
    for (const auto& chunk : routing::chunks_of(
             spec,
             {token(0, 0, 1, 5), token(1, 0, 5, 6), token(2, 0, 6, -1), token(0, 1, 1, last), token(1, 1, last, 9)},
             2)) {
        EXPECT_TRUE(trace->append(routing::pack(*chunk)));
    }
    return trace;
}

std::vector<RecordedText> texts_of(const routing::PackedTrace& trace, const NamedTokens& wanted) {
    std::vector<RecordedText> texts;
    for_each_recorded_text(trace, wanted, [&](RecordedText text) { texts.push_back(std::move(text)); });
    return texts;
}

std::string refusal(const routing::PackedTrace& trace, const NamedTokens& wanted) {
    try {
        texts_of(trace, wanted);
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

TEST(RecordedTexts, AreWholeAndInOrder) {
    const auto made = two_texts();
    const routing::PackedTrace& trace = *made;
    const auto texts = texts_of(trace, {3, 0, 0});
    ASSERT_EQ(texts.size(), 2u);
    EXPECT_EQ(texts[0].ids, (std::vector<std::int32_t>{1, 5, 6}));
    EXPECT_EQ(texts[0].next, -1);
    EXPECT_EQ(texts[0].language, "en");
    EXPECT_EQ(texts[1].ids, (std::vector<std::int32_t>{1, 8}));
    EXPECT_EQ(texts[1].next, 9);
    EXPECT_EQ(texts[1].language, "zh");
    EXPECT_EQ(texts[0].pieces_sha256.size(), 64u);
    EXPECT_NE(texts[0].pieces_sha256, texts[1].pieces_sha256);
}

TEST(RecordedTexts, APartBeginsWithATextAndKnowsWhatFollows) {
    const auto made = two_texts();
    const routing::PackedTrace& trace = *made;
    const auto second = texts_of(trace, {3, 3, 1});
    ASSERT_EQ(second.size(), 1u);
    EXPECT_EQ(second[0].ids, (std::vector<std::int32_t>{1}));
    EXPECT_EQ(second[0].next, 8);
    const auto over_the_end = texts_of(trace, {3, 0, 4});
    ASSERT_EQ(over_the_end.size(), 2u);
    EXPECT_EQ(over_the_end[1].ids.size(), 1u);
    EXPECT_NE(refusal(trace, {3, 1, 0}).find("token 1 of run 3 does not begin a text"), std::string::npos);
    EXPECT_NE(refusal(trace, {3, 5, 0}).find("no tokens from number 5"), std::string::npos);
    EXPECT_NE(refusal(trace, {3, ~std::uint64_t{0}, 7}).find("no tokens"), std::string::npos);
    EXPECT_NE(refusal(*two_texts(-1), {3, 0, 0}).find("does not say which token number 4 is"), std::string::npos);
}

}  // namespace
}  // namespace moescope::node
