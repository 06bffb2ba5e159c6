#include "engine/runner/generation.hpp"

#include <algorithm>
#include <chrono>

#include "engine/error.hpp"
#include "engine/runner/sampler.hpp"

namespace moescope::engine {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void check_lengths(std::size_t prompt, int context, int max_tokens) {
    if (max_tokens < 1) {
        throw Error(say("{} tokens were asked for; ask for at least one", max_tokens));
    }
    if (prompt == 0) {
        throw Error(say("the prompt is empty; write something"));
    }
    if (prompt >= static_cast<std::size_t>(context)) {
        throw Error(
            say("the prompt has {} tokens, but the context of this model holds {} and the answer needs room too; "
                "shorten the prompt",
                prompt, context));
    }
}

GeneratedToken described(const TokenModel& model, const Choice& choice) {
    const auto describe = [&](const ScoredToken& t) {
        return GeneratedToken::Candidate{t.token, model.token_bytes(t.token), t.log_probability};
    };
    GeneratedToken token{describe(choice.chosen), {}};
    for (const ScoredToken& alternative : choice.alternatives) {
        token.alternatives.push_back(describe(alternative));
    }
    return token;
}

struct Answer {
    Sampler sampler;
    GenerateResult result;
};

/// Answers side by side, the first of them number `first`.
std::vector<GenerateResult> run_together(TokenModel& model, std::span<const std::int32_t> prompt,
                                         const GenerateRequest& request, int first, int count,
                                         const OnAnswerToken& on_token, const std::atomic<bool>& cancel) {
    std::vector<Answer> answers;
    std::vector<NextToken> next;
    for (int i = 0; i < count; ++i) {
        Sampling sampling = request.sampling;
        sampling.seed += static_cast<std::uint64_t>(first + i);
        answers.push_back({Sampler(sampling, request.alternatives), {}});
        answers.back().result.prompt_tokens = static_cast<int>(prompt.size());
        answers.back().result.stop = GenerateResult::Stop::cancelled;
        next.push_back({i, 0});
    }
    auto start = Clock::now();
    std::span<const float> logits = model.read(prompt, count, cancel);
    const double prompt_ms = milliseconds_since(start);
    const std::size_t vocabulary = logits.size();
    std::size_t stride = 0;  // all answers begin with the same logits
    start = Clock::now();
    // The last token chosen is not fed, so one more fits than the context has room for.
    const int room = model.context_length() - static_cast<int>(prompt.size()) + 1;
    const int limit = std::min(request.max_tokens, room);
    while (!logits.empty() && !next.empty() && !cancel) {
        std::vector<NextToken> open;
        for (std::size_t row = 0; row < next.size(); ++row) {
            auto& [sampler, result] = answers[static_cast<std::size_t>(next[row].answer)];
            const Choice choice = sampler.choose(logits.subspan(row * stride, vocabulary));
            if (model.ends_text(choice.chosen.token)) {
                result.stop = GenerateResult::Stop::end;
            } else {
                on_token(first + next[row].answer, described(model, choice));
                if (++result.tokens == limit) {
                    result.stop =
                        room < request.max_tokens ? GenerateResult::Stop::context : GenerateResult::Stop::length;
                } else {
                    open.push_back({next[row].answer, choice.chosen.token});
                }
            }
            result.generate_ms = milliseconds_since(start);
        }
        next = std::move(open);
        if (!next.empty() && !cancel) {
            logits = model.append(next, cancel);
            stride = vocabulary;
        }
    }
    std::vector<GenerateResult> results;
    for (Answer& answer : answers) {
        answer.result.prompt_ms = prompt_ms;
        results.push_back(answer.result);
    }
    return results;
}

}  // namespace

std::vector<GenerateResult> run_generation(TokenModel& model, std::span<const std::int32_t> prompt,
                                           const GenerateRequest& request, int count, const OnAnswerToken& on_token,
                                           const std::atomic<bool>& cancel) {
    check_lengths(prompt.size(), model.context_length(), request.max_tokens);
    if (count < 1) {
        throw Error(say("{} answers were asked for; ask for at least one", count));
    }
    std::vector<GenerateResult> results;
    for (int first = 0; first < count; first += model.most_answers()) {
        const int together = std::min(model.most_answers(), count - first);
        const auto some = run_together(model, prompt, request, first, together, on_token, cancel);
        results.insert(results.end(), some.begin(), some.end());
    }
    return results;
}

}  // namespace moescope::engine
