// Traces as text: what the writer writes is read, and what does not fit is refused with its line.
#include "routing/trace_reader.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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
    spec.groups = 2;
    spec.groups_kept = 1;
    spec.group_score = "max";
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
    const auto line = [&](const std::string& keys) { return problem(good + "{" + keys + "}"); };
    const auto refused = [&](const std::string& keys, const std::string& words) {
        const std::string said = line(keys);
        EXPECT_NE(said.find("line 3 of"), std::string::npos) << keys << ": " << said;
        EXPECT_NE(said.find(words), std::string::npos) << keys << ": " << said;
    };
    const std::string place = "\"position\":2,\"layers\":";
    EXPECT_EQ(line(place + "[{\"layer\":0,\"ids\":[1],\"weights\":[null]}]"), "");
    refused(place + "[{\"layer\":0,\"ids\":[1,4]}]", "chooses expert 4");
    refused(place + "[{\"layer\":0,\"ids\":[1,1.5]}]", "no whole number under \"ids\"");
    refused(place + "[{\"layer\":0,\"ids\":[1,-2]}]", "expert -2");
    refused(place + "[{\"layer\":0,\"ids\":[99999999999]}]", "too large under \"ids\"");
    refused(place + "[{\"layer\":0,\"ids\":[1000000000000000000000000000000]}]", "too large under \"ids\"");
    refused(place + "[{\"layer\":0,\"ids\":\"01\"}]", "no list under \"ids\"");
    refused(place + "[{\"layer\":0}]", "no \"ids\"");
    refused(place + "[{\"ids\":[1]}]", "no \"layer\"");
    refused(place + "[{\"layer\":-1,\"ids\":[1]}]", "under \"layer\"");
    refused(place + "[{\"layer\":\"0\",\"ids\":[1]}]", "under \"layer\"");
    refused(place + "[5]", "no decision of a layer");
    refused(place + "{}", "no list under \"layers\"");
    refused(place + "[{\"layer\":7,\"ids\":[1]}]", "no router");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"weights\":[\"a\",\"b\"]}]", "no number under \"weights\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"weights\":\"ab\"}]", "no list under \"weights\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"weights\":[1e300,1]}]", "too large under \"weights\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"margin\":\"wide\"}]", "no number under \"margin\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"entropy\":null}]", "no number under \"entropy\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"scores\":[1,2]}]", "2 numbers under \"scores\"");
    refused(place + "[{\"layer\":0,\"ids\":[0,1],\"groups_kept\":[1]}]", "keeps group 1");
    refused("\"position\":2", "no \"layers\"");
    refused("\"layers\":[]", "no \"position\"");
    for (const char* position : {"\"x\"", "-5", "2147483648", "1.5", "null", "true"}) {
        refused(std::string("\"layers\":[],\"position\":") + position, "under \"position\"");
    }
    refused("\"position\":1,\"layers\":[]", "position 1 of text 1 a second time");
    refused("\"position\":0,\"layers\":[]", "behind position 1");
    EXPECT_EQ(line("\"position\":0,\"document\":1,\"layers\":[]"), "") << "another text begins anew";
    EXPECT_EQ(line("\"position\":9,\"layers\":[]"), "") << "positions may be missing";
    refused(place + "[],\"document\":-1", "under \"document\"");
    refused(place + "[],\"document\":4294967296", "under \"document\"");
    refused(place + "[],\"token\":\"x\"", "under \"token\"");
    refused(place + "[],\"next\":-7", "under \"next\"");
    refused(place + "[],\"predicted\":1.5", "under \"predicted\"");
    refused(place + "[],\"log_probability\":\"-1\"", "under \"log_probability\"");
    refused(place + "[],\"log_probability\":-1e300", "too large under \"log_probability\"");
    refused(place + "[],\"piece\":5", "no text under \"piece\"");
    refused(place + "[],\"language\":[\"en\"]", "no text under \"language\"");
    refused(place + "[],\"bytes\":\"e4b\"", "hexadecimal");
    refused(place + "[],\"piece\":\"" + std::string(5000, 'a') + "\"", "5000 bytes");
    refused(place + "[],\"router\":" + router_json(spec), "a second \"router\"");
    refused("\"layers\":", "");
    EXPECT_NE(problem(good + "nonsense").find("line 3"), std::string::npos);
}

