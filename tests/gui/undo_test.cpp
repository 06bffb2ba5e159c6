// What a person edits is taken back, form by form: with the keyboard and the mouse, each edit one step, in the session
// and the form in which it was made.
#include <algorithm>
#include <filesystem>
#include <imgui_internal.h>
#include <string>
#include <vector>

#include "panels/runs/run_tools.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;

std::string item(const char* panel, const char* id) {
    return std::string("//###panel.") + panel + "/**/###" + id;
}

bool open(Harness& h, ImGuiTestContext* ctx, const char* name, const std::string& runs) {
    const fs::path folder = h.folder() / name;
    WrittenSession(folder, name, 5).write(runs);
    return h.open_session(ctx, folder, [&] { return runs.empty() || !h.snapshot().training.empty(); });
}

/// "Undo: steps: 200 → 400"
std::string next(const Harness& h, const char* command = "edit.undo") {
    auto& workbench = const_cast<Harness&>(h).workbench();
    const app::Command& found = *workbench.commands().find(command);
    return found.available() ? app::command_title(workbench.text(), found) : "";
}

/// Leaves the field that has the keyboard, without touching another one.
void leave(ImGuiTestContext* ctx) {
    ctx->KeyPress(ImGuiKey_Tab);
    ctx->Yield(3);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(3);
}

void step(Harness& h, ImGuiTestContext* ctx, const char* command) {
    h.workbench().command(command);
    ctx->Yield(3);
}

/// What stands in a field, without white space.
std::string text_of(Harness& h, ImGuiTestContext* ctx, const std::string& ref) {
    const ImRect field = ctx->ItemInfo(ref.c_str()).RectFull;
    std::string text;
    if (field.GetHeight() < 1.5f * ImGui::GetFrameHeight()) {
        text = squeezed(ctx->ItemReadAsString(ref.c_str()));
        ctx->KeyPress(ImGuiKey_Escape);  // reading opens the field
        ctx->Yield(3);
        return text;
    }
    for (const ScreenLine& line : h.screen(ctx)) {
        text += line.window.starts_with("panel.") && field.Contains(line.middle()) ? squeezed(line.text) : "";
    }
    return text;
}

/// All that stands in a field and beside it in the same line, without white space.
std::string around(Harness& h, ImGuiTestContext* ctx, const std::string& ref) {
    const ImRect field = ctx->ItemInfo(ref.c_str()).RectFull;
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        text += line.window.starts_with("panel.") && field.Overlaps({line.min, line.max}) ? squeezed(line.text) : "";
    }
    return text;
}

bool checked(ImGuiTestContext* ctx, const std::string& ref) {
    return (ctx->ItemInfo(ref.c_str()).StatusFlags & ImGuiItemStatusFlags_Checked) != 0;
}

/// A form, and what stands for its fields in a test: each is edited and taken back.
struct Field {
    const char* id;
    const char* typed;  ///< null: a box to tick
    const char* named;  ///< how the menu calls it
};
struct Form {
    const char *layout, *panel;
    std::vector<const char*> before;  ///< clicked first, to get there
    std::vector<Field> fields;
};

const std::vector<Form>& forms() {
    static const std::vector<Form> all = {
        {"compare",
         "compare",
         {"###compare.sampled"},
         {{"compare.prompt", "Why?", "prompt"},
          {"compare.max_tokens", "77", "longest answer"},
          {"compare.temperature", "0.5", "temperature"},
          {"compare.top_k", "7", "top k"},
          {"compare.top_p", "0.5", "top p"},
          {"compare.min_p", "0.25", "min p"},
          {"compare.seed", "31", "seed"},
          {"compare.alternatives", "3", "alternatives"},
          {"compare.chat", nullptr, "chat template"}}},
        {"routing",
         "change",
         {},
         {{"change.prompt", "Why?", "prompt"},
          {"compare.max_tokens", "77", "longest answer"},
          {"compare.seed", "31", "seed"},
          {"change.controls", "5", "controls"},
          {"compare.chat", nullptr, "chat template"},
          {"change.name", "mine", "name"},
          {"change.layers", "1-2", "layers"},
          {"change.experts", "3", "experts"}}},
        {"routing",
         "change",
         {"###change.part.sweep", "###sweep.own"},
         {{"sweep.layer", "3", "layer"}, {"sweep.texts", "a text", "texts"}}},
        {"probe",
         "probe",
         {},
         {{"probe.draws", "3", "draws"},
          {"probe.max_tokens", "99", "longest answer"},
          {"compare.chat", nullptr, "chat template"}}},
        {"training",
         "placement",
         {},
         {{"placement.devices", "2", "devices"}, {"placement.nodes", "2", "nodes"}, {"placement.extra", "8", "extra"}}},
        {"training", "models", {}, {{"models.path", "/no/where", "path"}}},
        {"routing",
         "routing",
         {},
         {{"routing.read.text", "a text", "text"},
          {"routing.read.chat", nullptr, "chat template"},
          {"routing.read.scores", nullptr, "scores"}}}};
    return all;
}

