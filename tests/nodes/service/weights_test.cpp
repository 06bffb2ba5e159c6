// Models of other programs' making through the command line, as an outside checker would: their logits, training that
// starts from them, and what is written for other programs. Golden files: tests/oracle/models.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>

#include "engine/files/npy.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
    return fs::path(moescope::test::test_data()) / "oracle" / "data" / name;
}

std::vector<float> floats(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const auto header = engine::parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), path.string());
    std::vector<float> values(header.count);
    std::memcpy(values.data(), bytes.data() + header.data_begin, values.size() * sizeof(float));
    return values;
}

/// Logits of the golden tokens by `model`, against the golden ones; mean squared error over mean square.
double logits_error(const fs::path& model, const fs::path& from, const fs::path& out) {
    const Output output = run_node({"logits", "--model", model.string(), "--tokens", (from / "tokens.npy").string(),
                                    "--out", out.string(), "--force"});
    EXPECT_EQ(output.status, 0) << output.error;
    const auto got = floats(out), wanted = floats(from / "logits.npy");
    EXPECT_EQ(got.size(), wanted.size());
    double error = 0, power = 0;
    for (std::size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
        error += std::pow(static_cast<double>(got[i]) - wanted[i], 2);
        power += std::pow(static_cast<double>(wanted[i]), 2);
    }
    return error / power;
}

TEST(Weights, LogitsAreThoseOfTransformersAlsoAfterExport) {
    const TemporaryFolder folder;
    for (const char* name : {"qwen3_moe", "deepseek_v3", "mixtral"}) {
        SCOPED_TRACE(name);
        const fs::path from = golden(name), again = folder / (std::string(name) + "-hf");
        EXPECT_LE(logits_error(from, from, folder / "a.npy"), 1e-10);
        const Output output =
            run_node({"export", "--session", from.string(), "--format", "hf", "--out", again.string(), "--json"});
        ASSERT_EQ(output.status, 0) << output.error;
        EXPECT_EQ(output.lines().back()["type"], name);
        const json notes = output.lines().back()["notes"];
        EXPECT_EQ(std::count_if(
                      notes.begin(), notes.end(),
                      [](const json& note) { return note.get<std::string>().find("tokenizer") != std::string::npos; }),
                  1)
            << notes;
        EXPECT_LE(logits_error(again, from, folder / "b.npy"), 1e-10);
        const fs::path gguf = folder / (std::string(name) + ".gguf");
        ASSERT_EQ(run_node({"export", "--model", from.string(), "--format", "gguf", "--out", gguf.string()}).status, 0);
#ifdef MOESCOPE_HAVE_LLAMA
        EXPECT_LE(logits_error(gguf, from, folder / "c.npy"), 1e-6);  // computed by libllama
#endif
    }
}

TEST(Weights, TrainingFromThemGivesTheLossesOfPyTorch) {
    const TemporaryFolder folder;
    const fs::path from = golden("qwen3_moe");
    const json config = {{"name", "parity"},
                         {"model", {{"context", 16}}},
                         {"train",
                          {{"batch", 2},
                           {"steps", 20},
                           {"learning_rate", 0.001},
                           {"warmup_steps", 0},
                           {"final_learning_rate_ratio", 1.0},
                           {"balance_coefficient", 0.05},
                           {"z_coefficient", 0.01},
                           {"threads", 1}}}};
    const Arguments arguments{"train",
                              "--init",
                              from.string(),
                              "--config",
                              write_config(folder, config).string(),
                              "--data",
                              (from / "train" / "tokens.npy").string(),
                              "--out",
                              (folder / "session").string(),
                              "--json"};
    const Output output = run_node(arguments);
    ASSERT_EQ(output.status, 0) << output.error;
    std::ifstream file(from / "train" / "losses.json");
    const json wanted = json::parse(file).at("exact").at("losses");
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), 21u);
    for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_NEAR(lines[i]["loss"].get<double>(), wanted[i].get<double>(), 1e-4 * wanted[i].get<double>());
    }
    // The session holds its own beginning, so that it runs again when the weights have moved.
    const Output replay = run_node({"train", "--replay", (folder / "session").string(), "--json"});
    ASSERT_EQ(replay.status, 0) << replay.error;
    EXPECT_EQ(replay.lines().back()["equal"], true);
    EXPECT_EQ(replay.lines().back()["steps"], 20);
    EXPECT_EQ(replay.lines().back()["parameters_sha256"], lines.back()["parameters_sha256"]);
}

