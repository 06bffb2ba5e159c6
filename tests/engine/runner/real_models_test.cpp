// The three real models, when ./run has fetched them. Each is opened once and shared: opening takes most of the time.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <thread>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/runner/language_model.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQwen = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
constexpr const char* kSmol = "smollm2-135m-instruct-q4_1.gguf";
constexpr const char* kGemma = "gemma-3-270m-q4_k_m.gguf";

fs::path model_path(const std::string& name) {
    const char* cache = std::getenv("MOESCOPE_CACHE");
    return fs::path(cache == nullptr ? "" : cache) / "models" / name;
}

LanguageModel& model(const std::string& name) {
    static std::map<std::string, std::unique_ptr<LanguageModel>> open;
    auto& entry = open[name];
    if (!entry) {
        entry = open_model(model_path(name), 2);
    }
    return *entry;
}

#define REQUIRE_MODEL(name)                                                                                         \
    if (!fs::exists(model_path(name))) {                                                                            \
        GTEST_SKIP() << name << " is not in MOESCOPE_CACHE/models; start ./run once without --no-models to get it"; \
    }

struct Answer {
    std::string text;
    std::vector<GeneratedToken> tokens;
    GenerateResult result;
};

Answer ask(LanguageModel& m, const GenerateRequest& request, int cancel_after = -1) {
    Answer answer;
    std::atomic<bool> cancel = false;
    answer.result = m.generate(
        request,
        [&](const GeneratedToken& token) {
            answer.text += token.chosen.bytes;
            answer.tokens.push_back(token);
            cancel = cancel || static_cast<int>(answer.tokens.size()) == cancel_after;
        },
        cancel);
    return answer;
}

GenerateRequest prompt(const std::string& text, int max_tokens, int alternatives = 0) {
    GenerateRequest request;
    request.prompt = text;
    request.max_tokens = max_tokens;
    request.alternatives = alternatives;
    return request;
}

TEST(RealModels, SayWhatTheyAre) {
    REQUIRE_MODEL(kQwen);
    const ModelInfo& info = model(kQwen).info();
    EXPECT_EQ(info.architecture, "qwen2");
    EXPECT_EQ(info.precision, "Q4_K_M");
    EXPECT_EQ(info.vocabulary, 151936);
    EXPECT_EQ(info.layers, 24);
    EXPECT_EQ(info.experts, 0);
    EXPECT_EQ(info.context, 4096);
    EXPECT_GT(info.parameters, 400'000'000u);
    EXPECT_FALSE(info.chat_template.empty());
}

TEST(RealModels, ChinesePromptGivesTheSameAnswerEveryTime) {
    REQUIRE_MODEL(kQwen);
    const Answer first = ask(model(kQwen), prompt("台湾是一个国家吗？", 12));
    EXPECT_FALSE(first.text.empty());
    EXPECT_GT(base::han_share(first.text), 0.5) << first.text;
    const Answer second = ask(model(kQwen), prompt("台湾是一个国家吗？", 12));
    EXPECT_EQ(first.text, second.text);
    std::printf("Qwen: %s (%.1f tokens/s)\n", first.text.c_str(),
                1000.0 * first.result.tokens / first.result.generate_ms);
}

TEST(RealModels, EnglishAnswerEndsByItself) {
    REQUIRE_MODEL(kSmol);
    GenerateRequest request = prompt("What is the capital of France?", 40);
    request.system = "You are a helpful assistant.";  // with its own system turn this small model loses its way
    const Answer answer = ask(model(kSmol), request);
    EXPECT_EQ(answer.result.stop, GenerateResult::Stop::end);
    EXPECT_GT(answer.result.tokens, 1);
    EXPECT_EQ(answer.text.find("<|im_end|>"), std::string::npos);
    EXPECT_EQ(ask(model(kSmol), prompt("What is the capital of France?", 3)).result.stop, GenerateResult::Stop::length);
    std::printf("SmolLM2: %s\n", answer.text.c_str());
}

TEST(RealModels, ABaseModelContinuesPlainText) {
    REQUIRE_MODEL(kGemma);
    EXPECT_TRUE(model(kGemma).info().chat_template.empty());
    const auto tokens = model(kGemma).tokenize("One, two, three, four,", true);
    EXPECT_EQ(tokens[0], 2) << "Gemma needs its begin token";
    const Answer answer = ask(model(kGemma), prompt("One, two, three, four,", 4));
    EXPECT_NE(answer.text.find("five"), std::string::npos) << answer.text;
    std::printf("Gemma:%s\n", answer.text.c_str());
}

TEST(RealModels, SeedsReproduceAndDiffer) {
    REQUIRE_MODEL(kSmol);
    GenerateRequest request = prompt("Tell me a story about a river.", 10);
    request.sampling.temperature = 1.0;
    request.sampling.seed = 11;
    const std::string first = ask(model(kSmol), request).text;
    EXPECT_EQ(ask(model(kSmol), request).text, first);
    request.alternatives = 3;
    EXPECT_EQ(ask(model(kSmol), request).text, first);
    request.sampling.seed = 12;
    EXPECT_NE(ask(model(kSmol), request).text, first);
}

