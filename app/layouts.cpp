#include "app/layouts.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <limits>
#include <utility>

namespace moescope::app {
namespace {

using ui::Place;

void dock(const std::vector<std::string>& panels, ImGuiID node) {
    short order = 0;
    for (const std::string& panel : panels) {
        const std::string name = panel_window_id(panel);
        ImGui::DockBuilderDockWindow(name.c_str(), node);
        // The order of the tabs is not part of the builder's interface.
        const ImGuiID id = ImHashStr(name.c_str());
        if (ImGuiWindow* window = ImGui::FindWindowByID(id)) {
            window->DockOrder = order;
        } else if (ImGuiWindowSettings* settings = ImGui::FindWindowSettingsByID(id)) {
            settings->DockOrder = order;
        }
        ++order;
    }
}

/// The training layout has four places; the others give the whole window to one panel, with the rest as tabs beside it.
bool is_split(const std::string& layout) {
    return layout == "training";
}

void scale_below(const ImGuiDockNode& node, ImVec2 factor) {
    for (ImGuiDockNode* child : node.ChildNodes) {
        if (child == nullptr) {
            continue;
        }
        child->SizeRef = {child->SizeRef.x * factor.x, child->SizeRef.y * factor.y};
        scale_below(*child, factor);
    }
}

}  // namespace

bool is_small(ImVec2 window, float em) {
    constexpr float kLeastWidth = 44, kLeastHeight = 26;  // em
    return window.x < kLeastWidth * em || window.y < kLeastHeight * em;
}

void keep_proportions(ImGuiID dockspace, ImVec2 size) {
    const ImGuiDockNode* root = ImGui::DockBuilderGetNode(dockspace);
    if (root == nullptr || root->Size.x < 1 || root->Size.y < 1 || size.x < 1 || size.y < 1) {
        return;
    }
    // A dock node is whole pixels; what the bars leave is not. Less than a pixel is not another size, or the splits
    // would creep with every frame.
    if (std::fabs(size.x - root->Size.x) >= 1 || std::fabs(size.y - root->Size.y) >= 1) {
        scale_below(*root, {size.x / root->Size.x, size.y / root->Size.y});
    }
}

std::string panel_window_id(const std::string& key) {
    return "###panel." + key;
}

ui::Stand stand_in(const ui::PanelDescription& panel, const std::string& layout) {
    for (const ui::Stand& stand : panel.stands) {
        if (stand.layout == layout) {
            return stand;
        }
    }
    return {.layout = "",
            .place = is_split(layout) ? Place::lower : Place::whole,
            .order = std::numeric_limits<int>::max(),
            .show = ui::Stand::Show::closed};
}

std::string main_panel(const std::string& layout, std::span<const ui::PanelDescription> panels) {
    const auto found = std::find_if(panels.begin(), panels.end(), [&](const ui::PanelDescription& panel) {
        const ui::Stand stand = stand_in(panel, layout);
        return stand.show == ui::Stand::Show::front && (stand.place == Place::upper || stand.place == Place::whole);
    });
    return found == panels.end() ? std::string() : std::string(found->key);
}

std::vector<std::string> default_panels(const std::string& layout, std::span<const ui::PanelDescription> panels) {
    std::vector<std::string> open;
    for (const ui::PanelDescription& panel : panels) {
        if (stand_in(panel, layout).show != ui::Stand::Show::closed) {
            open.emplace_back(panel.key);
        }
    }
    return open;
}

std::vector<std::string> tabs_of(const std::string& layout, Place place, std::span<const ui::PanelDescription> panels) {
    std::vector<std::pair<int, std::string>> tabs;
    for (const ui::PanelDescription& panel : panels) {
        if (const ui::Stand stand = stand_in(panel, layout); stand.place == place) {
            tabs.emplace_back(stand.order, panel.key);
        }
    }
    std::stable_sort(tabs.begin(), tabs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string> keys;
    for (auto& [order, key] : tabs) {
        keys.push_back(std::move(key));
    }
    return keys;
}

void build_layout(const std::string& layout, bool small, std::span<const ui::PanelDescription> panels,
                  ImGuiID dockspace, ImVec2 size) {
    ImGui::DockBuilderRemoveNode(dockspace);
    ImGui::DockBuilderAddNode(dockspace, ImGuiDockNodeFlags_DockSpace);
    ImGui::DockBuilderSetNodeSize(dockspace, size);
    const auto fill = [&](Place place, ImGuiID node) { dock(tabs_of(layout, place, panels), node); };
    if (is_split(layout) && small) {
        std::vector<std::string> all;
        for (const Place place : {Place::upper, Place::lower, Place::left_upper, Place::left_lower}) {
            const std::vector<std::string> tabs = tabs_of(layout, place, panels);
            all.insert(all.end(), tabs.begin(), tabs.end());
        }
        dock(all, dockspace);
    } else if (is_split(layout)) {
        ImGuiID left = 0, middle = 0, upper = 0, lower = 0, left_upper = 0, left_lower = 0;
        ImGui::DockBuilderSplitNode(dockspace, ImGuiDir_Left, 0.225f, &left, &middle);
        ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.27f, &left_upper, &left_lower);
        ImGui::DockBuilderSplitNode(middle, ImGuiDir_Up, 0.5f, &upper, &lower);
        fill(Place::left_upper, left_upper);
        fill(Place::left_lower, left_lower);
        fill(Place::upper, upper);
        fill(Place::lower, lower);
    } else {
        fill(Place::whole, dockspace);
    }
    ImGui::DockBuilderFinish(dockspace);
}

}  // namespace moescope::app
