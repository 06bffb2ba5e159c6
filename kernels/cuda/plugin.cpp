// The entry of libmoescope-cuda.so, and the GPUs that it sees.
#include "kernels/cuda/plugin.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/cuda/cublaslt.hpp"
#include "kernels/cuda/cuda_ops.hpp"
#include "kernels/cuda/cudnn_loader.hpp"
#include "kernels/cuda/grouped_library.hpp"
#include "kernels/cuda/library_products.hpp"
#include "kernels/cuda/runtime_device.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr int kLeastCapability = 8;          // first number; kernels are compiled for 8.0 and later
constexpr int kLastCompiledFor = 10;         // later ones are compiled from PTX by the driver
constexpr const char* kLeastDriver = "580";  // the first one for CUDA 13

void write(char* to, std::size_t size, const std::string& text) {
    if (size > 0) {
        std::snprintf(to, size, "%s", text.c_str());
    }
}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::int32_t driver() {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

/// Free memory of GPUs by the driver's management library, which makes no context: a context takes some hundred MB of
/// the device, too much for a look. What it can't tell stays unknown.
class Management {
 public:
    Management() : library_(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
        const auto start = function<int (*)()>("nvmlInit_v2");
        by_bus_ = function<int (*)(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
        memory_ = function<int (*)(void*, Memory*)>("nvmlDeviceGetMemoryInfo");
        stop_ = function<int (*)()>("nvmlShutdown");
        started_ = start != nullptr && by_bus_ != nullptr && memory_ != nullptr && stop_ != nullptr && start() == 0;
    }
    ~Management() {
        if (started_) {
            stop_();
        }
        if (library_ != nullptr) {
            ::dlclose(library_);
        }
    }
    Management(const Management&) = delete;
    Management& operator=(const Management&) = delete;

    std::uint64_t free_memory(int device, std::uint64_t otherwise) const {
        char bus[64];
        void* handle = nullptr;
        Memory memory{};
        if (!started_ || cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess || by_bus_(bus, &handle) != 0 ||
            memory_(handle, &memory) != 0) {
            return otherwise;
        }
        return std::min<std::uint64_t>(memory.free, otherwise);
    }

 private:
    struct Memory {  // nvmlMemory_t
        unsigned long long total, free, used;
    };
    template <class Function>
    Function function(const char* name) const {
        return library_ == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(library_, name));
    }

    void* library_;
    int (*by_bus_)(const char*, void**) = nullptr;
    int (*memory_)(void*, Memory*) = nullptr;
    int (*stop_)() = nullptr;
    bool started_ = false;
};

std::string why_not(const cudaDeviceProp& device, int compute_mode) {
    const std::string capability = std::to_string(device.major) + "." + std::to_string(device.minor);
    if (device.major < kLeastCapability) {
        return "its compute capability is " + capability + "; " + std::to_string(kLeastCapability) +
               ".0 or later is needed";
    }
    if (device.major > kLastCompiledFor && driver() < CUDART_VERSION) {
        return "the driver is for CUDA " + version_text(driver()) + "; a GPU of compute capability " + capability +
               " needs one for " + version_text(CUDART_VERSION);
    }
    if (compute_mode == cudaComputeModeProhibited) {
        return "its compute mode forbids programs to use it";
    }
    return {};
}

/// The number of GPUs. Throws std::runtime_error.
int count_devices() {
    if (driver() == 0) {
        throw std::runtime_error("there is no NVIDIA driver");
    }
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        throw std::runtime_error("the NVIDIA driver is for CUDA " + version_text(driver()) + " and too old: driver " +
                                 kLeastDriver + " or later is needed");
    }
    if (error == cudaErrorNoDevice) {
        return 0;
    }
    check(error, "the NVIDIA driver", "counting GPUs");
    return count;
}

std::int32_t devices(PluginDevice* into, std::int32_t most, char* error, std::int32_t error_size) {
    try {
        const int count = count_devices();
        const Management management;
        for (int i = 0; i < count && i < most; ++i) {
            into[i] = {};
            cudaDeviceProp found{};
            int compute_mode = cudaComputeModeDefault;
            const cudaError_t failed = cudaGetDeviceProperties(&found, i);
            if (failed != cudaSuccess) {
                write(into[i].why_not, sizeof into[i].why_not, cudaGetErrorString(failed));
                continue;
            }
            static_cast<void>(cudaDeviceGetAttribute(&compute_mode, cudaDevAttrComputeMode, i));
            write(into[i].name, sizeof into[i].name, found.name);
            write(into[i].why_not, sizeof into[i].why_not, why_not(found, compute_mode));
            into[i].memory = found.totalGlobalMem;
            into[i].free_memory = management.free_memory(i, found.totalGlobalMem);
            into[i].capability_major = found.major;
            into[i].capability_minor = found.minor;
            into[i].multiprocessors = found.multiProcessorCount;
        }
        return count;
    } catch (const std::exception& wrong) {
        write(error, static_cast<std::size_t>(std::max(error_size, 0)), wrong.what());
        return -1;
    }
}

/// Elements for rounded operands: of the size of the GPU, not of what is free, so that products are cut alike each
/// time.
std::int64_t operand_room(int device) {
    constexpr std::uint64_t kLeast = std::uint64_t{64} << 20, kMost = std::uint64_t{1} << 30, kShare = 64;
    cudaDeviceProp found{};
    check(cudaGetDeviceProperties(&found, device), "cuda:" + std::to_string(device), "asking for its size");
    const std::uint64_t bytes = std::clamp<std::uint64_t>(found.totalGlobalMem / kShare, kLeast, kMost);
    return static_cast<std::int64_t>(bytes / sizeof(std::uint16_t) / 8 * 8);
}

Ops* open(std::int32_t device, char* error, std::int32_t error_size) {
    try {
        const int count = count_devices();
        if (device < 0 || device >= count) {
            throw std::runtime_error("there is no GPU " + std::to_string(device) + "; the driver knows " +
                                     std::to_string(count));
        }
        std::unique_ptr<Device> gpu = runtime_device(device);
        std::unique_ptr<Library> library = chosen_library(grouped_by(std::getenv("MOESCOPE_GROUPED_PRODUCTS")),
                                                          cublaslt(*gpu), grouped_library(*gpu, cutlass_kernels(*gpu)));
        std::unique_ptr<Products> products = library_products(*gpu, std::move(library), operand_room(device));
        const Device* owned = gpu.get();
        return cuda_ops(std::move(gpu), std::move(products), [owned, device] { return load_cudnn(*owned, device); })
            .release();
    } catch (const std::exception& wrong) {
        write(error, static_cast<std::size_t>(std::max(error_size, 0)), wrong.what());
        return nullptr;
    }
}

constexpr Plugin kPlugin{kPluginVersion, MOESCOPE_KERNELS_INTERFACE, CUDART_VERSION, driver, devices, open};

}  // namespace
}  // namespace moescope::kernels::cuda

extern "C" __attribute__((visibility("default"))) const moescope::kernels::cuda::Plugin* moescope_cuda_plugin();
const moescope::kernels::cuda::Plugin* moescope_cuda_plugin() {
    return &moescope::kernels::cuda::kPlugin;
}
