// moescope-node export --precision: our model and GGUF files by llama.cpp's quantiser, and what that does to routing.
#include <gtest/gtest.h>
#include <signal.h>

#include "engine/files/gguf.hpp"
#include "tests/nodes/service/program.hpp"

#ifdef MOESCOPE_HAVE_LLAMA

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// A model whose rows fill blocks of 256 weights, trained for a moment.
class Quantised : public testing::Test {
 protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TemporaryFolder>();
        json config = tiny_config(12, 12);
        config["model"].update({{"width", 256},
                                {"heads", 4},
                                {"head_width", 64},
                                {"kv_heads", 4},
                                {"experts", 8},
                                {"expert_width", 256},
                                {"context", 256}});
        const fs::path corpus = write_corpus(*folder_);
        const Output output = run_node({"train", "--config", write_config(*folder_, config).string(), "--data",
                                        corpus.string(), "--out", model().string()});
        ASSERT_EQ(output.status, 0) << output.error;
    }
    static void TearDownTestSuite() { folder_.reset(); }

    static fs::path model() { return *folder_ / "session"; }
    fs::path file(const std::string& name) const { return scratch / name; }
    static json exported(const fs::path& model, const fs::path& out, const Arguments& more) {
        Arguments arguments{"export", "--model", model.string(), "--format", "gguf", "--out", out.string(), "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 0) << output.error;
        return output.status == 0 ? output.lines().back() : json::object();
    }
    static std::string router_type(const fs::path& path) {
        for (const engine::GgufTensor& tensor : engine::read_gguf(path).tensors) {
            if (tensor.name == "blk.0.ffn_gate_inp.weight") {
                return tensor.type;
            }
        }
        return {};
    }
    fs::path trace_of(const fs::path& gguf) const {
        static constexpr const char* kText =
            "The router sends every token to two experts, and the experts answer. 路由器把词元交给专家。"
            "A model that was trained for a moment routes nearly at random, so that small changes are seen.";
        const fs::path trace = fs::path(gguf) += ".jsonl";
        const Output output = run_node(
            {"route", "--model", gguf.string(), "--text", kText, "--out", trace.string(), "--force-overwrite"});
        EXPECT_EQ(output.status, 0) << output.error;
        return trace;
    }
    static json diff(const fs::path& a, const fs::path& b) {
        const Output output = run_node({"diff", a.string(), b.string(), "--json"});
        EXPECT_EQ(output.status, 0) << output.error;
        return output.lines().back();
    }

    TemporaryFolder scratch;

 private:
    static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> Quantised::folder_;

TEST_F(Quantised, TheRoutingDiffOfTwoPrecisionsHasNumbers) {
    exported(model(), file("f32.gguf"), {});
    const fs::path whole = trace_of(file("f32.gguf"));
    double before = 0;
    for (const char* precision : {"q8_0", "q4_k"}) {
        const fs::path path = file(std::string(precision) + ".gguf");
        const json line = exported(model(), path, {"--precision", precision});
        EXPECT_EQ(line["precision"], precision);
        EXPECT_EQ(line["router"], "F32");
        EXPECT_EQ(line["fell_back"], json::array());
        EXPECT_EQ(router_type(path), "F32");
        EXPECT_GT(line["types"][std::string(precision) == "q8_0" ? "Q8_0" : "Q4_K"], 4);
        EXPECT_LT(fs::file_size(path), fs::file_size(file("f32.gguf")) / 3);
        const json difference = diff(whole, trace_of(path));
        const double rate = difference["flips"]["rate"].get<double>();
        EXPECT_GE(rate, before) << precision;
        EXPECT_TRUE(difference["perplexity"]["difference"].is_number());
        before = rate;
    }
    EXPECT_GT(before, 0) << "four bits change some choice";
    EXPECT_EQ(diff(whole, whole)["flips"]["rate"], 0.0);
    // The router in four bits too is a row of its own.
    const json line = exported(model(), file("r.gguf"), {"--precision", "q4_k", "--router", "quantised"});
    EXPECT_EQ(line["router"], "Q4_K");
    EXPECT_EQ(router_type(file("r.gguf")), "Q4_K");
    EXPECT_GT(diff(trace_of(file("q4_k.gguf")), trace_of(file("r.gguf")))["flips"]["rate"].get<double>(), 0);
}

TEST_F(Quantised, AGgufFileIsMadeSmallerAsItIs) {
    exported(model(), file("f16.gguf"), {"--precision", "f16"});
    const json line = exported(file("f16.gguf"), file("q4_0.gguf"), {"--precision", "q4_0"});
    EXPECT_EQ(line["type"], "qwen3moe");
    EXPECT_EQ(line["notes"], json::array()) << line;
    // Its tokenizer goes with it: the same tokens of the same text.
    EXPECT_EQ(diff(trace_of(file("f16.gguf")), trace_of(file("q4_0.gguf")))["undecided"], 0);
    const json again = exported(file("q4_0.gguf"), file("f32.gguf"), {});
    ASSERT_EQ(again["notes"].size(), 1u);
    EXPECT_NE(again["notes"][0].get<std::string>().find("were Q4_0 before"), std::string::npos);
    EXPECT_EQ(router_type(file("f32.gguf")), "F32");
}

TEST_F(Quantised, WhatIsRefusedLeavesNothingBehind) {
    const auto left = [&] {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(scratch.path())) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    };
    const Output none = run_node({"export", "--model", model().string(), "--format", "gguf", "--precision", "q3_x",
                                  "--out", file("m.gguf").string()});
    EXPECT_EQ(none.status, 2);
    EXPECT_NE(none.error.find("q4_k_m"), std::string::npos) << none.error;
    const Output folder =
        run_node({"export", "--model", model().string(), "--precision", "q8_0", "--out", file("m").string()});
    EXPECT_EQ(folder.status, 2);
    EXPECT_NE(folder.error.find("--format gguf"), std::string::npos) << folder.error;
    write_text(file("bad.gguf"), std::string("GGUF\3\0\0\0", 8) + std::string(40, '\7'));
    const Output bad = run_node({"export", "--model", file("bad.gguf").string(), "--format", "gguf", "--precision",
                                 "q8_0", "--out", file("m.gguf").string()});
    EXPECT_EQ(bad.status, 1);
    EXPECT_EQ(left(), std::vector<std::string>{"bad.gguf"});
    exported(model(), file("f32.gguf"), {});
    const Output same = run_node({"export", "--model", file("f32.gguf").string(), "--format", "gguf", "--precision",
                                  "q8_0", "--out", file("f32.gguf").string(), "--force"});
    EXPECT_NE(same.error.find("is what the output is made from"), std::string::npos) << same.error;
    // A signal ends it wherever it is.
    Running running({"export", "--model", model().string(), "--format", "gguf", "--precision", "q4_k", "--out",
                     file("m.gguf").string()});
    running.signal(SIGTERM);
    const Output stopped = running.finish();
    EXPECT_TRUE(stopped.status == 128 + SIGTERM || stopped.status == 0) << stopped.error;
    if (stopped.status == 128 + SIGTERM) {
        EXPECT_EQ(left().size(), 2u) << "bad.gguf and f32.gguf";
    }
}

}  // namespace
}  // namespace moescope::test

#endif
