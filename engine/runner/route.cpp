// Routing of a given text, and of an answer while it is written: the same for every kind of model.
#include <algorithm>
#include <optional>

#include "engine/error.hpp"
#include "engine/runner/generation.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/runner/routed_model.hpp"
#include "engine/runner/routed_tokens.hpp"
#include "engine/runner/sampler.hpp"

namespace moescope::engine {
namespace {

using routing::LayerDecision;
using routing::TokenDecisions;

/// A watched model for the loop of generation. The latest token waits for its successor.
class RoutedAnswer final : public TokenModel {
 public:
    RoutedAnswer(const LanguageModel& model, RoutedModel& routed, const OnDecisions& on_decisions)
        : model_(model), routed_(routed), on_decisions_(on_decisions) {}

    int context_length() const override { return routed_.context_length(); }
    int most_answers() const override { return 1; }
    std::span<const float> read(std::span<const std::int32_t> prompt, int /*answers*/,
                                const std::atomic<bool>& cancel) override {
        routed_.restart();
        position_ = 0;
        waiting_.reset();
        return feed(prompt, cancel);
    }
    std::span<const float> append(std::span<const NextToken> next, const std::atomic<bool>& cancel) override {
        return feed(std::span(&next[0].token, 1), cancel);
    }
    bool ends_text(std::int32_t token) const override { return model_.ends_text(token); }
    std::string token_bytes(std::int32_t token) const override { return model_.token_bytes(token); }

    /// The waiting token gets its successor; nothing when none waits.
    void chosen(std::int32_t next) {
        if (waiting_) {
            put_next(*waiting_, next, logits_);
            finish();
        }
    }
    /// The same, by whoever has chosen it and knows how probable it was.
    void chosen(const GeneratedToken::Candidate& next) {
        if (waiting_) {
            waiting_->next = next.token;
            waiting_->log_probability = next.log_probability;
            finish();
        }
    }
    void finish() {
        if (waiting_) {
            on_decisions_(*waiting_);
            waiting_.reset();
        }
    }

 private:
    std::span<const float> feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel) {
        const auto take_successor = [&](std::size_t i) { chosen(tokens[i]); };
        const bool read =
            read_on(routed_, tokens, cancel, take_successor,
                    [&](std::size_t i, std::span<const float> logits, std::vector<LayerDecision>& layers) {
                        take_successor(i);  // nobody waits any more before the first of a block
                        logits_ = logits;
                        waiting_ = described(model_, position_++, tokens[i], std::move(layers), logits_);
                    });
        return read ? logits_ : std::span<const float>();
    }

    const LanguageModel& model_;
    RoutedModel& routed_;
    const OnDecisions& on_decisions_;
    std::span<const float> logits_;  ///< after the waiting token
    std::optional<TokenDecisions> waiting_;
    int position_ = 0;
};

}  // namespace

TokenDecisions described(const LanguageModel& model, int position, std::int32_t token,
                         std::vector<LayerDecision>&& layers, std::span<const float> logits) {
    TokenDecisions decisions;
    decisions.position = position;
    decisions.token = token;
    decisions.bytes = model.token_bytes(token);
    decisions.predicted = largest_logit(logits);
    decisions.layers = std::move(layers);
    return decisions;
}

void put_next(TokenDecisions& decisions, std::int32_t next, std::span<const float> logits) {
    const auto largest = logits[static_cast<std::size_t>(decisions.predicted)];
    decisions.next = next;
    decisions.log_probability =
        static_cast<float>(logits[static_cast<std::size_t>(next)] - log_sum_exp(logits, largest));
}

void check_text(const RoutedModel& model, std::span<const std::int32_t> tokens, std::optional<std::int32_t> next) {
    if (tokens.empty()) {
        throw Error(say("there are no tokens to look at: give at least one"));
    }
    if (tokens.size() > static_cast<std::size_t>(model.context_length())) {
        throw Error(say("the text has {} tokens, but the context of this model holds {}; shorten the text",
                        tokens.size(), model.context_length()));
    }
    const auto check = [&](std::int32_t token) {
        if (token < 0 || token >= model.vocabulary()) {
            throw Error(say("the token {} is not in this model's vocabulary of {}", token, model.vocabulary()));
        }
    };
    std::for_each(tokens.begin(), tokens.end(), check);
    if (next) {
        check(*next);
    }
}

bool read_decisions(const LanguageModel& model, RoutedModel& routed, std::span<const std::int32_t> tokens,
                    std::optional<std::int32_t> next, const std::atomic<bool>& cancel,
                    const std::function<void(TokenDecisions&, std::span<const float>)>& look) {
    return read_text(routed, tokens, cancel, [&](std::size_t at, std::span<const float> logits, auto& layers) {
        TokenDecisions decisions = described(model, static_cast<int>(at), tokens[at], std::move(layers), logits);
        if (const auto follows = at + 1 < tokens.size() ? tokens[at + 1] : next) {
            put_next(decisions, *follows, logits);
        }
        look(decisions, logits);
    });
}

bool LanguageModel::route(std::span<const std::int32_t> tokens, const RouteRequest& request,
                          const OnDecisions& on_decisions, const std::atomic<bool>& cancel) {
    RoutedModel& model = routed(request);
    check_text(model, tokens, request.next);
    return read_decisions(
        *this, model, tokens, request.next, cancel,
        [&](const TokenDecisions& decisions, std::span<const float> /*logits*/) { on_decisions(decisions); });
}

GenerateResult LanguageModel::answer_routed(const ShownPrompt& prompt, const GenerateRequest& request,
                                            const RouteRequest& routing,
                                            const std::function<void(const GeneratedToken&)>& on_token,
                                            const OnDecisions& on_decisions, const std::atomic<bool>& cancel) {
    RoutedAnswer answer(*this, routed(routing), on_decisions);
    const auto results = run_generation(
        answer, prompt.tokens, request, 1,
        [&](int, const GeneratedToken& token) {
            answer.chosen(token.chosen);
            on_token(token);
        },
        cancel);
    answer.finish();  // of an answer that ended or was cancelled: nobody follows
    return results[0];
}

}  // namespace moescope::engine
