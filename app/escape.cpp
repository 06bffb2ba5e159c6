#include "app/escape.hpp"

#include <algorithm>
#include <imgui_internal.h>

namespace moescope::app {
namespace {

/// The floating window that is in front of the others; null when there is none.
const ui::Floating::Window* topmost(const std::vector<ui::Floating::Window>& shown) {
    const ImVector<ImGuiWindow*>& order = ImGui::GetCurrentContext()->Windows;  // from back to front
    for (int i = order.Size - 1; i >= 0; --i) {
        if (!order[i]->WasActive) {
            continue;
        }
        const auto found =
            std::find_if(shown.begin(), shown.end(), [&](const auto& window) { return window.id == order[i]->ID; });
        if (found != shown.end()) {
            return &*found;
        }
    }
    return nullptr;
}

/// What was typed stays when the field is left: Dear ImGui would put back the text that it began with. A number that is
/// being edited does go back to its value.
void keep_typed_text() {
    const ImGuiContext& g = *ImGui::GetCurrentContext();
    // The last one is that of InputInt() and its like.
    constexpr int number = ImGuiInputTextFlags_CharsDecimal | ImGuiInputTextFlags_CharsHexadecimal |
                           ImGuiInputTextFlags_CharsScientific | ImGuiInputTextFlags_LocalizeDecimalPoint;
    if (g.ActiveId != 0 && g.ActiveId == g.InputTextState.ID && (g.InputTextState.Flags & number) == 0) {
        ImGui::ClearActiveID();  // the field then takes its text as it does when the mouse leaves it
    }
}

}  // namespace

void Escape::before_frame() {
    const ImGuiContext& g = *ImGui::GetCurrentContext();
    popups_ = g.OpenPopupStack.Size;
    edited_in_ = g.ActiveId != 0 && g.ActiveIdWindow != nullptr ? g.ActiveIdWindow->RootWindow->ID : 0;
    menu_bar_ = g.NavLayer == ImGuiNavLayer_Menu && g.NavCursorVisible;
    dragging_ = g.DragDropActive;
}

bool Escape::after_frame(ui::Floating& floating) const {
    floating.closing = 0;
    if (!ImGui::IsKeyPressed(ImGuiKey_Escape, false) || dragging_) {
        return false;
    }
    keep_typed_text();
    const ImGuiContext& g = *ImGui::GetCurrentContext();
    if (popups_ > 0) {
        if (g.OpenPopupStack.Size >= popups_) {  // Dear ImGui has ended an edit in it, or keeps it as modal
            ImGui::ClosePopupToLevel(popups_ - 1, true);
        }
        return false;
    }
    const ui::Floating::Window* top = topmost(floating.shown);
    const bool field_first = edited_in_ != 0 && !(top != nullptr && top->at_once && top->id == edited_in_);
    if (field_first || menu_bar_) {
        return false;
    }
    if (top != nullptr) {
        floating.closing = top->id;
    }
    return top == nullptr;
}

}  // namespace moescope::app
