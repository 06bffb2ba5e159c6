// All notes of the session with what they stand on, and the form in which they are written.
#include "panels/ui/notes.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "panels/panels.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::Note;
using history::NotePlace;
using ui::Context;
using Kind = NotePlace::Kind;

constexpr std::size_t kLineBytes = 400;  ///< of a text in its row; the tooltip has all of it

class NotesPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override { kind_ = dynamic_cast<const NotesPanel&>(before).kind_; }
    void draw(Context& ctx) override;
    void draw_above(Context& ctx) override;
    /// notes.session and notes.step (the one under the mouse, the pinned one, or the newest) open the form;
    /// notes.text=TEXT types into it, notes.save saves it.
    bool act(const std::string& action, Context& ctx) override;

 private:
    void draw_bar(Context& ctx);
    void filter(const Context& ctx);
    void draw_rows(Context& ctx);
    void draw_row(Context& ctx, const Note& note);
    void watch(Context& ctx, const ui::NoteDraft& draft);
    static void draw_fields(Context& ctx, ui::NoteDraft& draft);
    static void draw_buttons(Context& ctx, ui::NoteDraft& draft);

    ui::FieldWatch watch_;  ///< of the form
    NotePlace watched_{};   ///< and what it is about
    std::uint32_t watched_number_ = 0;
    int kind_ = 0;  ///< 0 all, then those on 1 + Kind
    std::string search_, filtered_by_;
    std::shared_ptr<const std::map<std::uint32_t, Note>> filtered_;
    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::vector<std::uint32_t> shown_;  ///< numbers, the latest change first
};

/// The step that a person means: under the mouse, shown by the expert load, or the newest.
std::optional<NotePlace> step_in_hand(const Context& ctx) {
    const history::TrainingRun* run = selected_run(ctx);
    if (run == nullptr) {
        return {};
    }
    const double newest = run->step.empty() ? 0 : run->step.back();
    double step = newest;
    if (ctx.selection.hovered_step) {
        step = std::clamp(std::round(*ctx.selection.hovered_step), 0.0, newest);
    } else if (ctx.selection.pinned_step) {
        step = static_cast<double>(*ctx.selection.pinned_step);
    }
    return NotePlace{.kind = Kind::step, .run = run->id, .step = static_cast<std::uint64_t>(step)};
}

bool can_write(const Context& ctx) {
    return ui::why_no_notes(ctx) == nullptr;
}

}  // namespace

bool NotesPanel::act(const std::string& action, Context& ctx) {
    auto& draft = ctx.shared.get<ui::NoteDraft>();
    if (action == "notes.session") {
        ui::write_note(ctx, {});
    } else if (action == "notes.step") {
        if (const auto place = step_in_hand(ctx)) {
            ui::write_note(ctx, *place);
        }
    } else if (const char* text = ui::action_value(action, "notes.text")) {
        draft.text = text;
    } else if (action == "notes.save") {
        if (draft.open && draft.sent == 0) {
            ui::send_note(ctx, draft);
        }
    } else {
        return false;
    }
    return true;
}

void NotesPanel::draw(Context& ctx) {
    if (ctx.snapshot.notes->empty()) {
        ui::empty_state(ctx, ui::icon::note, ctx.snapshot.node.read_only ? "notes.empty_read_only" : "notes.empty",
                        can_write(ctx) ? "command.notes.session" : nullptr, "notes.session");
        return;
    }
    if (ctx.snapshot.node.read_only) {
        ui::banner(ctx, ui::Tone::neutral, ctx.text("notes.read_only"));
    }
    draw_bar(ctx);
    filter(ctx);
    if (shown_.empty()) {
        ui::text_wrapped(ctx.text("notes.nothing_fits"), ctx.theme.text_dim);
        return;
    }
    draw_rows(ctx);
}

void NotesPanel::draw_bar(Context& ctx) {
    const char* write = ctx.text.label("notes.write_on_session");
    const char* reason = ui::why_no_notes(ctx);
    if (ui::button(write, reason == nullptr, reason == nullptr ? "" : ctx.text(reason))) {
        ctx.run("notes.session");
    }
    ui::command_tooltip(ctx, ctx.text("command.notes.session"), "notes.session");
    std::vector<const char*> kinds = {ctx.text.label("notes.all")};
    for (int i = 0; i < history::kNoteKinds; ++i) {
        kinds.push_back(ctx.text.label(std::string("notes.kind.") + history::note_kind_name(static_cast<Kind>(i))));
    }
    float width = 0;
    for (const char* kind : kinds) {
        width += ui::button_width(kind);
    }
    ui::flow(width);
    ui::segmented(ctx, "notes.kind", kinds, kind_);
    ui::flow(12 * ctx.em);
    ui::next_field(12 * ctx.em);
    ImGui::InputTextWithHint("###notes.search", ctx.text("notes.search"), &search_);
}

