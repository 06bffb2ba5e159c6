// What a Hugging Face folder says about texts, beside its tokenizer.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/error.hpp"
#include "engine/text/text_rules.hpp"
#include "engine/text/tokenizer.hpp"
#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

/// From tokenizer_config.json, generation_config.json and chat_template.jinja, each of which may be missing, and from
/// `config`, the folder's config.json. The begin token is bos_token, unless add_bos_token is false; without it
/// bos_token_id of the configuration, then that of the tokenizer. Answers end with eos_token_id of
/// generation_config.json, then of `config`, then eos_token. Tokens that are not below `vocabulary` do not count. Adds
/// to `notes` what cannot be followed. Throws Error naming a file that cannot be read.
TextRules read_hugging_face_text(const std::filesystem::path& folder, const nlohmann::json& config,
                                 const Tokenizer& tokenizer, int vocabulary, std::vector<Sentence>& notes);
/// The same for a tokenizer.json, which itself says what it puts before a text: bos_token counts only where the
/// settings say add_bos_token. Without any end token there is none.
TextRules read_hugging_face_text(const std::filesystem::path& folder, const nlohmann::json& config,
                                 const Vocabulary& tokenizer, int vocabulary, std::vector<Sentence>& notes);

}  // namespace moescope::engine
