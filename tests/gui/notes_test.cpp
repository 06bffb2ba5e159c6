// Notes and the history of edits as a person has them: written from a plot, by key and beside an answer, found again in
// their panel, taken back and done again, each session for itself.
#include <filesystem>
#include <imgui_internal.h>
#include <string>

#include "sessions/session.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using Kind = history::NotePlace::Kind;

constexpr const char* kText = "//###notes.form/###note.text";
constexpr const char* kSave = "//###notes.form/###notes.save";
constexpr ImGuiKeyChord kUndo = ImGuiMod_Ctrl | ImGuiKey_Z, kRedo = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Z;

fs::path written(Harness& h, const char* name, const std::string& runs) {
    const fs::path folder = h.folder() / name;
    WrittenSession(folder, name, 5).write(runs);
    return folder;
}

bool open(Harness& h, ImGuiTestContext* ctx, const fs::path& folder) {
    return h.open_session(ctx, folder, [&] {
        return !h.snapshot().training.empty() && h.training().step.size() >= 40 && h.training().counts.size() >= 40;
    });
}

std::size_t notes(const Harness& h) {
    return h.snapshot().notes->size();
}

const history::Note& newest(const Harness& h) {
    return h.snapshot().notes->rbegin()->second;
}

bool says(Harness& h, ImGuiTestContext* ctx, const char* window, const std::string& text) {
    std::string all;
    for (const ScreenLine& line : h.screen(ctx)) {
        all += line.window == window ? squeezed(line.text) : "";
    }
    const bool found = all.find(squeezed(text)) != std::string::npos;
    if (!found) {
        ctx->LogWarning("%s does not say \"%s\" but %s", window, text.c_str(), all.c_str());
    }
    return found;
}

/// Types into the open form and saves it.
bool write(Harness& h, ImGuiTestContext* ctx, const char* text) {
    const std::size_t before = notes(h);
    if (!h.wait(ctx, 10, [&] { return ctx->ItemExists(kText); })) {
        return false;
    }
    ctx->ItemInput(kText);
    ctx->KeyCharsReplace(text);
    ctx->ItemClick(kSave);
    return h.wait(ctx, 20, [&] { return notes(h) == before + 1 && !ctx->ItemExists(kSave); });
}

bool press(Harness& h, ImGuiTestContext* ctx, ImGuiKeyChord keys, const char* command,
           const std::function<bool()>& then) {
    if (!h.wait(ctx, 20, [&] { return h.workbench().commands().find(command)->available(); })) {
        return false;
    }
    ctx->KeyPress(keys);
    return h.wait(ctx, 20, then);
}

bool undo(Harness& h, ImGuiTestContext* ctx, const std::function<bool()>& then) {
    return press(h, ctx, kUndo, "edit.undo", then);
}
bool redo(Harness& h, ImGuiTestContext* ctx, const std::function<bool()>& then) {
    return press(h, ctx, kRedo, "edit.redo", then);
}

/// From the menu of a plot; its mark stands there; its row leads back.
void a_note_on_a_step(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "notes-step", "T")));
    h.workbench().set_layout("training");
    h.workbench().show_panel("notes");
    ctx->Yield(6);
    IM_CHECK(says(h, ctx, "panel.notes", "Nobody has written a note yet."));
    const ImRect title = ctx->ItemInfo("//###panel.training/**/training.loss/###title").RectFull;
    const float letter = ImGui::GetFontSize();
    ctx->MouseMoveToPos({title.Min.x + 14 * letter, title.Max.y + 5 * letter});  // inside the plot below it
    ctx->MouseClick(ImGuiMouseButton_Right);
    ctx->Yield(2);
    ctx->ItemClick("//$FOCUSED/notes/###note.write");
    IM_CHECK(write(h, ctx, "It turns\nhere"));
    const history::Note note = newest(h);
    IM_CHECK(note.on.kind == Kind::step);
    IM_CHECK(note.on.step > 1 && note.on.step < 40);
    IM_CHECK_STR_EQ(note.text.c_str(), "It turns\nhere");
    IM_CHECK(says(h, ctx, "panel.notes", "It turns here"));
    IM_CHECK(says(h, ctx, "panel.notes", "step " + std::to_string(note.on.step)));
    IM_CHECK(says(h, ctx, "panel.training", "\uf249"));
    // The expert load has the same in its menu, and so has the key: of the step that is shown.
    h.workbench().selection().pinned_step = 7;
    ctx->MouseMoveToPos({2, 2});
    ctx->Yield(3);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_M);
    IM_CHECK(write(h, ctx, "seven"));
    IM_CHECK_EQ(newest(h).on.step, 7u);
    // Its row leads there.
    h.workbench().selection().pinned_step.reset();
    h.workbench().show_panel("compare");
    h.workbench().show_panel("notes");
    ctx->Yield(4);
    ctx->ItemClick("//###panel.notes/**/$$2/###note.go");
    ctx->Yield(3);
    IM_CHECK(h.workbench().selection().pinned_step == std::optional<std::uint64_t>(7));
    ctx->ItemInput("//###panel.notes/**/###notes.search");
    ctx->KeyCharsReplace("turns");
    ctx->Yield(3);
    IM_CHECK(ctx->ItemExists("//###panel.notes/**/$$1/###note.go"));
    IM_CHECK(!ctx->ItemExists("//###panel.notes/**/$$2/###note.go"));
}

