#include "engine/runner/chat_prompt.hpp"

#include <algorithm>
#include <cctype>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

bool is_plain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) != 0 || std::isspace(byte) != 0;
}

std::size_t character_length(std::string_view text, std::size_t at) {
    return std::max<std::size_t>(1, base::code_point_at(text, at).length);
}

bool begins_alike(std::string_view text, std::string_view with) {
    return text.size() >= with.size() && std::equal(with.begin(), with.end(), text.begin(), [](char a, char b) {
               return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
           });
}

/// A character of the private use area that occurs nowhere: what the template does with letters does not touch it.
std::string unused_mark(const std::string& source, const GenerateRequest& request) {
    for (char32_t code = 0xe0b0; code < 0xf8ff; ++code) {
        std::string mark;
        base::append_utf8(mark, code);
        const bool used = source.find(mark) != std::string::npos || request.prompt.find(mark) != std::string::npos ||
                          (request.system && request.system->find(mark) != std::string::npos);
        if (!used) {
            return mark;
        }
    }
    throw Error(say("the prompt is not a text that a model could be asked"));
}

void check_text(const std::string& text, base::Marked what) {
    // A zero byte ends a text inside libraries; it means nothing to a model.
    if (text.find('\0') != std::string::npos) {
        throw Error(say("{} contains a zero byte; remove it", what));
    }
    const std::size_t bad = base::first_invalid_utf8(text);
    if (bad != text.size()) {
        throw Error(say("{} is not valid UTF-8 at byte {}; convert it first", what, bad));
    }
}

/// The text without marks, and for each byte who wrote it.
struct Written {
    std::string text;
    std::string by_person;        ///< one byte for each of text: 1 from a message, 0 by the template
    std::set<std::size_t> marks;  ///< offsets in text before which a mark stood
};

Written without_marks(const std::vector<ChatPiece>& pieces, const std::string& mark) {
    Written written;
    const auto take = [&](std::string_view part, bool from_message) {
        written.text += part;
        written.by_person.append(part.size(), from_message ? '\1' : '\0');
    };
    for (const ChatPiece& piece : pieces) {
        std::string_view rest = piece.text;
        while (!mark.empty()) {
            const std::size_t at = rest.find(mark);
            if (at == std::string_view::npos) {
                break;
            }
            take(rest.substr(0, at), piece.from_message);
            written.marks.insert(written.text.size());
            rest.remove_prefix(at + mark.size());
        }
        take(rest, piece.from_message);
    }
    return written;
}

bool of_template(const Written& written, const SpecialTexts::Place& place) {
    const auto mark = written.marks.upper_bound(place.begin);
    return written.by_person.find('\1', place.begin) >= place.end &&
           (mark == written.marks.end() || *mark >= place.end);
}

/// Where to cut inside a token: where the template's own bytes end or begin, at a mark, or after the first character.
std::size_t cut_inside(const Written& written, const SpecialTexts::Place& place) {
    for (std::size_t at = place.begin + 1; at < place.end; ++at) {
        if (written.by_person[at] != written.by_person[at - 1]) {
            return at;
        }
    }
    if (const auto mark = written.marks.upper_bound(place.begin); mark != written.marks.end() && *mark < place.end) {
        return *mark;
    }
    return place.begin + character_length(written.text, place.begin);
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
    if (!is_plain(text.front())) {
        starts_.insert(text.substr(0, character_length(text, 0)));
    }
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

std::string SpecialTexts::marked(std::string_view text, const std::string& mark) const {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = character_length(text, at);
        const std::string_view character = text.substr(at, length);
        bool starts = starts_.contains(std::string(character));
        if (!starts && is_plain(text[at])) {
            // Too common to be marked everywhere: only where the whole token could be meant.
            for (const char first : {static_cast<char>(std::tolower(static_cast<unsigned char>(text[at]))),
                                     static_cast<char>(std::toupper(static_cast<unsigned char>(text[at])))}) {
                const auto begin = texts_.lower_bound(std::string(1, first));
                for (auto entry = begin; entry != texts_.end() && entry->first.front() == first; ++entry) {
                    starts = starts || (entry->second == Kind::control && begins_alike(text.substr(at), entry->first));
                }
            }
        }
        out += character;
        out += starts ? mark : "";
        at += length;
    }
    return out;
}

std::vector<std::string> safe_parts(const std::vector<ChatPiece>& pieces, const std::string& mark,
                                    const SpecialTexts& special) {
    const Written written = without_marks(pieces, mark);
    const std::string_view text = written.text;
    const std::vector<SpecialTexts::Place> places = special.places(text);
    std::set<std::string_view> own;  // tokens that the template writes itself
    for (const auto& place : places) {
        if (of_template(written, place)) {
            own.insert(text.substr(place.begin, place.end - place.begin));
        }
    }
    std::set<std::size_t> cuts = {0, text.size()};
    for (const auto& place : places) {
        const bool harmless = place.kind == SpecialTexts::Kind::defined &&
                              !own.contains(text.substr(place.begin, place.end - place.begin));
        if (harmless || of_template(written, place)) {
            continue;
        }
        cuts.insert(cut_inside(written, place));
    }
    std::vector<std::string> parts;
    for (auto cut = cuts.begin(); std::next(cut) != cuts.end(); ++cut) {
        parts.emplace_back(text.substr(*cut, *std::next(cut) - *cut));
    }
    return parts;
}

std::vector<std::string> chat_parts(const std::string& source, const GenerateRequest& request, const ChatTokens& tokens,
                                    const SpecialTexts& special, const std::atomic<bool>& cancel) {
    const std::string mark = unused_mark(source, request);
    std::vector<ChatMessage> messages;
    if (request.system) {
        messages.push_back({"system", special.marked(*request.system, mark)});
    }
    messages.push_back({"user", special.marked(request.prompt, mark)});
    return safe_parts(render_chat(source, messages, tokens, cancel), mark, special);
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

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts) {
        text += part;
    }
    return text;
}

}  // namespace moescope::engine
