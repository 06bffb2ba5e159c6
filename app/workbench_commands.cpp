// The commands of the window itself (file, view, help), and those that the panels describe.
#include <fmt/format.h>

#include "app/layouts.hpp"
#include "app/workbench.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::app {

void Workbench::add_commands() {
    add_file_commands();
    add_edit_commands();
    for (const ui::PanelDescription& panel : panels_) {
        add_panel_commands(panel);
    }
    add_view_commands();
    add_help_commands();
    commands_.arrange();
}

void Workbench::add_panel_commands(const ui::PanelDescription& panel) {
    for (const ui::PanelCommand& described : panel.commands) {
        commands_.add({.key = described.key,
                       .menu = described.menu,
                       .shortcut = described.shortcut,
                       .action =
                           [this, &panel, &described] {
                               if (described.opens) {
                                   if (welcome_) {
                                       choose_welcome("skip");  // the page would hide the panel
                                   }
                                   show_panel(panel.key);
                               }
                               ui::Context ctx = context();
                               this->panel(*front_, *slot(panel.key)).act(described.key, ctx);
                           },
                       .enabled =
                           [this, &panel, &described] {
                               return (!described.while_open || panel_visible(panel.key)) &&
                                      (described.available == nullptr || described.available(context()));
                           }});
    }
}

void Workbench::add_view_commands() {
    const auto add = [this](Command command, int group) {
        command.menu = {"menu.view", group};
        commands_.add(std::move(command));
    };
    const auto leave_welcome = [this] {
        if (welcome_) {
            choose_welcome("skip");  // the page would hide what is asked for
        }
    };
    int number = 0;
    for (const char* layout : kLayouts) {
        const auto key = static_cast<ImGuiKey>(ImGuiKey_1 + number++);
        add({.key = fmt::format("view.layout_{}", layout),
             .shortcut = ImGuiMod_Ctrl | key,
             .action =
                 [this, layout, leave_welcome] {
                     leave_welcome();
                     show_layout(layout);
                 },
             .checked = [this, layout] { return settings_.layout == layout; }},
            0);
    }
    add({.key = "view.layout_reset",
         .action =
             [this, leave_welcome] {
                 leave_welcome();
                 settings_.layouts.erase(arrangement());
                 layout_due_ = true;
                 wanted_frames_ = 3;
             }},
        0);
    for (const ui::PanelDescription& panel : panels_) {
        add({.key = fmt::format("view.panel.{}", panel.key),
             .action =
                 [this, &panel, leave_welcome] {
                     // What is open behind another tab is wanted in front; only what can be seen is closed.
                     const bool hidden = welcome_ || !panel_visible(panel.key) || panel_behind(panel);
                     leave_welcome();
                     show_panel(panel.key, hidden);
                 },
             .checked = [this, &panel] { return panel_visible(panel.key); }},
            1);
    }
    add({.key = "view.clear_selection",
         .shortcut = ImGuiKey_Escape,
         .action =
             [this] {
                 selection().layer = selection().expert = -1;
                 selection().routing_token = -1;
                 selection().pinned_step.reset();
             },
         .enabled =
             [this] {
                 return selection().layer >= 0 || selection().expert >= 0 || selection().routing_token >= 0 ||
                        selection().pinned_step.has_value();
             }},
        2);
    add({.key = "view.text_larger",
         .shortcut = ImGuiMod_Ctrl | ImGuiKey_Equal,
         .action = [this] { set_text_scale(settings_.text_scale * 1.1f); },
         .enabled = [this] { return settings_.text_scale < 2.4f; },
         .also = {ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Equal, ImGuiMod_Ctrl | ImGuiKey_KeypadAdd}},
        2);
    add({.key = "view.text_smaller",
         .shortcut = ImGuiMod_Ctrl | ImGuiKey_Minus,
         .action = [this] { set_text_scale(settings_.text_scale / 1.1f); },
         .enabled = [this] { return settings_.text_scale > 0.65f; },
         .also = {ImGuiMod_Ctrl | ImGuiKey_KeypadSubtract}},
        2);
    add({.key = "view.text_reset", .shortcut = ImGuiMod_Ctrl | ImGuiKey_0, .action = [this] { set_text_scale(1); }}, 2);
    add({.key = "view.language",
         .shortcut = ImGuiMod_Ctrl | ImGuiKey_L,
         .action = [this] { set_language(text_->code() == "en" ? "zh" : "en"); }},
        2);
    add({.key = "view.theme",
         .action =
             [this] {
                 settings_.dark = !settings_.dark;
                 style_due_ = true;
                 save_settings_soon();
             },
         .checked = [this] { return settings_.dark; }},
        2);
}