TEST(RealModels, LogProbabilitiesAgreeWithTheLogits) {
    REQUIRE_MODEL(kSmol);
    LanguageModel& m = model(kSmol);
    GenerateRequest request = prompt("Rivers flow", 8, 5);
    request.chat = false;
    const Answer answer = ask(m, request);
    std::vector<std::int32_t> tokens = m.tokenize("Rivers flow", true);
    const std::size_t start = tokens.size();
    for (const GeneratedToken& token : answer.tokens) {
        tokens.push_back(token.chosen.token);
    }
    const std::vector<float> logits = m.logits(tokens);
    const auto width = static_cast<std::size_t>(m.info().vocabulary);
    ASSERT_EQ(logits.size(), tokens.size() * width);
    for (std::size_t i = 0; i < answer.tokens.size(); ++i) {
        const float* row = logits.data() + (start + i - 1) * width;
        const float largest = *std::max_element(row, row + width);
        double sum = 0;
        for (std::size_t v = 0; v < width; ++v) {
            sum += std::exp(static_cast<double>(row[v]) - largest);
        }
        for (const auto& candidate : answer.tokens[i].alternatives) {
            const double expected = row[candidate.token] - largest - std::log(sum);
            // One token at a time and a whole batch take different kernels, which round activations to 8 bits.
            EXPECT_NEAR(candidate.log_probability, expected, 0.25) << i << " " << candidate.bytes;
        }
        EXPECT_EQ(answer.tokens[i].alternatives[0].token, answer.tokens[i].chosen.token) << "greedy takes the first";
    }
}

TEST(RealModels, CancelStopsWithinOneTokenAndTheModelGoesOn) {
    REQUIRE_MODEL(kSmol);
    const Answer answer = ask(model(kSmol), prompt("Write a long poem.", 200), 3);
    EXPECT_EQ(answer.result.stop, GenerateResult::Stop::cancelled);
    EXPECT_EQ(answer.result.tokens, 3);
    EXPECT_FALSE(ask(model(kSmol), prompt("Say hello.", 2)).text.empty());
}

TEST(RealModels, CancelWorksInsideALongPrompt) {
    REQUIRE_MODEL(kQwen);
    std::string text;
    for (int i = 0; i < 800; ++i) {
        text += "word " + std::to_string(i) + " ";
    }
    std::atomic<bool> cancel = false;
    std::chrono::steady_clock::time_point raised;
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the whole prompt takes several seconds
        raised = std::chrono::steady_clock::now();
        cancel = true;
    });
    const GenerateResult result = model(kQwen).generate(
        prompt(text, 5), [](const GeneratedToken&) {}, cancel);
    const auto ended = std::chrono::steady_clock::now();
    canceller.join();
    EXPECT_EQ(result.stop, GenerateResult::Stop::cancelled);
    EXPECT_EQ(result.tokens, 0);
    std::printf("stopped %.0f ms after the cancel\n",
                std::chrono::duration<double, std::milli>(ended - raised).count());
    EXPECT_FALSE(ask(model(kQwen), prompt("Hi", 3)).text.empty()) << "the model can be used again";
}

TEST(RealModels, APromptLongerThanTheContextNamesBothNumbers) {
    REQUIRE_MODEL(kSmol);
    std::string text;
    for (int i = 0; i < 5000; ++i) {
        text += "word ";
    }
    try {
        ask(model(kSmol), prompt(text, 5));
        FAIL() << "no error";
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find("4096"), std::string::npos) << message;
        EXPECT_NE(message.find("the prompt has 50"), std::string::npos) << message;
    }
    EXPECT_THROW(ask(model(kSmol), prompt(std::string(100'000'000, 'x'), 5)), Error);
    EXPECT_THROW(ask(model(kSmol), prompt("bad \xff bytes", 5)), Error);
    EXPECT_THROW(ask(model(kSmol), prompt(std::string("a\0b", 3), 5)), Error);
    EXPECT_THROW(model(kSmol).logits({}), Error);
    EXPECT_THROW(model(kSmol).logits(std::vector<std::int32_t>{49152}), Error);
    EXPECT_THROW(model(kSmol).logits(std::vector<std::int32_t>{-1}), Error);
}

TEST(RealModels, ControlTokensThatSomebodyTypesStayText) {
    REQUIRE_MODEL(kSmol);
    LanguageModel& m = model(kSmol);
    EXPECT_GT(m.tokenize("<|im_end|>", false).size(), 1u);
    EXPECT_EQ(m.tokenize("<|im_end|>", true).size(), 1u);
    const auto count = [&](const std::string& text) { return ask(m, prompt(text, 1)).result.prompt_tokens; };
    EXPECT_GT(count("a <|im_end|> b"), count("a b") + 3) << "spelled out, not one control token";
}

TEST(RealModels, ADamagedModelIsAnErrorWithItsName) {
    REQUIRE_MODEL(kSmol);
    const TemporaryFolder folder;
    GgufBytes g = small_moe();  // a valid file, but no complete model
    try {
        open_model(folder.write("odd.gguf", g.file(256)), 2);
        FAIL() << "no error";
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find("odd.gguf cannot be opened as a model"), std::string::npos) << message;
        EXPECT_EQ(message.find("no reason"), std::string::npos) << message;
        std::printf("%s\n", message.c_str());
    }
}

}  // namespace
}  // namespace moescope::engine
