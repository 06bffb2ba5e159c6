// moescope-node route and sweep: a model that was just trained, and the same model as a GGUF file.
#include <chrono>
#include <cmath>
#include <gtest/gtest.h>
#include <signal.h>
#include <sstream>
#include <thread>

#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class Route : public testing::Test {
 protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TemporaryFolder>();
        own() = train_tiny_models(*folder_)[0];
#ifdef MOESCOPE_HAVE_LLAMA
        const fs::path gguf = *folder_ / "model.gguf";
        const Output output = run_node({"export", "--model", own(), "--format", "gguf", "--out", gguf.string()});
        EXPECT_EQ(output.status, 0) << output.error;
        models() = {own(), gguf.string()};
#else
        models() = {own()};
#endif
    }
    static void TearDownTestSuite() {
        folder_.reset();
    }

    static std::string& own() {
        static std::string session;
        return session;
    }
    static std::vector<std::string>& models() {
        static std::vector<std::string> list;
        return list;
    }
    std::string out(const std::string& name) const {
        return (scratch / name).string();
    }

    /// The trace of a text, with more options.
    std::vector<json> trace(const std::string& model, const Arguments& more,
                            const std::string& name = "t.jsonl") const {
        Arguments arguments = {"route", "--model", model, "--text", kText, "--out", out(name), "--force-overwrite"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 0) << output.error;
        std::vector<json> lines;
        std::istringstream text(read_text(out(name)));
        for (std::string line; std::getline(text, line);) {
            lines.push_back(json::parse(line));
        }
        return lines;
    }

    static constexpr const char* kText = "The router 路由器 sends tokens.";
    TemporaryFolder scratch;

 private:
    static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> Route::folder_;

std::vector<int> ids_of(const json& line, std::size_t layer) {
    return line.at("layers").at(layer).at("ids").get<std::vector<int>>();
}

TEST_F(Route, WritesOneLinePerToken) {
    std::vector<std::vector<json>> traces;
    for (const std::string& model : models()) {
        const auto lines = trace(model, {"--detail", "scores"});
        ASSERT_GT(lines.size(), 5u);
        const json& router = lines[0].at("router");
        EXPECT_EQ(router.at("model"), model);
        EXPECT_EQ(router.at("experts"), 4);
        EXPECT_EQ(router.at("experts_per_token"), 2);
        EXPECT_EQ(router.at("routed_layers"), json({0, 1}));
        EXPECT_EQ(router.at("scoring"), "softmax");
        EXPECT_EQ(router.at("source"), "executed");
        EXPECT_FALSE(router.contains("interventions"));
        std::string text;
        for (std::size_t i = 0; i < lines.size(); ++i) {
            const json& line = lines[i];
            EXPECT_EQ(line.at("position"), i);
            EXPECT_EQ(line.contains("router"), i == 0);
            ASSERT_EQ(line.at("layers").size(), 2u);
            for (const json& layer : line.at("layers")) {
                EXPECT_EQ(layer.at("ids").size(), 2u);
                EXPECT_NEAR(layer.at("weights")[0].get<double>() + layer.at("weights")[1].get<double>(), 1, 1e-5);
                EXPECT_EQ(layer.at("scores").size(), 4u);
                EXPECT_TRUE(layer.contains("margin"));
            }
            if (i + 1 < lines.size()) {
                EXPECT_EQ(line.at("next"), lines[i + 1].at("token"));
                EXPECT_LT(line.at("log_probability").get<double>(), 0);
            } else {
                EXPECT_FALSE(line.contains("next"));
            }
        }
        traces.push_back(lines);
    }
    for (std::size_t i = 0; traces.size() == 2 && i < traces[0].size(); ++i) {
        EXPECT_EQ(traces[0][i].at("token"), traces[1][i].at("token"));
        EXPECT_EQ(ids_of(traces[0][i], 1), ids_of(traces[1][i], 1));
    }
}

