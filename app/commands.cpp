#include "app/commands.hpp"

#include <utility>

namespace moescope::app {

void Commands::add(Command command) {
    commands_.push_back(std::move(command));
}

const Command* Commands::find(std::string_view key) const {
    for (const Command& command : commands_)
        if (command.key == key)
            return &command;
    return nullptr;
}

bool Commands::run(std::string_view key) const {
    const Command* command = find(key);
    if (command == nullptr || !command->available())
        return false;
    command->action();
    return true;
}

void Commands::handle_shortcuts() const {
    const auto pressed = [](ImGuiKeyChord chord) {
        return chord != 0 && ImGui::Shortcut(chord, ImGuiInputFlags_RouteGlobal);
    };
    for (const Command& command : commands_) {
        bool wanted = pressed(command.shortcut);
        for (const ImGuiKeyChord chord : command.also)
            wanted = pressed(chord) || wanted;
        if (wanted && command.available()) {
            command.action();
            return;
        }
    }
}

std::string shortcut_text(ImGuiKeyChord chord) {
    if (chord == 0)
        return "";
    std::string text;
    if ((chord & ImGuiMod_Ctrl) != 0)
        text += "Ctrl+";
    if ((chord & ImGuiMod_Shift) != 0)
        text += "Shift+";
    if ((chord & ImGuiMod_Alt) != 0)
        text += "Alt+";
    const auto key = static_cast<ImGuiKey>(chord & ~ImGuiMod_Mask_);
    if (key == ImGuiKey_Equal)
        return text + "+";
    if (key == ImGuiKey_Minus)
        return text + "-";
    return text + ImGui::GetKeyName(key);
}

const char* command_text(const ui::Language& text, const Command& command) {
    return text("command." + command.key);
}

}  // namespace moescope::app
