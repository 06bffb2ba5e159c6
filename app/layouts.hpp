// The named arrangements of panels and how each looks before a person changes it.
#pragma once

#include <array>
#include <imgui.h>
#include <string>
#include <vector>

namespace moescope::app {

inline constexpr std::array<const char*, 3> kLayouts = {"training", "compare", "probe"};

/// Panels that are visible in a layout by default.
std::vector<std::string> default_panels(const std::string& layout);
/// Builds the default dock tree of a layout below `dockspace` (size in pixels).
void build_layout(const std::string& layout, ImGuiID dockspace, ImVec2 size);
/// Before the dock space is drawn: when its size has changed, all its parts keep their share of it. Dear ImGui itself
/// would give every new pixel to one of them.
void keep_proportions(ImGuiID dockspace, ImVec2 size);
/// "###panel.<key>": the id part of a panel's window name.
std::string panel_window_id(const std::string& key);

}  // namespace moescope::app
