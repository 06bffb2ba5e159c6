#include "panels/ui/notes.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <implot.h>
#include <map>
#include <utility>

#include "base/json_fields.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::ui {

namespace {

using history::Note;
using history::NotePlace;
using nlohmann::json;
using Kind = NotePlace::Kind;

constexpr std::string_view kFeature = "notes";  // of nodes that know the commands
constexpr std::size_t kShownInList = 60;        // bytes of a text or a name in one line
constexpr std::size_t kMostHints = 8;           // notes in one tooltip

/// "step 40", where the run is known anyway.
std::string short_place(const Language& text, const NotePlace& on) {
    const std::string key = std::string("undo.place.") + history::note_kind_name(on.kind);
    return on.kind == Kind::step    ? text.format(key, {{"step", text.number(on.step)}})
           : on.kind == Kind::token ? text.format(key, {{"token", text.number(on.token)}})
                                    : std::string(text(key));
}

std::string model_title(const Context& ctx, const std::string& model) {
    return ctx.text.message(history::model_sentence(model));
}

std::string answer_title(const Context& ctx, std::uint32_t run) {
    const auto found = ctx.snapshot.generations.find(run);
    if (found == ctx.snapshot.generations.end()) {
        return ctx.text.format("notes.run", {{"run", std::to_string(run)}});
    }
    return ctx.text.format(
        "notes.answer_of",
        {{"model", model_title(ctx, found->second->model)},
         {"prompt", panels::in_one_line(base::text_of(found->second->manifest, "prompt"), kShownInList)}});
}

/// Of a training, a reading or a probe run.
std::string run_name(const Context& ctx, std::uint32_t run) {
    const auto name_in = [&](const auto& runs) {
        const auto found = runs.find(run);
        return found == runs.end() ? std::string() : found->second->name;
    };
    const client::Snapshot& now = ctx.snapshot;
    for (const std::string& name :
         {name_in(now.training), name_in(now.imports), name_in(now.routes), name_in(now.probes)}) {
        if (!name.empty()) {
            return name;
        }
    }
    return ctx.text.format("notes.run", {{"run", std::to_string(run)}});
}

/// The revision that this window has made of each note last (Shared): several edits of the history may be of one note.
struct OwnRevisions {
    std::map<std::uint32_t, std::uint32_t> of;
};

/// What happened to a note: a text took the place of another one. No text: there was none.
class NoteEdit final : public Edit {
 public:
    NoteEdit(OwnRevisions& own, NotePlace on, std::uint32_t number, std::string before, std::string after)
        : own_(own), on_(std::move(on)), number_(number), before_(std::move(before)), after_(std::move(after)) {}

    std::string name(const Language& text) const override {
        const char* key = before_.empty() ? "undo.note.add" : after_.empty() ? "undo.note.remove" : "undo.note.change";
        return text.format(key, {{"place", short_place(text, on_)}});
    }
    Outcome undo(Context& ctx) override { return set(ctx, after_, before_); }
    Outcome redo(Context& ctx) override { return set(ctx, before_, after_); }
    void answered(Way way, const json& value) override {
        (void)way;
        number_ = static_cast<std::uint32_t>(base::count_of(value, "note"));
        own_.of[number_] = static_cast<std::uint32_t>(base::count_of(value, "revision"));
    }

 private:
    Outcome set(Context& ctx, const std::string& is, const std::string& text) const {
        if (const char* reason = why_no_notes(ctx)) {
            return {.refused = ctx.text(reason)};
        }
        const std::uint32_t revision = own_.of[number_];
        const auto now = ctx.snapshot.notes->find(number_);
        // Also where this window has changed since what somebody else has: their text is not to be lost with ours.
        if (now != ctx.snapshot.notes->end() &&
            (now->second.revision > revision || (now->second.revision == revision && now->second.text != is))) {
            return {.refused = ctx.text.format("undo.note.changed", {{"place", short_place(ctx.text, on_)}})};
        }
        // The node compares the revisions, too: it knows of a change before the window does.
        json parameters = {{"note", number_}, {"revision", revision}, {"author", ctx.coder}};
        if (text.empty()) {
            return {.sent = {ctx.client.send("notes.remove", std::move(parameters))}};
        }
        parameters["text"] = text;
        return {.sent = {ctx.client.send("notes.edit", std::move(parameters))}};
    }

