// models.export through a node, as the window asks for it: a checkpoint in both forms, what is refused, and a cancel.
#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <signal.h>

#include "engine/files/gguf.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

/// A node whose session has a model with a checkpoint at step 2, with rows that fill blocks of 32 weights.
class NodeExport : public testing::Test {
 protected:
    void SetUp() override {
        json config = tiny_config(2, 2);
        config["model"].update({{"width", 64}, {"head_width", 32}, {"kv_heads", 2}, {"expert_width", 64}});
        const std::uint32_t run =
            bench.done("train.start", {{"config", config}, {"data", write_corpus(folder).string()}, {"name", "small"}})
                .value("run", 0u);
        bench.wait("the end of the training", in_state(run, RunState::done));
        model = "checkpoint:" + std::to_string(run) + ":2";
    }
    fs::path file(const std::string& name) const { return out / name; }
    json order(const std::string& name, const json& more = json::object()) const {
        json parameters = {{"model", model}, {"path", file(name).string()}, {"format", "gguf"}};
        parameters.update(more);
        return parameters;
    }
    std::vector<std::string> written() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(out.path())) {
            names.push_back(entry.path().filename().string());
        }
        std::sort(names.begin(), names.end());
        return names;
    }
    bool is_safe(const fs::path& path) {
        return bench.done("models.inspect", {{"path", path.string()}}).value("safe", false);
    }
    static std::string type_of(const fs::path& path, const std::string& tensor) {
        for (const engine::GgufTensor& one : engine::read_gguf(path).tensors) {
            if (one.name == tensor) {
                return one.type;
            }
        }
        return {};
    }

    TemporaryFolder folder, out;
    Workbench bench{folder / "session"};
    std::string model;
};

TEST_F(NodeExport, ACheckpointIsWrittenInBothForms) {
    const json whole = bench.done("models.export", order("whole.gguf"));
    EXPECT_EQ(whole["path"], file("whole.gguf").string());
    EXPECT_EQ(whole["files"], json({"whole.gguf"}));
    EXPECT_EQ(whole["type"], "qwen3moe");
    ASSERT_EQ(whole["notes"].size(), 1u) << whole;
    EXPECT_NE(whole["notes"][0]["text"].get<std::string>().find("tokenizer"), std::string::npos) << whole;
    EXPECT_TRUE(whole["notes"][0].contains("text_id")) << "a window in another language translates it";
    EXPECT_TRUE(is_safe(file("whole.gguf")));
    EXPECT_EQ(type_of(file("whole.gguf"), "blk.0.ffn_gate_exps.weight"), "F32");
    const json hugging_face =
        bench.done("models.export", {{"model", model}, {"path", file("folder").string()}, {"format", "huggingface"}});
    EXPECT_EQ(hugging_face["type"], "qwen3_moe");
    const json files = hugging_face["files"];
    EXPECT_NE(std::find(files.begin(), files.end(), "model.safetensors"), files.end()) << files;
    EXPECT_TRUE(is_safe(file("folder")));
    // What was the newest when it was asked for is there as a file of that name, and no other one.
    bench.done("models.export", order("now.gguf", {{"model", model.substr(0, model.rfind(':')) + ":now"}}));
    EXPECT_EQ(read_text(file("now.gguf")), read_text(file("whole.gguf")));
    EXPECT_EQ(written(), (std::vector<std::string>{"folder", "now.gguf", "whole.gguf"}));
    bench.wait("no tasks", [](const Snapshot& s) { return s.tasks.empty(); });
}

#ifdef MOESCOPE_HAVE_LLAMA

TEST_F(NodeExport, ThePrecisionsOfTheCatalogueAreTaken) {
    const json offered = bench.wait("the catalogue", [](const Snapshot& s) { return s.catalogue->contains("export"); })
                             ->catalogue->at("export");
    const json precisions = offered.at("precisions");
    ASSERT_NE(std::find(precisions.begin(), precisions.end(), "q8_0"), precisions.end()) << precisions;
    const json answer = bench.done("models.export", order("q8_0.gguf", {{"precision", "q8_0"}}));
    EXPECT_GT(answer["types"]["Q8_0"], 4) << answer;
    EXPECT_EQ(answer["router"], "F32");
    EXPECT_TRUE(is_safe(file("q8_0.gguf")));
    EXPECT_EQ(type_of(file("q8_0.gguf"), "blk.0.ffn_gate_exps.weight"), "Q8_0");
    EXPECT_EQ(type_of(file("q8_0.gguf"), "blk.0.ffn_gate_inp.weight"), "F32");
    const json coarse = bench.done("models.export", order("r.gguf", {{"precision", "q8_0"}, {"router", "quantised"}}));
    EXPECT_EQ(coarse["router"], "Q8_0");
    EXPECT_EQ(type_of(file("r.gguf"), "blk.0.ffn_gate_inp.weight"), "Q8_0");
    // A file of the library is written again, and what its rows can't hold is said.
    const std::string name = bench.done("models.add", {{"path", file("q8_0.gguf").string()}}).value("name", "");
    const json again = bench.done("models.export", order("again.gguf", {{"model", name}, {"precision", "q4_k"}}));
    std::string notes;
    for (const json& note : again["notes"]) {
        notes += note["text"].get<std::string>() + "\n";
    }
    EXPECT_NE(notes.find("The weights were Q8_0 before"), std::string::npos) << notes;
    EXPECT_NE(notes.find("instead of Q4_K"), std::string::npos) << notes;
    EXPECT_EQ(written(), (std::vector<std::string>{"again.gguf", "q8_0.gguf", "r.gguf"}));
    bench.done("models.remove", {{"name", name}});
}