/// Written, changed, removed: each is a step back and a step forth.
void notes_are_taken_back(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "notes-undo", "T")));
    h.workbench().set_layout("training");
    h.workbench().show_panel("notes");
    ctx->Yield(4);
    IM_CHECK(h.workbench().command("notes.session"));
    IM_CHECK(write(h, ctx, "one"));
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###panel.notes/**/$$1/###note.change"); }));
    ctx->ItemClick("//###panel.notes/**/$$1/###note.change");
    ctx->ItemInput(kText);
    ctx->KeyCharsReplace("two");
    // A field with the keyboard has its own Ctrl+Z.
    ctx->KeyPress(kUndo);
    ctx->Yield(5);
    IM_CHECK_EQ(notes(h), 1u);
    ctx->KeyCharsReplace("two");
    ctx->ItemClick(kSave);
    const auto is = [&](const char* text) { return [&h, text] { return notes(h) == 1 && newest(h).text == text; }; };
    IM_CHECK(h.wait(ctx, 20, is("two")));
    IM_CHECK(h.wait(ctx, 20, [&] { return !ctx->ItemExists(kSave); }));
    ctx->ItemClick("//###panel.notes/**/$$1/###note.remove");
    const auto none = [&] { return notes(h) == 0; };
    IM_CHECK(h.wait(ctx, 20, none));
    const app::Command& command = *h.workbench().commands().find("edit.undo");
    IM_CHECK(h.wait(ctx, 20, [&] { return command.available(); }));
    IM_CHECK_STR_EQ(app::command_title(h.workbench().text(), command).c_str(), "Undo: note on the session removed");
    IM_CHECK(undo(h, ctx, is("two")));
    IM_CHECK(undo(h, ctx, is("one")));
    IM_CHECK(undo(h, ctx, none));
    IM_CHECK(redo(h, ctx, is("one")));
    IM_CHECK(press(h, ctx, ImGuiMod_Ctrl | ImGuiKey_Y, "edit.redo", is("two")));
    // Another viewer changes it: that stays, and a sentence says so.
    IM_CHECK(h.wait(ctx, 20, [&] { return command.available(); }));
    h.workbench().client().send("notes.edit", {{"note", 1}, {"text", "theirs"}});
    IM_CHECK(h.wait(ctx, 20, is("theirs")));
    const std::uint64_t told = h.workbench().notices().count();
    ctx->KeyPress(kUndo);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().notices().count() > told; }));
    ctx->Yield(10);
    IM_CHECK(is("theirs")());
}

/// What was done in one session is taken back there and nowhere else.
void each_session_has_its_history(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "notes-first", "T")));
    const std::uint64_t first = h.workbench().sessions().front()->id;
    IM_CHECK(h.workbench().command("notes.session"));
    IM_CHECK(write(h, ctx, "of the first"));
    const fs::path other = written(h, "notes-second", "T");
    h.workbench().open_session(other);
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.workbench().session() == other && h.snapshot().link.state == client::Link::State::connected &&
               !h.snapshot().training.empty();
    }));
    IM_CHECK(!h.workbench().commands().find("edit.undo")->available());
    IM_CHECK(h.workbench().command("notes.session"));
    IM_CHECK(write(h, ctx, "of the second"));
    h.workbench().show_session(first);
    ctx->Yield(5);
    IM_CHECK_STR_EQ(newest(h).text.c_str(), "of the first");
    IM_CHECK(undo(h, ctx, [&] { return notes(h) == 0; }));
    IM_CHECK(!h.workbench().commands().find("edit.undo")->available());
    h.workbench().step_session(1);
    ctx->Yield(5);
    IM_CHECK_EQ(notes(h), 1u);
    IM_CHECK_STR_EQ(newest(h).text.c_str(), "of the second");
    IM_CHECK(h.workbench().commands().find("edit.undo")->available());
    IM_CHECK(h.close_others(ctx));
}

