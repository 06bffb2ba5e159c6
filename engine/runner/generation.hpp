// The generation loop, shared by every kind of model: feed the prompt, choose, report, feed the choice.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// What the loop needs from a model. One sequence at a time.
class TokenModel {
 public:
    virtual ~TokenModel() = default;
    virtual int context_length() const = 0;
    /// Forgets the sequence.
    virtual void restart() = 0;
    /// Appends tokens; gives the logits of the next one, valid until the next call, or nothing when `cancel` turned
    /// true meanwhile. Throws Error.
    virtual std::span<const float> feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel) = 0;
    virtual bool ends_text(std::int32_t token) const = 0;
    virtual std::string token_bytes(std::int32_t token) const = 0;
};

/// See LanguageModel::generate. `prompt` is complete: template and special tokens included.
GenerateResult run_generation(TokenModel& model, std::span<const std::int32_t> prompt, const GenerateRequest& request,
                              const std::function<void(const GeneratedToken&)>& on_token,
                              const std::atomic<bool>& cancel);

}  // namespace moescope::engine
