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
        throw Error(std::to_string(max_tokens) + " tokens were asked for; ask for at least one");
    }
    if (prompt == 0) {
        throw Error("the prompt is empty; write something");
    }
    if (prompt >= static_cast<std::size_t>(context)) {
        throw Error("the prompt has " + std::to_string(prompt) + " tokens, but the context of this model holds " +
                    std::to_string(context) + " and the answer needs room too; shorten the prompt");
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

}  // namespace

GenerateResult run_generation(TokenModel& model, std::span<const std::int32_t> prompt, const GenerateRequest& request,
                              const std::function<void(const GeneratedToken&)>& on_token,
                              const std::atomic<bool>& cancel) {
    check_lengths(prompt.size(), model.context_length(), request.max_tokens);
    Sampler sampler(request.sampling, request.alternatives);
    GenerateResult result;
    result.prompt_tokens = static_cast<int>(prompt.size());
    result.stop = GenerateResult::Stop::cancelled;
    auto start = Clock::now();
    model.restart();
    std::span<const float> logits = model.feed(prompt, cancel);
    result.prompt_ms = milliseconds_since(start);
    start = Clock::now();
    // The last token chosen is not fed, so one more fits than the context has room for.
    const int limit = std::min(request.max_tokens, model.context_length() - result.prompt_tokens + 1);
    while (!logits.empty() && !cancel) {
        const Choice choice = sampler.choose(logits);
        if (model.ends_text(choice.chosen.token)) {
            result.stop = GenerateResult::Stop::end;
            break;
        }
        on_token(described(model, choice));
        if (++result.tokens == limit) {
            result.stop = GenerateResult::Stop::length;
            break;
        }
        logits = model.feed(std::span(&choice.chosen.token, 1), cancel);
    }
    result.generate_ms = milliseconds_since(start);
    return result;
}

}  // namespace moescope::engine
