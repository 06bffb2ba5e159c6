// The notes.* commands.
#include <iterator>

#include "base/json_fields.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/library/parameters.hpp"

namespace moescope::node {
using history::NotePlace;
using nlohmann::json;

namespace {

constexpr std::int64_t kLastPlace = static_cast<std::int64_t>(history::kLastNotePlace) - 1;

NotePlace place_in(const Parameters& parameters) {
    const Parameters on(parameters.at("on"), {"kind", "run", "step", "token", "item", "model", "language", "draw"});
    const std::string name = on.text("kind");
    const auto kind = history::note_kind_named(name);
    if (!kind) {
        throw CommandError(say("a note can't stand on '{}'; session, step, token and answer are known", name));
    }
    NotePlace place{.kind = *kind};
    switch (*kind) {
        case NotePlace::Kind::session:
            return place;
        case NotePlace::Kind::step:
            place.step = static_cast<std::uint64_t>(on.integer("step", 0, kLastPlace));
            break;
        case NotePlace::Kind::token:
            place.token = static_cast<std::uint64_t>(on.integer("token", 0, kLastPlace));
            break;
        case NotePlace::Kind::answer:
            if (on.has("item")) {
                place.item = on.text("item");
                place.model = on.text("model");
                place.language = on.text("language");
                place.draw = static_cast<int>(on.integer("draw", 0, 0, 1000));
            }
            break;
    }
    place.run = on.run();
    return place;
}

std::uint32_t note_number(const Parameters& parameters) {
    return static_cast<std::uint32_t>(parameters.integer("note", 1, history::kLastNote));
}

std::uint32_t revision_in(const Parameters& parameters) {
    return static_cast<std::uint32_t>(parameters.integer("revision", 0, 0, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

void Service::notes_add(const json& value, Reply reply) {
    const Parameters parameters(value, {"on", "text", "author"});
    const NotePlace place = place_in(parameters);
    const std::string text = parameters.text("text"), author = parameters.text("author", "");
    journal_->flush();
    check_note_place(*session_, place);
    reply({notes_.add(*journal_, place, text, author, asker(Lane::slow).right), {}});
}

void Service::notes_edit(const json& value, Reply reply) {
    const Parameters parameters(value, {"note", "revision", "text", "author"});
    reply({notes_.edit(*journal_, note_number(parameters), revision_in(parameters), parameters.text("text"),
                       parameters.text("author", ""), asker(Lane::slow).right),
           {}});
}

void Service::notes_remove(const json& value, Reply reply) {
    const Parameters parameters(value, {"note", "revision", "author"});
    reply({notes_.remove(*journal_, note_number(parameters), revision_in(parameters), parameters.text("author", ""),
                         asker(Lane::slow).right),
           {}});
}

/// For who does not follow the records. Read from the journal, so that notes of another node that writes the session
/// are among them.
void Service::notes_list(const json& value, Reply reply) {
    const Parameters parameters(value, {"after"});
    const auto after = static_cast<std::uint32_t>(parameters.integer("after", 0, 0, history::kLastNote));
    if (journal_) {
        journal_->flush();
    }
    const history::Session history = history::read_runs(session_->journal());
    constexpr std::size_t kMostBytes = 192 << 10;  // of texts: a quarter of an answer
    json notes = json::array();
    std::size_t bytes = 0;
    const auto& all = history.notes().all();
    auto note = all.upper_bound(after);
    for (; note != all.end() && (notes.empty() || bytes + note->second.text.size() <= kMostBytes); ++note) {
        json entry = history::note_record(note->second);
        entry.update({{"created_ns", note->second.created_ns}, {"changed_ns", note->second.changed_ns}});
        bytes += note->second.text.size();
        notes.push_back(std::move(entry));
    }
    json answer = {{"notes", std::move(notes)}};
    if (note != all.end()) {
        answer["next"] = std::prev(note)->first;
    }
    reply({std::move(answer), {}});
}

}  // namespace moescope::node
