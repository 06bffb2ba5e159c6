#include "kernels/cuda/cudnn_loader.hpp"

#include <cstring>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <unistd.h>

#include "kernels/cuda/cudnn_plugin.hpp"
#include "kernels/cuda/runtime_device.hpp"

namespace moescope::kernels::cuda {
namespace {

/// Beside this library; empty where its place is not known.
std::string plugin_file() {
    Dl_info info{};
    if (::dladdr(reinterpret_cast<const void*>(&load_cudnn), &info) == 0 || info.dli_fname == nullptr) {
        return {};
    }
    const std::string own = info.dli_fname;
    const std::size_t slash = own.rfind('/');
    return slash == std::string::npos ? std::string() : own.substr(0, slash + 1) + kCudnnPluginFile;
}

}  // namespace

LoadedAttention load_cudnn(const Device& device, int index) {
    const std::string file = plugin_file();
    if (file.empty() || ::access(file.c_str(), F_OK) != 0) {
        return {nullptr, "cuDNN is not part of this build; ./run --cudnn takes it"};
    }
    // It stays open: libraries of a driver can't be taken out of memory again.
    void* opened = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) {
        return {nullptr, ::dlerror()};
    }
    const auto entry = reinterpret_cast<CudnnPluginEntry>(::dlsym(opened, kCudnnPluginEntry));
    const CudnnPlugin* plugin = entry == nullptr ? nullptr : entry();
    if (plugin == nullptr || std::strcmp(plugin->interface, MOESCOPE_KERNELS_INTERFACE) != 0) {
        return {nullptr, file + " is of another version; build it again"};
    }
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), device.name(),
          "asking what it can");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), device.name(),
          "asking what it can");
    char error[512] = "";
    std::unique_ptr<AttentionLibrary> library(
        plugin->open(device.stream(), 10 * major + minor, error, static_cast<std::int32_t>(sizeof error)));
    return {std::move(library), error};
}

}  // namespace moescope::kernels::cuda