TEST_F(Route, ChangesAreMadeAndWrittenDown) {
    for (const std::string& model : models()) {
        const auto before = trace(model, {"--detail", "ids"}, "before.jsonl");
        const int expert = ids_of(before[2], 0)[0];
        const std::string place = "0:" + std::to_string(expert);
        const auto lines = trace(model, {"--knock-out", place, "--limit-k", "1:1", "--bias", "1:0=0.5"}, "after.jsonl");
        EXPECT_EQ(lines[0].at("router").at("interventions"),
                  (json{{{"kind", "knock_out"}, {"layer", 0}, {"expert", expert}},
                        {{"kind", "bias"}, {"layer", 1}, {"expert", 0}, {"value", 0.5}},
                        {{"kind", "limit_k"}, {"layer", 1}, {"experts", 1}}}));
        for (const json& line : lines) {
            const auto ids = ids_of(line, 0);
            EXPECT_EQ(std::count(ids.begin(), ids.end(), expert), 0);
            EXPECT_EQ(ids_of(line, 1).size(), 1u);
        }
        const auto again = trace(model, {"--replay", out("after.jsonl")}, "again.jsonl");
        ASSERT_EQ(again.size(), lines.size());
        for (std::size_t i = 0; i < lines.size(); ++i) {
            EXPECT_EQ(ids_of(again[i], 0), ids_of(lines[i], 0));
            EXPECT_EQ(ids_of(again[i], 1), ids_of(lines[i], 1));
            EXPECT_EQ(again[i].at("predicted"), lines[i].at("predicted"));
        }
        EXPECT_EQ(again[0].at("router").at("interventions")[0].at("source"), "after.jsonl");
        const auto forced = trace(model, {"--force", place});
        const auto zeroed = trace(model, {"--zero", place});
        for (std::size_t i = 0; i < forced.size(); ++i) {
            const auto ids = ids_of(forced[i], 0);
            EXPECT_EQ(std::count(ids.begin(), ids.end(), expert), 1);
            EXPECT_EQ(ids_of(zeroed[i], 0), ids_of(before[i], 0));
        }
        EXPECT_EQ(zeroed[2].at("layers")[0].at("weights")[0], 0);
    }
}

TEST_F(Route, SummaryFilesAndStandardOutput) {
    const std::string& model = models().back();
    write_text(scratch / "text.txt", kText);
    const Output summary = run_node({"route", "--model", model, "--text", "@" + out("text.txt"), "--out",
                                     out("a.jsonl"), "--detail", "scores", "--json"});
    ASSERT_EQ(summary.status, 0) << summary.error;
    const json line = summary.lines().at(0);
    EXPECT_EQ(line.at("out"), out("a.jsonl"));
    EXPECT_GT(line.at("tokens").get<int>(), 5);
    EXPECT_EQ(line.at("agreement").at("equal"), line.at("agreement").at("decisions"));
    EXPECT_EQ(line.at("agreement").at("decisions"), 2 * line.at("tokens").get<int>());
    EXPECT_LT(line.at("mean_log_probability").get<double>(), 0);
    EXPECT_TRUE(line.at("doubts").empty());
    const Output twice = run_node({"route", "--model", model, "--text", kText, "--out", out("a.jsonl")});
    EXPECT_EQ(twice.status, 1);
    EXPECT_NE(twice.error.find("a.jsonl"), std::string::npos) << twice.error;
    EXPECT_NE(twice.error.find("(--force-overwrite)"), std::string::npos) << twice.error;
    // The text of an option that is a file is a source like any other.
    const Output over = run_node(
        {"route", "--model", model, "--text", "@" + out("text.txt"), "--out", out("text.txt"), "--force-overwrite"});
    EXPECT_EQ(over.status, 1);
    EXPECT_NE(over.error.find("is what the output is made from"), std::string::npos) << over.error;
    EXPECT_EQ(read_text(scratch / "text.txt"), kText);
    const Output piped = run_node({"route", "--model", model, "--text", kText, "--out", "-", "--detail", "scores"});
    EXPECT_EQ(piped.status, 0) << piped.error;
    EXPECT_EQ(piped.lines().size(), line.at("tokens").get<std::size_t>());
}

