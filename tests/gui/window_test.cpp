// What stands above the panels: menus, forms, the palette, the file dialog, and what becomes of work when a person
// leaves. Pictures of panels.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "tests/files.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/png_reader.hpp"
#include "tests/gui/trained_model.hpp"

namespace moescope::gui_test {
namespace {

using history::RunState;
namespace fs = std::filesystem;

bool is_open(ImGuiTestContext* ctx, const char* window) {
    const ImGuiWindow* found = ctx->GetWindowByRef(window);
    return found != nullptr && found->Active;
}

int popups() {
    return ImGui::GetCurrentContext()->OpenPopupStack.Size;
}

void escape(ImGuiTestContext* ctx) {
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(3);
}

constexpr auto read_file = test::read_text;

/// The file dialog is open and has read its folder.
bool dialog_ready(Harness& h, ImGuiTestContext* ctx) {
    return h.wait(ctx, 20, [&] { return is_open(ctx, "//###files") && !h.workbench().dialogs().reading(); });
}

/// Types into the name field and confirms.
void name_file(ImGuiTestContext* ctx, const std::string& name) {
    ctx->ItemInput("//###files/###files.name_input");
    ctx->KeyCharsReplaceEnter(name.c_str());
    ctx->Yield(2);
}

void list_has_focus(ImGuiTestContext* ctx) {
    ImGui::FocusWindow(ctx->WindowInfo("//###files/###files.list").Window);
    ctx->Yield(2);
}

void open_form(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("runs.new");
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###runs.form"));
}

/// A menu, a list and the palette above the form: each goes alone, the form last.
void escape_above_the_form(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    ctx->ItemClick("//##MainMenuBar/##MenuBar/###menu.help");
    IM_CHECK_EQ(popups(), 1);
    escape(ctx);
    IM_CHECK_EQ(popups(), 0);
    IM_CHECK(is_open(ctx, "//###runs.form"));
    ctx->ItemClick("//###runs.form/head/###runs.preset");
    IM_CHECK_EQ(popups(), 1);
    escape(ctx);
    IM_CHECK_EQ(popups(), 0);
    IM_CHECK(is_open(ctx, "//###runs.form"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###palette"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###palette"));
    IM_CHECK(is_open(ctx, "//###runs.form"));
    // An edit ends first, and the form stays.
    ctx->ItemInput("//###runs.form/head/###runs.name");
    ctx->KeyChars("x");
    escape(ctx);
    IM_CHECK(is_open(ctx, "//###runs.form"));
    IM_CHECK_EQ(ImGui::GetCurrentContext()->ActiveId, 0u);
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###runs.form"));
}

/// The file dialog above the form, its question and its new folder above the dialog.
void escape_above_the_dialog(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    ctx->ItemClick("//###runs.form/head/###runs.data.choose");
    IM_CHECK(dialog_ready(h, ctx));
    ctx->ItemClick("//###files/###files.places");
    IM_CHECK_EQ(popups(), 1);
    escape(ctx);
    IM_CHECK_EQ(popups(), 0);
    IM_CHECK(is_open(ctx, "//###files"));
    ctx->ItemClick("//###files/###files.new_folder");
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists("//###files/###files.new_name"));
    escape(ctx);
    IM_CHECK(!ctx->ItemExists("//###files/###files.new_name"));
    IM_CHECK(is_open(ctx, "//###files"));
    ctx->ItemInput("//###files/###files.name_input");
    escape(ctx);  // a dialog goes at once, whatever field has the keyboard
    IM_CHECK(!is_open(ctx, "//###files"));
    IM_CHECK(is_open(ctx, "//###runs.form"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###runs.form"));
}

/// The selection goes last of all, and a context menu or a list of messages does not take it along.
void escape_and_the_selection(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    h.workbench().show_panel("expert_load");
    ctx->Yield(3);
    h.workbench().selection().layer = 1;
    h.workbench().selection().expert = 2;
    h.workbench().command("help.messages");
    ctx->Yield(3);
    ctx->ItemClick("//###panel.expert_load/**/###load.menu");  // above the list of messages
    ctx->Yield(2);
    IM_CHECK_EQ(popups(), 1);
    escape(ctx);
    IM_CHECK_EQ(popups(), 0);
    IM_CHECK(is_open(ctx, "//###window.notices"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###window.notices"));
    IM_CHECK_EQ(h.workbench().selection().expert, 2);
    escape(ctx);
    IM_CHECK_EQ(h.workbench().selection().expert, -1);
    // The context menu of the map, too.
    h.workbench().selection().expert = 2;
    const ImRect map = ctx->ItemInfo("//###panel.expert_load/**/###load.cells").RectFull;
    ctx->MouseMoveToPos(map.GetCenter());
    ctx->MouseClick(ImGuiMouseButton_Right);
    ctx->Yield(2);
    IM_CHECK_EQ(popups(), 1);
    escape(ctx);
    IM_CHECK_EQ(popups(), 0);
    IM_CHECK_EQ(h.workbench().selection().expert, 2);
    h.workbench().command("help.welcome");
    ctx->Yield(3);
    IM_CHECK(h.workbench().welcome_visible());
    escape(ctx);
    IM_CHECK(!h.workbench().welcome_visible());
    IM_CHECK_EQ(h.workbench().selection().expert, 2);
    h.workbench().command("view.clear_selection");
}

std::uint32_t rgb(ImVec4 color) {
    const ImU32 packed = ImGui::ColorConvertFloat4ToU32(color);
    return (packed & 255) << 16 | (packed >> 8 & 255) << 8 | (packed >> 16 & 255);
}

/// Saved under this name by the open menu's item; nothing when it is no such picture.
std::optional<Picture> saved_picture(Harness& h, ImGuiTestContext* ctx, const std::string& name) {
    ctx->ItemClick("//$FOCUSED/###training.menu.png");
    const fs::path file = h.folder() / name;
    if (!dialog_ready(h, ctx)) {
        return {};
    }
    name_file(ctx, file.string());
    if (!h.wait(ctx, 20, [&] {
            return !h.workbench().notices().list().empty() && h.workbench().notices().list().back().file == file;
        })) {
        return {};
    }
    return read_png(read_file(file));
}

/// What is in the file is what was on the screen: the curve, the ground, the letters; as large as the part shown.
void pictures(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    IM_CHECK(h.wait(ctx, 120, [&] { return h.training().step.size() >= 12; }));
    h.workbench().command("run.pause");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.training().state == RunState::paused; }));
    ctx->ItemClick("//###panel.training/**/training.loss/###title");
    ctx->Yield(2);
    const auto plot = saved_picture(h, ctx, "loss.png");
    IM_CHECK(plot.has_value());
    const ImGuiWindow* panel = ctx->GetWindowByRef("//###panel.training");
    IM_CHECK_GT(plot->width, 200);
    IM_CHECK_LT(plot->width, static_cast<int>(panel->Size.x));
    IM_CHECK_GT(plot->height, 80);
    IM_CHECK_LT(plot->height, static_cast<int>(panel->Size.y));
    const ui::Theme theme = ui::make_theme(h.workbench().settings().dark);
    IM_CHECK_GT(plot->colors().size(), std::size_t{60});
    IM_CHECK_GT(plot->like(rgb(theme.accent), 40), 30);
    IM_CHECK_GT(plot->like(rgb(theme.text), 60), 20);
    IM_CHECK_LT(plot->like(0, 0), plot->width * plot->height / 100);

    h.workbench().show_panel("expert_load");
    ctx->Yield(3);
    ctx->ItemClick("//###panel.expert_load/**/###load.menu");
    ctx->Yield(2);
    const ImGuiWindow* load = ctx->GetWindowByRef("//###panel.expert_load");
    const auto map = saved_picture(h, ctx, "map.png");
    IM_CHECK(map.has_value());
    // The panel's content, without the tabs above it.
    IM_CHECK_LT(std::abs(map->width - static_cast<int>(load->InnerRect.GetWidth())), 2);
    IM_CHECK_LT(std::abs(map->height - static_cast<int>(load->InnerRect.GetHeight())), 2);
    IM_CHECK_GT(load->Size.y - load->InnerRect.GetHeight(), ImGui::GetFontSize());
    // Dark cells for little load, bright ones for much; the dialog above is not in it.
    IM_CHECK_GT(map->colors().size(), std::size_t{60});
    IM_CHECK_GT(map->like(0x2c728e, 48), 200);
    IM_CHECK_LT(map->like(0, 0), map->width * map->height / 100);
}

/// Saving: proposed name, ending, question before overwriting, a new folder, the place remembered, where it went.
void save_dialog(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path folder = h.folder() / "saved";
    fs::create_directories(folder / "inner");
    std::ofstream(folder / "old.txt") << "old";
    std::ofstream(folder / ".hidden.txt") << "x";
    std::ofstream(folder / "picture.png") << "x";
    h.workbench().show_panel("log");
    ctx->Yield(3);
    const auto ask = [&] {
        ctx->ItemClick("//###panel.log/**/###log.save");
        return dialog_ready(h, ctx);
    };
    IM_CHECK(ask());
    // As large as it comes, whatever another test has left: in a low one the filter and the rest are in a menu.
    const float em = ImGui::GetFontSize();
    ImGui::SetWindowSize(ctx->GetWindowByRef("//###files"), {48 * em, 32 * em});
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists("//###files/###files.save"));
    IM_CHECK(!ctx->ItemExists("//###files/###files.open"));
    ctx->ItemInput("//###files/###files.path");
    ctx->KeyCharsReplaceEnter(folder.c_str());
    IM_CHECK(dialog_ready(h, ctx));
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.old.txt"); }));
    IM_CHECK(ctx->ItemExists("//###files/**/###entry.inner"));
    IM_CHECK(!ctx->ItemExists("//###files/**/###entry.picture.png"));  // another kind
    IM_CHECK(!ctx->ItemExists("//###files/**/###entry..hidden.txt"));
    ctx->ItemClick("//###files/###files.hidden");
    IM_CHECK(ctx->ItemExists("//###files/**/###entry..hidden.txt"));
    ctx->ItemClick("//###files/###files.hidden");
    // What exists is asked about, and stays when the answer is no.
    name_file(ctx, "old");
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/###files.overwrite"); }));
    escape(ctx);
    IM_CHECK(is_open(ctx, "//###files"));
    IM_CHECK(!ctx->ItemExists("//###files/###files.overwrite"));
    IM_CHECK_EQ(read_file(folder / "old.txt"), std::string("old"));
    name_file(ctx, "old.txt");
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/###files.overwrite"); }));
    ctx->ItemClick("//###files/###files.overwrite");
    IM_CHECK(h.wait(ctx, 20, [&] { return read_file(folder / "old.txt") != "old"; }));
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().notices().list().back().file == folder / "old.txt"; }));
    IM_CHECK(ctx->ItemExists("//###status/**/###notice.show"));
    // The next one begins there; a new folder is made and entered.
    IM_CHECK(ask());
    IM_CHECK(ctx->ItemExists("//###files/**/###entry.old.txt"));
    ctx->ItemClick("//###files/###files.new_folder");
    ctx->Yield(2);
    ctx->KeyChars("fresh");
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 10, [&] { return fs::is_directory(folder / "fresh"); }));
    IM_CHECK(dialog_ready(h, ctx));
    ctx->Yield(4);
    ctx->KeyPress(ImGuiKey_Enter);  // the proposed name, in the new folder
    IM_CHECK(h.wait(ctx, 20, [&] { return fs::exists(folder / "fresh" / "log.txt"); }));
    IM_CHECK(read_file(folder / "fresh" / "log.txt").find("node") != std::string::npos);
    IM_CHECK_EQ(h.workbench().settings().folders.last.at("save"), (folder / "fresh").string());
    // Neither pipes (and devices) nor folders that are not there.
    IM_CHECK_EQ(::mkfifo((folder / "pipe.txt").c_str(), 0600), 0);
    IM_CHECK(ask());
    name_file(ctx, (folder / "pipe.txt").string());
    ctx->Yield(10);
    IM_CHECK(is_open(ctx, "//###files"));
    name_file(ctx, (folder / "later" / "all.txt").string());
    ctx->Yield(10);
    IM_CHECK(is_open(ctx, "//###files"));
    // Mended elsewhere: Enter tries again.
    fs::create_directories(folder / "later");
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 20, [&] { return fs::exists(folder / "later" / "all.txt"); }));
    IM_CHECK(!is_open(ctx, "//###files"));
}

