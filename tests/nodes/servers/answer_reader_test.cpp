#include "nodes/servers/answer_reader.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/json_guard.hpp"

namespace moescope::servers {
namespace {

using base::StopReason;
using nlohmann::json;

using Parts = std::vector<json>;

/// What a reader made of the parts of an answer.
struct Made {
    explicit Made(const Parts& parts, AnswerReader::Wanted wanted = {base::say("the server"), "", 2, 20})
        : reader(std::move(wanted), [this](protocol::TokenRecord token) { tokens.push_back(std::move(token)); }) {
        for (const json& part : parts) {
            reader.take(part);
        }
    }
    std::string text() const {
        std::string all;
        for (const auto& token : tokens) {
            all += token.chosen.bytes;
        }
        return all;
    }
    std::vector<std::string> pieces() const {
        std::vector<std::string> all;
        for (const auto& token : tokens) {
            all.push_back(token.chosen.bytes);
        }
        return all;
    }
    std::vector<protocol::TokenRecord> tokens;
    AnswerReader reader;
};

using Pieces = std::vector<std::string>;

json entry(const std::string& token, double logprob) {
    return {{"token", token}, {"logprob", logprob}};
}

json chunk(json choice) {
    return {{"choices", json::array({std::move(choice)})}};
}

/// A chunk of a chat.
json delta(const std::string& text, const std::vector<json>& entries = {}, const json& reason = json()) {
    return chunk({{"delta", {{"content", text}}}, {"logprobs", {{"content", entries}}}, {"finish_reason", reason}});
}

std::string failure(const Parts& parts) {
    try {
        Made(parts).reader.finish();
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

TEST(AnswerReader, ChunksOfAChat) {
    json first = entry("Hel", -0.5);
    first["top_logprobs"] = {entry("Lo", -3), entry("Hel", -0.5), entry("He", -2)};
    const Made made(Parts{chunk({{"delta", {{"role", "assistant"}, {"content", nullptr}}}}),
                          delta("Hel", {first}),
                          delta("lo", {entry("lo", -0.25)}),
                          delta("", {}, "length"),
                          {{"choices", json::array()}, {"usage", {{"prompt_tokens", 5}, {"completion_tokens", 20}}}}});
    made.reader.finish();
    EXPECT_EQ(made.pieces(), (Pieces{"Hel", "lo"}));
    EXPECT_FLOAT_EQ(made.tokens[0].chosen.log_probability, -0.5f);
    EXPECT_EQ(made.tokens[0].chosen.token, -1);
    ASSERT_EQ(made.tokens[0].alternatives.size(), 2u);
    EXPECT_EQ(made.tokens[0].alternatives[0].bytes, "Hel");
    EXPECT_EQ(made.tokens[0].alternatives[1].bytes, "He");
    EXPECT_EQ(made.reader.stop(), StopReason::length);
    EXPECT_EQ(made.reader.prompt_tokens(), 5);
    EXPECT_EQ(made.reader.tokens(), 20);
}

TEST(AnswerReader, ListsOfACompletion) {
    const json logprobs = {{"tokens", {"a", "b"}},
                           {"token_logprobs", {-1.0, nullptr}},
                           {"top_logprobs", {{{"x", -2.0}, {"a", -1.0}, {"y", -3.0}}, nullptr}}};
    const Made made(Parts{chunk({{"text", "ab"}, {"logprobs", logprobs}, {"finish_reason", "stop"}})});
    EXPECT_EQ(made.pieces(), (Pieces{"a", "b"}));
    EXPECT_TRUE(std::isnan(made.tokens[1].chosen.log_probability));
    ASSERT_EQ(made.tokens[0].alternatives.size(), 2u);
    EXPECT_EQ(made.tokens[0].alternatives[0].bytes, "a");
    EXPECT_EQ(made.tokens[0].alternatives[1].bytes, "x");
    EXPECT_EQ(made.reader.stop(), StopReason::end);
    EXPECT_EQ(made.reader.tokens(), 2) << "the server did not count";
}

TEST(AnswerReader, TheTextIsTheServersWhateverItsTokensSay) {
    const std::string broken = "\xef\xbf\xbd", character = "路";
    // Parts of a character, in chunks and at once.
    EXPECT_EQ(Made(Parts{delta("", {entry(broken, -1)}), delta(character, {entry(broken, -1)}), delta("", {}, "stop")})
                  .pieces(),
              (Pieces{"", character}));
    const Made whole(Parts{chunk({{"message", {{"content", "x " + character + "由y"}}},
                                  {"logprobs",
                                   {{"content",
                                     {entry("x", -1), entry(broken, -1), entry(broken, -1), entry("由", -1),
                                      entry("y", -1), entry("<|end|>", -1)}}}},
                                  {"finish_reason", "stop"}})});
    EXPECT_EQ(whole.pieces(), (Pieces{"x", "", " " + character, "由", "y"}));
    // Tokens that have nothing to do with it, none at all, and an end that a limit made.
    EXPECT_EQ(Made(Parts{delta("abc", {entry("q", -1), entry("r", -1)})}).text(), "abc");
    EXPECT_EQ(Made(Parts{delta("abc")}).pieces(), (Pieces{"abc"}));
    EXPECT_EQ(Made(Parts{delta("a", {entry("a", -1), entry("z", -1)}, "length")}).pieces(), (Pieces{"a", ""}));
    // Bytes say more than the text.
    json bytes = entry(broken, -1);
    bytes["bytes"] = {0xe8, 0xb7};
    EXPECT_EQ(Made(Parts{delta("\xe8\xb7", {bytes})}).pieces(), (Pieces{"\xe8\xb7"}));
    bytes["bytes"] = json::array({300});
    EXPECT_EQ(Made(Parts{delta("k", {bytes})}).text(), "k");
}

/// A log-probability belongs to the token that it was said of, and to no other text.
TEST(AnswerReader, WhatIsSaidOfOtherTokensIsLeftOut) {
    const auto known = [](const Made& made) {
        std::vector<bool> all;
        for (const auto& token : made.tokens) {
            all.push_back(!std::isnan(token.chosen.log_probability));
        }
        return all;
    };
    using Known = std::vector<bool>;
    json same = entry(" same", -0.2);
    same["id"] = 7;
    same["top_logprobs"] = {entry(" same", -0.2), entry(" other", -2)};
    const Made other(Parts{delta("the", {entry("the", -1)}), delta(" DIFFERENT", {same}), delta("", {}, "stop")});
    EXPECT_EQ(other.pieces(), (Pieces{"the", " DIFFERENT"}));
    EXPECT_EQ(known(other), (Known{true, false}));
    EXPECT_EQ(other.tokens[1].chosen.token, -1);
    EXPECT_TRUE(other.tokens[1].alternatives.empty());
    EXPECT_EQ(other.reader.others(), 1);
    const Made middle(Parts{delta("a XX b", {entry("a", -1), entry(" yy", -1), entry(" b", -1)})});
    EXPECT_EQ(middle.pieces(), (Pieces{"a", " XX", " b"}));
    EXPECT_EQ(known(middle), (Known{true, false, true}));
    // A part of a character, a token without a text, a blank that was cut off, marks, and numbers say nothing else.
    for (const auto& [text, token] : std::vector<std::pair<std::string, std::string>>{{"路", "\xef\xbf\xbd"},
                                                                                      {"", "<|s|>"},
                                                                                      {"Hello", " Hello"},
                                                                                      {"\n</think>\n\n", "<|done|>"},
                                                                                      {" the", "\u0120the"},
                                                                                      {" the", "token_id:279"}}) {
        const Made made(Parts{delta(text, {entry(token, -1)}), delta("", {}, "length")});
        EXPECT_EQ(known(made), (Known{true})) << token;
        EXPECT_EQ(made.reader.others(), 0) << token;
        EXPECT_EQ(made.text(), text);
    }
}

TEST(AnswerReader, EveryTextComesOutWhole) {
    unsigned state = 7;
    const auto next = [&](unsigned n) {
        state = state * 1664525u + 1013904223u;
        return (state >> 16) % n;
    };
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        std::vector<json> entries;
        for (unsigned i = next(12); i > 0; --i) {
            const std::string part(1 + next(3), static_cast<char>('a' + next(3)));
            if (next(4) > 0) {
                text += part;
            }
            if (next(5) > 0) {
                entries.push_back(entry(next(5) == 0 ? "<|s|>" : part, -1));
            }
        }
        EXPECT_EQ(Made(Parts{delta(text, entries, next(2) == 0 ? json("stop") : json())}).text(), text)
            << json(entries);
    }
}

TEST(AnswerReader, ReasoningThatTheServerTookOutComesBackInMarks) {
    const auto thinks = [](const char* key, const std::string& text) { return chunk({{"delta", {{key, text}}}}); };
    EXPECT_EQ(
        Made(Parts{thinks("reasoning_content", "why"), thinks("reasoning_content", " not"), delta("Yes"), delta(".")})
            .text(),
        "<think>\nwhy not\n</think>\n\nYes.");
    EXPECT_EQ(Made(Parts{thinks("reasoning", "cut off"), delta("", {}, "length")}).text(), "<think>\ncut off");
    const Made whole(
        Parts{chunk({{"message", {{"reasoning_content", "why"}, {"content", "Yes"}}},
                     {"logprobs", {{"content", {entry("why", -1), entry("</think>", -1), entry("Yes", -1)}}}},
                     {"finish_reason", "stop"}})});
    EXPECT_EQ(whole.text(), "<think>\nwhy\n</think>\n\nYes");
    EXPECT_TRUE(whole.tokens.back().chosen.bytes.ends_with("Yes"));
}

TEST(AnswerReader, WhyItStopped) {
    const auto stop_of = [](const char* reason, int counted) {
        Made made(Parts{delta("a", {}, reason), {{"usage", {{"completion_tokens", counted}}}}});
        made.reader.finish();
        return made.reader.stop();
    };
    EXPECT_EQ(stop_of("stop", 3), StopReason::end);
    EXPECT_EQ(stop_of("length", 20), StopReason::length);
    EXPECT_EQ(stop_of("length", 3), StopReason::context) << "fewer than asked for: the context was full";
    EXPECT_EQ(stop_of("content_filter", 3), StopReason::filtered);
    EXPECT_NE(failure(Parts{delta("a", {}, "abort")}).find("'abort'"), std::string::npos);
    EXPECT_NE(failure(Parts{delta("a", {}, "error")}).find("'error'"), std::string::npos);
    EXPECT_NE(failure(Parts{delta("a", {}, "fell asleep")}).find("'fell asleep'"), std::string::npos);
    EXPECT_NE(failure(Parts{delta("a")}).find("before its answer had ended"), std::string::npos);
    EXPECT_NE(failure(Parts{{{"usage", json::object()}}}).find("sent no answer"), std::string::npos);
}

TEST(AnswerReader, IdsOfTokens) {
    json second = entry("b", -1);
    second["id"] = 9;
    const Made made(Parts{chunk({{"text", "a"}, {"token_ids", {7}}, {"prompt_token_ids", {1, 2}}}),
                          delta("b", {second}), delta("cd", {entry("c", -1), entry("d", -1)})});
    EXPECT_EQ(made.tokens[0].chosen.token, 7);
    EXPECT_EQ(made.tokens[1].chosen.token, 9);
    EXPECT_EQ(made.tokens[2].chosen.token, -1);
    for (const json& ids : {json{-1}, json{"1"}, json{1.5}, json{3000000000}}) {
        EXPECT_NE(failure(Parts{chunk({{"text", "a"}, {"token_ids", ids}})}).find("ids of tokens"), std::string::npos)
            << ids;
    }
}

TEST(AnswerReader, NumbersThatAreNoneAreNotKnown) {
    for (const json& value : {json("x"), json(5.0), json(), json::array()}) {
        json one = entry("a", 0);
        one["logprob"] = value;
        EXPECT_TRUE(std::isnan(Made(Parts{delta("a", {one})}).tokens[0].chosen.log_probability)) << value;
    }
    EXPECT_EQ(Made(Parts{delta("a", {entry("a", 1e-6)})}).tokens[0].chosen.log_probability, 0);
    EXPECT_TRUE(std::isfinite(Made(Parts{delta("a", {entry("a", -1e300)})}).tokens[0].chosen.log_probability));
}

TEST(AnswerReader, WhatIsNoAnswerIsRefused) {
    EXPECT_NE(failure(Parts{json::array()}).find("no answer"), std::string::npos);
    EXPECT_NE(failure(Parts{{{"choices", 3}}}).find("no answer"), std::string::npos);
    EXPECT_NE(failure(Parts{{{"error", {{"message", "out of memory"}}}}}).find("out of memory"), std::string::npos);
    EXPECT_NE(failure(Parts{{{"object", "error"}, {"message", "too long"}}}).find("too long"), std::string::npos);
    EXPECT_NE(failure(Parts{{{"error", "just so"}}}).find("just so"), std::string::npos);
    const Parts many(200, delta("x"));
    EXPECT_NE(failure(many).find("more than the 20 tokens"), std::string::npos);
    EXPECT_EQ(Made(Parts{chunk({{"index", 1}, {"delta", {{"content", "another answer"}}}})}).text(), "");
    EXPECT_EQ(Made(Parts{chunk("text"), chunk(json::array())}).text(), "");
}

TEST(AnswerReader, SentencesDoNotRepeatTheKey) {
    try {
        Made(Parts{{{"error", {{"message", "bad key sk-secret!"}}}}}, {base::say("the server"), "sk-secret", 0, 20});
        ADD_FAILURE();
    } catch (const base::Error& error) {
        EXPECT_EQ(std::string(error.what()).find("sk-secret"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("bad key ...!"), std::string::npos) << error.what();
    }
}

TEST(AnswerReader, LongTextsComeInPieces) {
    const Made made(Parts{delta(std::string(100'000, 'x'), {}, "stop")});
    EXPECT_EQ(made.text().size(), 100'000u);
    for (const auto& token : made.tokens) {
        EXPECT_LE(token.chosen.bytes.size(), 65'535u);
    }
}

TEST(AnswerReader, RoutingIsKeptForItsReaders) {
    AnswerReader::Wanted wanted{base::say("the server"), "", 0, 20, true};
    for (const char* where : {"", "sgl_ext", "sglext", "meta_info"}) {
        const json routing = {{"routed_experts", "AAAA"}, {"routed_experts_dtype", "uint8"}};
        json choice = {{"text", "a"}, {"token_ids", {7}}, {"prompt_token_ids", {1, 2}}};
        if (*where == '\0') {
            choice.update(routing);
        } else {
            choice[where] = routing;
        }
        const Made inside(Parts{chunk(choice)}, wanted);
        const auto recorded = base::parse_object(inside.reader.recorded().value_or(""), 1000);
        ASSERT_TRUE(recorded.has_value()) << where;
        EXPECT_EQ(*recorded, (json{{"routed_experts", "AAAA"},
                                   {"routed_experts_dtype", "uint8"},
                                   {"token_ids", {7}},
                                   {"prompt_token_ids", {1, 2}}}))
            << where;
        ASSERT_EQ(inside.reader.written().size(), 1u);
        EXPECT_EQ(inside.reader.written()[0].bytes, "a");
        // Beside the choices, as SGLang has it now.
        json part = {{"choices", json::array()}};
        part[*where == '\0' ? "sglext" : where] = routing;
        EXPECT_TRUE(Made(Parts{delta("a"), part}, wanted).reader.recorded().has_value()) << where;
    }
    // What the server counts belongs to it, as it was said.
    json counted = delta("a");
    counted["usage"] = {{"prompt_tokens", -3}, {"completion_tokens", 4}, {"total_tokens", 1}};
    counted["sglext"] = {{"routed_experts", "AAAA"}};
    const auto recorded = base::parse_object(Made(Parts{counted}, wanted).reader.recorded().value_or(""), 1000);
    ASSERT_TRUE(recorded.has_value());
    EXPECT_EQ(recorded->at("usage"), (json{{"prompt_tokens", -3}, {"completion_tokens", 4}}));
    EXPECT_FALSE(Made(Parts{delta("a")}, wanted).reader.recorded().has_value());
    EXPECT_FALSE(
        Made(Parts{chunk({{"text", "a"}, {"routed_experts", nullptr}})}, wanted).reader.recorded().has_value());
    wanted.routing = false;
    EXPECT_FALSE(Made(Parts{chunk({{"text", "a"}, {"routed_experts", "AAAA"}})}, wanted).reader.recorded().has_value());
}

}  // namespace
}  // namespace moescope::servers