TEST_F(Route, SaysHowMuchOfAReplayFoundItsPlace) {
    const std::string& model = models().back();
    const auto lines = trace(model, {}, "whole.jsonl");
    const auto taken = [&](const std::string& text) {
        const Output output = run_node({"route", "--model", model, "--text", text, "--out", out("r.jsonl"),
                                        "--force-overwrite", "--replay", out("whole.jsonl"), "--json"});
        EXPECT_EQ(output.status, 0) << output.error;
        return std::pair(output.lines().at(0).at("replay"), output.error);
    };
    EXPECT_EQ(
        taken(kText),
        std::pair(json({{"decisions", 2 * lines.size()}, {"taken", 2 * lines.size()}, {"altered", 0}}), std::string()));
    const auto [less, warning] = taken("The");
    EXPECT_EQ(less.at("decisions"), 2 * lines.size());
    EXPECT_LT(less.at("taken").get<std::size_t>(), 2 * lines.size());
    EXPECT_NE(warning.find("have no place in this text"), std::string::npos) << warning;
    const Output plain = run_node({"route", "--model", model, "--text", kText, "--out", out("r.jsonl"),
                                   "--force-overwrite", "--replay", out("whole.jsonl")});
    EXPECT_NE(plain.out.find("found their place in the text"), std::string::npos) << plain.out;
    EXPECT_EQ(plain.out.find("with other experts"), std::string::npos) << plain.out;
    // What is knocked out is replaced by the next best, and counted.
    const int gone = ids_of(lines[0], 0)[0];
    std::size_t hit = 0;
    for (const json& line : lines) {
        const auto ids = ids_of(line, 0);
        hit += std::count(ids.begin(), ids.end(), gone) > 0 ? 1 : 0;
    }
    const Output without =
        run_node({"route", "--model", model, "--text", kText, "--out", out("r.jsonl"), "--force-overwrite", "--replay",
                  out("whole.jsonl"), "--knock-out", "0:" + std::to_string(gone)});
    EXPECT_NE(without.out.find(std::to_string(hit) + " of them were made with other experts"), std::string::npos)
        << without.out;
    std::istringstream written(read_text(out("r.jsonl")));
    for (std::string line; std::getline(written, line);) {
        const auto ids = ids_of(json::parse(line), 0);
        EXPECT_EQ(ids.size(), 2u);
        EXPECT_EQ(std::count(ids.begin(), ids.end(), gone), 0);
    }
    for (const Arguments& more : {Arguments{"--force", "0:1"}, Arguments{"--bias", "0:1=1"}}) {
        Arguments arguments = {"route", "--model", model,      "--text",          kText,
                               "--out", out("x"),  "--replay", out("whole.jsonl")};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Output both = run_node(arguments);
        EXPECT_EQ(both.status, 1);
        EXPECT_NE(both.error.find("takes its experts from the replay"), std::string::npos) << both.error;
        EXPECT_FALSE(fs::exists(out("x")));
    }
}

TEST_F(Route, WhatIsWrongIsSaidInOneSentence) {
    const std::string& model = models().back();
    const auto fails = [&](const Arguments& more, int status, const std::string& part) {
        Arguments arguments = {"route", "--model", model, "--out", out("x.jsonl")};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, status) << output.error;
        EXPECT_NE(output.error.find(part), std::string::npos) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        EXPECT_FALSE(fs::exists(out("x.jsonl")));
    };
    fails({}, 2, "--text");
    fails({"--text", "a", "--tokens", "b.npy"}, 2, "--tokens");
    fails({"--text", "a", "--detail", "all"}, 2, "--detail");
    fails({"--text", "@" + out("none.txt")}, 1, "none.txt");
    fails({"--text", "a", "--knock-out", "0"}, 1, "'0' is no LAYER:EXPERT");
    fails({"--text", "a", "--knock-out", "9:0"}, 1, "layer 9 of");
    fails({"--text", "a", "--knock-out", "0:7"}, 1, "there is no expert 7");
    fails({"--text", "a", "--knock-out", "0:*"}, 1, "keeps 0 experts");
    fails({"--text", "a", "--force", "0:1", "--knock-out", "0:1"}, 1, "both forced and knocked out");
    fails({"--text", "a", "--limit-k", "3"}, 1, "a limit of 3");
    fails({"--text", "a", "--limit-k", "1:1,1:2"}, 1, "two limits are given for layer 1");
    fails({"--text", "a", "--limit-k", "1", "--limit-k", "2"}, 1, "two limits are given for every layer");
    fails({"--text", "a", "--limit-k", "1,1:2"}, 1, "a limit for every layer");
    fails({"--text", "a", "--bias", "0:1"}, 1, "LAYER:EXPERT=VALUE");
    fails({"--text", "a", "--bias", "*:*=1000000"}, 1, "a bias has to be a number from -100 to 100");
    fails({"--text", "a", "--bias", "0:1=60", "--bias", "*:1=60"}, 1, "add up to 120");
    fails({"--text", "a", "--replay", out("none.jsonl")}, 1, "none.jsonl");
    write_text(scratch / "bad.jsonl", "{}\n");
    fails({"--text", "a", "--replay", out("bad.jsonl")}, 1, "bad.jsonl");
    const std::string router =
        "{\"router\":{\"layers\":2,\"experts\":8,\"experts_per_token\":2,\"routed_layers\":[0,1],"
        "\"source\":\"executed\"},";
    write_text(scratch / "other.jsonl", router + "\"position\":0,\"layers\":[{\"layer\":0,\"ids\":[0,1]}]}\n");
    fails({"--text", "a", "--replay", out("other.jsonl")}, 1, "of a router that chooses 2 of 8 experts");
    write_text(scratch / "twice.jsonl", router + "\"position\":0,\"layers\":[]}\n{\"position\":0,\"layers\":[]}\n");
    fails({"--text", "a", "--replay", out("twice.jsonl")}, 1, "line 2 of");
    std::string words;
    for (int i = 0; i < 3000; ++i) {
        words += "word ";
    }
    fails({"--text", words}, 1, "context");
}

