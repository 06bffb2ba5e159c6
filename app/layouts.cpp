#include "app/layouts.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <iterator>
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

/// Shares of a layout with places beside and above each other; the others give the whole window to one panel, with the
/// rest as tabs beside it.
struct Split {
    const char* layout;
    float left, left_upper, upper;
    Place main;
};
constexpr Split kSplits[] = {{"training", 0.225f, 0.27f, 0.5f, Place::upper},
                             {"routing", 0.56f, 0.5f, 0.54f, Place::left_upper}};

const Split* split_of(const std::string& layout) {
    const auto found = std::find_if(std::begin(kSplits), std::end(kSplits),
                                    [&](const Split& split) { return layout == split.layout; });
    return found == std::end(kSplits) ? nullptr : &*found;
}

/// A panel stands there by itself, seen or behind another one.
bool is_used(const std::string& layout, Place place, std::span<const ui::PanelDescription> panels) {
    return std::any_of(panels.begin(), panels.end(), [&](const ui::PanelDescription& panel) {
        const ui::Stand stand = stand_in(panel, layout);
        return stand.place == place && stand.show != ui::Stand::Show::closed && !panel.strip;
    });
}

/// The nodes of two places of one column, or of two columns: both the same where only one of them is used.
struct Halves {
    ImGuiID first = 0, second = 0;
};
Halves divide(ImGuiID node, ImGuiDir direction, float share, bool both) {
    Halves halves{node, node};
    if (both) {
        ImGui::DockBuilderSplitNode(node, direction, share, &halves.first, &halves.second);
    }
    return halves;
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
            .place = split_of(layout) != nullptr ? Place::lower : Place::whole,
            .order = std::numeric_limits<int>::max(),
            .show = ui::Stand::Show::closed};
}

Place main_place(const std::string& layout) {
    const Split* split = split_of(layout);
    return split != nullptr ? split->main : Place::whole;
}

std::string main_panel(const std::string& layout, std::span<const ui::PanelDescription> panels) {
    const auto found = std::find_if(panels.begin(), panels.end(), [&](const ui::PanelDescription& panel) {
        const ui::Stand stand = stand_in(panel, layout);
        return stand.show == ui::Stand::Show::front && stand.place == main_place(layout);
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
        if (const ui::Stand stand = stand_in(panel, layout); stand.place == place && !panel.strip) {
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
    const Split* split = split_of(layout);
    // By node, in the order of the tabs: places that share a node stand behind each other.
    std::vector<std::pair<ImGuiID, std::vector<std::string>>> docked;
    const auto fill = [&](Place place, ImGuiID node) {
        auto found = std::find_if(docked.begin(), docked.end(), [&](const auto& one) { return one.first == node; });
        if (found == docked.end()) {
            found = docked.insert(docked.end(), {node, {}});
        }
        const std::vector<std::string> tabs = tabs_of(layout, place, panels);
        found->second.insert(found->second.end(), tabs.begin(), tabs.end());
    };
    if (split == nullptr) {
        fill(Place::whole, dockspace);
    } else if (small) {
        fill(split->main, dockspace);
        for (const Place place : {Place::upper, Place::lower, Place::left_upper, Place::left_lower}) {
            if (place != split->main) {
                fill(place, dockspace);
            }
        }
    } else {
        const auto used = [&](Place place) { return is_used(layout, place, panels); };
        const bool left_upper = used(Place::left_upper), left_lower = used(Place::left_lower),
                   upper = used(Place::upper), lower = used(Place::lower);
        const Halves columns =
            divide(dockspace, ImGuiDir_Left, split->left, (left_upper || left_lower) && (upper || lower));
        const Halves left = divide(columns.first, ImGuiDir_Up, split->left_upper, left_upper && left_lower),
                     right = divide(columns.second, ImGuiDir_Up, split->upper, upper && lower);
        fill(Place::left_upper, left.first);
        fill(Place::left_lower, left.second);
        fill(Place::upper, right.first);
        fill(Place::lower, right.second);
    }
    for (const auto& [node, tabs] : docked) {
        dock(tabs, node);
    }
    ImGui::DockBuilderFinish(dockspace);
}

}  // namespace moescope::app
