// A tokenizer of merges as the metadata of a GGUF file.
#pragma once

#include <optional>

#include "engine/files/gguf_write.hpp"
#include "engine/text/text_rules.hpp"
#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

/// Everything under tokenizer.*, chat template included. `tokens`: of the model, which may have more than the
/// tokenizer; the rest are unused. Pieces of bytes become llama.cpp's gpt2. Pieces of text become its llama, which
/// merges whatever pair makes a piece, the best piece first; where the file's merges are others, it takes them as they
/// are if no space is put before a text, and nothing says the same otherwise: null.
std::optional<GgufValues> gguf_vocabulary_values(const Vocabulary& vocabulary, const TextRules& rules, int tokens);

}  // namespace moescope::engine
