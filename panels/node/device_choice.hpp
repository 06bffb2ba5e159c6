// A choice among the devices of the node: the same wherever one is chosen.
#pragma once

#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// "cuda:0 – NVIDIA H200"; the name alone where nothing else is known.
std::string device_label(const client::NodeInfo& node, const std::string& device);

/// A list of the devices; those that can't be used say why and can't be chosen. True when `device` has changed.
/// `beside`: text of an item before them that stands for an empty name; null: there is none.
bool device_combo(const ui::Context& ctx, const char* id, std::string& device, const char* beside = nullptr);

}  // namespace moescope::panels