#endif

TEST_F(NodeExport, WhatCannotBeIsRefusedBeforeItBegins) {
    const auto refused = [&](const json& more, const std::string& words) {
        const std::string sentence = bench.failed("models.export", order("m.gguf", more));
        EXPECT_NE(sentence.find(words), std::string::npos) << sentence;
        EXPECT_EQ(written(), std::vector<std::string>()) << sentence;
    };
    refused({{"precision", "q3_x"}}, "'q3_x'; there are f32");
    refused({{"router", "none"}}, "'none'; there are f32, quantised");
    refused({{"format", "onnx"}}, "'onnx'; the forms are huggingface, gguf");
    refused({{"format", "huggingface"}, {"precision", "q8_0"}}, "leave them out with 'huggingface'");
    refused({{"model", "nobody"}}, "'nobody' is neither a model");
    refused({{"model", "checkpoint:1:77"}}, "no checkpoint of step 77");
    refused({{"path", (out / "no" / "m.gguf").string()}}, "is not there; make it first");
    refused({{"path", (folder / "session" / "manifest.json").string()}, {"replace", true}}, "session");
    const std::string server = bench.done("models.add", {{"path", "http://127.0.0.1:9/v1#m"}}).value("name", "");
    refused({{"model", server}}, "is a server");
    refused({{"model", "http://127.0.0.1:9/v1#m"}}, "is a server");
    bench.done("models.remove", {{"name", server}});
    bench.done("interventions.save",
               {{"name", "quiet"}, {"items", {{{"kind", "knock_out"}, {"layer", 0}, {"expert", 1}}}}});
    refused({{"model", model + "|quiet"}}, "without the set quiet");
    // One that is there stays until a person says otherwise.
    write_text(file("m.gguf"), "mine");
    EXPECT_NE(bench.failed("models.export", order("m.gguf")).find("is there already"), std::string::npos);
    EXPECT_EQ(read_text(file("m.gguf")), "mine");
    bench.done("models.export", order("m.gguf", {{"replace", true}}));
    EXPECT_EQ(read_text(file("m.gguf")).substr(0, 4), "GGUF");
    EXPECT_NE(bench.failed("models.export", order("m.gguf", {{"model", file("m.gguf").string()}, {"replace", true}}))
                  .find("is what the output is made from"),
              std::string::npos);
}

TEST_F(NodeExport, AFolderThatHoldsNoModelIsNotReplacedWhateverItsFilesAreCalled) {
    const json wish = order("folder", {{"format", "huggingface"}, {"replace", true}});
    const fs::path there = file("folder");
    fs::create_directory(there);
    const auto stays = [&](const std::string& words) {
        const std::string sentence = bench.failed("models.export", wish);
        EXPECT_NE(sentence.find(words), std::string::npos) << sentence;
        EXPECT_EQ(read_text(there / "README.md"), "mine");
    };
    write_text(there / "README.md", "mine");
    stays("no earlier output");
    write_text(there / "config.json", R"({"editor": "of another program"})");
    stays("no earlier output");
    write_text(there / "config.json", R"({"model_type": "qwen3_moe"})");
    stays("no earlier output");
    write_text(there / "model.safetensors", "no weights");
    stays("no earlier output");
    write_text(there / "package.json", "{}");
    stays("package.json");
    fs::remove_all(there);
    bench.done("models.export", wish);
    write_text(there / "README.md", "of the model");
    bench.done("models.export", wish);  // a model with its words is one
    EXPECT_NE(read_text(there / "README.md"), "of the model");
}

TEST_F(NodeExport, ACancelLeavesNothingBehind) {
    const pid_t node = bench.client().node_process();
    const client::CommandId command = bench.client().send("models.export", order("m.gguf"));
    pid_t held = 0;
    for (const auto until = Clock::now() + std::chrono::seconds(10); held == 0 && Clock::now() < until;) {
        for (const pid_t process : children_of(node)) {
            kill(process, SIGSTOP);
            held = process;
        }
    }
    ASSERT_NE(held, 0) << "no process was started for the export";
    // The training that made the model may still be among the tasks.
    const auto of_the_export = [](const Snapshot& s) {
        return std::find_if(s.tasks.begin(), s.tasks.end(),
                            [](const auto& task) { return task.kind == protocol::TaskKind::model_export; });
    };
    const auto now = bench.wait("the task", [&](const Snapshot& s) { return of_the_export(s) != s.tasks.end(); });
    const auto task = of_the_export(*now);
    ASSERT_NE(task, now->tasks.end());
    EXPECT_EQ(task->title, "m.gguf");
    bench.done(task->cancel_command, {{"id", task->id}});
    const CommandResult result = bench.result_of(command);
    EXPECT_EQ(result.state, CommandResult::State::failed);
    EXPECT_NE(result.error.english().find("cancelled; nothing was written"), std::string::npos) << result.error;
    EXPECT_EQ(written(), std::vector<std::string>());
    EXPECT_TRUE(children_of(node).empty());
    bench.done("models.export", order("m.gguf"));  // and the next one is none the worse for it
    EXPECT_EQ(written(), std::vector<std::string>{"m.gguf"});
}

}  // namespace
}  // namespace moescope::test
