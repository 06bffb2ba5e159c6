// The notes of a session as its writer keeps them: checks what comes, gives numbers, writes the records. For the node
// and for the command line.
#pragma once

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "nodes/history/notes.hpp"
#include "nodes/protocol/rights.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

class NoteBook {
 public:
    /// What the session has already.
    void take(const history::Notes& notes);

    // Each is in the journal when it returns, and gives {"note","revision"}. They throw CommandError with what is
    // wrong, base::Error when the disk refuses; then nothing has changed. Any thread, not the trainer's.
    /// `on` must be a place that the session has: see check_note_place().
    nlohmann::json add(JournalWriter& journal, history::NotePlace on, std::string text, std::string author,
                       protocol::Right role);
    /// `revision`: the one that the change is made to; when somebody else has changed the note since, it is refused. 0:
    /// whichever it is. One that was removed comes back with the text.
    nlohmann::json edit(JournalWriter& journal, std::uint32_t number, std::uint32_t revision, std::string text,
                        std::string author, protocol::Right role);
    nlohmann::json remove(JournalWriter& journal, std::uint32_t number, std::uint32_t revision, std::string author,
                          protocol::Right role);

 private:
    history::Note known(std::uint32_t number, std::uint32_t revision) const;
    nlohmann::json write(JournalWriter& journal, history::Note note);

    mutable std::mutex mutex_;
    history::Notes notes_;
};

/// Throws CommandError: the session has no such run, or one of another kind, or a probe run without that answer. What
/// was written before must be in the journal (JournalWriter::flush). Reads files.
void check_note_place(sessions::Session& session, const history::NotePlace& place);

}  // namespace moescope::node
