// The generation loop, shared by every kind of model: feed the prompt, choose, report, feed the choice. Several answers
// to one prompt go side by side where the model can.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// The next token of one of several answers.
struct NextToken {
    int answer = 0;
    std::int32_t token = 0;
};

/// What the loop needs from a model.
class TokenModel {
 public:
    virtual ~TokenModel() = default;
    virtual int context_length() const = 0;
    /// Answers that can go side by side.
    virtual int most_answers() const = 0;
    /// Forgets everything and reads a prompt for `answers` answers; gives the logits [V] of their first token, valid
    /// until the next call, or nothing when `cancel` turned true meanwhile. Throws Error.
    virtual std::span<const float> read(std::span<const std::int32_t> prompt, int answers,
                                        const std::atomic<bool>& cancel) = 0;
    /// Appends a token to each of these answers, none twice; gives their next logits, [next.size()][V]. As above.
    virtual std::span<const float> append(std::span<const NextToken> next, const std::atomic<bool>& cancel) = 0;
    virtual bool ends_text(std::int32_t token) const = 0;
    virtual std::string token_bytes(std::int32_t token) const = 0;
};

/// See LanguageModel::generate_many. `prompt` is complete: template and special tokens included.
std::vector<GenerateResult> run_generation(TokenModel& model, std::span<const std::int32_t> prompt,
                                           const GenerateRequest& request, int count, const OnAnswerToken& on_token,
                                           const std::atomic<bool>& cancel);

}  // namespace moescope::engine
