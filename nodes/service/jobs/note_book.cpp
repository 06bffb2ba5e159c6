#include "nodes/service/jobs/note_book.hpp"

#include <utility>

#include "base/foreign_text.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {

using history::Note;
using history::NotePlace;
using nlohmann::json;
using protocol::RunKind;

namespace {

std::string checked(std::string text) {
    // As files of other systems end their lines.
    for (std::size_t at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at)) {
        text.erase(at, 1);
    }
    if (const Sentence problem = history::note_text_problem(text); !problem.empty()) {
        throw CommandError(problem);
    }
    return text;
}

std::string shown_author(const std::string& author) {
    return base::one_line(author, history::kNoteAuthorBytes);
}

}  // namespace

void NoteBook::take(const history::Notes& notes) {
    const std::lock_guard lock(mutex_);
    notes_ = notes;
}

json NoteBook::write(JournalWriter& journal, Note note) {
    const json record = history::note_record(note);
    journal.write_now(protocol::RecordType::note, record);
    notes_.apply(record, wall_clock_ns());
    return {{"note", note.number}, {"revision", note.revision}};
}

Note NoteBook::known(std::uint32_t number, std::uint32_t revision) const {
    const Note* note = notes_.find(number);
    if (note == nullptr) {
        throw CommandError(say("there is no note {} in this session", number));
    }
    if (revision != 0 && revision != note->revision) {
        throw CommandError(note->text.empty()
                               ? say("note {} was removed by another viewer meanwhile; it stays as it is", number)
                               : say("note {} was changed by another viewer meanwhile; it stays as it is", number));
    }
    return *note;
}

json NoteBook::add(JournalWriter& journal, NotePlace on, std::string text, std::string author, protocol::Right role) {
    text = checked(std::move(text));
    const std::lock_guard lock(mutex_);
    if (notes_.all().size() >= history::kMostNotes || notes_.next_number() > history::kLastNote) {
        throw CommandError(
            say("this session has {} notes, which is as many as it can have; remove one first", notes_.all().size()));
    }
    return write(journal, {.number = notes_.next_number(),
                           .revision = 1,
                           .on = std::move(on),
                           .text = std::move(text),
                           .author = shown_author(author),
                           .role = protocol::name_of(role)});
}

json NoteBook::edit(JournalWriter& journal, std::uint32_t number, std::uint32_t revision, std::string text,
                    std::string author, protocol::Right role) {
    text = checked(std::move(text));
    const std::lock_guard lock(mutex_);
    Note note = known(number, revision);
    if (note.text.empty() && notes_.all().size() >= history::kMostNotes) {
        throw CommandError(
            say("this session has {} notes, which is as many as it can have; remove one first", notes_.all().size()));
    }
    ++note.revision;
    note.text = std::move(text);
    note.author = shown_author(author);
    note.role = protocol::name_of(role);
    return write(journal, std::move(note));
}

json NoteBook::remove(JournalWriter& journal, std::uint32_t number, std::uint32_t revision, std::string author,
                      protocol::Right role) {
    const std::lock_guard lock(mutex_);
    Note note = known(number, revision);
    if (note.text.empty()) {
        throw CommandError(say("there is no note {} in this session", number));
    }
    ++note.revision;
    note.text.clear();
    note.author = shown_author(author);
    note.role = protocol::name_of(role);
    return write(journal, std::move(note));
}

void check_note_place(sessions::Session& session, const NotePlace& place) {
    if (place.kind == NotePlace::Kind::session) {
        return;
    }
    const history::Session history = history::read_runs(session.journal());
    const auto runs = history.runs();
    const auto found = runs.find(place.run);
    if (found == runs.end()) {
        throw CommandError(say("this session has no run {}", place.run));
    }
    const RunKind kind = found->second->kind;
    if (place.kind == NotePlace::Kind::step && kind != RunKind::train && kind != RunKind::imported) {
        throw CommandError(say("run {} is no training", place.run));
    }
    if (place.kind == NotePlace::Kind::token && kind != RunKind::generate && kind != RunKind::route) {
        throw CommandError(say("run {} has no routing whose tokens could have a note", place.run));
    }
    if (place.kind != NotePlace::Kind::answer) {
        return;
    }
    if (place.item.empty()) {
        if (kind != RunKind::generate) {
            throw CommandError(say("run {} is no answer", place.run));
        }
        return;
    }
    if (kind != RunKind::probe) {
        throw CommandError(say("run {} is no probe run", place.run));
    }
    history::ProbeDraw draw;
    draw.item = place.item;
    draw.model = place.model;
    draw.language = place.language;
    draw.draw = place.draw;
    const std::string key = history::draw_key(draw);
    if (!history::read_run(session, place.run).probes().at(place.run).index.contains(key)) {
        throw CommandError(say("run {} has no answer {}", place.run, key));
    }
}

}  // namespace moescope::node
