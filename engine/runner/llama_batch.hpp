// Batches for libllama whose tokens all give logits. For the files that include llama.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <llama.h>
#include <memory>
#include <span>

namespace moescope::engine {

class LlamaBatch {
 public:
    explicit LlamaBatch(std::size_t most_tokens);
    /// Tokens of one text from `first_position` on; no more than there is room for. Valid until the next call.
    const llama_batch& fill(std::span<const std::int32_t> tokens, std::size_t first_position);

 private:
    std::unique_ptr<llama_batch, void (*)(llama_batch*)> batch_;
};

/// What a context's abort callback looks at, until the end of the scope; null behind it, also after an error.
class CancelScope {
 public:
    CancelScope(const std::atomic<bool>*& looked_at, const std::atomic<bool>& cancel) : looked_at_(looked_at) {
        looked_at_ = &cancel;
    }
    ~CancelScope() { looked_at_ = nullptr; }
    CancelScope(const CancelScope&) = delete;
    CancelScope& operator=(const CancelScope&) = delete;

 private:
    const std::atomic<bool>*& looked_at_;
};

/// False when the context's abort callback asked to stop. Throws Error.
bool decode(llama_context* context, const llama_batch& batch);
/// Logits [V] of a token of the latest batch; `i` below 0 counts from the last. Throws Error.
std::span<const float> logits_of(llama_context* context, std::int32_t i, int vocabulary);

}  // namespace moescope::engine
