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
/// How many tokens the server says that it read and wrote.
struct ServerCounts {
    std::optional<std::size_t> prompt, written;
    bool shared = false;  ///< by several texts of the answer
    bool any() const { return prompt.has_value() || written.has_value(); }
};
inline constexpr std::size_t kMostTokensOfText = std::size_t{1} << 28;  ///< far above every context
struct ServerText {
    SentIds prompt, ids;  ///< vLLM 0.21 sends the prompt's apart; else everything is in `ids`
    std::vector<std::int32_t> prompt_tokens, tokens;
    std::string type;  ///< of the numbers, where SGLang says it
    ServerCounts counts;
};

/// How much of a text has to be in its recording.
enum class Extent {
    all,  ///< everything that was read: nobody asked the server for less
    end,  ///< what was read behind some token: vLLM's routed_experts_prompt_start, SGLang's routed_experts_start_len
};

/// All texts of one answer or of a list of answers: every object that has "routed_experts", itself or in its
/// "meta_info", "sgl_ext" or "sglext", with the tokens beside it, or within it where it has none itself, and the prompt
/// and the "usage" of the answer it stands in. Throws Error naming `source`.
std::vector<ServerText> read_server_answer(std::string_view text, const std::string& source);

/// Tokens at the beginning of the text that its `rows` rows of ids leave out; 0 where nobody knows. A text of P + C
/// tokens (prompt and answer, as the server counts them, else as it lists them) has P + C - 1 rows: its last token is
/// never read. vLLM 0.21, which sends the prompt's rows `apart`, may have one for that, too. Of texts
/// that share their counts only what they have in common is known. Throws Error naming `source`
/// for any other number. Sources: vLLM pull requests 28284, 38939, 51906; SGLang 12162.
std::size_t left_out(const ServerText& text, std::size_t rows, bool apart, Extent extent, const std::string& source);
/// Its tokens one after another, for `rows` rows of ids, which leave out the last one and the first `start`. Where the
/// answer says nothing of the prompt, those of the answer stand at the end, behind -1: not known.
std::vector<std::int32_t> tokens_of(const ServerText& text, std::size_t rows, std::size_t start);

}  // namespace moescope::routing