void NotesPanel::filter(const Context& ctx) {
    const std::string by = std::to_string(kind_) + ctx.text.code() + search_;
    if (by == filtered_by_ && filtered_ == ctx.snapshot.notes && seen_version_ == ctx.snapshot.version) {
        return;
    }
    filtered_by_ = by;
    filtered_ = ctx.snapshot.notes;
    seen_version_ = ctx.snapshot.version;  // names of what they stand on
    std::vector<const Note*> fitting;
    for (const auto& [number, note] : *filtered_) {
        const bool of_kind = kind_ == 0 || static_cast<int>(note.on.kind) == kind_ - 1;
        if (of_kind && (search_.empty() ||
                        base::contains_any_case(
                            note.text + "\n" + note.author + "\n" + ui::note_place_text(ctx, note.on), search_))) {
            fitting.push_back(&note);
        }
    }
    std::stable_sort(fitting.begin(), fitting.end(),
                     [](const Note* a, const Note* b) { return a->changed_ns > b->changed_ns; });
    shown_.clear();
    for (const Note* note : fitting) {
        shown_.push_back(note->number);
    }
}

void NotesPanel::draw_rows(Context& ctx) {
    if (!ui::begin_table(ctx, "###notes.rows",
                         {{"notes.column.on", 2},
                          {"notes.column.text", 3},
                          {"notes.column.author", 1.6f},
                          {"notes.column.do", 4.2f, true}},
                         ImGuiTableFlags_ScrollY)) {
        return;
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(shown_.size()));
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            const auto note = ctx.snapshot.notes->find(shown_[static_cast<std::size_t>(i)]);
            if (note != ctx.snapshot.notes->end()) {
                draw_row(ctx, note->second);
            }
        }
    }
    ImGui::EndTable();
}

void NotesPanel::draw_row(Context& ctx, const Note& note) {
    ImGui::PushID(static_cast<int>(note.number));
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    // A click leads to what it stands on; a note on the session stands on nothing that could be shown.
    const std::string place = ui::note_place_text(ctx, note.on);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    if (ImGui::Selectable("###note.go", false, ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap,
                          {0, ImGui::GetFrameHeight()})) {
        ui::show_noted(ctx, note.on);
    }
    ImGui::SetCursorScreenPos(at);
    ImGui::AlignTextToFramePadding();
    ui::text_elided(place, ImGui::GetContentRegionAvail().x);
    ImGui::TableNextColumn();
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(ui::elided(in_one_line(note.text, kLineBytes), ImGui::GetContentRegionAvail().x).c_str());
    if (ui::tooltip_due()) {
        ui::tooltip(displayable(note.text));
    }
    ImGui::TableNextColumn();
    ImGui::AlignTextToFramePadding();
    ui::text_elided(ui::note_author_text(ctx, note), ImGui::GetContentRegionAvail().x);
    ImGui::TableNextColumn();
    const char* reason = ui::why_no_notes(ctx);
    if (ui::button((std::string(ui::icon::gear) + "###note.change").c_str(), reason == nullptr,
                   reason == nullptr ? "" : ctx.text(reason))) {
        ui::change_note(ctx, note);
    }
    ui::tooltip(reason == nullptr ? ctx.text("notes.change") : "");
    ImGui::SameLine(0, 0.3f * ctx.em);
    if (ui::button((std::string(ui::icon::trash) + "###note.remove").c_str(), reason == nullptr,
                   reason == nullptr ? "" : ctx.text(reason))) {
        ui::remove_note(ctx, note);
    }
    ui::tooltip(reason == nullptr ? ctx.text("notes.remove.help") : "");
    ImGui::PopID();
}

