// Servers that hang, lie, break off and flood: each ends in one sentence, in time, with bounded memory.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/nodes/servers/asked_server.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

json word(const std::string& text) {
    const json choice = {{"index", 0}, {"delta", {{"content", text}}}};
    return {{"choices", json::array({choice})}};
}

/// A server with a list of models that then does this.
TestServer::Handler after_the_list(TestServer::Handler then) {
    return [then](const ServerExchange& exchange) {
        if (exchange.request.method == "GET") {
            exchange.reply({{"data", json::array()}});
        } else {
            then(exchange);
        }
    };
}

void events(const ServerExchange& exchange, const std::vector<std::string>& data) {
    exchange.begin_events();
    for (const std::string& one : data) {
        exchange.event(one);
    }
    exchange.end_events();
}

struct Misbehaviour {
    const char* name;
    TestServer::Handler handler;
    const char* sentence;  ///< what has to stand in it
};

constexpr const char* kHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

std::vector<Misbehaviour> misbehaviours() {
    const auto raw = [](const std::string& bytes) {
        return [bytes](const ServerExchange& exchange) { exchange.raw(bytes); };
    };
    const auto data = [](const std::vector<std::string>& some) {
        return [some](const ServerExchange& exchange) { events(exchange, some); };
    };
    const auto whole = [](const std::string& body) {
        return [body](const ServerExchange& exchange) { exchange.reply(200, "application/json", body); };
    };
    return {
        {"closes", [](const ServerExchange&) {}, "before its answer had ended"},
        {"hangs", [](const ServerExchange& e) { e.wait_closed(std::chrono::seconds(20)); },
         "nothing came for 1 seconds"},
        {"hangs in its head",
         [](const ServerExchange& e) {
             e.raw("HTTP/1.1 200 OK\r\nContent-");
             e.wait_closed(std::chrono::seconds(20));
         },
         "nothing came for 1 seconds"},
        {"hangs in its answer",
         [](const ServerExchange& e) {
             e.begin_events();
             e.event(word("a"));
             e.wait_closed(std::chrono::seconds(20));
         },
         "nothing came for 1 seconds"},
        {"is no server of HTTP", raw("\x16\x03\x01garbage\r\n\r\n"), "what is no HTTP"},
        {"speaks another version", raw("HTTP/2.0 200 OK\r\n\r\n"), "what is no HTTP"},
        {"sends an endless head", raw("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x')), "more than 65536 bytes"},
        {"promises 10 GB", raw(std::string(kHead) + "Content-Length: 10737418240\r\n\r\n"), "bytes where fewer belong"},
        {"sends 10 GB",
         [](const ServerExchange& e) {
             e.begin_events();
             const std::string much = ": " + std::string(65'000, 'x') + "\n";
             for (int i = 0; i < 170'000; ++i) {
                 e.raw(fmt::format("{:x}\r\n{}\r\n", much.size(), much));
             }
         },
         "bytes where fewer belong"},
        {"sends 10 GB of words",
         [](const ServerExchange& e) {
             e.begin_events();
             for (int i = 0; i < 100'000'000; ++i) {
                 e.event(word("again "));
             }
         },
         "more than the 32 tokens"},
        {"sends 10 GB as one answer",
         [](const ServerExchange& e) {
             e.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
             for (int i = 0; i < 170'000; ++i) {
                 e.raw(std::string(65'000, ' '));
             }
         },
         "bytes where fewer belong"},
        {"sends chunks that are none", raw(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
         "what is no HTTP"},
        {"sends a chunk of 2^68 bytes",
         raw(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n"), "server at"},
        {"sends a negative chunk", raw(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n"),
         "what is no HTTP"},
        {"sends an endless chunk head",
         raw(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\n5;" + std::string(1 << 20, 'x')), "server at"},
        {"sends two lengths", raw(std::string(kHead) + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
         "what is no HTTP"},
        {"breaks off in a chunk", raw(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\nff\r\ndata: {"),
         "before its answer had ended"},
        {"sends less than it said", raw(std::string(kHead) + "Content-Length: 500\r\n\r\ndata: {}\n\n"),
         "before its answer had ended"},
        {"breaks off between two events", data({word("a").dump(), word("b").dump()}), "before its answer had ended"},
        {"says it is done before it is", data({word("a").dump(), "[DONE]"}), "before its answer had ended"},
        {"sends no answer", data({"[DONE]"}), "sent no answer"},
        {"sends a page", [](const ServerExchange& e) { e.reply(200, "text/html", "<html>"); }, "'text/html'"},
        {"sends nothing of any kind", raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
         "where events or JSON belong"},
        {"packs its answer",
         [](const ServerExchange& e) { e.reply(200, "text/event-stream", "x", "Content-Encoding: gzip\r\n"); },
         "packs its answer (gzip)"},
        {"says go on", raw("HTTP/1.1 100 Continue\r\n\r\n"), "status 100"},
        {"switches to something else", raw("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "status 101"},
        {"is broken", [](const ServerExchange& e) { e.reply(500, "text/plain", "out of memory\x1b[2J"); },
         "HTTP 500): out of memory"},
        {"refuses at length", [](const ServerExchange& e) { e.reply(429, "text/plain", std::string(1 << 20, 'n')); },
         "HTTP 429"},
        {"sends an event that is no JSON", data({"{\"choices\": ["}), "sends an answer that"},
        {"nests deeply", data({std::string(100'000, '[')}), "sends an answer that is nested deeper"},
        {"says a key twice", data({R"({"choices":[],"choices":[]})"}), "sends an answer that"},
        {"sends bytes that are no text", data({"{\"choices\": [{\"text\": \"\xff\"}]}"}), "sends an answer that"},
        {"sends a number for an answer", data({"17"}), "no answer"},
        {"sends choices that are none", data({R"({"choices":{"text":"a"}})"}), "no answer"},
        {"sends an error in its stream", data({word("a").dump(), R"({"error":{"message":"GPU lost"}})"}), "GPU lost"},
        {"gives up", data({R"({"choices":[{"text":"a","finish_reason":"abort"}]})"}), "'abort'"},
        {"sends ids below zero", data({R"({"choices":[{"text":"a","token_ids":[-7]}]})"}), "ids of tokens"},
        {"sends a whole answer that is none", whole("{}"), "sent no answer"},
        {"sends a whole answer that is cut", whole(R"({"choices":[{"text":)"), "sends an answer that"},
    };
}

TEST(Misbehaviour, OfEveryKindIsOneSentenceInTime) {
    for (const Misbehaviour& one : misbehaviours()) {
        SCOPED_TRACE(one.name);
        TestServer server(after_the_list(one.handler));
        servers::Question question;
        question.max_tokens = 32;
        const AskedModel asked = ask(server_at(server.address(), 1), question);
        EXPECT_NE(asked.failure.find(one.sentence), std::string::npos) << asked.failure;
        EXPECT_EQ(asked.failure.find('\n'), std::string::npos);
        EXPECT_EQ(asked.failure.find('\x1b'), std::string::npos);
        EXPECT_LT(asked.failure.size(), 1000u);
        EXPECT_LT(asked.seconds, 10) << one.name;
    }
}

TEST(Misbehaviour, AlsoInTheListOfModels) {
    const std::atomic<bool> never{false};
    for (const std::string& body :
         std::vector<std::string>{"{}", "[]", "{\"data\": 3}", "nothing", std::string(100'000, '[')}) {
        TestServer server([&](const ServerExchange& exchange) { exchange.reply(200, "application/json", body); });
        servers::ServerModel model(server_at(server.address(), 1));
        EXPECT_THROW(model.list(never), base::Error) << body.substr(0, 20);
    }
    TestServer flood([&](const ServerExchange& exchange) {
        exchange.reply(200, "application/json", "{\"data\": [\"" + std::string(std::size_t{8} << 20, 'x') + "\"]}");
    });
    servers::ServerModel model(server_at(flood.address(), 1));
    EXPECT_THROW(model.list(never), base::Error);
    TestServer hangs([](const ServerExchange& exchange) { exchange.wait_closed(std::chrono::seconds(20)); });
    EXPECT_NE(ask(server_at(hangs.address(), 1)).failure.find("nothing came"), std::string::npos);
}

TEST(Misbehaviour, WhatCameBeforeItStays) {
    TestServer server(after_the_list([](const ServerExchange& exchange) {
        exchange.begin_events();
        exchange.event(word("The "));
        exchange.event(word("router"));
    }));
    const AskedModel asked = ask(server_at(server.address(), 1));
    EXPECT_EQ(asked.text(), "The router");
    EXPECT_NE(asked.failure.find("before its answer had ended"), std::string::npos);
}

struct WrongRouting {
    const char* name;
    std::string vllm, sglang;  ///< base64; empty: not tried
    const char* note;
};

std::vector<WrongRouting> wrong_routings() {
    std::vector<std::int32_t> ids = spoken_experts();
    const auto both = [](const char* name, const std::vector<std::int32_t>& some, const char* note) {
        const auto rows = std::to_string(some.size() / (kSpokenLayers * kSpokenPerToken));
        return WrongRouting{name, to_base64(to_npy("<i4", rows + ", 3, 2", bytes_of(some))), to_base64(bytes_of(some)),
                            note};
    };
    std::vector<std::int32_t> negative = ids, repeated = ids, large = ids, zeros(ids.size(), 0), short_row = ids,
                              more = ids, fewer = ids;
    negative[7] = -3;
    repeated[4] = repeated[5];
    large[9] = kSpokenExperts;
    short_row.pop_back();
    more.insert(more.end(), ids.begin(), ids.end());
    fewer.resize(8 * kSpokenLayers * kSpokenPerToken);  // as one is that begins behind the first token: nobody asked
    const std::string right = to_base64(bytes_of(ids));
    const std::string array = to_npy("<i4", "9, 3, 2", bytes_of(ids));
    return {
        both("below zero", negative, "expert -3"),
        both("twice in one choice", repeated, "twice in layer"),
        both("above the highest", large, "experts from 0 to 7 are possible"),
        both("nothing but zeros", zeros, "nothing but zeros"),
        both("of more tokens than were read", more, "has ids of 18 tokens, but 9 were read: 3 of the prompt and 7"),
        both("of fewer tokens than were read", fewer, "has ids of 8 tokens, but 9 were read"),
        {"cut base64", to_base64(array).substr(0, 41), right.substr(0, 41), "no whole base64 text"},
        {"no base64", "?" + to_base64(array), "?" + right, "no whole base64 text"},
        {"a part of a token", "", to_base64(bytes_of(short_row)), "do not fill whole tokens"},
        {"a shape that lies", to_base64(to_npy("<i4", "9000000, 3, 2", bytes_of(ids))), "", "is not taken"},
        {"a shape of nothing", to_base64(to_npy("<i4", "0, 3, 2", "")), "", "is not taken"},
        {"another number of experts", to_base64(to_npy("<i4", "9, 2, 3", bytes_of(ids))), "", "is not taken"},
        {"an array of objects", to_base64(to_npy("|O", "9, 3, 2", bytes_of(ids))), "", "is not taken"},
        {"an array of fractions", to_base64(to_npy("<f4", "9, 3, 2", bytes_of(ids))), "", "is not taken"},
        {"of very many tokens", to_base64(to_npy("|u1", "100000, 3, 2", std::string(600'000, '\1'))), "",
         "has ids of 100000 tokens, but 9 were read"},
        {"no array", to_base64("PK\x03\x04 a PyTorch file"), "", "is not taken"},
    };
}

TEST(Misbehaviour, RoutingThatCantBeRightIsRefusedAndTheAnswerStays) {
    for (const WrongRouting& wrong : wrong_routings()) {
        SCOPED_TRACE(wrong.name);
        for (const bool sglang : {false, true}) {
            const std::string& packed = sglang ? wrong.sglang : wrong.vllm;
            if (packed.empty()) {
                continue;
            }
            TestServer server(sglang ? speaks_sglang({packed}) : speaks_vllm({packed}));
            const AskedModel asked = ask(server_at(server.address()), {}, true);
            EXPECT_EQ(asked.failure, "");
            EXPECT_EQ(asked.text(), spoken_text());
            EXPECT_NE(asked.notes().find(wrong.note), std::string::npos) << asked.notes();
            EXPECT_FALSE(asked.router.has_value());
            EXPECT_TRUE(asked.pieces.empty());
        }
    }
}

}  // namespace
}  // namespace moescope::test
