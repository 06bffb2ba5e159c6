// A model's own chat template: a text in the Jinja language that comes with the model, rendered by the engine of
// llama.cpp as Python's jinja2 renders it in transformers. Whoever made the file wrote it, so it runs in a child
// process with limits.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::engine {

struct ChatMessage {
    std::string role, content;  ///< "system", "user" or "assistant"; UTF-8
};

/// What templates ask for beside the messages.
struct ChatTokens {
    std::string begin, end;  ///< texts of the begin and the end token; empty where the model has none
};

/// A part of what a template wrote, UTF-8.
struct ChatPiece {
    std::string text;
    /// The template's own: texts that stand in it, a role, the begin and the end token. Everything else counts as words
    /// of a person: theirs, however they were taken apart and put together, and what was computed, numbers among it.
    bool own = false;
};

/// The day that every template is told: an answer has to come out the same tomorrow.
inline constexpr const char* kTemplateDate = "2026-01-01";

/// The conversation as the template writes it, up to where the answer begins. A message without a system role before it
/// leaves the template its own system turn. Throws Error with the template's own words when it refuses the
/// conversation, when it cannot be read or rendered, when it has a zero byte or no place for the last message or for
/// the system text, and when it takes more than 5 s, 512 MB or 256 KB of text. When `cancel` turns true it throws
/// within 10 ms.
std::vector<ChatPiece> render_chat(const std::string& source, const std::vector<ChatMessage>& messages,
                                   const ChatTokens& tokens, const std::atomic<bool>& cancel);

/// Throws Error: the model's template cannot be used, why, and what to do.
[[noreturn]] void refuse_template(const base::Sentence& why);

}  // namespace moescope::engine