// A text is cut by the tokenizer of the weights; without one it is refused, whatever the size of the vocabulary.
TEST(Weights, ATextNeedsTheTokenizerOfTheModel) {
    const TemporaryFolder folder;
    const fs::path corpus = write_corpus(folder);
    const fs::path config = write_config(folder, tiny_config(2, 2));
    const auto train = [&](const Arguments& more) {
        Arguments arguments{"train", "--out", (folder / "s").string(), "--steps", "2"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_node(arguments);
    };
    ASSERT_EQ(train({"--config", config.string(), "--data", corpus.string()}).status, 0);
    const std::string first = (folder / "s").string();
    const auto from_first = [&](const std::string& data, const std::string& out) {
        return run_node({"train", "--init", first, "--data", data, "--steps", "2", "--out", (folder / out).string()});
    };
    EXPECT_EQ(from_first(corpus.string(), "same").status, 0);
    std::ofstream(folder / "other.txt") << std::string(3000, 'x') << "\n\n"
                                        <<
        [] {
            std::string text;
            for (int i = 0; i < 4000; ++i) {
                text += "word" + std::to_string(i * 7919 % 1000) + (i % 9 == 8 ? ".\n\n" : " ");
            }
            return text;
        }();
    const Output other = from_first((folder / "other.txt").string(), "other");
    EXPECT_EQ(other.status, 0) << other.error;
    // It goes on and runs again with the same tokens, which the text alone would not give.
    const Output replay = run_node({"train", "--replay", (folder / "other").string(), "--json"});
    ASSERT_EQ(replay.status, 0) << replay.error;
    EXPECT_EQ(replay.lines().back()["equal"], true);
    for (const char* model : {"qwen3_moe", "gpt_oss"}) {
        const Output none = run_node({"train", "--init", golden(model).string(), "--data", corpus.string(), "--steps",
                                      "2", "--out", (folder / model).string()});
        EXPECT_EQ(none.status, 1);
        EXPECT_NE(none.error.find("brings no tokenizer"), std::string::npos) << none.error;
        EXPECT_NE(none.error.find("tokenizer.model"), std::string::npos) << none.error;
        EXPECT_NE(none.error.find(".npy"), std::string::npos) << none.error;
    }
}

TEST(Replay, SaysEqualOrTheFirstDifference) {
    const TemporaryFolder folder;
    const fs::path corpus = write_corpus(folder), session = folder / "session";
    ASSERT_EQ(run_node({"train", "--config", write_config(folder, tiny_config(12, 5)).string(), "--data",
                        corpus.string(), "--out", session.string()})
                  .status,
              0);
    const Output same = run_node({"train", "--replay", session.string(), "--threads", "1"});
    EXPECT_EQ(same.status, 0) << same.error;
    EXPECT_NE(same.out.find("equal: 12 steps"), std::string::npos) << same.out;
    // The same place, another text.
    fs::path file = corpus;
    if (fs::is_directory(corpus)) {
        file = fs::directory_iterator(corpus)->path();
    }
    std::ofstream(file, std::ios::app) << "\n\nOne more paragraph that was not there before, and a few words more.\n";
    const Output other = run_node({"train", "--replay", session.string()});
    EXPECT_EQ(other.status, 3) << other.error;
    EXPECT_NE(other.out.find("first difference at step 1:"), std::string::npos) << other.out;
    const Output none = run_node({"train", "--replay", (folder / "nothing").string()});
    EXPECT_EQ(none.status, 1);
}

}  // namespace
}  // namespace moescope::test
