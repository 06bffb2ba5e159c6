#include "panels/node/device_choice.hpp"

#include <algorithm>
#include <imgui.h>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr float kWhyNot = 24;  ///< width of the reason why a device can't be used, em

}  // namespace

std::string device_label(const client::NodeInfo& node, const std::string& device) {
    const auto found = std::find_if(node.devices.begin(), node.devices.end(), [&](const protocol::DeviceEntry& one) {
        return one.name == device && !one.title.empty();
    });
    return found == node.devices.end() ? device : device + " \u2013 " + found->title;
}

bool device_combo(const ui::Context& ctx, const char* id, std::string& device, const char* beside) {
    const client::NodeInfo& node = ctx.snapshot.node;
    const std::string shown = device.empty() && beside != nullptr ? beside : device_label(node, device);
    if (!ui::begin_combo(id, shown)) {
        return false;
    }
    const std::string before = device;
    if (beside != nullptr && ImGui::Selectable((std::string(beside) + "###device.").c_str(), device.empty())) {
        device.clear();
    }
    if (node.devices.empty() && ImGui::Selectable("cpu", device == "cpu")) {
        device = "cpu";
    }
    for (const protocol::DeviceEntry& one : node.devices) {
        const std::string item = device_label(node, one.name) + "###device." + one.name;
        const ImGuiSelectableFlags locked = one.usable() ? 0 : ImGuiSelectableFlags_Disabled;
        if (ImGui::Selectable(item.c_str(), one.name == device, locked)) {
            device = one.name;
        }
        if (!one.usable()) {
            ui::text_wrapped(ctx.text.message(one.why_not), ctx.theme.text_dim, kWhyNot * ctx.em);
        }
    }
    ImGui::EndCombo();
    return device != before;
}

}  // namespace moescope::panels