    OwnRevisions& own_;
    NotePlace on_;
    std::uint32_t number_;
    std::string before_, after_;
};

void sent(Context& ctx, const NotePlace& on, std::uint32_t number, const std::string& before, const std::string& after,
          client::CommandId command) {
    ctx.shared.get<UndoHistory>().add(
        std::make_unique<NoteEdit>(ctx.shared.get<OwnRevisions>(), on, number, before, after), {command});
}

/// False, and says so, while something else is typed and not saved.
bool is_free(Context& ctx, NoteDraft& draft, const NotePlace& on, std::uint32_t number) {
    if (draft.open && draft.text != draft.before && !(draft.on == on && draft.number == number)) {
        draft.appear = true;
        ctx.notify(ctx.text("notes.open_first"), false);
        return false;
    }
    return true;
}

void add_hint(const Context& ctx, std::string& hint, std::size_t number, const Note& note) {
    if (number < kMostHints) {
        hint += (hint.empty() ? "" : "\n\n") + note_text(ctx, note);
    } else if (number == kMostHints) {
        hint += "\n\n\u2026";
    }
}

}  // namespace

const char* why_no_notes(const Context& ctx) {
    if (!ctx.connected()) {
        return "runs.offline";
    }
    if (ctx.snapshot.node.read_only) {
        return "notes.read_only";
    }
    return ctx.snapshot.link.features.find(kFeature) == std::string::npos ? "notes.old_node" : nullptr;
}

void write_note(Context& ctx, const NotePlace& on) {
    auto& draft = ctx.shared.get<NoteDraft>();
    if (is_free(ctx, draft, on, 0) && !(draft.open && draft.on == on && draft.number == 0)) {
        draft = {.open = true, .appear = true, .on = on};
    }
}

void change_note(Context& ctx, const Note& note) {
    auto& draft = ctx.shared.get<NoteDraft>();
    if (is_free(ctx, draft, note.on, note.number) && !(draft.open && draft.number == note.number)) {
        draft = {.open = true,
                 .appear = true,
                 .on = note.on,
                 .number = note.number,
                 .revision = note.revision,
                 .text = note.text,
                 .before = note.text};
    }
}

void remove_note(Context& ctx, const Note& note) {
    sent(ctx, note.on, note.number, note.text, "",
         ctx.client.send("notes.remove", {{"note", note.number}, {"revision", note.revision}, {"author", ctx.coder}}));
}

void send_note(Context& ctx, NoteDraft& draft) {
    draft.problem = history::note_text_problem(draft.text);
    if (!draft.problem.empty()) {
        return;
    }
    if (draft.number != 0 && draft.text == draft.before) {
        draft.open = false;
        return;
    }
    draft.sent =
        draft.number == 0
            ? ctx.client.send("notes.add",
                              {{"on", history::to_json(draft.on)}, {"text", draft.text}, {"author", ctx.coder}})
            : ctx.client.send(
                  "notes.edit",
                  {{"note", draft.number}, {"revision", draft.revision}, {"text", draft.text}, {"author", ctx.coder}});
    sent(ctx, draft.on, draft.number, draft.before, draft.text, draft.sent);
}

std::vector<const Note*> notes_on(const client::Snapshot& snapshot, const NotePlace& on) {
    std::vector<const Note*> found;
    for (const auto& [number, note] : *snapshot.notes) {
        if (note.on == on) {
            found.push_back(&note);
        }
    }
    return found;
}

