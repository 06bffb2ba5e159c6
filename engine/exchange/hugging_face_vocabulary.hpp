// tokenizer.json of Hugging Face's tokenizers library, read strictly: byte pair encoding over bytes (GPT-2, Qwen, OLMo,
// DeepSeek, gpt-oss, Llama 3) or over text with bytes as a last resort (Llama 2, Mixtral).
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

/// What the file says, for a model with `vocabulary` tokens. Everything that changes the ids of a text is followed or
/// refused: throws Error that names the setting or the token, and whose subject is the file ("has no model").
Vocabulary parse_tokenizer_json(const nlohmann::json& file, int vocabulary);

/// The tokenizer.json of a folder, with the files beside it that belong to it. Throws Error, a sentence about the model
/// ("its tokenizer.json has no model").
std::shared_ptr<const Vocabulary> read_hugging_face_vocabulary(const std::filesystem::path& folder, int vocabulary);

}  // namespace moescope::engine
