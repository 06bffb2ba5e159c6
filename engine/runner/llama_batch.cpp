#include "engine/runner/llama_batch.hpp"

#include "engine/error.hpp"

namespace moescope::engine {

LlamaBatch::LlamaBatch(std::size_t most_tokens)
    : batch_(new llama_batch(llama_batch_init(static_cast<std::int32_t>(most_tokens), 0, 1)), [](llama_batch* b) {
          llama_batch_free(*b);
          delete b;
      }) {}

const llama_batch& LlamaBatch::fill(std::span<const std::int32_t> tokens, std::size_t first_position) {
    batch_->n_tokens = static_cast<std::int32_t>(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        batch_->token[i] = tokens[i];
        batch_->pos[i] = static_cast<llama_pos>(first_position + i);
        batch_->n_seq_id[i] = 1;
        batch_->seq_id[i][0] = 0;
        batch_->logits[i] = 1;
    }
    return *batch_;
}

bool decode(llama_context* context, const llama_batch& batch) {
    const std::int32_t code = llama_decode(context, batch);
    if (code == 2) {
        return false;
    }
    if (code != 0) {
        throw Error(say("libllama could not process {} tokens (code {}); the machine may be out of memory",
                        batch.n_tokens, code));
    }
    return true;
}

std::span<const float> logits_of(llama_context* context, std::int32_t i, int vocabulary) {
    const float* logits = llama_get_logits_ith(context, i);
    if (logits == nullptr) {
        throw Error(say("libllama gave no logits"));
    }
    return {logits, static_cast<std::size_t>(vocabulary)};
}

}  // namespace moescope::engine
