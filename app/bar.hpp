// Bars along the edges of the window: the status line, and what has to be said above the panels. GUI thread only.
#pragma once

#include <imgui_internal.h>

#include "panels/ui/widgets.hpp"

namespace moescope::app {

/// A bar along an edge of the window, without decoration; End() is always due.
inline bool begin_bar(const char* name, ImGuiDir side, float height) {
    return ImGui::BeginViewportSideBar(name, ImGui::GetMainViewport(), side, height,
                                       ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoSavedSettings |
                                           ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoNavFocus |
                                           ImGuiWindowFlags_NoFocusOnAppearing);
}

/// Gives the bar the tinted ground of a tone. Call first inside it.
inline void tint_bar(const ui::Context& ctx, ui::Tone tone) {
    const ImVec4 color = ui::tone_color(ctx.theme, tone);
    const ImVec2 low = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
    ImGui::GetWindowDrawList()->AddRectFilled(low, {low.x + size.x, low.y + size.y},
                                              ImGui::GetColorU32(ImVec4(color.x, color.y, color.z, 0.15f)));
}

}  // namespace moescope::app
