// Routed experts in the JSON answers of servers. Private to this folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/imports/import.hpp"

namespace moescope::routing {

/// The ids of one text, as the server sent them: a text (base64) or a list.
struct SentIds {
    std::optional<std::string> packed;
    std::vector<std::int32_t> list;
    std::size_t tokens = 0, layers = 0, per_token = 0;  ///< of the list
    bool given() const { return packed.has_value() || tokens > 0; }
};
struct ServerText {
    SentIds prompt, ids;  ///< vLLM 0.21 sends the prompt's apart; else everything is in `ids`
    std::vector<std::int32_t> prompt_tokens, tokens;
    std::string type;  ///< of the numbers, where SGLang says it
};

/// All texts of one answer or of a list of answers: every object that has "routed_experts", itself or in its
/// "meta_info", "sgl_ext" or "sglext", with the tokens beside it, or within it where it has none itself, and the prompt
/// of the answer it stands in. Throws Error naming `source`.
std::vector<ServerText> read_server_answer(std::string_view text, const std::string& source);

/// Its tokens one after another, for `rows` rows of ids, which leave out the last one. Where the answer says nothing of
/// the prompt, those of the answer stand at the end, behind -1: not known.
std::vector<std::int32_t> tokens_of(const ServerText& text, std::size_t rows);

}  // namespace moescope::routing