void NotesPanel::draw_above(Context& ctx) {
    auto& draft = ctx.shared.get<ui::NoteDraft>();
    if (const client::CommandResult* answer = ui::take_answer(ctx, draft.sent)) {
        if (answer->state == client::CommandResult::State::done) {
            draft = {};
        } else {
            draft.problem = answer->error.empty() ? base::Sentence::verbatim(ctx.text("knobs.unknown")) : answer->error;
        }
    }
    if (!draft.open) {
        watch_.reset(ctx);
        return;
    }
    if (ui::begin_floating(ctx, ctx.text.label("notes.form"), draft.open, {.size = {32, 0}, .least = {16, 8}})) {
        if (draft.appear) {
            ImGui::SetWindowFocus();
        }
        draw_fields(ctx, draft);
        watch(ctx, draft);
        draw_buttons(ctx, draft);
    }
    ImGui::End();
    if (!draft.open) {
        draft = {};  // closed by its cross or a button: what was typed is given up
    }
}

void NotesPanel::watch(Context& ctx, const ui::NoteDraft& draft) {
    if (!(watched_ == draft.on) || watched_number_ != draft.number) {
        watch_.reset(ctx);  // another note under the same form
        watched_ = draft.on;
        watched_number_ = draft.number;
    }
    watch_.follow(ctx, {{"text", draft.text}, {"author", ctx.coder}}, ui::form_field,
                  [](Context& there, const nlohmann::json& now) {
                      there.shared.get<ui::NoteDraft>().text = now.at("text");
                      there.coder = now.at("author");
                  });
}

void NotesPanel::draw_fields(Context& ctx, ui::NoteDraft& draft) {
    ui::text_wrapped(ui::note_place_text(ctx, draft.on), ctx.theme.text_dim);
    if (std::exchange(draft.appear, false)) {
        ImGui::SetKeyboardFocusHere();
    }
    ImGui::InputTextMultiline("###note.text", &draft.text, {-FLT_MIN, 7 * ImGui::GetTextLineHeight()},
                              ImGuiInputTextFlags_WordWrap);
    const std::string used =
        ctx.text.format("notes.bytes", {{"n", ctx.text.number(std::uint64_t{draft.text.size()})},
                                        {"most", ctx.text.number(std::uint64_t{history::kNoteBytes})}});
    ImGui::AlignTextToFramePadding();
    ui::text_colored(draft.text.size() > history::kNoteBytes ? ctx.theme.error : ctx.theme.text_dim, used);
    ui::flow(10 * ctx.em);
    ui::text_dim(ctx, ctx.text("notes.author"));
    ImGui::SameLine();
    ImGui::SetNextItemWidth(4 * ctx.em);
    ImGui::InputText("###note.author", &ctx.coder);
    ui::tooltip(ctx.text("notes.author.help"));
    const auto now = ctx.snapshot.notes->find(draft.number);
    if (draft.number != 0 && draft.sent == 0 &&
        (now == ctx.snapshot.notes->end() || now->second.revision != draft.revision)) {
        ui::text_wrapped(ctx.text("notes.changed_meanwhile"), ctx.theme.warning);
    }
    if (!draft.problem.empty()) {
        ui::text_wrapped(std::string(ui::icon::error) + " " + ctx.text.message(draft.problem), ctx.theme.error);
    }
}

void NotesPanel::draw_buttons(Context& ctx, ui::NoteDraft& draft) {
    const char* reason = ui::why_no_notes(ctx);
    const char* why_not = reason != nullptr ? reason : draft.sent != 0 ? "notes.saving" : nullptr;
    const char *save = ctx.text.label("notes.save"), *cancel = ctx.text.label("notes.cancel");
    bool wanted = ui::button(save, why_not == nullptr, why_not == nullptr ? "" : ctx.text(why_not));
    ui::tooltip(why_not == nullptr ? ctx.text("notes.save.help") : "");
    wanted = (why_not == nullptr && ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows) &&
              ImGui::IsKeyChordPressed(ImGuiMod_Ctrl | ImGuiKey_Enter)) ||
             wanted;
    if (wanted) {
        ui::send_note(ctx, draft);
    }
    ui::flow(ui::button_width(cancel));
    if (ui::button(cancel)) {
        draft.open = false;
    }
}

ui::PanelDescription describe_notes() {
    using ui::Place;
    const auto has_step = [](const Context& ctx) { return can_write(ctx) && selected_run(ctx) != nullptr; };
    return {.key = "notes",
            .make = ui::make_panel<NotesPanel>,
            .stands = {{"training", Place::lower, 4}, {"compare", Place::whole, 12}, {"probe", Place::whole, 12}},
            .commands = {{.key = "notes.step",
                          .menu = {"menu.edit", 1},
                          .shortcut = ImGuiMod_Ctrl | ImGuiKey_M,
                          .available = has_step},
                         {.key = "notes.session", .menu = {"menu.edit", 1}, .available = can_write}}};
}

}  // namespace moescope::panels