/// The keyboard alone: letters filter, arrows and Enter open, Backspace goes up.
void dialog_by_keys(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    const fs::path folder = h.folder() / "keys";
    for (const char* name : {"alpha", "beta", "gamma"}) {
        fs::create_directories(folder / name);
    }
    std::ofstream(folder / "beta" / "text.jsonl") << "{}";
    ctx->ItemClick("//###runs.form/head/###runs.data.choose");
    IM_CHECK(dialog_ready(h, ctx));
    IM_CHECK(ctx->ItemExists("//###files/###files.open"));
    IM_CHECK(!ctx->ItemExists("//###files/###files.save"));
    ctx->ItemInput("//###files/###files.path");
    ctx->KeyCharsReplaceEnter(folder.c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.gamma"); }));
    list_has_focus(ctx);
    ctx->KeyChars("eta");
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists("//###files/**/###entry.beta"));
    IM_CHECK(!ctx->ItemExists("//###files/**/###entry.gamma"));
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.text.jsonl"); }));
    ctx->KeyPress(ImGuiKey_Backspace);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.gamma"); }));
    ctx->KeyPress(ImGuiKey_DownArrow, 2);
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.text.jsonl"); }));
    ctx->KeyPress(ImGuiKey_DownArrow);
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 10, [&] { return !is_open(ctx, "//###files"); }));
    IM_CHECK_EQ(h.workbench().settings().folders.last.at("data"), (folder / "beta").string());
    ctx->ItemInput("//###runs.form/head/###runs.data");
    ctx->KeyCharsReplaceEnter("");
    ctx->ItemClick("//###runs.form/###runs.cancel");
}

