#include "nodes/service/library/device_list.hpp"

#include <fmt/format.h>

#include "engine/model/machine_memory.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {

kernels::DevicePlaces device_places(const Paths& paths) {
    kernels::DevicePlaces places;
    places.plugin = paths.gpu_plugin;
    places.gguf_module = paths.ggml_module;
    places.driver = paths.gpu_driver;
    return places;
}

std::vector<protocol::DeviceEntry> device_list(kernels::Devices& devices) {
    std::vector<protocol::DeviceEntry> list;
    for (const kernels::Device& device : devices.list()) {
        protocol::DeviceEntry entry;
        entry.name = device.name;
        entry.title = device.title;
        entry.memory_total = device.memory;
        entry.memory_free = device.free_memory;
        entry.driver = device.driver;
        entry.driver_cuda = kernels::cuda_version(device.driver_cuda);
        entry.toolkit = kernels::cuda_version(device.toolkit);
        if (device.capability_major > 0) {
            entry.capability = fmt::format("{}.{}", device.capability_major, device.capability_minor);
        }
        entry.multiprocessors = device.multiprocessors;
        entry.why_not = device.why_not;
        entry.gguf_why_not = device.gguf_why_not;
        if (device.name == kernels::kProcessor) {
            entry.title = processor_name();
            entry.memory_total = total_memory();
            entry.memory_free = engine::available_memory();
        }
        list.push_back(std::move(entry));
    }
    return list;
}

nlohmann::json device_manifest(kernels::Devices& devices, const std::string& name) {
    for (const protocol::DeviceEntry& device : device_list(devices)) {
        if (device.name == name) {
            nlohmann::json entry = protocol::to_json(device);
            for (const char* of_now :
                 {"memory_free", "usable", "why_not", "why_not_id", "gguf", "gguf_why_not", "gguf_why_not_id"}) {
                entry.erase(of_now);
            }
            return entry;
        }
    }
    return {};
}

}  // namespace moescope::node
