// Traces as text: what the writer writes is read, and what does not fit is refused with its line.
#include "routing/trace_reader.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

using test::TemporaryFolder;
using test::write_text;

std::string text_of(const RouterSpec& spec, const std::vector<TokenDecisions>& tokens) {
    std::string text;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        text += trace_line(tokens[i], i == 0 ? &spec : nullptr) + "\n";
    }
    return text;
}

TEST(TraceLines, ReadBackWhatWasWritten) {
    const TemporaryFolder folder;
    RouterSpec spec = make_spec(4, 8, 2);
    spec.routed_layers = {1, 3};
    spec.doubts = {Sentence::verbatim("groups are not known")};
    auto tokens = RandomTrace(spec, 1).tokens(40);
    tokens[1].layers[0].logits = {1, -0.1f, 3e-8f, 4, 5, 6, 7, -INFINITY};
    tokens[1].layers[0].scores = tokens[1].layers[0].selection = {0.1f, 0.2f, 0.3f, 0, 0, 0, 0, 1e-20f};
    tokens[1].layers[0].group_scores = {1.5f, 2.5f};
    tokens[1].layers[0].groups_kept = {1};
    write_text(folder / "t.jsonl", text_of(spec, tokens));
    TraceLines lines(folder / "t.jsonl");
    EXPECT_EQ(router_to_json(lines.spec()), router_to_json(spec));
    TokenDecisions token;
    for (const TokenDecisions& wanted : tokens) {
        ASSERT_TRUE(lines.next(token));
        EXPECT_EQ(token.position, wanted.position);
        EXPECT_EQ(token.token, wanted.token);
        EXPECT_EQ(token.next, wanted.next);
        EXPECT_EQ(token.predicted, wanted.predicted);
        EXPECT_EQ(token.bytes, wanted.bytes);
        EXPECT_EQ(token.log_probability, wanted.log_probability);
        EXPECT_EQ(token.document, wanted.document);
        EXPECT_EQ(token.language, wanted.language);
        EXPECT_EQ(token.group, wanted.group);
        ASSERT_EQ(token.layers.size(), wanted.layers.size());
        for (std::size_t i = 0; i < wanted.layers.size(); ++i) {
            EXPECT_EQ(token.layers[i].layer, wanted.layers[i].layer);
            EXPECT_EQ(token.layers[i].ids, wanted.layers[i].ids);
            EXPECT_EQ(token.layers[i].weights, wanted.layers[i].weights);
            EXPECT_EQ(token.layers[i].margin, wanted.layers[i].margin);
            EXPECT_EQ(token.layers[i].entropy, wanted.layers[i].entropy);
            EXPECT_EQ(token.layers[i].scores, wanted.layers[i].scores);
            EXPECT_EQ(token.layers[i].group_scores, wanted.layers[i].group_scores);
            EXPECT_EQ(token.layers[i].groups_kept, wanted.layers[i].groups_kept);
        }
    }
    EXPECT_FALSE(lines.next(token));
    EXPECT_FALSE(lines.next(token));
}

TEST(TraceLines, BothFormsGiveTheSame) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto tokens = RandomTrace(spec, 2).tokens(60);
    write_text(folder / "t.jsonl", text_of(spec, tokens));
    EXPECT_EQ(trace_line(decisions_at(*open_trace(folder / "t.jsonl")->next(), 17, spec)), trace_line(tokens[17]));
    {
        TraceWriter writer(folder / "t.trace", spec);
        for (const auto& chunk : chunks_of(spec, tokens)) {
            writer.append(*chunk);
        }
    }
    const auto lines = open_trace(folder / "t.jsonl"), file = open_trace(folder / "t.trace");
    const auto text = lines->next();
    ASSERT_TRUE(text);
    EXPECT_EQ(text->tokens, 60u);
    EXPECT_FALSE(lines->next());
    std::size_t at = 0;
    while (const auto chunk = file->next()) {
        for (std::size_t i = 0; i < chunk->tokens; ++i, ++at) {
            EXPECT_EQ(chunk->token[i], text->token[at]);
            for (std::size_t layer = 0; layer < 2; ++layer) {
                const auto a = chunk->ids_of(layer, i), b = text->ids_of(layer, at);
                EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
            }
        }
    }
    EXPECT_EQ(at, 60u);
    EXPECT_EQ(load_trace(folder / "t.jsonl").source->chunks(), 1u);
    EXPECT_EQ(load_trace(folder / "t.trace").source->chunks(), 2u);
}

TEST(TraceLines, RefusalsNameTheLine) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 4, 2);
    const std::string good = text_of(spec, RandomTrace(spec, 3).tokens(2));
    const auto problem = [&](const std::string& text) {
        write_text(folder / "t", text);
        return sentence_of([&] {
            const auto trace = open_trace(folder / "t");
            while (trace->next()) {
            }
        });
    };
    EXPECT_EQ(problem(good), "");
    EXPECT_EQ(problem("\xEF\xBB\xBF" + good + "\n\r\n"), "");
    EXPECT_NE(problem("").find("is empty"), std::string::npos);
    EXPECT_NE(problem("{\"layers\":[]}").find("line 1 of"), std::string::npos);
    EXPECT_NE(problem("{\"layers\":[]}").find("does not say which router"), std::string::npos);
    const auto third = [&](const std::string& line) { return problem(good + line); };
    EXPECT_NE(third("{\"position\":2,\"layers\":[{\"layer\":0,\"ids\":[1,4]}]}").find("line 3"), std::string::npos);
    EXPECT_NE(third("{\"layers\":[{\"layer\":0,\"ids\":[1,1.5]}]}").find("no number under \"ids\""), std::string::npos);
    EXPECT_NE(third("{\"layers\":[{\"layer\":0,\"ids\":[1,-2]}]}").find("expert -2"), std::string::npos);
    EXPECT_NE(third("{\"layers\":[{\"layer\":0,\"ids\":[99999999999]}]}").find("no number"), std::string::npos);
    EXPECT_NE(third("{\"position\":1}").find("no \"layers\""), std::string::npos);
    EXPECT_NE(third("{\"layers\":[{\"layer\":7,\"ids\":[1]}]}").find("no router"), std::string::npos);
    EXPECT_NE(third("{\"layers\":[],\"bytes\":\"e4b\"}").find("hexadecimal"), std::string::npos);
    EXPECT_NE(third("{\"layers\":[],\"piece\":\"" + std::string(5000, 'a') + "\"}").find("5000 bytes"),
              std::string::npos);
    EXPECT_NE(third("{\"layers\":").find("line 3"), std::string::npos);
    EXPECT_NE(third("nonsense").find("line 3"), std::string::npos);
    EXPECT_EQ(third("{\"layers\":[{\"layer\":0,\"ids\":[1],\"weights\":[null]}],\"token\":\"x\",\"next\":-7}"), "");
}

}  // namespace
}  // namespace moescope::routing