std::string note_place_text(const Context& ctx, const NotePlace& on) {
    const Language& text = ctx.text;
    switch (on.kind) {
        case Kind::session:
            break;
        case Kind::step:
            return text.format("notes.place.step", {{"run", run_name(ctx, on.run)}, {"step", text.number(on.step)}});
        case Kind::token: {
            const bool answer = ctx.snapshot.generations.contains(on.run);
            return text.format("notes.place.token",
                               {{"run", answer ? answer_title(ctx, on.run) : run_name(ctx, on.run)},
                                {"token", text.number(on.token)}});
        }
        case Kind::answer:
            if (on.item.empty()) {
                return answer_title(ctx, on.run);
            }
            return text.format("notes.place.probe", {{"run", run_name(ctx, on.run)},
                                                     {"item", panels::in_one_line(on.item, kShownInList)},
                                                     {"model", model_title(ctx, on.model)},
                                                     {"language", text.named("probe.language.", on.language)},
                                                     {"draw", std::to_string(on.draw + 1)}});
    }
    return text("notes.place.session");
}

std::string note_author_text(const Context& ctx, const Note& note) {
    const std::string role = note.role.empty() ? "" : ctx.text.named("notes.role.", note.role);
    std::string who = panels::displayable(note.author);
    if (!role.empty()) {
        who = who.empty() ? role : who + in_brackets(ctx.text, role);
    }
    who += (who.empty() ? "" : ctx.text("common.comma")) + moment_text(note.changed_ns);
    if (note.changed_ns != note.created_ns) {
        who += ctx.text("common.comma") + std::string(ctx.text("notes.changed"));
    }
    return who;
}

std::string note_text(const Context& ctx, const Note& note) {
    return std::string(icon::note) + " " + panels::displayable(note.text) + "\n" + note_author_text(ctx, note);
}

void show_noted(Context& ctx, const NotePlace& on) {
    Selection& selection = ctx.selection;
    switch (on.kind) {
        case Kind::session:
            return;
        case Kind::step: {
            if (ctx.snapshot.imports.contains(on.run)) {
                return ctx.show_panel("overlay");  // the only place where it is drawn by itself
            }
            const auto step = static_cast<double>(on.step);
            selection.training_run = on.run;
            selection.pinned_step = on.step;
            if (step < selection.step_min || step > selection.step_max) {
                const double half = (selection.step_max - selection.step_min) / 2;
                selection.step_min = std::max(0.0, step - half);
                selection.step_max = selection.step_min + 2 * half;
                selection.follow = false;
            }
            return ctx.show_panel("training");
        }
        case Kind::token:
            selection.routing_run = on.run;
            selection.routing_token = static_cast<std::int64_t>(on.token);
            return ctx.show_panel("routing");
        case Kind::answer:
            if (on.item.empty()) {
                selection.generation = on.run;
                return ctx.show_panel("compare");
            }
            selection.probe_run = on.run;
            selection.probe_answer = on;
            return ctx.show_panel("probe");
    }
}

void note_menu(Context& ctx, const NotePlace& on, double reach) {
    ImGui::PushID("notes");
    const char* reason = why_no_notes(ctx);
    const std::string label =
        ctx.text.format("notes.menu.write", {{"place", short_place(ctx.text, on)}}) + "###note.write";
    if (ImGui::MenuItem(label.c_str(), nullptr, false, reason == nullptr)) {
        write_note(ctx, on);
    }
    tooltip(ctx.text(reason == nullptr ? "notes.menu.write.help" : reason));
    std::vector<const Note*> there = notes_on(ctx.snapshot, on);
    for (const auto& [number, note] : *ctx.snapshot.notes) {
        const double away = std::abs(static_cast<double>(note.on.step) - static_cast<double>(on.step));
        if (on.kind == Kind::step && note.on.kind == Kind::step && note.on.run == on.run && away > 0 && away <= reach &&
            there.size() < kMostHints) {
            there.push_back(&note);
        }
    }
    for (const Note* note : there) {
        const std::string item = std::string(icon::note) + " " + panels::in_one_line(note->text, kShownInList) +
                                 "###note" + std::to_string(note->number);
        if (ImGui::MenuItem(item.c_str(), nullptr, false, reason == nullptr)) {
            change_note(ctx, *note);
        }
        if (tooltip_due()) {
            tooltip(note_text(ctx, *note));
        }
    }
    ImGui::PopID();
}

float note_button_width() {
    return button_width(icon::note);
}