void Workbench::add_file_commands() {
    commands_.add(
        {.key = "file.new_session", .menu = {"menu.file", 0}, .shortcut = ImGuiMod_Ctrl | ImGuiKey_N, .action = [this] {
             background_.post([this, departures = departures_]() -> Background::Completion {
                 const std::filesystem::path fresh = new_session_folder();
                 wait_until_left(departures, fresh);
                 return [this, folder = fresh] {
                     if (folder == front_->folder) {
                         notify((*text_)("notice.session_is_new"), false);
                         return;
                     }
                     new_tab(folder, "");
                 };
             });
         }});
    commands_.add({.key = "file.open_session",
                   .menu = {"menu.file", 0},
                   .shortcut = ImGuiMod_Ctrl | ImGuiKey_O,
                   .action = [this] {
                       dialogs_.ask({.what = FileRequest::What::open_folder,
                                     .place = "session",
                                     .title = (*text_)("command.file.open_session"),
                                     .folder = sessions_folder(),
                                     .fits = holds_session,
                                     .misfit = "files.no_session"},
                                    [this](const std::string& path) { open_session(path); });
                   }});
    commands_.add({.key = "file.open_recent", .menu = {"menu.file", 0}, .action = [this] { recent_.open(); }});
    commands_.add({.key = "file.connect_node",
                   .menu = {"menu.file", 0},
                   .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_N,
                   .action = [this] { connect_.open(); }});
    const auto several = [this] { return sessions_.size() > 1; };
    commands_.add({.key = "file.close_session",
                   .menu = {"menu.file", 0, 1},
                   .shortcut = ImGuiMod_Ctrl | ImGuiKey_W,
                   .action = [this] { close_session(front_->id); },
                   .enabled = several});
    commands_.add({.key = "file.next_session",
                   .menu = {"menu.file", 0, 1},
                   .shortcut = ImGuiMod_Ctrl | ImGuiKey_Tab,
                   .action = [this] { step_session(1); },
                   .enabled = several});
    commands_.add({.key = "file.previous_session",
                   .menu = {"menu.file", 0, 1},
                   .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Tab,
                   .action = [this] { step_session(-1); },
                   .enabled = several});
    commands_.add(
        {.key = "file.report",
         .menu = {"menu.file", 1},
         .action =
             [this] {
                 dialogs_.ask(
                     {.what = FileRequest::What::save_file,
                      .place = "save",
                      .title = (*text_)("command.file.report"),
                      .name = "report.html",
                      .endings = {".html"}},
                     to_front([this](client::NodeClient& client, const std::string& path) {
                         client.send("report.write", {{"path", path}, {"language", text_->code()}, {"replace", true}});
                     }));
             },
         .enabled = [this] { return snapshot().link.state == client::Link::State::connected; }});
    commands_.add({.key = "file.fetch_session",
                   .menu = {"menu.file", 1},
                   .action =
                       [this] {
                           ask_where(
                               "session.moescope", to_front([](client::NodeClient& client, const std::string& path) {
                                   client.send("transfer.pull", {{"session", true}, {"to", path}, {"replace", true}});
                               }));
                       },
                   .enabled =
                       [this] {
                           const client::Link& link = snapshot().link;
                           return link.state == client::Link::State::connected && !link.address.empty();
                       }});
    commands_.add(
        {.key = "file.quit", .menu = {"menu.file", 2}, .shortcut = ImGuiMod_Ctrl | ImGuiKey_Q, .action = [this] {
             leave_window();
         }});
}

/// Of the session in front: what was done in another one is taken back there.
void Workbench::add_edit_commands() {
    const auto history = [this]() -> ui::UndoHistory& { return front_->kept->shared.get<ui::UndoHistory>(); };
    const auto named = [this](const char* key, const ui::Edit* edit) {
        return edit == nullptr ? std::string() : text_->format(key, {{"what", edit->name(*text_)}});
    };
    commands_.add({.key = "edit.undo",
                   .menu = {"menu.edit", 0},
                   .shortcut = ImGuiMod_Ctrl | ImGuiKey_Z,
                   .action =
                       [this, history] {
                           ui::Context ctx = context();
                           history().undo(ctx);
                       },
                   .enabled = [history] { return history().next_undo() != nullptr && !history().waits(); },
                   .now = [named, history] { return named("command.edit.undo.what", history().next_undo()); }});
    commands_.add({.key = "edit.redo",
                   .menu = {"menu.edit", 0},
                   .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Z,
                   .action =
                       [this, history] {
                           ui::Context ctx = context();
                           history().redo(ctx);
                       },
                   .enabled = [history] { return history().next_redo() != nullptr && !history().waits(); },
                   .now = [named, history] { return named("command.edit.redo.what", history().next_redo()); },
                   .also = {ImGuiMod_Ctrl | ImGuiKey_Y}});
}

void Workbench::add_help_commands() {
    commands_.add({.key = "help.manual", .menu = {"menu.help", 0}, .shortcut = ImGuiKey_F1, .action = [this] {
                       show_panel("manual");
                   }});
    commands_.add({.key = "help.welcome",
                   .menu = {"menu.help", 0},
                   .action = [this] { welcome_ = !welcome_; },
                   .checked = [this] { return welcome_; }});
    commands_.add(
        {.key = "help.palette", .menu = {"menu.help", 0}, .shortcut = ImGuiMod_Ctrl | ImGuiKey_P, .action = [this] {
             palette_.open();
         }});
    commands_.add({.key = "help.messages",
                   .menu = {"menu.help", 1},
                   .action = [this] { notices_open_ = !notices_open_; },
                   .checked = [this] { return notices_open_; }});
    commands_.add({.key = "help.diagnostics",
                   .menu = {"menu.help", 1},
                   .action = [this] { diagnostics_ = !diagnostics_; },
                   .checked = [this] { return diagnostics_; }});
}

}  // namespace moescope::app
