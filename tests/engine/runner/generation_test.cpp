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
    int most_answers() const override { return 3; }
    std::span<const float> read(std::span<const std::int32_t> prompt, int answers,
                                const std::atomic<bool>& cancel) override {
        fed = static_cast<int>(prompt.size());
        groups.push_back(answers);
        lengths_.assign(static_cast<std::size_t>(answers), fed);
        return cancel ? std::span<const float>() : logits({0});
    }
    std::span<const float> append(std::span<const NextToken> next, const std::atomic<bool>& cancel) override {
        std::vector<int> of;
        for (const NextToken& one : next) {
            EXPECT_EQ(one.token, lengths_[static_cast<std::size_t>(one.answer)]) << "the token that was chosen";
            fed = std::max(fed, ++lengths_[static_cast<std::size_t>(one.answer)]);
            of.push_back(one.answer);
        }
        if (fed > context_) {
            throw Error(base::Sentence::verbatim("fed past the context"));
        }
        return cancel ? std::span<const float>() : logits(of);
    }
    bool ends_text(std::int32_t token) const override { return token == end_; }
    std::string token_bytes(std::int32_t token) const override { return std::to_string(token) + " "; }
    int fed = 0;  ///< by the longest answer
    std::vector<int> groups;

 private:
    std::span<const float> logits(const std::vector<int>& answers) {
        logits_.assign(answers.size() * 200, 0.0F);
        for (std::size_t row = 0; row < answers.size(); ++row) {
            logits_[row * 200 + static_cast<std::size_t>(lengths_[static_cast<std::size_t>(answers[row])])] = 5;
        }
        return logits_;
    }

    int context_, end_;
    std::vector<int> lengths_;
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
        model, std::vector<std::int32_t>(static_cast<std::size_t>(prompt), 1), request, 1,
        [&](int, const GeneratedToken& token) {
            outcome.text += token.chosen.bytes;
            outcome.tokens.push_back(token);
            cancel = cancel || static_cast<int>(outcome.tokens.size()) == cancel_after;
        },
        cancel)[0];
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
    EXPECT_EQ(o.result.stop, GenerateResult::Stop::context);
    EXPECT_EQ(model.fed, 10);
    EXPECT_EQ(run(model, 7, 5).result.stop, GenerateResult::Stop::context);
    EXPECT_EQ(run(model, 7, 4).result.stop, GenerateResult::Stop::length) << "the limit that was set came first";
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

TEST(Generation, AnswersGoSideBySideInGroups) {
    CountingModel model(100, -1);
    GenerateRequest request;
    request.max_tokens = 4;
    const std::atomic<bool> cancel = false;
    std::vector<std::string> texts(7);
    const std::vector<std::int32_t> prompt(3, 1);
    const auto results = run_generation(
        model, prompt, request, 7,
        [&](int answer, const GeneratedToken& token) {
            texts.at(static_cast<std::size_t>(answer)) += token.chosen.bytes;
        },
        cancel);
    EXPECT_EQ(model.groups, (std::vector{3, 3, 1}));
    ASSERT_EQ(results.size(), 7u);
    for (std::size_t i = 0; i < 7; ++i) {
        EXPECT_EQ(texts[i], "3 4 5 6 ");
        EXPECT_EQ(results[i].tokens, 4);
        EXPECT_EQ(results[i].stop, GenerateResult::Stop::length);
    }
    EXPECT_THROW(run_generation(
                     model, prompt, request, 0, [](int, const GeneratedToken&) {}, cancel),
                 Error);
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