/// What stands in the name field; nothing when it is empty.
std::string name_in_field(ImGuiTestContext* ctx) {
    ImGui::SetClipboardText("");
    ctx->ItemInput("//###files/###files.name_input");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
    ctx->KeyPress(ImGuiKey_Tab);  // Escape would close the dialog
    ctx->Yield(2);
    return ImGui::GetClipboardText();
}

/// A filter that nothing fits opens nothing, and the name of a folder does not stay when its folder is left.
void dialog_without_a_hit(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path session = h.workbench().session(), folder = h.folder() / "listed" / "hits";
    for (int i = 0; i < 40; ++i) {  // the folder that is left is seen in a long list
        fs::create_directories(h.folder() / "listed" / fmt::format("at-{:02}", i));
    }
    h.workbench().command("file.open_session");
    IM_CHECK(dialog_ready(h, ctx));
    // A new folder is entered; a path that is typed would be the answer.
    ctx->ItemClick("//###files/###files.new_folder");
    ctx->Yield(2);
    ctx->KeyCharsReplaceEnter(folder.c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return fs::is_directory(folder); }));
    IM_CHECK(dialog_ready(h, ctx));
    for (const char* name : {"alpha", "beta"}) {
        fs::create_directories(folder / name / "inner");
    }
    list_has_focus(ctx);
    ctx->KeyPress(ImGuiKey_Backspace);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.hits"); }));
    list_has_focus(ctx);
    ctx->KeyChars("hits");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.beta"); }));
    list_has_focus(ctx);
    const std::uint64_t told = h.workbench().notices().count();
    ctx->KeyChars("eta");  // one fits, and its name is taken along
    ctx->Yield(2);
    ctx->KeyChars("zz");  // and now none
    ctx->Yield(2);
    IM_CHECK(!ctx->ItemExists("//###files/**/###entry.beta"));
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(10);
    IM_CHECK(is_open(ctx, "//###files"));
    IM_CHECK_EQ(h.workbench().notices().count(), told);  // nothing was taken for a session
    IM_CHECK_EQ(name_in_field(ctx), std::string());
    list_has_focus(ctx);
    ctx->KeyPress(ImGuiKey_Backspace, 5);
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Home);
    IM_CHECK_EQ(name_in_field(ctx), std::string("alpha"));
    // Up, by the key and by the button: the name was one of the folder that is left.
    list_has_focus(ctx);
    ctx->KeyPress(ImGuiKey_Backspace);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.hits"); }));
    IM_CHECK_EQ(name_in_field(ctx), std::string());
    list_has_focus(ctx);
    ctx->KeyPress(ImGuiKey_DownArrow);
    ctx->ItemClick("//###files/###files.up");
    IM_CHECK(dialog_ready(h, ctx));
    IM_CHECK_EQ(name_in_field(ctx), std::string());
    escape(ctx);
    IM_CHECK_EQ(h.workbench().session(), session);
}

