#include "engine/runner/generation.hpp"

#include <gtest/gtest.h>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

// After n tokens the next one is n; the text ends at `end`.
class CountingModel final : public TokenModel {
 public:
    explicit CountingModel(int context, int end) : context_(context), end_(end) {}
    int context_length() const override { return context_; }
    void restart() override { fed = 0; }
    std::span<const float> feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel) override {
        fed += static_cast<int>(tokens.size());
        if (cancel) {
            return {};
        }
        if (fed > context_) {
            throw Error("fed past the context");
        }
        logits_.assign(200, 0.0F);
        logits_[static_cast<std::size_t>(fed)] = 5;
        return logits_;
    }
    bool ends_text(std::int32_t token) const override { return token == end_; }
    std::string token_bytes(std::int32_t token) const override { return std::to_string(token) + " "; }
    int fed = 0;

 private:
    int context_, end_;
    std::vector<float> logits_;
};

struct Outcome {
    GenerateResult result;
    std::string text;
    std::vector<GeneratedToken> tokens;
};

Outcome run(CountingModel& model, int prompt, int max_tokens, int cancel_after = -1, int alternatives = 0) {
    Outcome outcome;
    std::atomic<bool> cancel = cancel_after == 0;
    GenerateRequest request;
    request.max_tokens = max_tokens;
    request.alternatives = alternatives;
    outcome.result = run_generation(
        model, std::vector<std::int32_t>(static_cast<std::size_t>(prompt), 1), request,
        [&](const GeneratedToken& token) {
            outcome.text += token.chosen.bytes;
            outcome.tokens.push_back(token);
            cancel = cancel || static_cast<int>(outcome.tokens.size()) == cancel_after;
        },
        cancel);
    return outcome;
}

TEST(Generation, StopsAtTheEndOfTheText) {
    CountingModel model(100, 8);
    const Outcome o = run(model, 3, 50);
    EXPECT_EQ(o.text, "3 4 5 6 7 ");
    EXPECT_EQ(o.result.stop, GenerateResult::Stop::end);
    EXPECT_EQ(o.result.tokens, 5);
    EXPECT_EQ(o.result.prompt_tokens, 3);
    EXPECT_EQ(run(model, 8, 50).result.tokens, 0) << "an answer may be empty";
}

TEST(Generation, StopsAtTheLengthAskedForWithoutFeedingTheLastToken) {
    CountingModel model(100, -1);
    const Outcome o = run(model, 3, 4);
    EXPECT_EQ(o.text, "3 4 5 6 ");
    EXPECT_EQ(o.result.stop, GenerateResult::Stop::length);
    EXPECT_EQ(model.fed, 6);
}

TEST(Generation, StopsWhenTheContextIsFull) {
    CountingModel model(10, -1);
    const Outcome o = run(model, 7, 50);
    EXPECT_EQ(o.text, "7 8 9 10 ");
    EXPECT_EQ(o.result.stop, GenerateResult::Stop::length);
    EXPECT_EQ(model.fed, 10);
}

TEST(Generation, CancelStopsWithinOneToken) {
    CountingModel model(100, -1);
    for (const int after : {0, 1, 5}) {
        const Outcome o = run(model, 3, 50, after);
        EXPECT_EQ(o.result.stop, GenerateResult::Stop::cancelled);
        EXPECT_EQ(o.result.tokens, after);
    }
    EXPECT_EQ(run(model, 3, 4).text, "3 4 5 6 ") << "the model can be used again";
}

TEST(Generation, ReportsAlternatives) {
    CountingModel model(100, -1);
    const Outcome o = run(model, 3, 2, -1, 3);
    ASSERT_EQ(o.tokens[0].alternatives.size(), 3u);
    EXPECT_EQ(o.tokens[0].alternatives[0].token, 3);
    EXPECT_EQ(o.tokens[0].alternatives[0].bytes, "3 ");
    EXPECT_EQ(o.tokens[0].alternatives[1].token, 0);
    EXPECT_GT(o.tokens[0].chosen.log_probability, o.tokens[0].alternatives[1].log_probability);
    EXPECT_TRUE(run(model, 3, 2).tokens[0].alternatives.empty());
}

TEST(Generation, RefusesWhatCannotFitAndNamesBothNumbers) {
    CountingModel model(10, -1);
    const auto message = [&](int prompt, int max_tokens) -> std::string {
        try {
            run(model, prompt, max_tokens);
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    EXPECT_NE(message(37, 5).find("37 tokens"), std::string::npos);
    EXPECT_NE(message(37, 5).find("holds 10"), std::string::npos);
    EXPECT_NE(message(10, 5), "");
    EXPECT_EQ(message(9, 5), "");
    EXPECT_NE(message(0, 5).find("empty"), std::string::npos);
    EXPECT_NE(message(3, 0).find("at least one"), std::string::npos);
}

}  // namespace
}  // namespace moescope::engine
