// The real models, when ./run has fetched them: generating, probing, reporting.
#include <algorithm>
#include <gtest/gtest.h>
#include <optional>
#include <set>

#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

class Models : public testing::Test {
 protected:
    void SetUp() override {
        for (const char* name : {"smollm2-135m-instruct-q4_1.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"}) {
            if (model_cache().empty() || !std::filesystem::exists(model_cache() / "models" / name)) {
                GTEST_SKIP() << "needs the model " << name << "; ./run fetches it";
            }
        }
        cache_.emplace("MOESCOPE_CACHE", model_cache());
    }
    TemporaryFolder folder;

 private:
    std::optional<Variable> cache_;
};

TEST_F(Models, GreedyAnswersRepeat) {
    const Arguments arguments{"generate",     "--model", "smollm2-135m", "--prompt", "What is the capital of France?",
                              "--max-tokens", "12",      "--json"};
    const Output first = run_node(arguments), second = run_node(arguments);
    ASSERT_EQ(first.status, 0) << first.error;
    ASSERT_EQ(first.lines().size(), 1u);
    const json answer = first.lines().front();
    EXPECT_FALSE(answer["text"].get<std::string>().empty());
    EXPECT_GT(answer["tokens"], 0);
    EXPECT_GT(answer["tokens_per_second"], 0);
    EXPECT_TRUE(answer["stop"] == "end" || answer["stop"] == "length");
    EXPECT_EQ(second.lines().front()["text"], answer["text"]);
}

TEST_F(Models, PromptLongerThanTheContextIsOneSentence) {
    std::string prompt;
    while (prompt.size() < 55000) {
        prompt += "one two three four ";
    }
    const Output output = run_node({"generate", "--model", "smollm2-135m", "--prompt", prompt, "--max-tokens", "4"});
    EXPECT_EQ(output.status, 1);
    EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1);
    EXPECT_NE(output.error.find("context"), std::string::npos) << output.error;
}

TEST_F(Models, ProbeAndReport) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "llama.cpp takes too long under ThreadSanitizer; the probes of probe_test.cpp run there";
#endif
    const std::string session = (folder / "session").string(), page = (folder / "report.html").string();
    const Output output = run_node({"probe", "--set", "starter", "--models", "qwen2.5-coder-0.5b,smollm2-135m", "--out",
                                    session, "--limit", "2", "--max-tokens", "24", "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), 9u);  // 2 items, 2 languages, 2 models, and the end
    std::set<std::string> keys;
    for (std::size_t i = 0; i < 8; ++i) {
        keys.insert(lines[i]["item"].get<std::string>() + lines[i]["model"].get<std::string>() +
                    lines[i]["language"].get<std::string>());
        EXPECT_FALSE(lines[i]["delivery"].get<std::string>().empty());
        // Grouped by model, so that each is loaded once.
        EXPECT_EQ(lines[i]["model"], i < 4 ? "qwen2.5-coder-0.5b" : "smollm2-135m");
    }
    EXPECT_EQ(keys.size(), 8u);
    EXPECT_EQ(lines.back()["done"], true);
    EXPECT_EQ(lines.back()["statistics"]["draws"]["received"], 8);
    for (const char* language : {"en", "zh"}) {
        ASSERT_EQ(run_node({"report", session, "--out", page, "--language", language, "--force"}).status, 0);
        const std::string html = read_text(page);
        EXPECT_NE(html.find("qwen2.5-coder-0.5b"), std::string::npos);
        EXPECT_NE(html.find("</html>"), std::string::npos);
    }
}

TEST_F(Models, LibraryKnowsThem) {
    const Output output = run_node({"models", "list", "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_GE(lines.size(), 3u);
    for (const auto& model : lines) {
        for (const char* key : {"name", "maker", "country", "licence", "origin", "sha256", "state"}) {
            EXPECT_FALSE(model[key].get<std::string>().empty()) << model["name"] << " " << key;
        }
    }
    const Output added =
        run_node({"models", "add", (model_cache() / "models" / "smollm2-135m-instruct-q4_1.gguf").string(), "--json"});
    ASSERT_EQ(added.status, 0) << added.error;
    EXPECT_EQ(added.lines().front()["name"], "smollm2-135m");
}

}  // namespace
}  // namespace moescope::test