void note_button(Context& ctx, const char* id, const NotePlace& on) {
    const std::vector<const Note*> notes = notes_on(ctx.snapshot, on);
    const char* reason = why_no_notes(ctx);
    ImGui::PushID(id);
    if (!notes.empty()) {
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.accent);
    }
    const bool clicked = button((std::string(icon::note) + "###note.here").c_str(), !notes.empty() || reason == nullptr,
                                ctx.text(reason == nullptr ? "notes.write_here" : reason));
    if (!notes.empty()) {
        ImGui::PopStyleColor();
    }
    if (tooltip_due()) {
        std::string hint;
        for (std::size_t i = 0; i < notes.size(); ++i) {
            add_hint(ctx, hint, i, *notes[i]);
        }
        tooltip(hint.empty() ? std::string(ctx.text("notes.write_here")) : hint);
    }
    if (clicked && notes.empty()) {
        write_note(ctx, on);
    } else if (clicked) {
        ImGui::OpenPopup("###note.menu");
    }
    if (ImGui::BeginPopup("###note.menu")) {
        note_menu(ctx, on);
        ImGui::EndPopup();
    }
    ImGui::PopID();
}

void draw_step_notes(const Context& ctx, std::span<const NotedRun> runs) {
    struct Mark {
        float x;
        const Note* note;
        const NotedRun* run;
    };
    const ImVec2 origin = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize(), mouse = ImGui::GetMousePos();
    const ImPlotRect limits = ImPlot::GetPlotLimits();
    const bool hovered = ImPlot::IsPlotHovered();
    const float letters = 0.8f * ctx.em, reach = 0.4f * ctx.em;
    const float half = ImGui::CalcTextSize(icon::note).x * letters / ImGui::GetFontSize() / 2;
    std::vector<Mark> seen;
    for (const NotedRun& run : runs) {
        for (const auto& [number, note] : *run.notes) {
            const auto step = static_cast<double>(note.on.step);
            if (note.on.kind == Kind::step && note.on.run == run.run && step >= limits.X.Min && step <= limits.X.Max) {
                seen.push_back({ImPlot::PlotToPixels(step, limits.Y.Min).x, &note, &run});
            }
        }
    }
    if (seen.empty()) {
        return;
    }
    std::stable_sort(seen.begin(), seen.end(), [](const Mark& a, const Mark& b) { return a.x < b.x; });
    std::string hint;
    std::size_t hints = 0;
    float free_x = -1e30f;  // a mark is left out where it would cover the one before
    ImPlot::PushPlotClipRect();
    ImDrawList& draw = *ImPlot::GetPlotDrawList();
    for (const auto& [x, note, run] : seen) {
        if (hovered && std::abs(mouse.x - x) < reach) {
            if (!run->label.empty() && hints < kMostHints) {
                hint += (hint.empty() ? "" : "\n\n") + run->label + "\n" + note_text(ctx, *note);
                ++hints;
            } else {
                add_hint(ctx, hint, hints++, *note);
            }
        }
        const float bottom = origin.y + size.y;
        draw.AddLine({x, bottom - 1.3f * ctx.em}, {x, bottom}, run->ink, std::max(1.0f, ctx.em / 12));
        if (x - half > free_x) {
            draw.AddText(ImGui::GetFont(), letters, {x - half, bottom - 2.2f * ctx.em}, run->ink, icon::note);
            free_x = x + half;
        }
    }
    ImPlot::PopPlotClipRect();
    if (!hint.empty() && begin_tooltip()) {
        ImGui::TextUnformatted(hint.c_str());
        ImGui::EndTooltip();
    }
}

void draw_step_notes(const Context& ctx, std::uint32_t run) {
    const NotedRun alone{.notes = ctx.snapshot.notes.get(), .run = run, .ink = ImGui::GetColorU32(ctx.theme.accent)};
    draw_step_notes(ctx, {&alone, 1});
}

std::string step_notes_text(const Context& ctx, std::uint32_t run, double first, double last) {
    std::string texts;
    std::size_t count = 0;
    for (const auto& [number, note] : *ctx.snapshot.notes) {
        const auto step = static_cast<double>(note.on.step);
        if (note.on.kind == Kind::step && note.on.run == run && step >= first && step <= last) {
            add_hint(ctx, texts, count++, note);
        }
    }
    return texts;
}

}  // namespace moescope::ui
