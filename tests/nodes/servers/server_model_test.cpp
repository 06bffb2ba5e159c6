// The same question to a server of each kind: text, log-probabilities, alternatives, counts and routing arrive.
#include "nodes/servers/server_model.hpp"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

#include "tests/files.hpp"
#include "tests/nodes/servers/asked_server.hpp"

namespace moescope::test {
namespace {

using base::StopReason;
using nlohmann::json;
using servers::Dialect;
using servers::Question;

Question question(bool chat = true) {
    Question question;
    question.prompt = "Where does the router send \"路由\"?";
    question.chat = chat;
    question.max_tokens = 32;
    question.alternatives = 3;
    return question;
}

void expect_the_answer(const AskedModel& asked) {
    EXPECT_EQ(asked.failure, "");
    EXPECT_EQ(asked.text(), spoken_text());
    ASSERT_EQ(asked.tokens.size(), spoken_tokens().size());
    for (std::size_t i = 0; i < asked.tokens.size(); ++i) {
        EXPECT_FLOAT_EQ(asked.tokens[i].chosen.log_probability, spoken_tokens()[i].log_probability) << i;
        EXPECT_EQ(asked.tokens[i].alternatives.size(), 3u) << i;
    }
    EXPECT_EQ(asked.tokens[0].alternatives[0].bytes, "The");
    EXPECT_EQ(asked.tokens[0].alternatives[1].bytes, "other 1");
    EXPECT_FLOAT_EQ(asked.tokens[0].alternatives[1].log_probability, -5);
    EXPECT_EQ(asked.answered.stop, StopReason::end);
    EXPECT_EQ(asked.answered.prompt_tokens, kSpokenPrompt);
    EXPECT_EQ(asked.answered.tokens, static_cast<int>(spoken_tokens().size()) + 1);
    EXPECT_EQ(asked.notes(), "");
}

struct Spoken {
    const char* name;
    TestServer::Handler handler;
    Dialect dialect;
    bool has_ids;
};

std::vector<Spoken> all_dialects() {
    return {{"vLLM", speaks_vllm(), Dialect::vllm, true},
            {"SGLang", speaks_sglang(), Dialect::sglang, true},
            {"llama-server", speaks_llama(), Dialect::llama, true},
            {"OpenAI", speaks_openai(), Dialect::openai, false}};
}

TEST(ServerModel, EveryDialectAnswersInAChatAndAsText) {
    for (const Spoken& spoken : all_dialects()) {
        for (const bool chat : {true, false}) {
            SCOPED_TRACE(std::string(spoken.name) + (chat ? " chat" : " text"));
            TestServer server(spoken.handler);
            const AskedModel asked = ask(server_at(server.address()), question(chat));
            expect_the_answer(asked);
            EXPECT_EQ(asked.tokens[0].chosen.token, spoken.has_ids ? 11 : -1);
            ASSERT_EQ(server.requests().size(), 2u) << "the list of models, and the question";
            const AskedRequest request = server.requests()[1];
            EXPECT_EQ(request.target, chat ? "/v1/chat/completions" : "/v1/completions");
            EXPECT_EQ(request.method, "POST");
            EXPECT_EQ(request.fields.at("host"), "127.0.0.1:" + std::to_string(server.port()));
            EXPECT_EQ(request.fields.count("authorization"), 0u);
            const json body = request.json();
            EXPECT_EQ(body.at("model"), "tiny-moe");
            EXPECT_EQ(body.at("max_tokens"), 32);
            EXPECT_EQ(body.at("temperature"), 0.0);
            EXPECT_EQ(body.at("seed"), 1);
            EXPECT_EQ(body.at("stream"), true);
            EXPECT_FALSE(body.contains("top_k")) << "greedy";
            EXPECT_EQ(
                chat ? body.at("messages") : body.at("prompt"),
                chat ? json::array({{{"role", "user"}, {"content", question().prompt}}}) : json(question().prompt));
        }
    }
}

TEST(ServerModel, SamplingGoesWhereItIsKnown) {
    Question sampled = question();
    sampled.temperature = 0.7;
    sampled.top_k = 0;
    sampled.seed = 99;
    sampled.system = "Be short.";
    for (const Spoken& spoken : all_dialects()) {
        SCOPED_TRACE(spoken.name);
        TestServer server(spoken.handler);
        const AskedModel asked = ask(server_at(server.address()), sampled);
        EXPECT_EQ(asked.failure, "");
        const json body = server.requests("/chat/completions")[0].json();
        EXPECT_EQ(body.at("temperature"), 0.7);
        EXPECT_EQ(body.at("top_p"), 0.95);
        EXPECT_EQ(body.at("seed"), 99);
        EXPECT_EQ(body.at("messages")[0], (json{{"role", "system"}, {"content", "Be short."}}));
        if (spoken.dialect == Dialect::openai) {
            EXPECT_FALSE(body.contains("top_k"));
            EXPECT_NE(asked.notes().find("was not told top-k and min-p"), std::string::npos) << asked.notes();
        } else {
            EXPECT_EQ(body.at("top_k"), -1) << "all";
            EXPECT_EQ(body.at("min_p"), 0.05);
            EXPECT_EQ(asked.notes(), "");
        }
    }
    sampled.seed = std::uint64_t{1} << 40;
    TestServer server(speaks_openai());
    EXPECT_NE(ask(server_at(server.address()), sampled).failure.find("seeds up to"), std::string::npos);
}

void expect_the_routing(const AskedModel& asked, bool with_ids) {
    ASSERT_TRUE(asked.router.has_value()) << asked.notes();
    EXPECT_EQ(asked.router->source, routing::Source::imported);
    EXPECT_EQ(asked.router->model, "tiny-moe");
    EXPECT_EQ(asked.router->experts, kSpokenExperts);
    EXPECT_EQ(asked.router->routed_layers, (std::vector<int>{0, 1, 2}));
    EXPECT_TRUE(asked.router->doubts.empty());
    ASSERT_EQ(asked.pieces.size(), 1u);
    const routing::Chunk& chunk = *asked.pieces[0];
    const std::vector<std::int32_t> wanted = spoken_experts();
    ASSERT_EQ(chunk.tokens, wanted.size() / (kSpokenLayers * kSpokenPerToken));
    for (std::size_t token = 0; token < chunk.tokens; ++token) {
        for (std::size_t layer = 0; layer < kSpokenLayers; ++layer) {
            for (std::size_t rank = 0; rank < kSpokenPerToken; ++rank) {
                EXPECT_EQ(chunk.ids_of(layer, token)[rank],
                          wanted[(token * kSpokenLayers + layer) * kSpokenPerToken + rank]);
            }
        }
    }
    // Prompt and answer: what the server wrote is known by its texts.
    EXPECT_EQ(chunk.token[0], with_ids ? 101 : -1);
    EXPECT_EQ(chunk.token[kSpokenPrompt], with_ids ? 11 : -1);
    EXPECT_EQ(chunk.piece_of(0), "");
    EXPECT_EQ(chunk.piece_of(kSpokenPrompt), "The");
    EXPECT_EQ(chunk.piece_of(kSpokenPrompt + 1), " router");
    EXPECT_FLOAT_EQ(chunk.log_probability[kSpokenPrompt - 1], -0.5f) << "of the first token, seen from the one before";
    EXPECT_TRUE(std::isnan(chunk.log_probability[0]));
}

TEST(ServerModel, RoutingArrivesFromTheServersThatHaveIt) {
    for (const bool chat : {true, false}) {
        TestServer vllm(speaks_vllm()), sglang(speaks_sglang());
        AskedModel asked = ask(server_at(vllm.address()), question(chat), true);
        expect_the_answer(asked);
        expect_the_routing(asked, true);
        EXPECT_EQ(vllm.requests().back().json().at("stream"), false) << "vLLM streams none";
        asked = ask(server_at(sglang.address()), question(chat), true);
        expect_the_answer(asked);
        expect_the_routing(asked, true);
        EXPECT_EQ(sglang.requests().back().json().at("return_routed_experts"), true);
    }
}

TEST(ServerModel, WithoutRoutingTheAnswerIsWholeAndSaysWhy) {
    TestServer silent(speaks_vllm({.packed = {}, .no_routing = true})), sglang(speaks_sglang()), llama(speaks_llama());
    AskedModel asked = ask(server_at(silent.address()), question(), true);
    EXPECT_EQ(asked.text(), spoken_text());
    EXPECT_NE(asked.notes().find("--enable-return-routed-experts"), std::string::npos) << asked.notes();
    servers::Server unknown = server_at(sglang.address());
    unknown.shape = {};
    asked = ask(unknown, question(), true);
    EXPECT_EQ(asked.text(), spoken_text());
    EXPECT_NE(asked.notes().find("config.json"), std::string::npos) << asked.notes();
    asked = ask(server_at(llama.address()), question(), true);
    EXPECT_EQ(asked.text(), spoken_text());
    EXPECT_NE(asked.notes().find("only vLLM and SGLang"), std::string::npos) << asked.notes();
    EXPECT_FALSE(asked.router.has_value());
}

TEST(ServerModel, WhatAPersonSaysOfAServerCounts) {
    TestServer server(speaks_openai());
    servers::Server as_vllm = server_at(server.address());
    as_vllm.dialect = Dialect::vllm;
    const AskedModel asked = ask(as_vllm, question());
    EXPECT_NE(asked.failure.find("Unknown parameter: return_token_ids"), std::string::npos) << asked.failure;
    EXPECT_NE(asked.failure.find("HTTP 400"), std::string::npos) << asked.failure;
}

TEST(ServerModel, TheListOfModels) {
    const std::atomic<bool> never{false};
    TestServer vllm(speaks_vllm());
    auto served = servers::ServerModel(server_at(vllm.address(""))).list(never);
    ASSERT_TRUE(served.has_value());
    EXPECT_EQ(served->dialect, Dialect::vllm);
    ASSERT_EQ(served->models.size(), 1u);
    EXPECT_EQ(served->models[0].name, "tiny-moe");
    EXPECT_EQ(served->models[0].context, 4096);
    EXPECT_TRUE(served->notes.empty());
    TestServer none([](const ServerExchange& exchange) { exchange.reply(404, "text/plain", "no such page"); });
    served = servers::ServerModel(server_at(none.address())).list(never);
    ASSERT_TRUE(served.has_value());
    EXPECT_TRUE(served->models.empty());
    // Names that could not be asked for, or would turn a terminal upside down, are left out, which is said.
    TestServer odd([](const ServerExchange& exchange) {
        exchange.reply({{"data",
                         {{{"id", ""}},
                          {{"id", "a\nb"}},
                          {{"id",
                            "\xe2\x80\xae"
                            "moc"}},
                          {{"id", 3}},
                          {{"id", "a|b"}},
                          "text",
                          {{"id", "fine"}, {"owned_by", "sglang"}, {"max_model_len", -5}}}}});
    });
    served = servers::ServerModel(server_at(odd.address())).list(never);
    ASSERT_EQ(served->models.size(), 1u);
    EXPECT_EQ(served->models[0].name, "fine");
    EXPECT_EQ(served->models[0].context, 0);
    EXPECT_EQ(served->dialect, Dialect::sglang);
    ASSERT_EQ(served->notes.size(), 1u);
    EXPECT_NE(served->notes[0].english().find(": 6 of 7"), std::string::npos) << served->notes[0];
    TestServer many([](const ServerExchange& exchange) {
        json data = json::array();
        for (int i = 0; i < 1003; ++i) {
            data.push_back({{"id", "m" + std::to_string(i)}});
        }
        exchange.reply({{"data", data}});
    });
    served = servers::ServerModel(server_at(many.address())).list(never);
    EXPECT_EQ(served->models.size(), 1000u);
    ASSERT_EQ(served->notes.size(), 1u);
    EXPECT_NE(served->notes[0].english().find("1003 models; those after the first 1000"), std::string::npos)
        << served->notes[0];
}

TEST(ServerModel, TheKeyGoesToTheServerAndNowhereElse) {
    ::setenv("MOESCOPE_TEST_SERVER_KEY", "sk-only-for-the-server", 1);
    TestServer good(speaks_openai());
    servers::Server server = server_at(good.address());
    server.key_variable = "MOESCOPE_TEST_SERVER_KEY";
    EXPECT_EQ(ask(server, question()).failure, "");
    for (const AskedRequest& request : good.requests()) {
        EXPECT_EQ(request.fields.at("authorization"), "Bearer sk-only-for-the-server");
        EXPECT_EQ(request.body.find("sk-only"), std::string::npos);
    }
    // A server that repeats it in its refusal.
    for (const unsigned status : {400u, 401u, 403u, 500u}) {
        TestServer bad([status](const ServerExchange& exchange) {
            exchange.reply(status, "application/json",
                           json{{"error", {{"message", "no: " + exchange.request.fields.at("authorization")}}}}.dump());
        });
        server.address = servers::parse_address(bad.address());
        const std::string failure = ask(server, question()).failure;
        EXPECT_NE(failure.find("no: Bearer ..."), std::string::npos) << failure;
        EXPECT_EQ(failure.find("sk-only"), std::string::npos) << failure;
        EXPECT_EQ(failure.find("MOESCOPE_TEST_SERVER_KEY") != std::string::npos, status == 401 || status == 403);
    }
    ::unsetenv("MOESCOPE_TEST_SERVER_KEY");
    TestServer closed([](const ServerExchange& exchange) { exchange.reply(401, "text/plain", "key?"); });
    server.address = servers::parse_address(closed.address());
    EXPECT_NE(ask(server, question()).failure.find("put it into the variable MOESCOPE_TEST_SERVER_KEY"),
              std::string::npos);
}

TEST(ServerModel, ACancelClosesTheConnectionAtOnce) {
    std::atomic<bool> cancel{false}, closed{false};
    TestServer server([&](const ServerExchange& exchange) {
        if (exchange.request.method == "GET") {
            exchange.reply({{"data", json::array()}});
            return;
        }
        exchange.begin_events();
        exchange.event(json{{"choices", {{{"delta", {{"content", "and so on"}}}}}}});
        std::this_thread::sleep_for(std::chrono::milliseconds(300));  // until it has been read
        cancel = true;
        closed = exchange.wait_closed(std::chrono::seconds(5));
    });
    const auto start = std::chrono::steady_clock::now();
    const AskedModel asked = ask(server_at(server.address(), 60), question(), false, cancel);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
    EXPECT_EQ(asked.failure, "");
    EXPECT_EQ(asked.answered.stop, StopReason::cancelled);
    EXPECT_EQ(asked.text(), "and so on");
    for (int i = 0; i < 100 && !closed; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(closed) << "the server works on for nobody";
    // Before anything has come, too, and while nobody answers.
    TestServer hangs([](const ServerExchange& exchange) { exchange.wait_closed(std::chrono::seconds(5)); });
    std::atomic<bool> soon{false};
    std::thread impatient([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        soon = true;
    });
    servers::ServerModel model(server_at(hangs.address(), 60));
    EXPECT_FALSE(model.open(soon));
    impatient.join();
}

TEST(ServerModel, NothingGoesToAnyOtherAddress) {
    TestServer other([](const ServerExchange& exchange) { exchange.reply({{"data", json::array()}}); });
    // Neither a proxy of the environment ...
    const std::string proxy = "http://127.0.0.1:" + std::to_string(other.port());
    const std::vector<const char*> variables = {"http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"};
    for (const char* name : variables) {
        ::setenv(name, proxy.c_str(), 1);
    }
    TestServer server(speaks_openai());
    expect_the_answer(ask(server_at(server.address()), question()));
    for (const char* name : variables) {
        ::unsetenv(name);
    }
    // ... nor where the server sends one.
    for (const unsigned status : {301u, 302u, 303u, 307u, 308u}) {
        TestServer redirects([&](const ServerExchange& exchange) {
            exchange.reply(status, "text/plain", "", "Location: " + proxy + "/v1/models\r\n");
        });
        const std::string failure = ask(server_at(redirects.address()), question()).failure;
        EXPECT_NE(failure.find("sends us on to '" + proxy), std::string::npos) << failure;
    }
    EXPECT_EQ(other.connections(), 0);
}

TEST(ServerModel, OnlyThisMachineUnlessAPersonSaysMore) {
    // Written like another machine, whatever it is: refused before anything is looked up.
    EXPECT_NE(ask(server_at("http://192.0.2.1:9#m")).failure.find("not this machine"), std::string::npos);
    // A name is judged by where it leads.
    servers::HttpClient here(servers::parse_address("http://127.1:9"), false, "");
    EXPECT_NO_THROW(here.resolve());
    servers::HttpClient everywhere(servers::parse_address("http://0.0.0.0:9"), false, "");
    EXPECT_THROW(everywhere.resolve(), base::Error);
    servers::HttpClient allowed(servers::parse_address("http://192.0.2.1:9"), true, "");
    EXPECT_NO_THROW(allowed.resolve());
}

TEST(ServerModel, NobodyListens) {
    std::uint16_t port = 0;
    {
        const TestServer gone([](const ServerExchange&) {});
        port = gone.port();
    }
    const AskedModel asked = ask(server_at("http://127.0.0.1:" + std::to_string(port) + "#m"));
    EXPECT_NE(asked.failure.find("can't be reached: Connection refused"), std::string::npos) << asked.failure;
}

TEST(ServerModel, SafeConnectionsAreChecked) {
    const TestCertificate certificate = make_certificate();
    TestServer server(speaks_vllm(), &certificate);
    // Who it is nobody vouches for.
    AskedModel asked = ask(server_at(server.address()), question());
    EXPECT_NE(asked.failure.find("no safe connection"), std::string::npos) << asked.failure;
    EXPECT_TRUE(server.requests().empty()) << "nothing was sent";
    const TemporaryFolder folder;
    write_text(folder / "certificate.pem", certificate.certificate);
    ::setenv("SSL_CERT_FILE", (folder / "certificate.pem").c_str(), 1);
    expect_the_answer(ask(server_at(server.address()), question()));
    // Another name than the one in the certificate.
    servers::Server by_name = server_at("https://localhost:" + std::to_string(server.port()) + "/v1#tiny-moe");
    asked = ask(by_name, question());
    EXPECT_NE(asked.failure.find("no safe connection"), std::string::npos) << asked.failure;
    ::unsetenv("SSL_CERT_FILE");
    // A server without TLS where TLS was asked for.
    TestServer plain(speaks_vllm());
    asked = ask(server_at("https://127.0.0.1:" + std::to_string(plain.port()) + "#m", 2), question());
    EXPECT_FALSE(asked.failure.empty());
    EXPECT_TRUE(plain.requests().empty());
}

}  // namespace
}  // namespace moescope::test
