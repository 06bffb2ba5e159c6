#include "nodes/history/notes.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "nodes/history/checkpoint_name.hpp"

namespace moescope::history {

namespace {

using base::say;
using base::text_of;
using nlohmann::json;
using Kind = NotePlace::Kind;

constexpr std::array<const char*, kNoteKinds> kKinds = {"session", "step", "token", "answer"};
/// Of an item, a model (with a set of changes) or a language: what other records have are far shorter.
constexpr std::size_t kLongestName = 4200;
constexpr int kMostDraws = 1000;
constexpr std::uint64_t kLastRevision = std::numeric_limits<std::uint32_t>::max() - 1;

std::optional<std::uint64_t> number_in(const json& value, const char* key) {
    const auto number = base::as_count(base::member(value, key));
    return number && *number < kLastNotePlace ? number : std::nullopt;
}

}  // namespace

const char* note_kind_name(Kind kind) {
    return kKinds[static_cast<std::size_t>(kind)];
}

std::optional<Kind> note_kind_named(std::string_view name) {
    const auto found = std::find(kKinds.begin(), kKinds.end(), name);
    return found == kKinds.end() ? std::nullopt : std::optional(static_cast<Kind>(found - kKinds.begin()));
}

json to_json(const NotePlace& place) {
    json value = {{"kind", note_kind_name(place.kind)}};
    if (place.kind != Kind::session) {
        value["run"] = place.run;
    }
    if (place.kind == Kind::step) {
        value["step"] = place.step;
    } else if (place.kind == Kind::token) {
        value["token"] = place.token;
    } else if (place.kind == Kind::answer && !place.item.empty()) {
        value["item"] = place.item;
        value["model"] = place.model;
        value["language"] = place.language;
        value["draw"] = place.draw;
    }
    return value;
}

std::optional<NotePlace> note_place_from_json(const json& value) {
    const auto kind = note_kind_named(text_of(value, "kind"));
    if (!kind) {
        return std::nullopt;
    }
    NotePlace place{.kind = *kind};
    if (place.kind == Kind::session) {
        return place;
    }
    place.run = base::run_of(value);
    if (place.run == 0) {
        return std::nullopt;
    }
    if (place.kind == Kind::step || place.kind == Kind::token) {
        const auto number = number_in(value, note_kind_name(place.kind));
        if (!number) {
            return std::nullopt;
        }
        (place.kind == Kind::step ? place.step : place.token) = *number;
        return place;
    }
    place.item = text_of(value, "item");
    if (place.item.empty()) {
        return place;
    }
    place.model = text_of(value, "model");
    place.language = text_of(value, "language");
    place.draw = base::integer_of(value, "draw", -1);
    const auto fits = [](const std::string& name) { return !name.empty() && name.size() <= kLongestName; };
    const bool named = fits(place.item) && fits(place.model) && fits(place.language);
    return named && place.draw >= 0 && place.draw <= kMostDraws ? std::optional(place) : std::nullopt;
}

base::Sentence note_place_sentence(const NotePlace& place) {
    switch (place.kind) {
        case Kind::session:
            break;
        case Kind::step:
            return say("run {}, step {}", place.run, place.step);
        case Kind::token:
            return say("run {}, token {}", place.run, place.token);
        case Kind::answer:
            return place.item.empty()
                       ? say("answer {}", place.run)
                       : say("run {}, answer to {} of {} ({}, draw {})", place.run, base::shown_name(place.item),
                             model_sentence(place.model), base::shown_name(place.language), place.draw + 1);
    }
    return say("the session");
}

base::Sentence note_text_problem(std::string_view text) {
    if (base::trimmed(text).empty()) {
        return say("a note needs a text; remove one that is not needed any more");
    }
    if (text.size() > kNoteBytes) {
        return say("a note has at most {} bytes, and this one has {}; make two of it", kNoteBytes, text.size());
    }
    if (base::first_invalid_utf8(text) != text.size()) {
        return say("the text of a note must be valid UTF-8");
    }
    const bool controls = std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    });
    return controls ? say("the text of a note must not have control characters") : base::Sentence();
}

json note_record(const Note& note) {
    json body = {{"note", note.number}, {"revision", note.revision}, {"on", to_json(note.on)},
                 {"text", note.text},   {"author", note.author},     {"role", note.role}};
    if (note.text.empty()) {
        body["text"] = nullptr;
    }
    return body;
}

bool Notes::apply(const json& body, std::uint64_t time_ns) {
    const std::uint64_t number = base::count_of(body, "note"), revision = base::count_of(body, "revision");
    const auto place = note_place_from_json(base::member(body, "on"));
    const json& text = base::member(body, "text");
    if (number == 0 || number > kLastNote || revision == 0 || revision > kLastRevision || !place ||
        !(text.is_null() || text.is_string())) {
        return false;
    }
    Note note{.number = static_cast<std::uint32_t>(number),
              .revision = static_cast<std::uint32_t>(revision),
              .on = *place,
              .text = text.is_string() ? text.get<std::string>() : std::string(),
              .author = base::one_line(text_of(body, "author"), kNoteAuthorBytes),
              .role = base::one_line(text_of(body, "role"), kNoteAuthorBytes),
              .created_ns = time_ns,
              .changed_ns = time_ns};
    const Note* before = find(note.number);
    if (before != nullptr && before->revision >= note.revision) {
        return true;  // an earlier one that came later
    }
    if (before != nullptr) {
        note.created_ns = before->created_ns;
    }
    if (text.is_string() && !note_text_problem(note.text).empty()) {
        return false;
    }
    if (text.is_string() && !notes_.contains(note.number) && notes_.size() >= kMostNotes) {
        return false;
    }
    last_ = std::max(last_, note.number);
    notes_.erase(note.number);
    removed_.erase(note.number);
    auto& list = text.is_string() ? notes_ : removed_;
    list.insert_or_assign(note.number, std::move(note));
    if (removed_.size() > kMostRemovedNotes) {
        removed_.erase(removed_.begin());
    }
    return true;
}

const Note* Notes::find(std::uint32_t number) const {
    for (const auto* list : {&notes_, &removed_}) {
        if (const auto found = list->find(number); found != list->end()) {
            return &found->second;
        }
    }
    return nullptr;
}

}  // namespace moescope::history
