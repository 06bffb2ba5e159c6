// The one list of commands. Menu, palette, shortcuts, tour and tests all read it, so a command is named and behaves the
// same everywhere.
#pragma once

#include <functional>
#include <imgui.h>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/panel.hpp"

namespace moescope::app {

struct Command {
    std::string key;  ///< "run.pause"; its text is the language key "command.<key>"
    ui::MenuPlace menu{};
    ImGuiKeyChord shortcut = 0;  ///< 0: none
    std::function<void()> action{};
    std::function<bool()> enabled{};  ///< empty: always
    std::function<bool()> checked{};  ///< empty: not a switch
    /// What it would do now, instead of its text; empty: its text, also where it gives none.
    std::function<std::string()> now{};
    /// More keys for the same, not shown: the plus of the number block beside that of the letters.
    std::vector<ImGuiKeyChord> also{};
    bool available() const { return !enabled || enabled(); }
};

/// A menu of the menu bar: its language key and the keys of its commands; "-" is a line.
struct Menu {
    std::string title_key;
    std::vector<std::string> commands;
};

class Commands {
 public:
    void add(Command command);
    /// Puts all commands into the order of the menus: file, run, models, probes, experts, what panels add, view, help.
    /// Call when all are added.
    void arrange();
    const std::vector<Command>& all() const { return commands_; }
    const std::vector<Menu>& menus() const { return menus_; }
    const Command* find(std::string_view key) const;
    /// False when the key is unknown or the command is not available now.
    bool run(std::string_view key) const;
    /// Runs the command whose shortcut was pressed in this frame; one that was pressed and is not available is
    /// returned, else null. Those of the Escape key are left to app/escape.
    const Command* handle_shortcuts() const;

 private:
    std::vector<Command> commands_;
    std::vector<Menu> menus_;
};

/// "Ctrl+P"; empty for 0.
std::string shortcut_text(ImGuiKeyChord chord);
/// What the command would do now, in menu and palette.
std::string command_title(const ui::Language& text, const Command& command);
/// The command's name in the language.
const char* command_text(const ui::Language& text, const Command& command);

}  // namespace moescope::app