/// Beside an answer of a comparison and of a probe, on a token; labels of the probe can be taken back, too.
void notes_on_answers_and_tokens(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "notes-answers", "TAPR")));
    h.workbench().set_layout("compare");
    h.workbench().show_panel("compare");
    ctx->Yield(8);
    const std::string button = "//###panel.compare/**/note/###note.here";
    IM_CHECK(h.wait(ctx, 20, [&] { return ctx->ItemExists(button.c_str()); }));
    ctx->ItemClick(button.c_str());
    IM_CHECK(write(h, ctx, "an answer"));
    IM_CHECK(newest(h).on.kind == Kind::answer);
    IM_CHECK(h.snapshot().generations.contains(newest(h).on.run));
    h.workbench().set_layout("probe");
    h.workbench().show_panel("probe");
    ctx->Yield(8);
    ctx->ItemClick("//###panel.probe/**/note/###note.here");
    IM_CHECK(write(h, ctx, "of a probe"));
    IM_CHECK(!newest(h).on.item.empty());
    const history::NotePlace place = newest(h).on;
    const auto label = [&]() -> std::string {
        for (const auto& draw : h.snapshot().probes.at(place.run)->draws) {
            if (draw->item == place.item && draw->model == place.model && draw->language == place.language) {
                return draw->labelled_by_person ? draw->delivery : "";
            }
        }
        return "none";
    };
    IM_CHECK_STR_EQ(label().c_str(), "");
    h.workbench().command("probes.coder=NN");
    ctx->ItemClick("//###panel.probe/**/###f1.incoherent");
    IM_CHECK(h.wait(ctx, 20, [&] { return label() == "incoherent"; }));
    IM_CHECK(undo(h, ctx, [&] { return label().empty(); }));
    IM_CHECK(redo(h, ctx, [&] { return label() == "incoherent"; }));
    h.workbench().set_layout("routing");
    h.workbench().show_panel("routing");
    h.workbench().selection().routing_token = 5;
    ctx->Yield(10);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_M);
    IM_CHECK(write(h, ctx, "a token"));
    IM_CHECK(newest(h).on.kind == Kind::token);
    IM_CHECK_EQ(newest(h).on.token, 5u);
    h.workbench().set_layout("training");
}

/// Read, with the reason why nobody can write.
void a_session_for_reading(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = written(h, "notes-reading", "T");
    IM_CHECK(open(h, ctx, folder));
    IM_CHECK(h.workbench().command("notes.session"));
    IM_CHECK(write(h, ctx, "for later"));
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
    std::unique_ptr<sessions::Session> writer;  // somebody else, once the node of the tab has gone
    IM_CHECK(h.wait(ctx, 30, [&] {
        try {
            writer = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
        } catch (const sessions::InUse&) {
            return false;
        }
        return true;
    }));
    h.workbench().open_session(folder);
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().link.state == client::Link::State::unopened; }));
    ctx->ItemClick("//###unopened/###unopened.read");
    h.workbench().set_layout("training");
    h.workbench().show_panel("notes");
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.snapshot().node.read_only && h.snapshot().link.state == client::Link::State::connected &&
               notes(h) == 1;
    }));
    ctx->Yield(5);
    IM_CHECK(says(h, ctx, "panel.notes", "for later"));
    IM_CHECK(says(h, ctx, "panel.notes", "notes can be read, not changed"));
    IM_CHECK(!h.workbench().command("notes.session"));
    // Nothing can be started in it, and the keys say so.
    IM_CHECK(!h.workbench().command("runs.new"));
    IM_CHECK(!h.workbench().command("run.experiment"));
    IM_CHECK(!h.workbench().command("compare.run"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_M);
    ctx->Yield(4);
    bool told = false;
    for (const ScreenLine& line : h.screen(ctx)) {
        told = told ||
               squeezed(line.text).find(squeezed("not possible, the session is open for reading")) != std::string::npos;
    }
    IM_CHECK(told);
    IM_CHECK((ctx->ItemInfo("//###panel.notes/**/$$1/###note.remove").ItemFlags & ImGuiItemFlags_Disabled) != 0);
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
}

}  // namespace

void register_notes(Harness& harness) {
    const auto add = [&harness](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("notes", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("a note is written from a plot, found in the panel and led back to", a_note_on_a_step);
    add("notes are taken back and done again, not those that others have changed", notes_are_taken_back);
    add("each session has its own history of edits", each_session_has_its_history);
    add("answers, tokens and labels", notes_on_answers_and_tokens);
    add("a session for reading shows notes and says why it takes none", a_session_for_reading);
}

}  // namespace moescope::gui_test