/// The mouse alone: a click takes a row, a double click goes into it, wherever in the row.
void dialog_by_mouse(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path folder = h.folder() / "mouse";
    fs::create_directories(folder / "alpha" / "inner");
    fs::create_directories(folder / "beta");
    h.workbench().command("file.open_session");
    IM_CHECK(dialog_ready(h, ctx));
    name_file(ctx, folder.string());
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.beta"); }));
    ctx->ItemClick("//###files/**/###entry.beta");
    IM_CHECK_EQ(name_in_field(ctx), std::string("beta"));
    ctx->ItemDoubleClick("//###files/**/###entry.alpha");
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.inner"); }));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###files"));
}

/// Whoever opened the dialog can type at once, wherever the command was given.
void dialog_has_the_keyboard(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "typed";
    fs::create_directories(folder / "alpha");
    fs::create_directories(folder / "beta");
    for (const char* from : {"key", "menu", "palette"}) {
        h.settle(ctx);
        if (from == std::string_view("key")) {
            ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_O);
        } else if (from == std::string_view("menu")) {
            ctx->ItemClick("//##MainMenuBar/##MenuBar/###menu.file");
            ctx->ItemClick("//$FOCUSED/###file.open_session");
        } else {
            ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
            ctx->Yield(3);
            ctx->KeyChars("file.open_session");
            ctx->Yield(2);
            ctx->KeyPress(ImGuiKey_Enter);
        }
        IM_CHECK(dialog_ready(h, ctx));
        ctx->KeyChars((folder.string() + "/").c_str());
        ctx->KeyPress(ImGuiKey_Enter);
        IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###files/**/###entry.beta"); }));
        ctx->KeyChars("alp");
        ctx->Yield(2);
        IM_CHECK(!ctx->ItemExists("//###files/**/###entry.beta"));
        escape(ctx);
        IM_CHECK(!is_open(ctx, "//###files"));
    }
}

