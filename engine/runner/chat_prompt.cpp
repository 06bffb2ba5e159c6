#include "engine/runner/chat_prompt.hpp"

#include <algorithm>
#include <cctype>

#include "base/foreign_text.hpp"
#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

void check_text(const std::string& text, base::Marked what) {
    // A zero byte ends a text inside libraries; it means nothing to a model.
    if (text.find('\0') != std::string::npos) {
        throw Error(say("{} contains a zero byte; remove it", what));
    }
    base::require_utf8(text, what);
}

/// A text, and for each of its bytes '\1' when it is the template's own.
struct Written {
    std::string text, own;
};

bool of_template(const Written& written, const SpecialTexts::Place& place) {
    const std::string_view own = written.own;
    return own.substr(place.begin, place.end - place.begin).find('\0') == std::string_view::npos;
}

/// Where to cut inside a token: where the template's own bytes end or begin, or after the first character, which may be
/// the whole of it.
std::size_t cut_inside(const Written& written, const SpecialTexts::Place& place) {
    for (std::size_t at = place.begin + 1; at < place.end; ++at) {
        if (written.own[at] != written.own[at - 1]) {
            return at;
        }
    }
    return place.begin + std::max<std::size_t>(1, base::code_point_at(written.text, place.begin).length);
}

}  // namespace

void SpecialTexts::add(const std::string& text, Kind kind) {
    // Of words that are merely added, those that look like marks: others, runs of spaces among them, are ordinary text.
    const bool looks_like_mark = text.size() > 2 && std::ispunct(static_cast<unsigned char>(text.front())) != 0 &&
                                 std::ispunct(static_cast<unsigned char>(text.back())) != 0;
    if (text.empty() || (kind == Kind::defined && !looks_like_mark)) {
        return;
    }
    const auto [entry, added] = texts_.try_emplace(text, kind);
    if (!added && kind == Kind::control) {
        entry->second = kind;
    }
    lengths_[text.front()].insert(text.size());
}

std::vector<SpecialTexts::Place> SpecialTexts::places(std::string_view text) const {
    std::vector<Place> found;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto lengths = lengths_.find(text[at]);
        if (lengths == lengths_.end()) {
            continue;
        }
        for (const std::size_t length : lengths->second) {
            if (length > text.size() - at) {
                break;
            }
            if (const auto entry = texts_.find(text.substr(at, length)); entry != texts_.end()) {
                found.push_back({at, at + length, entry->second});
            }
        }
    }
    return found;
}

std::vector<PromptPart> safe_parts(const std::vector<ChatPiece>& pieces, const SpecialTexts& special) {
    Written written;
    for (const ChatPiece& piece : pieces) {
        written.text += piece.text;
        written.own.append(piece.text.size(), piece.own ? '\1' : '\0');
    }
    const std::string_view text = written.text;
    const std::vector<SpecialTexts::Place> places = special.places(text);
    std::set<std::string_view> own;  // tokens that the template writes itself
    for (const auto& place : places) {
        if (of_template(written, place)) {
            own.insert(text.substr(place.begin, place.end - place.begin));
        }
    }
    std::set<std::size_t> cuts = {0, text.size()}, plain;
    for (const auto& place : places) {
        const bool harmless = place.kind == SpecialTexts::Kind::defined &&
                              !own.contains(text.substr(place.begin, place.end - place.begin));
        if (harmless || of_template(written, place)) {
            continue;
        }
        const std::size_t cut = cut_inside(written, place);
        cuts.insert(cut);
        if (cut == place.end) {
            cuts.insert(place.begin);
            plain.insert(place.begin);
        }
    }
    std::vector<PromptPart> parts;
    for (auto cut = cuts.begin(); std::next(cut) != cuts.end(); ++cut) {
        parts.push_back({std::string(text.substr(*cut, *std::next(cut) - *cut)), plain.contains(*cut)});
    }
    return parts;
}

std::vector<PromptPart> chat_parts(const std::string& source, const GenerateRequest& request, const ChatTokens& tokens,
                                   const SpecialTexts& special, const std::atomic<bool>& cancel) {
    std::vector<ChatMessage> messages;
    if (request.system) {
        messages.push_back({"system", *request.system});
    }
    messages.push_back({"user", request.prompt});
    return safe_parts(render_chat(source, messages, tokens, cancel), special);
}

bool wants_template(const GenerateRequest& request, bool has_template) {
    check_text(request.prompt, marked("the prompt"));
    if (!request.system) {
        return request.chat && has_template;
    }
    check_text(*request.system, marked("the system text"));
    if (!request.chat) {
        throw Error(say("a system text needs the chat template; leave one of the two out"));
    }
    if (!has_template) {
        throw Error(say("this model has no chat template, so it takes no system text; leave the system text out"));
    }
    return true;
}

std::string joined(const std::vector<PromptPart>& parts) {
    std::string text;
    for (const PromptPart& part : parts) {
        text += part.text;
    }
    return text;
}

}  // namespace moescope::engine
