// The named arrangements of panels and how each looks before a person changes it. Which panel stands where, the panels
// say themselves (ui::Stand).
#pragma once

#include <array>
#include <imgui.h>
#include <span>
#include <string>
#include <vector>

#include "panels/ui/panel.hpp"

namespace moescope::app {

inline constexpr std::array<const char*, 4> kLayouts = {"training", "compare", "probe", "routing"};

/// Where a panel stands in a layout; of a layout that it does not name, closed behind all others.
ui::Stand stand_in(const ui::PanelDescription& panel, const std::string& layout);
/// Where the panel stands that a layout is about: in a small window it is in front of all others.
ui::Place main_place(const std::string& layout);
/// The panel that a layout is about; empty for a layout that no panel names.
std::string main_panel(const std::string& layout, std::span<const ui::PanelDescription> panels);
/// Panels that are visible in a layout by default.
std::vector<std::string> default_panels(const std::string& layout, std::span<const ui::PanelDescription> panels);
/// Keys of the panels of one place of a layout, from the first tab to the last, closed ones too.
std::vector<std::string> tabs_of(const std::string& layout, ui::Place place,
                                 std::span<const ui::PanelDescription> panels);
/// A window (in pixels) in which four panels beside each other could not be read: `em` is the size of the letters.
bool is_small(ImVec2 window, float em);
/// Behind the name of a layout: its arrangement in a small window, which is kept apart.
inline constexpr const char* kSmall = ":small";
/// Builds the default dock tree of a layout below `dockspace` (size in pixels): places where no panel is open are not
/// there, their panels come to the place beside. In a small window all panels are tabs of one place, those of the
/// layout's main place first.
void build_layout(const std::string& layout, bool small, std::span<const ui::PanelDescription> panels,
                  ImGuiID dockspace, ImVec2 size);
/// Before the dock space is drawn: when its size has changed, all its parts keep their share of it. Dear ImGui itself
/// would give every new pixel to one of them.
void keep_proportions(ImGuiID dockspace, ImVec2 size);
/// "###panel.<key>": the id part of a panel's window name.
std::string panel_window_id(const std::string& key);

}  // namespace moescope::app
