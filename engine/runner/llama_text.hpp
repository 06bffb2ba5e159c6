// Text to tokens by a vocabulary of libllama. For the files that include llama.h.
#pragma once

#include <cstdint>
#include <llama.h>
#include <string_view>
#include <vector>

namespace moescope::engine {

/// Of a vocabulary with a tokenizer that can begin and end a text where `add_special` asks for it. Long texts are cut
/// on a thread of their own with a stack that is large enough. Throws Error: a text of more than 3 MiB, or one that
/// cannot be cut.
std::vector<std::int32_t> tokens_of_text(const llama_vocab* vocabulary, std::string_view text, bool add_special,
                                         bool parse_special);

}  // namespace moescope::engine
