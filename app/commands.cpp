#include "app/commands.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace moescope::app {
namespace {

constexpr std::array<std::string_view, 6> kFirstMenus = {"menu.file",   "menu.edit",   "menu.run",
                                                         "menu.models", "menu.probes", "menu.experts"};
constexpr std::array<std::string_view, 2> kLastMenus = {"menu.view", "menu.help"};

/// Titles from left to right.
std::vector<std::string_view> menu_bar(const std::vector<Command>& commands) {
    std::vector<std::string_view> titles(kFirstMenus.begin(), kFirstMenus.end());
    for (const Command& command : commands) {
        const auto known = [&](const auto& list) {
            return std::find(list.begin(), list.end(), command.menu.title) != list.end();
        };
        if (!known(titles) && !known(kLastMenus)) {
            titles.emplace_back(command.menu.title);
        }
    }
    titles.insert(titles.end(), kLastMenus.begin(), kLastMenus.end());
    return titles;
}

}  // namespace

void Commands::add(Command command) {
    commands_.push_back(std::move(command));
}

void Commands::arrange() {
    const std::vector<std::string_view> titles = menu_bar(commands_);
    const auto place = [&](const Command& command) {
        return std::tuple(std::find(titles.begin(), titles.end(), command.menu.title), command.menu.group,
                          command.menu.order);
    };
    std::stable_sort(commands_.begin(), commands_.end(),
                     [&](const Command& a, const Command& b) { return place(a) < place(b); });
    menus_.clear();
    int group = 0;
    for (const Command& command : commands_) {
        if (menus_.empty() || menus_.back().title_key != command.menu.title) {
            menus_.push_back({command.menu.title, {}});
        } else if (command.menu.group != group) {
            menus_.back().commands.emplace_back("-");
        }
        group = command.menu.group;
        menus_.back().commands.push_back(command.key);
    }
}

const Command* Commands::find(std::string_view key) const {
    const auto found = std::find_if(commands_.begin(), commands_.end(), [&](const Command& c) { return c.key == key; });
    return found == commands_.end() ? nullptr : &*found;
}

bool Commands::run(std::string_view key) const {
    const Command* command = find(key);
    if (command == nullptr || !command->available()) {
        return false;
    }
    command->action();
    return true;
}

const Command* Commands::handle_shortcuts() const {
    const auto pressed = [](ImGuiKeyChord chord) {
        return chord != 0 && chord != ImGuiKey_Escape && ImGui::Shortcut(chord, ImGuiInputFlags_RouteGlobal);
    };
    const Command* refused = nullptr;
    for (const Command& command : commands_) {
        bool wanted = pressed(command.shortcut);
        for (const ImGuiKeyChord chord : command.also) {
            wanted = pressed(chord) || wanted;
        }
        if (wanted && command.available()) {
            command.action();
            return nullptr;
        }
        refused = wanted ? &command : refused;
    }
    return refused;
}

std::string shortcut_text(ImGuiKeyChord chord) {
    if (chord == 0) {
        return "";
    }
    std::string text;
    if ((chord & ImGuiMod_Ctrl) != 0) {
        text += "Ctrl+";
    }
    if ((chord & ImGuiMod_Shift) != 0) {
        text += "Shift+";
    }
    if ((chord & ImGuiMod_Alt) != 0) {
        text += "Alt+";
    }
    const auto key = static_cast<ImGuiKey>(chord & ~ImGuiMod_Mask_);
    if (key == ImGuiKey_Equal) {
        return text + "+";
    }
    if (key == ImGuiKey_Minus) {
        return text + "-";
    }
    return text + ImGui::GetKeyName(key);
}

std::string command_title(const ui::Language& text, const Command& command) {
    const std::string now = command.now ? command.now() : std::string();
    return now.empty() ? std::string(command_text(text, command)) : now;
}

const char* command_text(const ui::Language& text, const Command& command) {
    return text("command." + command.key);
}

}  // namespace moescope::app