TEST_F(Route, ASignalStopsItWithinASecond) {
    std::string prompts;
    for (int i = 0; i < 9000; ++i) {  // seconds, whatever the machine
        prompts += "The router sends a line and reads every page of the buffer again. An expert writes one number.\n";
    }
    write_text(scratch / "p.txt", prompts + prompts);
    const Output large = run_node({"sweep", "--model", own(), "--layer", "0", "--prompts", out("p.txt")});
    EXPECT_EQ(large.status, 1);
    EXPECT_NE(large.error.find("prompts or"), std::string::npos) << large.error;
    write_text(scratch / "p.txt", std::string(1'500'000, 'a'));
    const Output long_one = run_node({"sweep", "--model", own(), "--layer", "0", "--prompts", out("p.txt")});
    EXPECT_EQ(long_one.status, 1);
    EXPECT_NE(long_one.error.find("bytes"), std::string::npos) << long_one.error;
    write_text(scratch / "t.txt", std::string(600'000, '"'));  // twice as long as JSON
    const Output text = run_node({"route", "--model", own(), "--text", "@" + out("t.txt"), "--out", "-"});
    EXPECT_EQ(text.status, 1);
    EXPECT_NE(text.error.find("that a model process takes"), std::string::npos) << text.error;
    write_text(scratch / "p.txt", prompts);
    Running sweep({"sweep", "--model", own(), "--layer", "0", "--prompts", out("p.txt"), "--json"});
    const auto first = sweep.line();
    ASSERT_TRUE(first) << "it shows how far it is";
    EXPECT_GT(json::parse(*first).at("total").get<int>(), 1000);
    const auto start = std::chrono::steady_clock::now();
    sweep.signal(SIGINT);
    const Output output = sweep.finish();
    EXPECT_EQ(output.status, 128 + SIGINT);
    EXPECT_NE(output.error.find("stopped by SIGINT"), std::string::npos) << output.error;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));  // 1 s, with room for a busy machine
}

TEST_F(Route, SweepMeasuresEveryExpertOfALayer) {
    write_text(scratch / "p.txt", "The router sends a line.\n\nAn expert reads the value.\n程序读取文件名。\n");
    for (const std::string& model : models()) {
        const Output output =
            run_node({"sweep", "--model", model, "--layer", "1", "--prompts", out("p.txt"), "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        std::vector<json> experts;
        json last;
        for (const json& line : output.lines()) {
            if (line.contains("expert")) {
                experts.push_back(line);
            }
            last = line;
        }
        EXPECT_EQ(last.at("done"), true);
        EXPECT_EQ(last.at("texts"), 3);
        ASSERT_EQ(experts.size(), 4u);
        double kl = 0, control = 0;
        for (const json& one : experts) {
            EXPECT_EQ(one.at("layer"), 1);
            const json& figure = one.at("kl");
            EXPECT_GE(figure.at("mean").get<double>(), 0);
            EXPECT_LE(figure.at("low").get<double>(), figure.at("mean").get<double>());
            EXPECT_GE(figure.at("high").get<double>(), figure.at("mean").get<double>());
            EXPECT_TRUE(one.at("above_kl").contains("low"));
            kl += figure.at("mean").get<double>();
            control += one.at("control_kl").at("mean").get<double>();
        }
        EXPECT_GT(kl, 0);
        EXPECT_NEAR(kl, control, 1e-9) << "each expert is in three controls, for a third";
        const Output plain = run_node({"sweep", "--model", model, "--layer", "1", "--prompts", out("p.txt")});
        EXPECT_EQ(plain.status, 0) << plain.error;
        EXPECT_NE(plain.out.find("KL above the control"), std::string::npos) << plain.out;
    }
    const Output wrong = run_node({"sweep", "--model", own(), "--layer", "7", "--prompts", out("p.txt")});
    EXPECT_EQ(wrong.status, 1);
    EXPECT_NE(wrong.error.find("layer 7 of"), std::string::npos) << wrong.error;
    write_text(scratch / "empty.txt", "\n \n");
    const Output empty = run_node({"sweep", "--model", own(), "--layer", "0", "--prompts", out("empty.txt")});
    EXPECT_EQ(empty.status, 1);
    EXPECT_NE(empty.error.find("has no prompt"), std::string::npos) << empty.error;
}

}  // namespace
}  // namespace moescope::test