/// What no router can have said is refused, and what one can have said is not.
TEST(TraceLines, NumbersThatNoRouterHasAreRefused) {
    const TemporaryFolder folder;
    RouterSpec spec = make_spec(2, 4, 2);
    const auto said = [&](const std::string& keys, const std::string& more = "") {
        write_text(folder / "t", "{\"router\":" + router_json(spec) +
                                     ",\"position\":0,\"layers\":[{\"layer\":0,\"ids\":[0,1]" + keys + "}]" + more +
                                     "}\n");
        return sentence_of([&] {
            const auto trace = open_trace(folder / "t");
            while (trace->next()) {
            }
        });
    };
    const auto refused = [&](const std::string& given, const std::string& words) {
        EXPECT_NE(given.find("line 1 of"), std::string::npos) << given;
        EXPECT_NE(given.find(words), std::string::npos) << given;
    };
    EXPECT_EQ(said(",\"weights\":[0.7,0],\"margin\":-0.01,\"entropy\":1.3863", ",\"log_probability\":1e-7"), "");
    refused(said("", ",\"log_probability\":700"), "the log-probability 700, and none is above 0");
    refused(said(",\"entropy\":1e30"), "has 1e+30 under \"entropy\", where 0 to 1.386 is possible");
    refused(said(",\"entropy\":-0.5"), "under \"entropy\"");
    refused(said(",\"margin\":-5"), "has -5 under \"margin\", where -1 to 1 is possible");
    refused(said(",\"weights\":[-5,0.1]"), "the weight -5");
    refused(said(",\"scores\":[-1,0,0,0]"), "the score -1");
    refused(said(",\"scores\":[2,0,0,0]"), "the score 2");
    // Scores without an upper end, a choice by scores and a bias, a scoring that nobody knows: raw logits.
    spec.scoring = "sqrt_softplus";
    EXPECT_EQ(said(",\"weights\":[5,0.1],\"margin\":-5,\"scores\":[9,0,0,0]"), "");
    refused(said(",\"weights\":[-5,0.1]"), "the weight -5");
    spec.scoring = "softmax";
    spec.selection_bias = true;
    EXPECT_EQ(said(",\"margin\":-5"), "");
    spec.scoring.clear();
    EXPECT_EQ(said(",\"weights\":[-5,0.1],\"scores\":[-5,0,0,0]"), "");
    refused(said(",\"entropy\":1e30"), "under \"entropy\"");
}

/// The first ones, and how many there are besides.
TEST(TraceLines, DoubtsAreBounded) {
    const TemporaryFolder folder;
    nlohmann::json router = router_to_json(make_spec(2, 4, 2));
    for (int i = 0; i < 100; ++i) {
        router["doubts"].push_back("doubt " + std::to_string(i));
    }
    write_text(folder / "t", nlohmann::json{{"router", router}}.dump() + "\n");
    const auto doubts = open_trace(folder / "t")->spec().doubts;
    ASSERT_EQ(doubts.size(), 32u);
    EXPECT_EQ(doubts[30].english(), "doubt 30");
    EXPECT_EQ(doubts[31].english(), "69 more doubts are left out");
}

TEST(TraceLines, RoutersOfAnotherKindAreRefused) {
    const TemporaryFolder folder;
    const nlohmann::json good = router_to_json(make_spec(2, 4, 2));
    const auto problem = [&](const char* key, const nlohmann::json& value) {
        nlohmann::json router = good;
        router[key] = value;
        write_text(folder / "t", nlohmann::json{{"router", router}}.dump() + "\n");
        return sentence_of([&] { open_trace(folder / "t"); });
    };
    EXPECT_EQ(problem("model", "m"), "");
    for (const auto& [key, value] : std::vector<std::pair<const char*, nlohmann::json>>{
             {"model", 5},
             {"model", std::string(5000, 'm')},
             {"scoring", "bogus"},
             {"group_score", "sum"},
             {"source", "foo"},
             {"groups", "1"},
             {"experts", -4},
             {"experts", "4"},
             {"shared_experts", -1},
             {"hash_layers", 1 << 20},
             {"scale", "1"},
             {"normalise", 1},
             {"routed_layers", "01"},
             {"doubts", "many"},
             {"interventions", {{{"kind", "nope"}}}},
             {"interventions", {1, 2, nullptr}},
             {"interventions", {{"items", nlohmann::json::array()}}},
             {"interventions", nullptr},
             {"interventions", {{{"kind", "force"}, {"expert", 99999}}}}}) {
        EXPECT_NE(problem(key, value).find("line 1 of"), std::string::npos) << key << " " << value;
    }
    EXPECT_EQ(problem("interventions", {{{"kind", "force"}, {"layer", 0}, {"expert", 3}}}), "");
}

TEST(TraceLines, NoLineIsWrittenThatCouldNotBeRead) {
    const TemporaryFolder folder;
    RouterSpec spec = make_spec(2, 4, 2);
    TokenDecisions token;
    token.bytes = std::string(5000, 'x') + "\xff";
    token.layers = {decided(0, {1, 2})};
    write_text(folder / "t", trace_line(token, &spec) + "\n");
    EXPECT_EQ(open_trace(folder / "t")->next()->piece_of(0), std::string(kLongestPiece, 'x'));
    token.group = std::string(kLongestName + 1, 'g');
    EXPECT_NE(sentence_of([&] { trace_line(token); }).find("a name of 4097 bytes"), std::string::npos);
    token.group.clear();
    spec.model = std::string(5000, 'm');
    EXPECT_NE(sentence_of([&] { trace_line(token, &spec); }).find("5000 bytes under \"model\""), std::string::npos);
}

