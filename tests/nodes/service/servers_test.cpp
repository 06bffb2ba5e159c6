// Models on servers through the whole program: library, command line, node, session.
#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <thread>

#include "tests/nodes/servers/dialects.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kKey = "sk-of-this-test-alone";

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Everything that lies in a folder, below each other.
std::string all_bytes(const fs::path& folder) {
    std::string all;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) {
            all += entry.path().string() + "\n" + read_text(entry.path()) + "\n";
        }
    }
    return all;
}

/// A library of its own, and no key unless a test sets one.
class Servers : public testing::Test {
 protected:
    Servers() { ::unsetenv("MOESCOPE_API_KEY"); }
    json listed(const std::string& name) const {
        for (const json& model : run_node({"models", "list", "--json"}).lines()) {
            if (model.value("name", "") == name) {
                return model;
            }
        }
        return {};
    }
    const TemporaryFolder folder;
    const Variable data{"XDG_DATA_HOME", (folder / "data").string()};
};

TEST_F(Servers, AreAddedWithoutBeingAsked) {
    TestServer server(speaks_vllm());
    const Output added = run_node({"models", "add", server.address(), "--json"});
    ASSERT_EQ(added.status, 0) << added.error;
    EXPECT_EQ(added.lines().front().at("name"), "tiny-moe");
    EXPECT_EQ(server.connections(), 0);
    const json model = listed("tiny-moe");
    EXPECT_EQ(server.connections(), 0);
    EXPECT_EQ(model.at("state"), "server");
    EXPECT_EQ(model.at("available"), true);
    EXPECT_EQ(model.at("path"), server.address());
    EXPECT_EQ(model.at("server").at("key_variable"), "MOESCOPE_API_KEY");
    EXPECT_EQ(model.at("server").at("key_set"), false);
    // Once more, with more said of it: the same entry.
    write_text(folder / "config.json", R"({"num_hidden_layers": 3, "num_experts": 8, "num_experts_per_tok": 2})");
    ASSERT_EQ(run_node({"models", "add", server.address(), "--config", (folder / "config.json").string(), "--dialect",
                        "sglang", "--key-variable", "OTHER_KEY", "--silence", "9"})
                  .status,
              0);
    const json again = listed("tiny-moe");
    EXPECT_EQ(again.at("is_moe"), true);
    EXPECT_EQ(again.at("server").at("layers"), 3);
    EXPECT_EQ(again.at("server").at("dialect"), "sglang");
    EXPECT_EQ(again.at("server").at("silence"), 9);
    const auto models = run_node({"models", "list", "--json"}).lines();
    EXPECT_EQ(std::count_if(models.begin(), models.end(), [](const json& one) { return one.at("state") == "server"; }),
              1);
    EXPECT_EQ(server.connections(), 0);
}

TEST_F(Servers, TheNameOfTheOnlyModelIsAskedFor) {
    TestServer one(speaks_sglang());
    const Output added = run_node({"models", "add", one.address("")});
    ASSERT_EQ(added.status, 0) << added.error;
    EXPECT_EQ(added.out, "tiny-moe\n");
    EXPECT_EQ(one.connections(), 1);
    const Output asked = run_node({"models", "ask", "tiny-moe", "--json"});
    ASSERT_EQ(asked.status, 0) << asked.error;
    EXPECT_EQ(asked.lines().front(), (json{{"models", {"tiny-moe"}}, {"dialect", "sglang"}, {"notes", json::array()}}));
    TestServer two([](const ServerExchange& exchange) {
        exchange.reply({{"data", {{{"id", "first"}}, {{"id", "second"}}}}});
    });
    const Output several = run_node({"models", "add", two.address("")});
    EXPECT_EQ(several.status, 1);
    EXPECT_TRUE(has(several.error, "first, second")) << several.error;
    EXPECT_EQ(std::count(several.error.begin(), several.error.end(), '\n'), 1);
    // A name that no address can hold is not offered.
    TestServer odd([](const ServerExchange& exchange) {
        const json model = {{"id", "a|b"}};
        exchange.reply({{"data", json::array({model})}});
    });
    const Output none = run_node({"models", "add", odd.address("")});
    EXPECT_EQ(none.status, 1);
    EXPECT_TRUE(has(none.error, "names by which no model can be asked for")) << none.error;
    const Output nothing = run_node({"models", "ask", odd.address(""), "--json"});
    ASSERT_EQ(nothing.status, 0) << nothing.error;
    EXPECT_EQ(nothing.lines().front().at("models"), json::array());
    EXPECT_TRUE(has(nothing.lines().front().at("notes").dump(), ": 1 of 1"));
}

