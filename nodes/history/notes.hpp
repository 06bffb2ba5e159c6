// Notes that people write on a session: on the whole of it, a step of a training run, a token of a recorded routing, an
// answer. Pure: what a place and a text may be, and what the records of notes tell.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::history {

/// What a note stands on.
struct NotePlace {
    enum class Kind : std::uint8_t { session, step, token, answer };
    Kind kind = Kind::session;
    std::uint32_t run = 0;    ///< 0 for the session
    std::uint64_t step = 0;   ///< of a training run
    std::uint64_t token = 0;  ///< its number in the trace of the run
    // Of an answer of a probe run; an item without bytes: the run is an answer itself.
    std::string item{}, model{}, language{};
    int draw = 0;
    bool operator==(const NotePlace&) const = default;
};
inline constexpr int kNoteKinds = 4;
/// "session", "step", "token", "answer": as in records, and the end of a language key.
const char* note_kind_name(NotePlace::Kind kind);
std::optional<NotePlace::Kind> note_kind_named(std::string_view name);

nlohmann::json to_json(const NotePlace& place);
/// Nothing when it names no place: another kind, no run, a number that is none, names longer than any.
std::optional<NotePlace> note_place_from_json(const nlohmann::json& value);
/// "run 3, step 40": for who has no names of the runs.
base::Sentence note_place_sentence(const NotePlace& place);

inline constexpr std::size_t kNoteBytes = 4000;        ///< of one text
inline constexpr std::size_t kNoteAuthorBytes = 60;    ///< initials or a name
inline constexpr std::size_t kMostNotes = 2000;        ///< at a time
inline constexpr std::uint32_t kLastNote = 1'000'000;  ///< number that a note may have
/// Notes that are remembered as removed, so that one that comes back is told from a new one; of more the oldest are
/// forgotten.
inline constexpr std::size_t kMostRemovedNotes = 2000;
inline constexpr std::uint64_t kLastNotePlace = std::uint64_t{1} << 53;  ///< steps and tokens lie below

/// Why that can't be the text of a note; empty when it can: 1 to kNoteBytes of valid UTF-8 that are not all blank,
/// without control characters but line breaks and tabs.
base::Sentence note_text_problem(std::string_view text);

struct Note {
    std::uint32_t number = 0;    ///< from 1, in the session
    std::uint32_t revision = 0;  ///< rises with every record of this note
    NotePlace on;
    std::string text;    ///< as note_text_problem() lets it pass
    std::string author;  ///< as its writer called themselves; may be empty
    std::string role;    ///< right of who changed it last: "viewer", "operator", "admin"; may be empty
    std::uint64_t created_ns = 0, changed_ns = 0;  ///< wall clock
    bool operator==(const Note&) const = default;
};
/// The body of a record that makes the note what it is. Removed: its text is empty.
nlohmann::json note_record(const Note& note);

class Notes {
 public:
    /// False when the body is none, or goes beyond the limits; then nothing has changed. Records of one note count in
    /// the order of their revisions.
    bool apply(const nlohmann::json& body, std::uint64_t time_ns);

    /// By number.
    const std::map<std::uint32_t, Note>& all() const { return notes_; }
    /// The note with that number, whose text is empty when it was removed; null when there never was one, or it is
    /// forgotten.
    const Note* find(std::uint32_t number) const;
    std::uint32_t next_number() const { return last_ + 1; }

 private:
    std::map<std::uint32_t, Note> notes_, removed_;
    std::uint32_t last_ = 0;
};

}  // namespace moescope::history
