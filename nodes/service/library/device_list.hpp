// The devices of this machine, with what the node knows of its processor.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/devices.hpp"
#include "nodes/protocol/gauges.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// Where this program looks for GPUs.
kernels::DevicePlaces device_places(const Paths& paths);

/// The processor first; see kernels::Devices::list, which takes up to a second.
std::vector<protocol::DeviceEntry> device_list(kernels::Devices& devices);

/// What a run's manifest says of the device of that name: the entry without what is true of the moment alone; null when
/// there is none.
nlohmann::json device_manifest(kernels::Devices& devices, const std::string& name);

}  // namespace moescope::node
