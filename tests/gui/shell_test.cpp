// The window itself: welcome page, menus, palette, language, text size, layouts, dropping files.
#include <cmath>
#include <fstream>
#include <imgui_internal.h>
#include <set>

#include "app/layouts.hpp"
#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

void welcome(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(h.workbench().welcome_visible());
    h.wait(ctx, 40, [&] { return h.snapshot().link.state == client::Link::State::connected; });
    ctx->SetRef("//###window.welcome");
    for (const char* choice : {"###welcome.train", "###welcome.compare", "###welcome.probe", "###welcome.open"}) {
        IM_CHECK(ctx->ItemExists(choice));
    }
    ctx->ItemClick("###welcome.train");
    IM_CHECK(!h.workbench().welcome_visible());
    IM_CHECK_EQ(h.workbench().settings().layout, std::string("training"));
    IM_CHECK(h.workbench().settings().welcome_done);
    IM_CHECK(h.wait(ctx, 120, [&] { return !h.snapshot().training.empty() && !h.training().step.empty(); }));
    IM_CHECK(ctx->WindowInfo("//###panel.training", ImGuiTestOpFlags_NoError).Window != nullptr);
}

void every_command_is_in_a_menu(Harness& h, ImGuiTestContext* ctx) {
    std::set<ImGuiKeyChord> chords;
    for (const app::Command& command : h.workbench().commands().all()) {
        IM_CHECK(command.shortcut == 0 || chords.insert(command.shortcut).second);
        bool found = false;
        for (const app::Menu& menu : h.workbench().commands().menus()) {
            for (const std::string& key : menu.commands) {
                found = found || key == command.key;
            }
        }
        if (!found) {
            ctx->LogError("%s is in no menu", command.key.c_str());
        }
        IM_CHECK(h.workbench().text().has("command." + command.key));
    }
    for (const app::Menu& menu : h.workbench().commands().menus()) {
        for (const std::string& key : menu.commands) {
            IM_CHECK(key == "-" || h.workbench().commands().find(key) != nullptr);
        }
    }
}

void palette(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
    ctx->Yield(2);
    ctx->SetRef("//###palette");
    IM_CHECK(ctx->ItemExists("###palette.query"));
    ctx->KeyChars("diagn");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(2);
    IM_CHECK(ctx->WindowInfo("//###window.diagnostics", ImGuiTestOpFlags_NoError).Window != nullptr);
    const ImGuiWindow* window = ctx->GetWindowByRef("//###window.diagnostics");
    IM_CHECK(window != nullptr && window->Active);
    ctx->SetRef("");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
    ctx->Yield(2);
    ctx->KeyChars("diagn");
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(2);
    IM_CHECK(!ctx->GetWindowByRef("//###window.diagnostics")->Active);
    // In the Chinese window too, English names are found; no key has this one.
    const std::string name = h.workbench().text()("command.view.panel.manual");
    h.workbench().set_language("zh");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_P);
    ctx->Yield(2);
    ctx->KeyChars(name.c_str());
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(4);
    IM_CHECK(h.workbench().panel_visible("manual"));
    h.workbench().show_panel("manual", false);
    h.workbench().set_language("en");
    ctx->Yield(2);
}

void language(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const ImGuiID before = ctx->GetWindowByRef("//###panel.training")->ID;
    const ImGuiID node = ctx->GetWindowByRef("//###panel.training")->DockId;
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_L);
    ctx->Yield(3);
    IM_CHECK_EQ(h.workbench().text().code(), std::string("zh"));
    const ImGuiWindow* window = ctx->GetWindowByRef("//###panel.training");
    IM_CHECK_EQ(window->ID, before);
    IM_CHECK_EQ(window->DockId, node);  // the layout stays
    IM_CHECK(std::string(window->Name).rfind("\u8bad\u7ec3", 0) == 0);
    ctx->MenuClick("//##MainMenuBar/###menu.view/###view.language");  // the same ids in Chinese
    ctx->Yield(2);
    IM_CHECK_EQ(h.workbench().text().code(), std::string("en"));
}

void text_size(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const float normal = ImGui::GetFontSize();
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Equal);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Equal);
    ctx->Yield(2);
    IM_CHECK_GT(ImGui::GetFontSize(), normal * 1.15f);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_0);
    ctx->Yield(2);
    IM_CHECK_LT(std::fabs(ImGui::GetFontSize() - normal), 0.5f);
}

