#include "panels/ui/floating.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>

#include "panels/ui/context.hpp"

namespace moescope::ui {
namespace {

/// Marks the windows that are dialogs; Dear ImGui keeps it with the window. Any number that no other class has.
constexpr ImGuiID kDialogClass = 0x6469616c;

/// Where a window of this size comes to lie inside the room, as near as possible to where it is.
ImVec2 inside(ImVec2 at, ImVec2 size, ImVec2 low, ImVec2 room) {
    return {std::max(low.x, std::min(at.x, low.x + room.x - size.x)),
            std::max(low.y, std::min(at.y, low.y + room.y - size.y))};
}

/// By more than the part of a pixel that Dear ImGui cuts off.
bool differs(ImVec2 a, ImVec2 b) {
    return std::fabs(a.x - b.x) > 1.5f || std::fabs(a.y - b.y) > 1.5f;
}

}  // namespace

bool begin_floating(const Context& ctx, const char* name, bool& open, const FloatingWindow& window) {
    const ImGuiViewport& viewport = *ImGui::GetMainViewport();
    const float edge = 0.3f * ctx.em;
    const ImVec2 low = {viewport.WorkPos.x + edge, viewport.WorkPos.y + edge},
                 room = {viewport.WorkSize.x - 2 * edge, viewport.WorkSize.y - 2 * edge};
    const auto pixels = [&](ImVec2 size) {
        return ImVec2(std::min(std::round(size.x * ctx.em), room.x), std::min(std::round(size.y * ctx.em), room.y));
    };
    const bool by_content = window.size.y <= 0;
    const ImGuiWindow* before = ImGui::FindWindowByName(name);
    Floating::Size& kept = ctx.floating.sizes[ImHashStr(name)];
    // Without the mouse it differs too: what fits the room is cut to whole pixels, and the room may have changed.
    const bool dragging = ImGui::IsMouseDown(ImGuiMouseButton_Left) || ImGui::IsMouseReleased(ImGuiMouseButton_Left);
    if (!window.fixed && !by_content && before != nullptr && kept.set.x > 0 && dragging &&
        differs(before->SizeFull, kept.set)) {
        kept.wanted = {before->SizeFull.x / ctx.em, before->SizeFull.y / ctx.em};  // it was dragged meanwhile
    }
    const ImVec2 size = pixels(kept.wanted.x > 0 ? kept.wanted : window.size);
    kept.set = size;
    ImGui::SetNextWindowSizeConstraints(pixels(window.least), room);
    ImGui::SetNextWindowSize({size.x, by_content ? 0 : size.y});
    const ImVec2 place = {low.x + window.place.x * room.x, low.y + window.place.y * room.y};
    if (window.fixed || before == nullptr || !before->WasActive) {
        ImGui::SetNextWindowPos(place, ImGuiCond_Always, window.place);
    } else {
        const ImVec2 now = {size.x, by_content ? std::min(before->SizeFull.y, room.y) : size.y};
        const ImVec2 at = inside(before->Pos, now, low, room);
        if (at.x != before->Pos.x || at.y != before->Pos.y) {
            ImGui::SetNextWindowPos(at);
        }
    }
    constexpr ImGuiWindowFlags flags =
        ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoCollapse;
    if (window.at_once) {
        ImGuiWindowClass dialog;
        dialog.ClassId = kDialogClass;
        ImGui::SetNextWindowClass(&dialog);
    }
    const bool visible = ImGui::Begin(name, &open, flags | window.flags);
    if (ImGui::IsWindowAppearing()) {
        // The keyboard is at its first item, but a person has not gone there: nothing is explained yet.
        ImGui::SetNavCursorVisible(false);
    }
    if (escape_closes(ctx, window.at_once)) {
        open = false;
    }
    return visible;
}

bool escape_closes(const Context& ctx, bool at_once) {
    const ImGuiID id = ImGui::GetCurrentWindow()->ID;
    ctx.floating.shown.push_back({id, at_once});
    return ctx.floating.closing == id;
}

bool behind_a_dialog() {
    const ImGuiContext& g = *ImGui::GetCurrentContext();
    const ImGuiWindow* here = g.CurrentWindow;
    if (here == nullptr || (here->RootWindow->Flags & ImGuiWindowFlags_Popup) != 0) {
        return false;
    }
    for (int i = g.Windows.Size - 1; i >= 0; --i) {  // from front to back
        const ImGuiWindow* window = g.Windows[i];
        if (window->WindowClass.ClassId == kDialogClass && (window->Active || window->WasActive)) {
            return window != here->RootWindow;
        }
    }
    return false;
}

void keep_popups_inside() {
    const ImGuiViewport& viewport = *ImGui::GetMainViewport();
    for (const ImGuiPopupData& popup : ImGui::GetCurrentContext()->OpenPopupStack) {
        ImGuiWindow* window = popup.Window;
        if (window == nullptr || !window->WasActive || window->Hidden) {
            continue;
        }
        const ImVec2 at = inside(window->Pos, window->Size, viewport.Pos, viewport.Size);
        if (at.x != window->Pos.x || at.y != window->Pos.y) {
            ImGui::SetWindowPos(window, at);
        }
    }
}

}  // namespace moescope::ui