TEST_F(Servers, AnotherMachineNeedsAWord) {
    const Output refused = run_node({"models", "add", "http://192.0.2.7:8000#m"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_TRUE(has(refused.error, "is not this machine")) << refused.error;
    EXPECT_EQ(run_node({"generate", "--model", "http://192.0.2.7:8000#m", "--prompt", "x"}).status, 1);
    ASSERT_EQ(run_node({"models", "add", "http://192.0.2.7:8000#m", "--allow-remote"}).status, 0);
    EXPECT_EQ(listed("m").at("server").at("remote"), true);
    // A list that somebody else wrote says no such thing for a person.
    const fs::path list = folder / "data" / "moescope" / "models.json";
    json value = json::parse(read_text(list));
    value["models"][0]["server"]["remote"] = "true";
    write_text(list, value.dump());
    const Output damaged = run_node({"models", "list", "--json"});
    EXPECT_TRUE(has(damaged.error, "entry 1: ")) << damaged.error;
    EXPECT_TRUE(has(damaged.error, "is not this machine")) << damaged.error;
    EXPECT_FALSE(has(damaged.out, "192.0.2.7"));
}

TEST_F(Servers, AnswerOnTheCommandLine) {
    TestServer server(speaks_vllm());
    // By address or by name.
    for (const std::string& model : {server.address(), std::string("tiny-moe")}) {
        const Output output = run_node({"generate", "--model", model, "--prompt", "Where to?", "--system", "Be short.",
                                        "--alternatives", "2", "--count", "2", "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        ASSERT_EQ(output.lines().size(), 2u);
        const json answer = output.lines().front();
        EXPECT_EQ(answer.at("text"), spoken_text());
        EXPECT_EQ(answer.at("stop"), "end");
        EXPECT_EQ(answer.at("tokens"), 7);
        EXPECT_EQ(answer.at("prompt_tokens"), kSpokenPrompt);
        EXPECT_EQ(answer.at("shown"), "") << "what the server makes of the prompt is not known";
        EXPECT_EQ(answer.at("log_probabilities").size(), spoken_tokens().size());
        EXPECT_EQ(answer.at("log_probabilities")[0].at("token"), 11);
        EXPECT_FLOAT_EQ(answer.at("log_probabilities")[0].at("log_probability").get<float>(), -0.5f);
        EXPECT_EQ(answer.at("log_probabilities")[0].at("alternatives").size(), 2u);
        ASSERT_EQ(run_node({"models", "add", server.address()}).status, 0);
    }
    const auto questions = server.requests("/chat/completions");
    ASSERT_EQ(questions.size(), 4u);
    EXPECT_EQ(questions[1].json().at("seed"), 2);
}

TEST_F(Servers, WhatOnlyFilesHaveIsRefusedInASentence) {
    TestServer server(speaks_vllm());
    ASSERT_EQ(run_node({"models", "add", server.address()}).status, 0);
    write_text(folder / "prompts.txt", "one\n");
    for (const std::string& model : {server.address(), std::string("tiny-moe")}) {
        for (const Arguments& arguments : std::vector<Arguments>{
                 {"tokenize", "--prompt", "x"},
                 {"logits", "--tokens", (folder / "t.npy").string(), "--out", (folder / "o.npy").string()},
                 {"route", "--text", "x", "--out", (folder / "r.jsonl").string()},
                 {"sweep", "--layer", "0", "--prompts", (folder / "prompts.txt").string()},
                 {"export", "--format", "gguf", "--out", (folder / "o.gguf").string()}}) {
            Arguments all = arguments;
            all.insert(all.begin() + 1, {"--model", model});
            const Output output = run_node(all);
            EXPECT_EQ(output.status, 1) << arguments[0];
            EXPECT_TRUE(has(output.error, "is a server")) << arguments[0] << ": " << output.error;
        }
    }
    EXPECT_EQ(server.connections(), 0);
}

TEST_F(Servers, FailInOneLine) {
    TestServer other([](const ServerExchange& exchange) { exchange.reply({{"data", json::array()}}); });
    const std::string elsewhere = "Location: http://127.0.0.1:" + std::to_string(other.port()) + "/v1/models\r\n";
    const std::vector<std::pair<TestServer::Handler, const char*>> all = {
        {[](const ServerExchange& exchange) { exchange.wait_closed(std::chrono::seconds(20)); }, "nothing came for 1"},
        {[&](const ServerExchange& exchange) { exchange.reply(302, "text/plain", "", elsewhere); }, "sends us on to"},
        {[](const ServerExchange& exchange) {
             exchange.raw(
                 "\x7f"
                 "ELF, more or less\r\n\r\n");
         },
         "no HTTP"}};
    for (const auto& [handler, sentence] : all) {
        TestServer server(handler);
        const std::string name = "m" + std::to_string(server.port());
        ASSERT_EQ(run_node({"models", "add", server.address(name), "--silence", "1"}).status, 0);
        const Output output = run_node({"generate", "--model", name, "--prompt", "x"});
        EXPECT_EQ(output.status, 1);
        EXPECT_TRUE(has(output.error, sentence)) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    }
    EXPECT_EQ(other.connections(), 0);
}

std::function<bool(const Snapshot&)> ended(std::uint32_t run) {
    return [run](const Snapshot& s) {
        const auto found = s.generations.find(run);
        return found != s.generations.end() && !found->second->stop.empty();
    };
}

TEST_F(Servers, AnswerInASessionAndTheKeyStaysOutOfIt) {
    const Variable key("MOESCOPE_API_KEY", kKey);
    TestServer server(speaks_vllm());
    TestServer repeats([](const ServerExchange& exchange) {
        exchange.reply(400, "text/plain", "what is " + exchange.request.fields.at("authorization") + "?");
    });
    {
        Workbench bench(folder / "session");
        bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
        const auto name = bench.done("models.add", {{"path", server.address()}}).value("name", "");
        EXPECT_EQ(server.connections(), 0);
        const auto bad = bench.done("models.add", {{"path", repeats.address("bad")}}).value("name", "");
        const auto shown = bench.wait("it in the library", [&](const Snapshot& s) {
            return std::any_of(s.models.begin(), s.models.end(),
                               [&](const client::ModelEntry& model) { return model.name == bad; });
        });
        for (const client::ModelEntry& model : shown->models) {
            if (model.name == name) {
                ASSERT_TRUE(model.server.has_value());
                EXPECT_TRUE(model.server->key_set);
                EXPECT_EQ(model.state, protocol::ModelState::server);
            }
        }
        const json list = bench.done("models.ask", {{"name", name}});
        EXPECT_EQ(list.at("dialect"), "vllm");
        EXPECT_EQ(list.at("notes"), json::array());
        const std::uint32_t run =
            bench.done("generate.start", {{"model", name}, {"prompt", "Where?"}}).value("run", 0u);
        const std::uint32_t failed =
            bench.done("generate.start", {{"model", bad}, {"prompt", "Why?"}}).value("run", 0u);
        const auto now = bench.wait("the answer", ended(run));
        const auto& answer = *now->generations.at(run);
        EXPECT_EQ(answer.state, RunState::done) << answer.message;
        EXPECT_EQ(answer.text, spoken_text());
        EXPECT_EQ(answer.shown, "");
        EXPECT_EQ(answer.manifest.at("template"), "server");
        EXPECT_FALSE(answer.manifest.contains("template_date"));
        EXPECT_EQ(answer.manifest.at("model_path"), server.address());
        EXPECT_EQ(answer.manifest.at("server").at("key_variable"), "MOESCOPE_API_KEY");
        const auto later = bench.wait("the failure", ended(failed));
        EXPECT_EQ(later->generations.at(failed)->state, RunState::failed);
        EXPECT_TRUE(has(later->generations.at(failed)->message.english(), "what is Bearer ...?"))
            << later->generations.at(failed)->message;
        bench.done("models.remove", {{"name", bad}});
    }
    EXPECT_EQ(server.requests("/chat/completions").at(0).fields.at("authorization"), std::string("Bearer ") + kKey);
    ASSERT_EQ(run_node({"report", (folder / "session").string(), "--out", (folder / "report.html").string()}).status,
              0);
    const std::string all = all_bytes(folder.path());
    EXPECT_TRUE(has(all, "The router")) << "the search sees the session";
    EXPECT_FALSE(has(all, kKey));
}

TEST_F(Servers, AReportDoesNotWaitForAServerThatIsSilent) {
    std::atomic<bool> asked{false};
    TestServer silent([&](const ServerExchange& exchange) {
        asked = true;
        exchange.wait_closed(std::chrono::seconds(20));
    });
    Workbench bench(folder / "session");
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    const client::CommandId asking = bench.client().send("models.ask", {{"path", silent.address("")}});
    for (int i = 0; i < 1000 && !asked; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_TRUE(asked);
    bench.done("report.write", {{"path", (folder / "report.html").string()}});
    EXPECT_EQ(bench.client().snapshot()->results.at(asking).state, CommandResult::State::pending);
}

TEST_F(Servers, RoutingOfAnAnswerComesIntoTheSession) {
    TestServer vllm(speaks_vllm()), lies(speaks_vllm({.packed = "AAAA", .no_routing = false}));
    Workbench bench(folder / "session");
    const auto name = bench.done("models.add", {{"path", vllm.address()}}).value("name", "");
    const auto liar = bench.done("models.add", {{"path", lies.address("liar")}}).value("name", "");
    const auto start = [&](const std::string& model) {
        return bench.done("generate.start", {{"model", model}, {"prompt", "Where?"}, {"routing", "weights"}})
            .value("run", 0u);
    };
    const std::uint32_t run = start(name), wrong = start(liar);
    const auto now = bench.wait("both answers and the routing", [&](const Snapshot& s) {
        return ended(run)(s) && ended(wrong)(s) && s.routing.contains(run) && s.routing.at(run)->tokens == 9;
    });
    EXPECT_EQ(now->generations.at(run)->text, spoken_text());
    const auto& trace = *now->routing.at(run)->trace;
    EXPECT_EQ(trace.spec().source, routing::Source::imported);
    const auto chunk = trace.chunk(0, routing::kAllColumns);
    ASSERT_NE(chunk, nullptr);
    EXPECT_EQ(chunk->ids_of(2, 4)[1], spoken_experts()[(4 * kSpokenLayers + 2) * kSpokenPerToken + 1]);
    EXPECT_EQ(chunk->piece_of(kSpokenPrompt), "The");
    // What can't be right is told, and the answer stays.
    EXPECT_EQ(now->generations.at(wrong)->text, spoken_text());
    EXPECT_EQ(now->generations.at(wrong)->state, RunState::done);
    EXPECT_FALSE(now->routing.contains(wrong));
    bench.wait("why not, in the log", [](const Snapshot& s) {
        for (std::size_t i = 0; i < s.log.size(); ++i) {
            if (has(s.log[i].text.english(), "is not taken")) {
                return true;
            }
        }
        return false;
    });
    // Routers on a server can't be changed, and texts can't be read there.
    EXPECT_TRUE(has(bench.failed("route.start", {{"model", name}, {"text", "x"}}), "is a server"));
}

TEST_F(Servers, ACancelIsSeenByTheServer) {
    std::atomic<bool> closed{false};
    TestServer server([&](const ServerExchange& exchange) {
        if (exchange.request.method == "GET") {
            exchange.reply({{"data", json::array()}});
            return;
        }
        exchange.begin_events();
        exchange.event(json{{"choices", {{{"delta", {{"content", "and so on"}}}}}}});
        closed = exchange.wait_closed(std::chrono::seconds(20));
    });
    Workbench bench(folder / "session");
    const auto name = bench.done("models.add", {{"path", server.address()}}).value("name", "");
    const std::uint32_t run = bench.done("generate.start", {{"model", name}, {"prompt", "Go on"}}).value("run", 0u);
    bench.wait("a word", [&](const Snapshot& s) {
        const auto found = s.generations.find(run);
        return found != s.generations.end() && !found->second->tokens.empty();
    });
    const auto start = std::chrono::steady_clock::now();
    bench.done("generate.cancel", {{"run", run}});
    const auto now = bench.wait("the end", ended(run));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
    EXPECT_EQ(now->generations.at(run)->stop, "cancelled");
    EXPECT_EQ(now->generations.at(run)->text, "and so on");
    for (int i = 0; i < 100 && !closed; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(closed);
}

TEST_F(Servers, AreProbedLikeAnyModel) {
    TestServer first(speaks_llama()), second(speaks_openai());
    ASSERT_EQ(run_node({"models", "add", first.address()}).status, 0);
    ASSERT_EQ(run_node({"models", "add", second.address()}).status, 0);
    const Output output = run_node({"probe", "--set", "starter", "--models", "tiny-moe,tiny-moe-2", "--out",
                                    (folder / "session").string(), "--limit", "2", "--max-tokens", "24", "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), 9u);  // 2 items, 2 languages, 2 models, and the end
    EXPECT_EQ(lines[0].at("answer"), spoken_text());
    EXPECT_EQ(first.requests("/chat/completions").size(), 4u);
    EXPECT_EQ(second.requests("/chat/completions").size(), 4u);
    EXPECT_EQ(first.requests("/models").size(), 1u) << "opened once";
}

}  // namespace
}  // namespace moescope::test
