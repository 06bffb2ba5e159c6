// A plugin for GPUs as tests want it: MOESCOPE_TEST_GPU says what it is like. Its GPUs are the emulated one.
#include "kernels/cuda/plugin.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "kernels/cuda/emulated_ops.hpp"

namespace {

using namespace moescope::kernels;

std::string kind() {
    const char* value = std::getenv("MOESCOPE_TEST_GPU");
    return value == nullptr ? "" : value;
}

template <std::size_t Size>
void put(char (&into)[Size], const std::string& text) {
    std::strncpy(into, text.c_str(), Size - 1);
    into[Size - 1] = '\0';
}

void tell(char* error, std::int32_t size, const std::string& text) {
    std::strncpy(error, text.c_str(), static_cast<std::size_t>(size - 1));
    error[size - 1] = '\0';
}

/// "lost 40": the 40 of it.
std::uint64_t number_in(const std::string& text) {
    return std::strtoull(text.substr(text.find(' ') + 1).c_str(), nullptr, 10);
}

std::int32_t driver() {
    return kind() == "old driver" ? 12040 : kind() == "silent driver" ? 0 : 13000;
}

std::int32_t devices(cuda::PluginDevice* into, std::int32_t most, char* error, std::int32_t error_size) {
    if (kind() == "not listed") {
        tell(error, error_size, "cudaErrorSystemNotReady");
        return -1;
    }
    if (kind() == "none" || most < 2) {
        return 0;
    }
    for (std::int32_t i = 0; i < 2; ++i) {
        cuda::PluginDevice& device = into[i];
        device = {};
        put(device.name, "Emulated GPU " + std::to_string(i));
        device.memory = std::uint64_t{8} << 30;
        device.free_memory = std::uint64_t{6} << 30;
        device.capability_major = 9;
        device.multiprocessors = 132;
    }
    if (kind() != "two") {
        put(into[1].why_not, "compute capability 3.5 is too old");
    }
    if (kind() == "endless texts") {
        std::memset(into[0].name, 'x', sizeof into[0].name);
        std::memset(into[1].why_not, 'y', sizeof into[1].why_not);
        return most + 7;
    }
    return 2;
}

Ops* open(std::int32_t device, char* error, std::int32_t error_size) {
    if (kind() == "refusing") {
        tell(error, error_size, "cudaErrorDevicesUnavailable");
        return nullptr;
    }
    try {
        cuda::EmulatedGpu gpu;
        gpu.name = "cuda:" + std::to_string(device);
        if (kind().starts_with("small ")) {
            gpu.memory = number_in(kind());
        }
        if (kind().starts_with("lost ")) {
            gpu.lost_after = number_in(kind());
        }
        gpu.captures = kind() != "without graphs";
        return cuda::emulated_ops(gpu).release();
    } catch (const std::exception& problem) {
        tell(error, error_size, problem.what());
        return nullptr;
    }
}

}  // namespace

extern "C" const cuda::Plugin* moescope_cuda_plugin() {
    static cuda::Plugin plugin;
    plugin = {cuda::kPluginVersion, MOESCOPE_KERNELS_INTERFACE, 13050, driver, devices, open};
    if (kind() == "other version") {
        plugin.version += 1;
        plugin.interface = nullptr;  // whatever comes after the version may be something else
    } else if (kind() == "other interface") {
        plugin.interface = "0000";
    } else if (kind() == "without functions") {
        plugin.open = nullptr;
    } else if (kind() == "nothing") {
        return nullptr;
    }
    return &plugin;
}
