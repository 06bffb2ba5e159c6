// Columns hold what was put in, and refuse what no router can have decided.
#include "routing/chunk.hpp"

#include <gtest/gtest.h>

#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

TEST(Chunks, HoldEveryDecision) {
    RouterSpec spec = make_spec(5, 12, 3);
    spec.routed_layers = {1, 2, 4};
    const auto tokens = RandomTrace(spec, 1).tokens(120);
    const auto chunks = chunks_of(spec, tokens);
    ASSERT_EQ(chunks.size(), 3u);
    std::size_t number = 0;
    for (const auto& chunk : chunks) {
        EXPECT_EQ(chunk->first, number);
        for (std::size_t at = 0; at < chunk->tokens; ++at, ++number) {
            const TokenDecisions& token = tokens[number];
            EXPECT_EQ(chunk->token[at], token.token);
            EXPECT_EQ(chunk->next[at], token.next);
            EXPECT_EQ(chunk->predicted[at], token.predicted);
            EXPECT_EQ(chunk->piece_of(at), token.bytes);
            EXPECT_EQ(chunk->names[chunk->language[at]], token.language);
            EXPECT_EQ(chunk->names[chunk->group[at]], token.group);
            for (std::size_t layer = 0; layer < 3; ++layer) {
                const auto ids = chunk->ids_of(layer, at);
                EXPECT_TRUE(
                    std::equal(ids.begin(), ids.end(), token.layers[layer].ids.begin(), token.layers[layer].ids.end()));
                const auto weights = chunk->weights_of(layer, at);
                EXPECT_TRUE(std::equal(weights.begin(), weights.end(), token.layers[layer].weights.begin()));
                EXPECT_EQ(chunk->margin[chunk->cell(layer, at)], token.layers[layer].margin);
            }
        }
    }
    EXPECT_EQ(number, tokens.size());
}

TEST(Chunks, MissingDecisionsAndFewerExperts) {
    const RouterSpec spec = make_spec(2, 4, 2);
    TokenDecisions token;
    token.layers = {decided(1, {3}, {})};
    ChunkBuilder builder(spec);
    builder.add(token);
    const auto chunk = builder.take();
    EXPECT_EQ(chunk->chosen, (std::vector<std::uint16_t>{0, 1}));
    EXPECT_TRUE(chunk->ids_of(0, 0).empty());
    EXPECT_EQ(chunk->ids, (std::vector<std::uint16_t>{kNoExpert, kNoExpert, 3, kNoExpert}));
    EXPECT_TRUE(chunk->weights.empty());
    EXPECT_TRUE(chunk->weights_of(1, 0).empty());
    EXPECT_TRUE(builder.empty());
}

TEST(Chunks, RefuseWhatNoRouterDecides) {
    RouterSpec spec = make_spec(3, 4, 2);
    spec.routed_layers = {0, 2};
    ChunkBuilder builder(spec);
    const auto refused = [&](std::vector<LayerDecision> layers) {
        TokenDecisions token;
        token.position = 7;
        token.layers = std::move(layers);
        const std::string sentence = sentence_of([&] { builder.add(token); });
        EXPECT_TRUE(builder.empty());
        return sentence;
    };
    EXPECT_EQ(refused({decided(0, {1, 4})}), "chooses expert 4 at position 7 in layer 0, which has 4 experts");
    EXPECT_EQ(refused({decided(0, {-1})}), "chooses expert -1 at position 7 in layer 0, which has 4 experts");
    EXPECT_EQ(refused({decided(2, {1, 1})}), "chooses expert 1 twice at position 7 in layer 2");
    EXPECT_EQ(refused({decided(2, {1, 2, 3})}), "chooses 3 experts at position 7 in layer 2, but its router chooses 2");
    EXPECT_EQ(refused({decided(1, {1})}), "has a decision of layer 1 at position 7, which has no router");
    EXPECT_NE(refused({decided(2, {1}), decided(0, {1})}).find("ascending"), std::string::npos);
    EXPECT_NE(refused({decided(0, {1}), decided(0, {1})}).find("ascending"), std::string::npos);
    EXPECT_NE(refused({decided(0, {1, 2}, {1})}).find("1 weights for 2 experts"), std::string::npos);
    EXPECT_NE(sentence_of([&] {
                  builder.add(LoadSample{1, {1, 2, 3}});
              }).find("counts of 3 experts"),
              std::string::npos);
}

TEST(RouterSpecs, AreCheckedBeforeAnythingIsMadeOfThem) {
    const auto problem = [](const std::function<void(RouterSpec&)>& change) {
        RouterSpec spec = make_spec(4, 8, 2);
        change(spec);
        return sentence_of([&] { ChunkBuilder builder(spec); });
    };
    EXPECT_EQ(problem([](RouterSpec&) {}), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.experts = 0; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.experts = 1 << 30; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.experts_per_token = 9; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.experts_per_token = -1; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.routed_layers = {}; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.routed_layers = {0, 0}; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.routed_layers = {4}; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.routed_layers = {-1}; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.layers = 1 << 20; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s.groups_kept = 2; }), "");
    EXPECT_NE(problem([](RouterSpec& s) { s = make_spec(4000, 65000, 1); }).find("more than can be shown"),
              std::string::npos);
}

TEST(RouterSpecs, ReadBackAsTheyWere) {
    RouterSpec spec = make_spec(61, 256, 8);
    spec.routed_layers.erase(spec.routed_layers.begin(), spec.routed_layers.begin() + 3);
    spec.shared_experts = 1;
    spec.hash_layers = 0;
    spec.scoring = "sigmoid";
    spec.group_score = "top2";
    spec.groups = 8;
    spec.groups_kept = 4;
    spec.selection_bias = spec.normalise = true;
    spec.scale = 2.5;
    spec.source = Source::recomputed;
    spec.doubts = {say("{} of {} decisions are rows of zeros and left out", 1, 2), Sentence::verbatim("a word")};
    const nlohmann::json value = router_to_json(spec);
    const RouterSpec read = router_from_json(value);
    EXPECT_EQ(router_to_json(read), value);
    EXPECT_EQ(read.routed_layers, spec.routed_layers);
    EXPECT_EQ(read.source, Source::recomputed);
    ASSERT_EQ(read.doubts.size(), 2u);
    EXPECT_EQ(read.doubts[0], spec.doubts[0]);
    EXPECT_EQ(read.doubts[1].english(), "a word");
    auto other = value;
    other.erase("source");
    EXPECT_EQ(router_from_json(other).source, Source::imported) << "nobody says that they made the logits";
    other["source"] = "guessed";
    EXPECT_EQ(sentence_of([&] { router_from_json(other); }),
              "has the source 'guessed', which is not known; known are executed, recomputed, imported");
    EXPECT_NE(sentence_of([&] { router_from_json(nlohmann::json::array()); }), "");
}

}  // namespace
}  // namespace moescope::routing
