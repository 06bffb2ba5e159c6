// Our tokenizer as the tokenizer.json of Hugging Face's tokenizers library.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/text/tokenizer.hpp"

namespace moescope::engine {

/// True when tokenizer.json and GGUF can say how this tokenizer cuts text: a unigram model with byte fallback that
/// takes text as it is and whose pieces are UTF-8, as Tokenizer::train makes them.
bool has_portable_form(const Tokenizer& tokenizer);

/// A Unigram model with the same pieces and scores, which gives the same ids as Tokenizer::encode, except where
/// the text itself spells a special token or a byte piece (</s>, <0xE4>). Pieces hold plain
/// spaces instead of U+2581, so that a U+2581 in the text stays one. The end token stands before the text, as it stood
/// before every document in training. Throws Error when there is no portable form.
nlohmann::json tokenizer_json(const Tokenizer& tokenizer);
/// tokenizer_config.json for it; `context`: longest text, tokens.
nlohmann::json tokenizer_config_json(const Tokenizer& tokenizer, int context);

}  // namespace moescope::engine
