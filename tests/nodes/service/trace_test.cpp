// The commands about traces, as a shell runs them: import, trace, diff.
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/files/safetensors.hpp"
#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"
#include "tests/files.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::test {
namespace {

using routing::RandomTrace;
using routing::RouterSpec;
using routing::TokenDecisions;

class Traces : public testing::Test {
 protected:
    const RouterSpec spec_ = routing::make_spec(2, 8, 2);
    const std::vector<TokenDecisions> tokens_ = RandomTrace(spec_, 1).tokens(40);
    const TemporaryFolder folder_;

    std::string write(const std::string& name, const std::vector<TokenDecisions>& tokens) {
        std::string text;
        for (const TokenDecisions& token : tokens) {
            text += routing::trace_line(token, text.empty() ? &spec_ : nullptr) + "\n";
        }
        write_text(folder_ / name, text);
        return (folder_ / name).string();
    }
    std::string columns(const std::string& name) {
        routing::TraceWriter writer(folder_ / name, spec_);
        for (const auto& chunk : routing::chunks_of(spec_, tokens_, 15)) {
            writer.append(*chunk);
        }
        return (folder_ / name).string();
    }
};

TEST_F(Traces, DiffOfTextAndColumns) {
    auto other = tokens_;
    std::swap(other[3].layers[1].ids[0], other[3].layers[1].ids[1]);
    other[5].layers[0].ids = {other[5].layers[0].ids[0] == 7 ? 6 : 7, other[5].layers[0].ids[0]};
    const std::string second = write("b.jsonl", other);
    for (const std::string& first : {write("a.jsonl", tokens_), columns("a.trace")}) {
        const Output output = run_node({"diff", first, second, "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        const nlohmann::json value = output.lines().at(0);
        EXPECT_EQ(value["tokens"], 40);
        EXPECT_EQ(value["flips"]["slots"], 160);
        EXPECT_LE(value["flips"]["flipped"], 1);
        EXPECT_GE(value["flips"]["moved"], 2);
        EXPECT_EQ(value["layers"].size(), 2u);
        EXPECT_EQ(value["first"]["router"]["experts"], 8);
        EXPECT_EQ(value["perplexity"]["first"], value["perplexity"]["second"]);
    }
    const Output table = run_node({"diff", second, second});
    EXPECT_EQ(table.status, 0) << table.error;
    EXPECT_NE(table.out.find("rank 2"), std::string::npos);
    EXPECT_NE(table.out.find("perplexity"), std::string::npos);
    auto longer = tokens_;
    longer[0].token = 7777;
    const Output refused = run_node({"diff", second, write("c.jsonl", longer)});
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.error.find("different tokens"), std::string::npos) << refused.error;
}

TEST_F(Traces, Summary) {
    const Output output = run_node({"trace", columns("a.trace"), "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const nlohmann::json value = output.lines().at(0);
    EXPECT_EQ(value["tokens"], 40);
    EXPECT_EQ(value["chosen"], 160);
    EXPECT_EQ(value["chunks"], 3);
    EXPECT_EQ(value["layers"].size(), 2u);
    EXPECT_GT(value["layers"][0]["max_violation"], 0);
    EXPECT_NE(run_node({"trace", write("a.jsonl", tokens_)}).out.find("MaxVio"), std::string::npos);
    // A damaged chunk is said and costs itself alone.
    std::string bytes = read_text(folder_ / "a.trace");
    bytes[bytes.size() - 10] = static_cast<char>(bytes[bytes.size() - 10] ^ 1);
    write_text(folder_ / "d.trace", bytes.substr(0, bytes.size()));
    const Output damaged = run_node({"trace", (folder_ / "d.trace").string(), "--json"});
    EXPECT_EQ(damaged.lines().at(0)["damaged"], 1);
    EXPECT_EQ(damaged.lines().at(0)["tokens"], 30);
    EXPECT_NE(damaged.error.find("1 of 3 pieces of the trace are damaged"), std::string::npos) << damaged.error;
}

/// What is missing within a text, and a decision that is not there, are not passed over.
TEST_F(Traces, WhatATextLacksIsTold) {
    auto lacking = tokens_;
    lacking[20].layers.pop_back();
    lacking.erase(lacking.begin() + 4, lacking.begin() + 7);
    const std::string file = write("l.jsonl", lacking), whole = write("a.jsonl", tokens_),
                      columns = (folder_ / "l.trace").string(),
                      words = "3 tokens are missing within texts: positions are skipped, in 1 places";
    for (const Arguments& way :
         {Arguments{"trace", file, "--json"}, Arguments{"trace", file, "--out", columns, "--json"},
          Arguments{"trace", columns, "--json"}, Arguments{"diff", file, whole, "--json"}}) {
        const Output output = run_node(way);
        ASSERT_EQ(output.status, 0) << output.error;
        EXPECT_NE(output.error.find(words), std::string::npos) << way[1] << output.error;
        nlohmann::json said = output.lines().at(0);
        if (way[0] == "diff") {
            EXPECT_EQ(said.at("tokens"), 37);
            EXPECT_EQ(said.at("missing"), (nlohmann::json{3, 0}));
            EXPECT_EQ(said.at("undecided"), 1);
            EXPECT_EQ(said.at("flips").at("flipped"), 0);
            said = said.at("first");
        } else if (way.size() == 3) {
            EXPECT_EQ(said.at("undecided"), 1);
        }
        EXPECT_EQ(said.at("damaged"), 1) << said;
        EXPECT_NE(said.at("problems").at(0).get<std::string>().find(words), std::string::npos) << said;
    }
    EXPECT_NE(run_node({"trace", file}).out.find("\n1 decisions of a layer for a token are missing"),
              std::string::npos);
    EXPECT_NE(run_node({"diff", file, whole}).out.find("3 tokens that only the second trace has and 0 that"),
              std::string::npos);
}

/// A head may hold any number of them: the first are said, and how many more there are.
TEST_F(Traces, WarningsAreBounded) {
    nlohmann::json router = routing::router_to_json(spec_);
    for (int i = 0; i < 20; ++i) {
        router["doubts"].push_back("doubt " + std::to_string(i));
    }
    write_text(folder_ / "t", nlohmann::json{{"router", router}}.dump() + "\n");
    const Output output = run_node({"trace", (folder_ / "t").string()});
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_NE(output.error.find("doubt 8\n"), std::string::npos) << output.error;
    EXPECT_EQ(output.error.find("doubt 9\n"), std::string::npos) << output.error;
    EXPECT_NE(output.error.find("11 more of these are left out"), std::string::npos) << output.error;
}

/// On every way out of a trace: a sentence on standard error, a number and the same sentence in the JSON.
TEST_F(Traces, DamageIsToldWhateverIsMadeOfATrace) {
    const std::string good = read_text(columns("a.trace"));
    std::vector<std::size_t> begins;
    for (std::size_t at = 0; (at = good.find("MTCK", at)) != std::string::npos; ++at) {
        begins.push_back(at);
    }
    ASSERT_EQ(begins.size(), 3u);
    const auto flipped = [&](std::string bytes, std::size_t at) {
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        return bytes;
    };
    const std::string file = (folder_ / "d.trace").string(), whole = (folder_ / "a.trace").string();
    const std::vector<std::pair<std::string, std::string>> cases = {
        {flipped(good, begins[1] - 2), "1 of 3 pieces of the trace are damaged"},
        {flipped(good, begins[1] + 9), "bytes between the pieces of the trace are damaged"},
        {good.substr(0, begins[1]) + good.substr(begins[2]), "15 tokens are missing"},
        {good.substr(0, begins[0]) + good.substr(begins[1]), "15 tokens are missing"},
        {good.substr(0, good.size() - 1), "are no whole piece of the trace"}};
    for (const auto& [bytes, words] : cases) {
        write_text(file, bytes);
        std::vector<Arguments> ways = {{"trace", file, "--json"}, {"diff", file, whole, "--json"}};
        for (const char* ending : {"safetensors", "csv", "jsonl", "trace"}) {
            const std::string out = (folder_ / (std::string("o.") + ending)).string();
            ways.push_back({"trace", file, "--out", out, "--force", "--json"});
        }
        for (const Arguments& way : ways) {
            const Output output = run_node(way);
            ASSERT_EQ(output.status, 0) << output.error;
            EXPECT_NE(output.error.find(words), std::string::npos) << way[0] << " " << way.back() << output.error;
            nlohmann::json said = output.lines().at(0);
            said = way[0] == "diff" ? said.at("first") : said;
            EXPECT_EQ(said.at("damaged"), 1) << said;
            EXPECT_NE(said.at("problems").at(0).get<std::string>().find(words), std::string::npos) << said;
        }
        EXPECT_EQ(run_node({"diff", whole, file, "--json"}).lines().at(0)["first"]["damaged"], 0);
    }
    // When all is damaged, that is said, and not that there were counts alone.
    std::string bytes = good;
    for (const std::size_t begin : begins) {
        bytes = flipped(bytes, begin + 200);
    }
    write_text(file, bytes);
    for (const char* ending : {"safetensors", "csv", "jsonl", "trace"}) {
        const std::string out = (folder_ / (std::string("n.") + ending)).string();
        const Output output = run_node({"trace", file, "--out", out});
        EXPECT_EQ(output.status, 1) << ending;
        EXPECT_NE(output.error.find("all that the trace has is damaged"), std::string::npos) << output.error;
        EXPECT_FALSE(std::filesystem::exists(out));
    }
}

TEST_F(Traces, OneWithoutATokenStaysOne) {
    routing::TraceWriter(folder_ / "e.trace", spec_);
    for (const char* ending : {"safetensors", "csv", "jsonl", "trace"}) {
        const std::string out = (folder_ / (std::string("e2.") + ending)).string();
        const Output output = run_node({"trace", (folder_ / "e.trace").string(), "--out", out});
        EXPECT_EQ(output.status, 0) << ending << output.error;
        if (std::string(ending) == "jsonl" || std::string(ending) == "trace") {
            EXPECT_EQ(run_node({"trace", out, "--json"}).lines().at(0)["tokens"], 0);
        }
    }
}

/// What can't be read again is not written.
TEST_F(Traces, TextIsWrittenForItsReader) {
    auto odd = tokens_;
    odd[5].position = odd[4].position;
    routing::TraceWriter(folder_ / "o.trace", spec_).append(*routing::chunks_of(spec_, odd).at(0));
    const Output output = run_node({"trace", (folder_ / "o.trace").string(), "--out", (folder_ / "o.jsonl").string()});
    EXPECT_EQ(output.status, 1);
    EXPECT_NE(output.error.find("position 4 of text 1 a second time"), std::string::npos) << output.error;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "o.jsonl"));
}

TEST_F(Traces, AsArrays) {
    const std::string out = (folder_ / "a.safetensors").string();
    const Output output = run_node({"trace", columns("a.trace"), "--out", out});
    ASSERT_EQ(output.status, 0) << output.error;
    const engine::SafetensorsFile file(out);
    const auto& tensors = file.header().tensors;
    EXPECT_EQ(tensors.at("ids").dtype, "U16");
    EXPECT_EQ(tensors.at("ids").shape, (std::vector<std::uint64_t>{40, 2, 2}));
    EXPECT_EQ(tensors.at("token").dtype, "I32");
    EXPECT_EQ(tensors.at("piece_ends").dtype, "U64");
    EXPECT_EQ(nlohmann::json::parse(file.header().metadata.at("router"))["experts"], 8);
    EXPECT_EQ(file.header().metadata.at("languages"), "[\"en\",\"zh\"]");
    const std::string bytes = read_text(out);
    const auto at = [&](const char* name, std::size_t place) {
        std::uint16_t value = 0;
        std::memcpy(&value, bytes.data() + file.header().data_begin + tensors.at(name).begin + place * 2, 2);
        return value;
    };
    std::vector<float> weights(160);
    file.read_f32("weights", weights);
    for (std::size_t token = 0; token < 40; ++token) {
        EXPECT_EQ(at("language", token), tokens_[token].language == "zh" ? 1 : 0);
        for (std::size_t layer = 0; layer < 2; ++layer) {
            for (std::size_t rank = 0; rank < 2; ++rank) {
                const std::size_t place = (token * 2 + layer) * 2 + rank;
                EXPECT_EQ(at("ids", place), tokens_[token].layers[layer].ids[rank]);
                EXPECT_NEAR(weights[place], tokens_[token].layers[layer].weights[rank], 0.006 * weights[place]);
            }
        }
    }
}

TEST_F(Traces, AsATableAndAsText) {
    const std::string from = columns("a.trace"), csv = (folder_ / "a.csv").string(),
                      text = (folder_ / "back.jsonl").string();
    ASSERT_EQ(run_node({"trace", from, "--out", csv}).status, 0);
    const std::string table = read_text(csv);
    EXPECT_EQ(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\r')), 161u);
    EXPECT_EQ(table.find("number,document,language,group,position,token,piece"), 0u);
    // What a trace of columns has rounded is written with the digits that it has; a token without a text has its id.
    const routing::TokenDecisions& first = tokens_[0];
    const std::size_t begin = table.find("\r\n") + 2;
    const std::string row = table.substr(begin, table.find("\r\n", begin) - begin),
                      behind = fmt::format(",{},", first.layers[0].ids[0]);
    const std::size_t number = row.rfind(behind) + behind.size();
    const std::string weight = row.substr(number, row.find(',', number) - number);
    EXPECT_NEAR(std::stod(weight), first.layers[0].weights[0], 0.012 * first.layers[0].weights[0]) << row;
    EXPECT_EQ(weight, fmt::format("{:.3g}", std::stod(weight))) << "three digits";
    const auto empty =
        std::find_if(tokens_.begin(), tokens_.end(), [](const TokenDecisions& one) { return one.bytes.empty(); });
    ASSERT_NE(empty, tokens_.end());
    EXPECT_NE(table.find(fmt::format(",{},\u2039{}\u203a,", empty->token, empty->token)), std::string::npos);
    ASSERT_EQ(run_node({"trace", from, "--out", text}).status, 0);
    const Output same = run_node({"diff", text, write("a.jsonl", tokens_), "--json"});
    ASSERT_EQ(same.status, 0) << same.error;
    EXPECT_EQ(same.lines().at(0)["flips"]["flipped"], 0);
    EXPECT_EQ(same.lines().at(0)["flips"]["moved"], 0);
    const std::string back = (folder_ / "back.trace").string();
    ASSERT_EQ(run_node({"trace", text, "--out", back}).status, 0);
    EXPECT_EQ(run_node({"trace", back, "--json"}).lines().at(0)["chosen"], 160);
    EXPECT_EQ(run_node({"trace", from, "--out", (folder_ / "a.png").string()}).status, 1);
    const Output again = run_node({"trace", from, "--out", csv});
    EXPECT_EQ(again.status, 1);
    EXPECT_EQ(run_node({"trace", from, "--out", csv, "--force", "--format", "csv"}).status, 0);
}

TEST_F(Traces, OnStandardOutputNothingElseIsWritten) {
    const std::string from = columns("a.trace"), csv = (folder_ / "a.csv").string();
    ASSERT_EQ(run_node({"trace", from, "--out", csv}).status, 0);
    for (const char* out : {"-", "/dev/stdout"}) {
        const Output output = run_node({"trace", from, "--out", out, "--format", "csv", "--json"});
        EXPECT_EQ(output.status, 0) << output.error;
        EXPECT_EQ(output.out, read_text(csv));
    }
    const Output unnamed = run_node({"trace", from, "--out", "-"});
    EXPECT_EQ(unnamed.status, 1);
    EXPECT_NE(unnamed.error.find("say --format"), std::string::npos) << unnamed.error;
    write_text(folder_ / "answer.json", R"({"routed_experts": [[[1, 0]], [[0, 1]]]})");
    const Arguments import{"import", (folder_ / "answer.json").string(), "--format", "vllm", "--out"};
    Arguments here = import, there = import;
    here.emplace_back("-");
    there.push_back((folder_ / "i.jsonl").string());
    const Output imported = run_node(here);
    ASSERT_EQ(imported.status, 0) << imported.error;
    ASSERT_EQ(run_node(there).status, 0);
    EXPECT_EQ(imported.out, read_text(folder_ / "i.jsonl"));
    // Where it can't be, that is said, and how a file of that name is meant.
    for (const Arguments& arguments : {Arguments{"export", "--model", from, "--out", "-"},
                                       Arguments{"export", "--model", from, "--format", "gguf", "--out", "-"},
                                       Arguments{"experiment", "--session", "-"}}) {
        const Output refused = run_node(arguments);
        EXPECT_EQ(refused.status, 1);
        EXPECT_NE(refused.error.find("./-"), std::string::npos) << refused.error;
        EXPECT_FALSE(std::filesystem::exists("-"));
    }
}

TEST_F(Traces, OfOurOwnAreImportedWithoutNamingAFormat) {
    const std::string text = write("a.jsonl", tokens_);
    int number = 0;
    for (const std::string& from : {text, columns("a.trace")}) {
        const std::string out = (folder_ / (std::to_string(++number) + ".trace")).string();
        const Output output = run_node({"import", from, "--out", out, "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        EXPECT_EQ(output.lines().at(0)["tokens"], 40);
        const nlohmann::json diff = run_node({"diff", text, out, "--json"}).lines().at(0);
        EXPECT_EQ(diff["tokens"], 40);
        EXPECT_EQ(diff["flips"]["flipped"], 0);
        EXPECT_EQ(diff["flips"]["moved"], 0);
    }
    write_text(folder_ / "rank0.jsonl", "{\"iter\": 5, \"layer\": 1, \"tpe\": [[3, 1]]}\n");
    const Output other =
        run_node({"import", (folder_ / "rank0.jsonl").string(), "--out", (folder_ / "x.trace").string()});
    EXPECT_EQ(other.status, 1);
    EXPECT_NE(other.error.find("name its format: trace, vllm"), std::string::npos) << other.error;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "x.trace"));
}

TEST_F(Traces, Import) {
    const std::string out = (folder_ / "m.trace").string();
    write_text(folder_ / "rank0.jsonl",
               "{\"iter\": 5, \"block\": \"decoder\", \"layer\": 1, \"tpe\": [[3, 1], [2, 2]]}\n");
    const Output output = run_node({"import", (folder_ / "rank0.jsonl").string(), "--format", "megatron", "--out", out,
                                    "--experts-per-token", "1", "--model", "a run", "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_EQ(output.lines().at(0)["counts"], 1);
    EXPECT_EQ(output.lines().at(0)["router"]["model"], "a run");
    const Output summary = run_node({"trace", out, "--json"});
    EXPECT_EQ(summary.lines().at(0)["counts"], 1);
    EXPECT_NEAR(summary.lines().at(0)["layers"][0]["max_violation"].get<double>(), 0.25, 1e-12);
    EXPECT_EQ(run_node({"trace", out, "--out", (folder_ / "m.csv").string()}).status, 0);
    EXPECT_EQ(read_text(folder_ / "m.csv"), "step,layer,expert,count\r\n5,1,0,5\r\n5,1,1,3\r\n");
    EXPECT_EQ(run_node({"trace", out, "--out", (folder_ / "m.jsonl").string()}).status, 1);
    EXPECT_EQ(run_node({"trace", out, "--out", (folder_ / "m.safetensors").string()}).status, 0);
    EXPECT_EQ(engine::SafetensorsFile(folder_ / "m.safetensors").header().tensors.at("load").dtype, "U64");
    // Nothing is left of an import that failed.
    write_text(folder_ / "bad", "{\"routed_experts\": [[[1, 1]]]}");
    const Output refused =
        run_node({"import", (folder_ / "bad").string(), "--format", "vllm", "--out", (folder_ / "bad.trace").string()});
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.error.find("expert 1 twice"), std::string::npos) << refused.error;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "bad.trace"));
    EXPECT_EQ(run_node({"import", "f", "--format", "other", "--out", out}).status, 2);
    const Output name = run_node({"import", (folder_ / "rank0.jsonl").string(), "--format", "megatron", "--out", out,
                                  "--force", "--model", std::string(5000, 'm')});
    EXPECT_EQ(name.status, 1);
    EXPECT_NE(name.error.find("a name of 5000 bytes is too long"), std::string::npos) << name.error;
    // The shape of a model by its config.json.
    write_text(
        folder_ / "config.json",
        "{\"num_hidden_layers\": 2, \"num_experts\": 4, \"num_experts_per_tok\": 2, \"first_k_dense_replace\": 1}");
    write_text(folder_ / "answer.json", "{\"routed_experts\": [[[1, 3]], [[0, 2]]]}");
    const Output shaped =
        run_node({"import", (folder_ / "answer.json").string(), "--format", "vllm", "--config",
                  (folder_ / "config.json").string(), "--out", (folder_ / "v.trace").string(), "--json"});
    ASSERT_EQ(shaped.status, 0) << shaped.error;
    EXPECT_EQ(shaped.lines().at(0)["router"]["routed_layers"], (nlohmann::json{1}));
    EXPECT_EQ(shaped.lines().at(0)["router"]["experts"], 4);
    const std::string text = (folder_ / "v.jsonl").string();
    ASSERT_EQ(run_node({"import", (folder_ / "answer.json").string(), "--format", "vllm", "--out", text}).status, 0);
    EXPECT_EQ(read_text(text).find("{\"router\""), 0u);
    EXPECT_EQ(run_node({"trace", text, "--json"}).lines().at(0)["tokens"], 2);
}

}  // namespace
}  // namespace moescope::test