/// In a small window with the largest letters the buttons of the dialog are whole, and the list has room.
void dialog_in_a_small_window(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.platform().set_size(800, 520);
    h.workbench().set_text_scale(2.5f);
    ctx->Yield(4);
    h.workbench().command("file.open_session");
    IM_CHECK(dialog_ready(h, ctx));
    const ImGuiWindow* dialog = ctx->GetWindowByRef("//###files");
    for (const char* item : {"###files.open_folder", "###common.cancel", "###files.name_input", "###files.up"}) {
        const ImRect rect = ctx->ItemInfo((std::string("//###files/") + item).c_str()).RectFull;
        IM_CHECK(dialog->InnerRect.Contains(rect));
    }
    IM_CHECK_GT(ctx->WindowInfo("//###files/###files.list").Window->Size.y, 1.7f * ImGui::GetFontSize());
    // What has no room is in a menu.
    ctx->ItemClick("//###files/###files.view");
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists("//$FOCUSED/###files.hidden"));
    escape(ctx);
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###files"));
    h.workbench().set_text_scale(1);
    h.platform().set_size(1280, 720);
    ctx->Yield(4);
}

bool in_front(ImGuiTestContext* ctx, const char* panel) {
    const ImGuiWindow* window = ctx->GetWindowByRef(panel);
    return window != nullptr && window->Active && window->DockTabIsVisible;
}

/// A form, or a question for a file, that is closed again leaves everything where it was.
void back_from_a_form(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    for (const char* layout : {"compare", "training"}) {
        h.workbench().set_layout(layout);
        h.workbench().command("view.layout_reset");
        ctx->Yield(6);
        const bool training = std::string_view(layout) == "training";
        if (training) {
            h.workbench().show_panel("nodes");
            ctx->Yield(4);
        }
        const char* here = training ? "//###panel.nodes" : "//###panel.compare";
        IM_CHECK(in_front(ctx, here));
        const bool runs = h.workbench().panel_visible("runs");
        ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_R);
        ctx->Yield(3);
        IM_CHECK(is_open(ctx, "//###runs.form"));
        escape(ctx);
        IM_CHECK(!is_open(ctx, "//###runs.form"));
        IM_CHECK(in_front(ctx, here));
        IM_CHECK_EQ(h.workbench().panel_visible("runs"), runs);
        h.workbench().command("models.add");
        IM_CHECK(dialog_ready(h, ctx));
        escape(ctx);
        IM_CHECK(in_front(ctx, here));
        IM_CHECK(!in_front(ctx, "//###panel.models"));
    }
    // Above the welcome page, too.
    h.workbench().command("help.welcome");
    ctx->Yield(3);
    h.workbench().command("runs.new");
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###runs.form"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###runs.form") && h.workbench().welcome_visible());
    escape(ctx);
    IM_CHECK(!h.workbench().welcome_visible());
}

/// A session in which nothing was run is used again; one with a run, however short, is not. Whoever closes one that
/// trains is asked.
void new_session(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    const fs::path first = h.workbench().session(), data = h.folder() / "data";
    const char* was = std::getenv("XDG_DATA_HOME");
    const std::string before = was != nullptr ? was : "";
    setenv("XDG_DATA_HOME", data.c_str(), 1);
    const auto another_than = [&](const fs::path& session) {
        return h.wait(ctx, 200, [&, session] {
            return h.workbench().session() != session && h.snapshot().link.state == client::Link::State::connected;
        });
    };
    // Training goes on behind the new one: nobody is asked.
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_N);
    IM_CHECK(another_than(first));
    IM_CHECK(!is_open(ctx, "//###leaving"));
    IM_CHECK_EQ(h.workbench().sessions().size(), 2u);
    const auto& behind = *h.workbench().sessions().front();
    IM_CHECK(behind.folder == first && behind.snapshot->training.rbegin()->second->state == RunState::running);
    const fs::path untouched = h.workbench().session();
    IM_CHECK_EQ(untouched.parent_path(), data / "moescope" / "sessions");
    IM_CHECK(h.snapshot().training.empty());
    // Nothing was run in it: it stays, nobody is asked, and it is said.
    const std::uint64_t told = h.workbench().notices().count();
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_N);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().notices().count() > told; }));
    IM_CHECK(!is_open(ctx, "//###leaving"));
    IM_CHECK_EQ(h.workbench().session(), untouched);
    IM_CHECK_EQ(std::distance(fs::directory_iterator(untouched.parent_path()), fs::directory_iterator()), 1);
    // A run that ended at once: its journal is as short as one of starts alone.
    nlohmann::json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 1}, {"width", 32}, {"experts", 4}, {"context", 16}, {"vocabulary", 1024}});
    config["train"].update({{"steps", 1}, {"batch", 1}});
    h.workbench().client().send("train.start", {{"config", config}, {"name", "short"}});
    IM_CHECK(h.wait(ctx, 120, [&] { return !h.snapshot().training.empty() && h.training().state == RunState::done; }));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_N);
    IM_CHECK(another_than(untouched));
    IM_CHECK(!is_open(ctx, "//###leaving"));  // nothing trained any more
    IM_CHECK_EQ(h.workbench().session().parent_path(), untouched.parent_path());
    IM_CHECK(h.snapshot().training.empty());
    // Closing one in which nothing works asks nothing.
    const std::size_t open = h.workbench().sessions().size();
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().sessions().size() == open - 1; }));
    // What trains is asked about; once it ends by itself, the question has no more to ask.
    h.ensure_training(ctx);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    IM_CHECK(h.wait(ctx, 20, [&] { return is_open(ctx, "//###leaving"); }));
    h.workbench().client().send("train.stop", {{"run", h.training().id}});
    IM_CHECK(h.wait(ctx, 200, [&] { return h.workbench().sessions().size() == open - 2; }));
    ctx->Yield(2);
    IM_CHECK(!is_open(ctx, "//###leaving"));
    // Enter saves.
    IM_CHECK_EQ(h.workbench().session(), first);
    IM_CHECK_EQ(h.workbench().sessions().size(), 1u);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_N);
    IM_CHECK(another_than(first));
    h.workbench().open_session(first);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().session() == first; }));
    h.ensure_training(ctx);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    IM_CHECK(h.wait(ctx, 20, [&] { return is_open(ctx, "//###leaving"); }));
    IM_CHECK(ctx->ItemExists("//###leaving/###leaving.switch"));
    const std::weak_ptr<const app::OpenSession> left = h.workbench().sessions().front();
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(another_than(first));
    IM_CHECK(left.expired());
    if (was != nullptr) {
        setenv("XDG_DATA_HOME", before.c_str(), 1);
    } else {
        unsetenv("XDG_DATA_HOME");
    }
    IM_CHECK(h.open_session(ctx, first));
}