void layouts(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("view.layout_reset");
    ctx->Yield(4);
    IM_CHECK(h.workbench().panel_visible("log"));
    // It is behind another tab: shown first, and closed when it can be seen.
    ctx->MenuClick("//##MainMenuBar/###menu.view/###view.panel.log");
    ctx->Yield(3);
    IM_CHECK(h.workbench().panel_visible("log"));
    ctx->MenuClick("//##MainMenuBar/###menu.view/###view.panel.log");
    ctx->Yield(2);
    IM_CHECK(!h.workbench().panel_visible("log"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(4);
    IM_CHECK_EQ(h.workbench().settings().layout, std::string("compare"));
    IM_CHECK(h.workbench().panel_visible("compare"));
    IM_CHECK(!h.workbench().panel_visible("training"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_1);
    ctx->Yield(4);
    IM_CHECK(h.workbench().panel_visible("training"));
    IM_CHECK(!h.workbench().panel_visible("log"));  // as it was left
    // What is written reads back as the same.
    const auto file = h.folder() / "layout-check.json";
    std::ofstream(file) << app::settings_text(h.workbench().settings());
    const app::Settings again = app::load_settings(file);
    IM_CHECK(again.layouts.at("training").panels == h.workbench().settings().layouts.at("training").panels);
    IM_CHECK(again.layouts.at("training").ini == h.workbench().settings().layouts.at("training").ini);
    IM_CHECK(again.layouts.at("training").ini.find("Docking") != std::string::npos);
    h.workbench().command("view.layout_reset");
    ctx->Yield(4);
    IM_CHECK(h.workbench().panel_visible("log"));
}

/// The page would hide what a layout shows.
void layouts_leave_the_welcome_page(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("help.welcome");
    ctx->Yield(2);
    IM_CHECK(h.workbench().welcome_visible());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_4);
    ctx->Yield(4);
    IM_CHECK(!h.workbench().welcome_visible());
    IM_CHECK_EQ(h.workbench().settings().layout, std::string("routing"));
    h.workbench().command("help.welcome");
    ctx->Yield(2);
    h.workbench().command("view.panel.log");
    IM_CHECK(!h.workbench().welcome_visible());
    IM_CHECK(h.workbench().panel_visible("log"));
    h.workbench().set_layout("training");
    h.workbench().command("view.layout_reset");
    ctx->Yield(4);
}

void drop_pickle(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const auto file = h.folder() / "weights.pt";
    std::ofstream(file, std::ios::binary) << "\x80\x02"
                                             "cos\nsystem\n.";
    const std::uint64_t before = h.workbench().notices().count();
    // The way that GLFW's callback goes when a person lets the file go over the window.
    const std::string path = file.string();
    const char* paths[] = {path.c_str()};
    h.platform().receive_drop(1, paths);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().notices().count() > before; }));
    const app::Notice& notice = h.workbench().notices().list().back();
    IM_CHECK(notice.error);
    IM_CHECK(notice.text.english().find("pickle") != std::string::npos);
    IM_CHECK(notice.text.english().find("weights.pt") != std::string::npos);
    IM_CHECK(h.workbench().panel_visible("models"));
    // A click on the line opens the list; read, the refusal leaves the status line.
    ctx->ItemClick("//###status/###status.notice");
    ctx->Yield(2);
    IM_CHECK(ctx->GetWindowByRef("//###window.notices")->Active);
    h.workbench().command("help.messages");
    ctx->Yield(2);
    const auto line = h.workbench().notices().status({}, client::now_seconds(), 0);
    IM_CHECK(!line);
}

/// Other windows of the screen: the splits that a person has made keep their shares.
void proportions(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("view.layout_reset");
    ctx->Yield(5);
    const auto share = [&](const char* panel) {
        const ImGuiWindow* window = ctx->GetWindowByRef(panel);
        const ImVec2 all = ImGui::GetMainViewport()->WorkSize;
        return ImVec2(window->Size.x / all.x, window->Size.y / all.y);
    };
    const char* panels[] = {"//###panel.runs", "//###panel.knobs", "//###panel.training", "//###panel.expert_load"};
    std::vector<ImVec2> before;
    for (const char* panel : panels) {
        before.push_back(share(panel));
    }
    const auto compare = [&] {
        for (std::size_t i = 0; i < before.size(); ++i) {
            const ImVec2 now = share(panels[i]);
            IM_CHECK_LT(std::fabs(now.x - before[i].x), 0.012f);
            IM_CHECK_LT(std::fabs(now.y - before[i].y), 0.025f);  // the tab bars keep their height
        }
    };
    h.platform().set_size(1920, 1080);
    ctx->Yield(5);
    IM_CHECK_EQ(ImGui::GetMainViewport()->Size.x, 1920.0f);
    compare();
    // Frames alone move nothing.
    const float load_height = ctx->GetWindowByRef("//###panel.expert_load")->Size.y;
    ctx->Yield(200);
    IM_CHECK_EQ(ctx->GetWindowByRef("//###panel.expert_load")->Size.y, load_height);
    // Left in the large window and opened again in the small one.
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(4);
    h.platform().set_size(1280, 720);
    ctx->Yield(4);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_1);
    ctx->Yield(6);
    compare();
}

/// A button's tooltip names its keys.
void shortcuts_in_tooltips(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    ctx->MouseMove("//###panel.training/**/###training.run.checkpoint");
    IM_CHECK(h.wait(ctx, 10, [&] {
        ImGuiWindow* window = ImGui::FindWindowByName("##Tooltip_00");
        return window != nullptr && window->Active;
    }));
    IM_CHECK_EQ(h.workbench().shortcut("run.checkpoint"), std::string("Ctrl+S"));
    IM_CHECK_EQ(h.workbench().shortcut("no.such.command"), std::string());
}

}  // namespace

void register_shell(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("shell", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("welcome starts training with one click", welcome);
    add("every command is in a menu and has a name", every_command_is_in_a_menu);
    add("palette runs a typed command", palette);
    add("language switches and layout stays", language);
    add("text size follows the keys", text_size);
    add("layouts are kept", layouts);
    add("layouts leave the welcome page", layouts_leave_the_welcome_page);
    add("a dropped pickle is refused, told once and read", drop_pickle);
    add("a larger window keeps the proportions", proportions);
    add("tooltips name the keys", shortcuts_in_tooltips);
}

}  // namespace moescope::gui_test