void every_form(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, "undo-forms", "T"));
    for (const Form& form : forms()) {
        h.workbench().set_layout(form.layout);
        h.workbench().show_panel(form.panel);
        ctx->Yield(8);
        for (const char* button : form.before) {
            ctx->ItemClick((std::string("//###panel.") + form.panel + "/**/" + button).c_str());
            ctx->Yield(3);
        }
        for (const Field& field : form.fields) {
            const std::string ref = item(form.panel, field.id);
            const std::string before = next(h), was = around(h, ctx, ref);
            if (field.typed == nullptr) {
                ctx->ItemClick(ref.c_str());
                ctx->MouseMoveToPos({2, 2});
            } else {
                // Another value than the one that a test before this has left.
                std::string typed = field.typed;
                if (const std::string stands = squeezed(typed);
                    was.size() >= stands.size() &&
                    was.compare(was.size() - stands.size(), stands.size(), stands) == 0) {
                    typed.back() = typed.back() == '2' ? '1' : '2';
                }
                ctx->ItemInput(ref.c_str());
                ctx->KeyCharsReplace(typed.c_str());
                leave(ctx);
            }
            ctx->Yield(3);
            if (next(h).find(std::string("Undo: ") + field.named) != 0) {
                IM_ERRORF("after %s of %s stands \"%s\"", field.id, form.panel, next(h).c_str());
                return;
            }
            const bool box = field.typed == nullptr, ticked = box && checked(ctx, ref);
            const std::string is = around(h, ctx, ref);
            IM_CHECK(box || is != was);
            step(h, ctx, "edit.undo");
            IM_CHECK_STR_EQ(around(h, ctx, ref).c_str(), was.c_str());
            IM_CHECK(!box || checked(ctx, ref) != ticked);
            IM_CHECK_STR_EQ(next(h).c_str(), before.c_str());
            step(h, ctx, "edit.redo");
            IM_CHECK_STR_EQ(around(h, ctx, ref).c_str(), is.c_str());
            IM_CHECK(!box || checked(ctx, ref) == ticked);
            step(h, ctx, "edit.undo");
        }
    }
    h.workbench().set_layout("training");
}

/// What is typed is one step, the button that is pressed straight behind it is the next one.
void typing_and_buttons(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, "undo-typing", "T"));
    h.workbench().set_layout("compare");
    h.workbench().show_panel("compare");
    ctx->Yield(8);
    const std::string prompt = item("compare", "compare.prompt");
    ctx->ItemClick(item("compare", "compare.greedy").c_str());
    const std::string first = text_of(h, ctx, prompt);
    ctx->ItemInput(prompt.c_str());
    ctx->KeyCharsReplace("one two three");
    ctx->ItemClick("//###panel.compare/**/###compare.sampled");  // with the keyboard still in the field
    ctx->Yield(4);
    const std::string temperature = item("compare", "compare.temperature");
    IM_CHECK(ctx->ItemExists(temperature.c_str()));
    IM_CHECK_STR_EQ(next(h).c_str(), "Undo: sampling: no → yes");
    step(h, ctx, "edit.undo");
    IM_CHECK(!ctx->ItemExists(temperature.c_str()));
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), "onetwothree");
    IM_CHECK(next(h).starts_with("Undo: prompt"));
    step(h, ctx, "edit.undo");
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), first.c_str());
    step(h, ctx, "edit.redo");
    step(h, ctx, "edit.redo");
    IM_CHECK(ctx->ItemExists(temperature.c_str()));
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), "onetwothree");
    // A step takes back its own field and no other one: what the program has written meanwhile stays.
    step(h, ctx, "edit.undo");
    IM_CHECK(h.workbench().command("compare.max_tokens=55"));
    ctx->Yield(3);
    step(h, ctx, "edit.undo");
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), first.c_str());
    IM_CHECK_STR_EQ(text_of(h, ctx, item("compare", "compare.max_tokens")).c_str(), "55");
    h.workbench().set_layout("training");
}