bool inside(const ImGuiWindow* window) {
    const ImGuiViewport& viewport = *ImGui::GetMainViewport();
    return window->Pos.x >= -1 && window->Pos.y >= -1 && window->Pos.x + window->Size.x <= viewport.Size.x + 1 &&
           window->Pos.y + window->Size.y <= viewport.Size.y + 1;
}

/// Forms and menus stay inside a window that becomes small, and are whole again by scrolling.
void small_window(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    for (const float scale : {1.0f, 2.5f}) {
        h.workbench().set_text_scale(scale);
        h.platform().set_size(1280, 720);
        ctx->Yield(4);
        const ImGuiWindow* form = ctx->GetWindowByRef("//###runs.form");
        ImGui::SetWindowPos(ctx->GetWindowByRef("//###runs.form"), {600, 400});
        ctx->Yield(2);
        ctx->ItemClick("//###runs.form/head/###runs.preset");
        IM_CHECK_EQ(popups(), 1);
        h.platform().set_size(800, 500);
        ctx->Yield(4);
        IM_CHECK_EQ(ImGui::GetMainViewport()->Size.x, 800.0f);
        IM_CHECK(inside(form));
        for (const ImGuiPopupData& popup : ImGui::GetCurrentContext()->OpenPopupStack) {
            IM_CHECK(popup.Window != nullptr && inside(popup.Window));
        }
        escape(ctx);
        IM_CHECK(ctx->ItemExists("//###runs.form/###runs.cancel"));
        h.workbench().command("help.messages");
        h.workbench().command("help.diagnostics");
        h.workbench().command("help.palette");
        h.workbench().command("file.open_session");
        ctx->Yield(4);
        for (const char* window :
             {"//###window.notices", "//###window.diagnostics", "//###palette", "//###files", "//###runs.form"}) {
            const ImGuiWindow* found = ctx->GetWindowByRef(window);
            IM_CHECK(found != nullptr && (!found->Active || inside(found)));
        }
        for (int i = 0; i < 6 && !h.workbench().floating().shown.empty(); ++i) {
            escape(ctx);
        }
        IM_CHECK(h.workbench().floating().shown.empty());
        h.workbench().command("runs.new");
        ctx->Yield(3);
    }
    ctx->KeyPress(ImGuiKey_Escape);
    h.workbench().set_text_scale(1);
    h.platform().set_size(1280, 720);
    ctx->Yield(4);
}

/// Smaller with the window, as large as before with it, and what a person dragged stays as it was dragged.
void forms_grow_back(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    const auto size = [&] { return ctx->GetWindowByRef("//###runs.form")->SizeFull; };
    const auto near = [&](ImVec2 wanted) {
        ctx->LogInfo("%.0f x %.0f, wanted %.0f x %.0f", size().x, size().y, wanted.x, wanted.y);
        return std::fabs(size().x - wanted.x) < 2 && std::fabs(size().y - wanted.y) < 2;
    };
    const auto window = [&](int width, int height) {
        h.platform().set_size(width, height);
        ctx->Yield(4);
    };
    const ImVec2 usual = size();
    window(620, 400);
    IM_CHECK_LT(size().x, usual.x - 20);
    window(1280, 720);
    IM_CHECK(near(usual));
    // Opened in a small window, and again in a large one.
    escape(ctx);
    window(620, 400);
    h.workbench().command("runs.new");
    ctx->Yield(3);
    escape(ctx);
    window(1280, 720);
    h.workbench().command("runs.new");
    ctx->Yield(3);
    IM_CHECK(near(usual));
    const ImVec2 dragged = {usual.x - 60, usual.y - 90};
    ctx->WindowResize("//###runs.form", dragged);
    ctx->Yield(3);
    window(620, 400);
    window(1280, 720);
    IM_CHECK(near(dragged));
    ctx->WindowResize("//###runs.form", usual);
    ctx->Yield(3);
    escape(ctx);
}

