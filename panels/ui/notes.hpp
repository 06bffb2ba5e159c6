// Notes as every panel has them: the marks where they stand, the menu item that writes one, and the way there. The
// panel of notes (panels/notes) lists them and has the form in which they are written. GUI thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nodes/history/notes.hpp"
#include "panels/ui/context.hpp"

namespace moescope::ui {

/// The note that is being written, one for the window (Shared): who asks for one puts it here, the panel of notes draws
/// the form.
struct NoteDraft {
    bool open = false, appear = false;
    history::NotePlace on{};
    std::uint32_t number = 0;      ///< 0: a new one
    std::uint32_t revision = 0;    ///< that is being changed
    std::string text{}, before{};  ///< before: as it was
    client::CommandId sent = 0;
    base::Sentence problem{};
};

/// Language key of the reason why nobody can write notes here now; null when one can.
const char* why_no_notes(const Context& ctx);
/// Opens the form. What was typed and not saved on another place gives way.
void write_note(Context& ctx, const history::NotePlace& on);
void change_note(Context& ctx, const history::Note& note);
/// At once; it can be taken back.
void remove_note(Context& ctx, const history::Note& note);
/// Sends what the draft holds.
void send_note(Context& ctx, NoteDraft& draft);

/// Those on exactly this place, by number. Valid as long as the snapshot.
std::vector<const history::Note*> notes_on(const client::Snapshot& snapshot, const history::NotePlace& on);
/// "workshop-1, step 40".
std::string note_place_text(const Context& ctx, const history::NotePlace& on);
/// Text, and who wrote it when, on lines of their own.
std::string note_text(const Context& ctx, const history::Note& note);
/// "AB (operator), 2026-11-30 14:03:21, changed"
std::string note_author_text(const Context& ctx, const history::Note& note);
/// Shows what the note stands on in its own panel.
void show_noted(Context& ctx, const history::NotePlace& on);

/// Items of an open menu: a new note on the place, and each that stands there to be read and changed. Of a step also
/// those at most `reach` steps away: in a long run a pixel has many.
void note_menu(Context& ctx, const history::NotePlace& on, double reach = 0);
/// A button that writes a note on the place, or where there are some opens a menu of them. Its tooltip has their texts.
void note_button(Context& ctx, const char* id, const history::NotePlace& on);
float note_button_width();

/// A run whose notes stand in a picture with others.
struct NotedRun {
    const std::map<std::uint32_t, history::Note>* notes = nullptr;  ///< of its session; valid for the frame
    std::uint32_t run = 0;
    ImU32 ink = 0;
    std::string label{};  ///< before its notes; empty: it is the only one
};
/// Inside BeginPlot with a step x axis: a mark at the lower end where a step of a run has a note; hover reads it.
void draw_step_notes(const Context& ctx, std::span<const NotedRun> runs);
void draw_step_notes(const Context& ctx, std::uint32_t run);
/// The texts of the notes on steps of the run from `first` to `last`; empty: there are none.
std::string step_notes_text(const Context& ctx, std::uint32_t run, double first, double last);

}  // namespace moescope::ui
