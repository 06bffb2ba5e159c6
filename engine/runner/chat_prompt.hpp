// From a request to the text that a model is shown, cut so that nobody's words can become a token that only the
// template may write. The same for every kind of model.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runner/chat_template.hpp"
#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// The texts of a vocabulary that a tokenizer takes for one token each, whatever stands around them.
class SpecialTexts {
 public:
    enum class Kind {
        control,  ///< begins or ends a turn, a text: never to be written by a person
        defined   ///< any word that was added; only where the template itself writes it, it may be such a mark
    };
    struct Place {
        std::size_t begin = 0, end = 0;  ///< bytes
        Kind kind = Kind::control;
        bool operator==(const Place&) const = default;
    };

    void add(const std::string& text, Kind kind);
    /// All of them in a text, also those that overlap, in the order of their first bytes.
    std::vector<Place> places(std::string_view text) const;

 private:
    std::map<std::string, Kind, std::less<>> texts_;
    std::map<char, std::set<std::size_t>> lengths_;  ///< of those that begin with a byte
};

/// A part of a prompt, to become tokens by itself.
struct PromptPart {
    std::string text;
    bool plain = false;  ///< read as text alone, without any special token
    bool operator==(const PromptPart&) const = default;
};

/// Parts whose concatenation is `pieces`: cut in the middle of every special token that has a byte which is not the
/// template's own; where there is no middle, the character is a plain part. Nothing else is cut: without such a token
/// there is one part.
std::vector<PromptPart> safe_parts(const std::vector<ChatPiece>& pieces, const SpecialTexts& special);

/// The prompt of `request`, and the system text when it has one, in the template. Throws Error as render_chat does.
std::vector<PromptPart> chat_parts(const std::string& source, const GenerateRequest& request, const ChatTokens& tokens,
                                   const SpecialTexts& special, const std::atomic<bool>& cancel);

/// True when the request is to be put in the template. Refuses what no model takes: a zero byte, text that is not
/// UTF-8, and a system text for a model that has no template or without it. Throws Error.
bool wants_template(const GenerateRequest& request, bool has_template);

/// All parts, one after the other.
std::string joined(const std::vector<PromptPart>& parts);

}  // namespace moescope::engine