/// Opened by keys, a form has the keyboard at its first field and explains nothing yet.
void no_tooltip_on_opening(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    ctx->MouseMoveToPos({700, 14});     // nothing is there that explains itself
    ctx->KeyPress(ImGuiKey_DownArrow);  // the keyboard is in use
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_R);
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###runs.form"));
    ctx->SleepNoSkip(1.0f, 1.0f / 30);
    for (const ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
        IM_CHECK((window->Flags & ImGuiWindowFlags_Tooltip) == 0 || !window->Active || window->Hidden);
    }
    escape(ctx);
}

/// The keys of a layout bring the panel that it is about to the front, also where that layout is on show already.
void keys_of_the_layouts(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("view.layout_reset");
    ctx->Yield(6);
    h.workbench().show_panel("manual");
    ctx->Yield(6);
    IM_CHECK(in_front(ctx, "//###panel.manual"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_1);
    ctx->Yield(6);
    IM_CHECK(in_front(ctx, "//###panel.training"));
    h.workbench().show_panel("manual");
    ctx->Yield(6);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(8);
    IM_CHECK(in_front(ctx, "//###panel.probe"));
    h.workbench().show_panel("models");
    ctx->Yield(6);
    // What is open behind another tab comes to the front; the second time it closes.
    h.workbench().command("view.panel.probe");
    ctx->Yield(6);
    IM_CHECK(h.workbench().panel_visible("probe") && in_front(ctx, "//###panel.probe"));
    h.workbench().command("view.panel.probe");
    ctx->Yield(6);
    IM_CHECK(!h.workbench().panel_visible("probe"));
    h.workbench().command("view.panel.probe");
    ctx->Yield(6);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_1);
    ctx->Yield(8);
    IM_CHECK(in_front(ctx, "//###panel.training"));
    IM_CHECK(h.workbench().panel_visible("manual"));  // as it was left, but behind
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(8);
    IM_CHECK(in_front(ctx, "//###panel.probe"));
    h.workbench().show_panel("manual", false);
    h.workbench().set_layout("training");
    ctx->Yield(4);
    h.workbench().show_panel("manual", false);
}

