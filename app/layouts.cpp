#include "app/layouts.hpp"

#include <cmath>
#include <imgui_internal.h>

namespace moescope::app {
namespace {

void dock(std::initializer_list<const char*> panels, ImGuiID node) {
    short order = 0;
    for (const char* panel : panels) {
        const std::string name = panel_window_id(panel);
        ImGui::DockBuilderDockWindow(name.c_str(), node);
        // The order of the tabs is not part of the builder's interface.
        const ImGuiID id = ImHashStr(name.c_str());
        if (ImGuiWindow* window = ImGui::FindWindowByID(id))
            window->DockOrder = order;
        else if (ImGuiWindowSettings* settings = ImGui::FindWindowSettingsByID(id))
            settings->DockOrder = order;
        ++order;
    }
}

/// Left: runs above knobs. Middle: training above expert load, with what is needed less often as tabs behind.
void build_training(ImGuiID root) {
    ImGuiID left = 0, middle = 0, top = 0, bottom = 0, upper_left = 0, lower_left = 0;
    ImGui::DockBuilderSplitNode(root, ImGuiDir_Left, 0.225f, &left, &middle);
    ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.27f, &upper_left, &lower_left);
    ImGui::DockBuilderSplitNode(middle, ImGuiDir_Up, 0.5f, &top, &bottom);
    dock({"runs"}, upper_left);
    dock({"knobs"}, lower_left);
    dock({"training", "compare", "probe", "manual"}, top);
    dock({"expert_load", "models", "nodes", "log"}, bottom);
}

/// One large panel with the whole window to itself; the others are tabs beside it.
void build_wide(ImGuiID root, const char* main_panel) {
    dock({main_panel, "compare", "probe", "training", "expert_load", "models", "log", "nodes", "runs", "knobs",
          "manual"},
         root);
}

void scale_below(const ImGuiDockNode& node, ImVec2 factor) {
    for (ImGuiDockNode* child : node.ChildNodes) {
        if (child == nullptr)
            continue;
        child->SizeRef = {child->SizeRef.x * factor.x, child->SizeRef.y * factor.y};
        scale_below(*child, factor);
    }
}

}  // namespace

void keep_proportions(ImGuiID dockspace, ImVec2 size) {
    const ImGuiDockNode* root = ImGui::DockBuilderGetNode(dockspace);
    if (root == nullptr || root->Size.x < 1 || root->Size.y < 1 || size.x < 1 || size.y < 1)
        return;
    // A dock node is whole pixels; what the bars leave is not. Less than a pixel is not another size, or the splits
    // would creep with every frame.
    if (std::fabs(size.x - root->Size.x) >= 1 || std::fabs(size.y - root->Size.y) >= 1)
        scale_below(*root, {size.x / root->Size.x, size.y / root->Size.y});
}

std::string panel_window_id(const std::string& key) {
    return "###panel." + key;
}

std::vector<std::string> default_panels(const std::string& layout) {
    if (layout == "compare")
        return {"compare", "models", "log"};
    if (layout == "probe")
        return {"probe", "models", "log"};
    return {"runs", "knobs", "training", "expert_load", "models", "nodes", "log"};
}

void build_layout(const std::string& layout, ImGuiID dockspace, ImVec2 size) {
    ImGui::DockBuilderRemoveNode(dockspace);
    ImGui::DockBuilderAddNode(dockspace, ImGuiDockNodeFlags_DockSpace);
    ImGui::DockBuilderSetNodeSize(dockspace, size);
    if (layout == "training")
        build_training(dockspace);
    else
        build_wide(dockspace, layout.c_str());
    ImGui::DockBuilderFinish(dockspace);
}

}  // namespace moescope::app