/// Tokens that a text lacks between two that it has, whichever form it has; its beginning and its end may be anywhere.
TEST(TraceLines, GapsWithinATextAreTold) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    auto tokens = RandomTrace(spec, 5).tokens(40);  // texts of 16 tokens
    const auto told = [&](const std::vector<TokenDecisions>& kept) {
        write_text(folder / "t.jsonl", text_of(spec, kept));
        {
            TraceWriter writer(folder / "t.trace", spec);
            for (const auto& chunk : chunks_of(spec, kept, 5)) {
                writer.append(*chunk);
            }
        }
        std::vector<std::pair<std::size_t, std::string>> all;
        for (const char* name : {"t.jsonl", "t.trace"}) {
            const auto stream = open_trace(folder / name);
            while (stream->next()) {
            }
            const auto problems = stream->problems();
            all.emplace_back(stream->damaged(), problems.empty() ? "" : problems[0].english());
            const auto loaded = load_trace(folder / name).source;
            for (std::size_t i = 0; i < loaded->chunks(); ++i) {
                EXPECT_TRUE(loaded->chunk(i, kAllColumns) != nullptr);
                EXPECT_TRUE(loaded->chunk(i, kTokens) != nullptr) << "a second time, and counted once";
            }
            EXPECT_EQ(loaded->damaged_places(), stream->damaged());
            EXPECT_EQ(loaded->problems(0), problems);
        }
        EXPECT_EQ(all[0].first, all[1].first);
        return all;
    };
    EXPECT_EQ(told(tokens)[0].first, 0u);
    EXPECT_EQ(told({tokens.begin() + 3, tokens.end()})[0].first, 0u) << "a recording may lack the beginning";
    auto cut = tokens;
    cut.erase(cut.begin() + 13, cut.begin() + 19);  // the end of one text and the beginning of the next
    EXPECT_EQ(told(cut)[0].first, 0u);
    cut = tokens;
    cut.erase(cut.begin() + 20, cut.begin() + 21);
    cut.erase(cut.begin() + 4, cut.begin() + 7);
    const auto both = told(cut);
    EXPECT_EQ(both[0].first, 2u);
    for (const auto& [places, sentence] : both) {
        EXPECT_NE(sentence.find("4 tokens are missing within texts: positions are skipped, in 2 places"),
                  std::string::npos)
            << sentence;
    }
    cut = tokens;
    cut.erase(cut.begin() + 5, cut.begin() + 7);  // between two pieces
    EXPECT_NE(told(cut)[1].second.find("2 tokens are missing within texts"), std::string::npos);
}

/// Of either form, in words and in number; nothing of what is damaged is known before it was read.
TEST(TraceLines, DamageIsToldByWhoReads) {
    const TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    {
        TraceWriter writer(folder / "t", spec);
        for (const auto& chunk : chunks_of(spec, RandomTrace(spec, 2).tokens(200))) {
            writer.append(*chunk);
        }
    }
    const std::string good = test::read_text(folder / "t");
    const std::size_t second = good.find("MTCK", good.find("MTCK") + 4);
    const auto damaged = [&](const std::string& bytes) {
        write_text(folder / "d", bytes);
        const auto stream = open_trace(folder / "d");
        while (stream->next()) {
        }
        const auto loaded = load_trace(folder / "d").source;
        std::size_t chunks = 0;
        for (std::size_t i = 0; i < loaded->chunks(); ++i) {
            chunks += loaded->chunk(i, kAllColumns) ? 0 : 1;
        }
        EXPECT_EQ(loaded->problems(chunks).size(), stream->problems().size());
        EXPECT_EQ(chunks + loaded->damaged_places(), stream->damaged());
        EXPECT_EQ(stream->problems().empty(), stream->damaged() == 0);
        return stream->damaged();
    };
    EXPECT_EQ(damaged(good), 0u);
    for (const std::size_t at : {second + 8, good.size() - 10}) {  // in a header, and in a chunk
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        EXPECT_EQ(damaged(bytes), 1u) << at;
    }
    EXPECT_EQ(damaged(good.substr(0, good.size() - 1)), 1u) << "its end is missing";
    const std::size_t first = good.find("MTCK"), third = good.find("MTCK", second + 4);
    EXPECT_EQ(damaged(good.substr(0, second) + good.substr(third)), 1u) << "a piece is missing";
    EXPECT_EQ(damaged(good.substr(0, first) + good.substr(second)), 1u) << "the first one is missing";
}

}  // namespace
}  // namespace moescope::routing