/// In the dialog for sessions: Enter where nothing is chosen opens no folder that is none, a path may be typed or
/// pasted into the list, and the next time it begins where it was left.
void session_dialog(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path session = h.workbench().session(), folder = h.folder() / "places";
    fs::create_directories(folder / "deep" / "inner");
    const auto open = [&] {
        h.workbench().command("file.open_session");
        return dialog_ready(h, ctx);
    };
    const auto shows = [&](const char* entry) {
        return h.wait(ctx, 10,
                      [&] { return ctx->ItemExists((std::string("//###files/**/###entry.") + entry).c_str()); });
    };
    const auto& recent = h.workbench().settings().folders.recent;
    IM_CHECK(std::find(recent.begin(), recent.end(), session.parent_path().string()) != recent.end());
    IM_CHECK(open());
    const std::uint64_t told = h.workbench().notices().count();
    list_has_focus(ctx);
    ctx->KeyChars(folder.c_str());
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(shows("deep"));
    list_has_focus(ctx);
    ctx->KeyPress(ImGuiKey_Enter);  // nothing is chosen, and this is no session: said here, and it stays open
    ctx->Yield(10);
    IM_CHECK(is_open(ctx, "//###files"));
    std::string said;
    for (const ScreenLine& line : h.screen(ctx)) {
        said += line.window == "files" ? squeezed(line.text) : "";
    }
    IM_CHECK_NE(said.find(squeezed(h.workbench().text().format("files.no_session", {{"what", folder.string()}}))),
                std::string::npos);
    IM_CHECK_EQ(h.workbench().notices().count(), told);
    list_has_focus(ctx);
    ImGui::SetClipboardText((folder / "deep/").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_V);
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(shows("inner"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###files"));
    IM_CHECK(open());
    IM_CHECK(shows("inner"));
    escape(ctx);
    IM_CHECK_EQ(h.workbench().session(), session);
}

/// With large letters in a small window the plots are still there, of a size to read.
void plots_in_a_small_window(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    h.workbench().show_panel("expert_load");
    h.workbench().show_panel("training");
    h.workbench().set_text_scale(2.5f);
    h.platform().set_size(800, 500);
    ctx->Yield(6);
    const float em = ImGui::GetFontSize();
    // What is scrolled out of sight is not there for a test.
    const auto scrolled_to = [&](const char* panel, const char* item) {
        ImGuiWindow* window = ctx->GetWindowByRef(panel);
        for (float y = 0; y <= window->ScrollMax.y + em; y += em) {
            ImGui::SetScrollY(window, std::min(y, window->ScrollMax.y));
            ctx->Yield(2);
            if (ctx->ItemExists(item)) {
                return true;
            }
        }
        return false;
    };
    // All panels are tabs of one place then.
    IM_CHECK(ctx->GetWindowByRef("//###panel.training")->DockId == ctx->GetWindowByRef("//###panel.runs")->DockId);
    h.workbench().show_panel("expert_load");
    ctx->Yield(4);
    const char* map = "//###panel.expert_load/**/###load.cells";
    IM_CHECK(scrolled_to("//###panel.expert_load", map));
    const ImRect cells = ctx->ItemInfo(map).RectFull;
    IM_CHECK_GT(cells.GetHeight(), 6 * em);
    IM_CHECK_GT(cells.GetWidth(), 4 * em);
    IM_CHECK_GT(ctx->GetWindowByRef("//###panel.expert_load")->ScrollMax.y, 0.0f);
    h.workbench().show_panel("training");
    ctx->Yield(4);
    IM_CHECK(scrolled_to("//###panel.training", "//###panel.training/**/###title"));
    const ImGuiWindow* training = ctx->GetWindowByRef("//###panel.training");
    IM_CHECK_GT(training->ScrollMax.y + training->Size.y, 14 * em);
    h.workbench().set_text_scale(1);
    h.platform().set_size(1280, 720);
    ctx->Yield(6);
    IM_CHECK(ctx->GetWindowByRef("//###panel.training")->DockId != ctx->GetWindowByRef("//###panel.runs")->DockId);
    h.workbench().show_panel("expert_load");
    ctx->Yield(4);
    IM_CHECK_EQ(ctx->GetWindowByRef("//###panel.expert_load")->ScrollMax.y, 0.0f);
    IM_CHECK_EQ(ctx->GetWindowByRef("//###panel.training")->ScrollMax.y, 0.0f);
}

/// Closing while a run trains: it is said, can be taken back, and what is said is done.
void leave_while_training(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    h.platform().set_should_close(true);
    h.workbench().take_close();
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###leaving"));
    ctx->ItemClick("//###leaving/###leaving.stay");
    ctx->Yield(2);
    IM_CHECK(!is_open(ctx, "//###leaving"));
    IM_CHECK(!h.workbench().ended() && h.training().state == RunState::running);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Q);
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###leaving"));
    escape(ctx);
    IM_CHECK(!is_open(ctx, "//###leaving"));
    // Saving has the keyboard: Enter is enough, also after a click beside the buttons.
    h.workbench().command("file.quit");
    ctx->Yield(3);
    IM_CHECK(ctx->ItemExists("//###leaving/###leaving.close"));
    const ImVec2 corner = ctx->WindowInfo("//###leaving").Window->InnerRect.Min;
    ctx->MouseMoveToPos({corner.x + 3, corner.y + 3});
    ctx->MouseClick();
    ctx->KeyPress(ImGuiKey_Enter);
    IM_CHECK(h.wait(ctx, 200, [&] { return h.workbench().ended(); }));
    IM_CHECK(h.training().state == RunState::stopped);
    IM_CHECK_EQ(static_cast<double>(h.training().last_checkpoint), h.training().step.back());
}

}  // namespace

void register_window(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("window", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("Escape closes menu, list and palette above a form", escape_above_the_form);
    add("Escape closes what is above the file dialog, then it", escape_above_the_dialog);
    add("Escape clears the selection when nothing is open", escape_and_the_selection);
    add("pictures of a plot and of the map", pictures);
    add("saving asks, remembers and says where", save_dialog);
    add("the file dialog by keys", dialog_by_keys);
    add("the file dialog opens nothing where nothing fits", dialog_without_a_hit);
    add("the file dialog by the mouse", dialog_by_mouse);
    add("the file dialog has the keyboard", dialog_has_the_keyboard);
    add("the file dialog is whole in a small window", dialog_in_a_small_window);
    add("closing a form leads back to where it was opened", back_from_a_form);
    add("forms and menus stay inside a small window", small_window);
    add("forms grow back with the window", forms_grow_back);
    add("a form that opens explains nothing yet", no_tooltip_on_opening);
    add("the keys of the layouts bring their panel to the front", keys_of_the_layouts);
    add("the dialog for sessions takes paths and says what is none", session_dialog);
    add("plots scroll in a small window", plots_in_a_small_window);
    add("a new session where something was run, however little", new_session);
    add("closing while training is said and done", leave_while_training);
}

}  // namespace moescope::gui_test