/// Another panel, another session in front: the step that is taken back is that of the session in front, and a form
/// that nobody sees is told of.
void panels_and_tabs(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, "undo-first", "T"));
    const std::string prompt = item("compare", "compare.prompt");
    const auto type = [&](const char* text) {
        h.workbench().set_layout("compare");
        h.workbench().show_panel("compare");
        ctx->Yield(8);
        ctx->ItemInput(prompt.c_str());
        ctx->KeyCharsReplace(text);
        leave(ctx);
    };
    type("of the first");
    const std::uint64_t first = h.workbench().sessions().front()->id;
    const fs::path other = h.folder() / "undo-second";
    WrittenSession(other, "undo-second", 6).write("T");
    h.workbench().open_session(other);
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.workbench().session() == other && h.snapshot().link.state == client::Link::State::connected &&
               !h.snapshot().training.empty();
    }));
    IM_CHECK_STR_EQ(next(h).c_str(), "");
    type("of the second");
    const std::string second_before = next(h);
    IM_CHECK(second_before.find("of the second") != std::string::npos);
    h.workbench().show_session(first);
    ctx->Yield(6);
    IM_CHECK(next(h).find("of the first") != std::string::npos);
    // In front of another panel.
    h.workbench().show_panel("models");
    ctx->Yield(6);
    const std::uint64_t told = h.workbench().notices().count();
    step(h, ctx, "edit.undo");
    IM_CHECK_GT(h.workbench().notices().count(), told);
    IM_CHECK_STR_EQ(next(h).c_str(), "");
    h.workbench().show_panel("compare");
    ctx->Yield(6);
    IM_CHECK(text_of(h, ctx, prompt) != "ofthefirst");
    step(h, ctx, "edit.redo");
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), "ofthefirst");
    h.workbench().step_session(1);
    ctx->Yield(6);
    h.workbench().show_panel("compare");
    ctx->Yield(6);
    IM_CHECK_STR_EQ(text_of(h, ctx, prompt).c_str(), "ofthesecond");
    IM_CHECK_STR_EQ(next(h).c_str(), second_before.c_str());
    IM_CHECK(h.close_others(ctx));
    h.workbench().set_layout("training");
}

/// Right behind the node's answer, when the record of the change may still be on its way.
void an_expert_at_once(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
    h.ensure_training(ctx);
    h.workbench().show_panel("expert_load");
    const app::Command& undo = *h.workbench().commands().find("edit.undo");
    const auto all_work = [&] {
        const auto states = panels::expert_states(h.snapshot(), h.training());
        return std::none_of(states.begin(), states.end(), [](const auto& one) { return one.disabled || one.frozen; });
    };
    for (int i = 0; i < 8; ++i) {
        IM_CHECK(h.wait(ctx, 60, [&] { return !h.training().counts.empty() && all_work(); }));
        IM_CHECK(h.wait(ctx, 20, [&] { return ctx->ItemExists("//###panel.expert_load/**/###load.cells"); }));
        const ImRect map = ctx->ItemInfo("//###panel.expert_load/**/###load.cells").RectFull;
        const std::string before = next(h);
        ctx->MouseMoveToPos(ImLerp(map.Min, map.Max, ImVec2(0.1f, 0.9f)));
        ctx->MouseClick(ImGuiMouseButton_Right);
        ctx->Yield(2);
        ctx->ItemClick("//$FOCUSED/###load.expert.freeze");
        IM_CHECK(h.wait(ctx, 60, [&] {
            if (undo.available() && next(h) != before) {
                h.workbench().command("edit.undo");  // in the frame in which the answer is there
                return true;
            }
            return false;
        }));
        for (const app::Notice& notice : h.workbench().notices().list()) {
            IM_CHECK(notice.text.english().find("Somebody has changed this expert") == std::string::npos);
        }
        IM_CHECK(
            h.wait(ctx, 60, [&] { return h.workbench().commands().find("edit.redo")->available() && all_work(); }));
    }
    h.workbench().command("run.stop");
}

}  // namespace

void register_undo(Harness& harness) {
    const auto add = [&harness](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("undo", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("every field of every form is taken back and done again", every_form);
    add("typing is one step, the button behind it another", typing_and_buttons);
    add("after a change of panel or session the right step is taken back", panels_and_tabs);
    add("an expert is taken back right behind the answer", an_expert_at_once);
}

}  // namespace moescope::gui_test
