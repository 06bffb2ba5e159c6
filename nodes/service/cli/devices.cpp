// moescope-node devices: what can compute on this machine, and why something can't.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/text.hpp"
#include "engine/model/machine_memory.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/device_list.hpp"

namespace moescope::node {

namespace {

/// "NVIDIA H200; 150.1 GB of memory, 149.5 GB free; driver 580.65.06 (CUDA 13.0), built with CUDA 13.5; ..."
std::string facts(const protocol::DeviceEntry& device) {
    std::string text = device.title;
    const auto add = [&](const std::string& part) { base::append_to_list(text, part, "; "); };
    if (device.memory_total > 0) {
        add(fmt::format("{} of memory, {} free", engine::memory_text(device.memory_total),
                        engine::memory_text(device.memory_free)));
    }
    if (!device.driver_cuda.empty()) {
        add(fmt::format("driver {}{}(CUDA {}), built with CUDA {}", device.driver, device.driver.empty() ? "" : " ",
                        device.driver_cuda, device.toolkit));
    }
    if (!device.capability.empty()) {
        add(fmt::format("compute capability {}, {} multiprocessors", device.capability, device.multiprocessors));
    }
    return text;
}

int devices_command(const Paths& paths, bool as_json) {
    kernels::Devices devices(device_places(paths));
    for (const protocol::DeviceEntry& device : device_list(devices)) {
        if (as_json) {
            print_json(protocol::to_json(device));
            continue;
        }
        std::string text = facts(device);
        if (!device.usable()) {
            base::append_to_list(text, fmt::format("cannot be used: {}", fit_to_show(device.why_not).english()), "; ");
        }
        if (device.usable() && device.name != kernels::kProcessor) {
            base::append_to_list(text,
                                 device.gguf_why_not.empty()
                                     ? "computes GGUF models too"
                                     : fmt::format("no GGUF models: {}", fit_to_show(device.gguf_why_not).english()),
                                 "; ");
        }
        fmt::print("{:<8} {}\n", device.name, text);
    }
    return 0;
}

}  // namespace

void add_devices(CLI::App& app, Chosen& chosen) {
    const auto as_json = std::make_shared<bool>(false);
    auto* devices = app.add_subcommand("devices", "What can compute here: the processor, GPUs, and why one can't");
    devices->add_flag("--json", *as_json, "JSON Lines on standard output");
    devices->callback([&chosen, as_json] {
        chosen.command = [as_json](const Paths& paths) { return devices_command(paths, *as_json); };
    });
}

}  // namespace moescope::node
