// What libmoescope-cuda.so offers to the program that opens it at run time: one C function that returns this table. The
// version stands first and never moves, so that a plugin of another version is told apart before anything else is read.
#pragma once

#include <cstdint>

namespace moescope::kernels {
class Ops;
}

namespace moescope::kernels::cuda {

inline constexpr std::uint32_t kPluginVersion = 1;
inline constexpr const char* kPluginFile = "libmoescope-cuda.so";
inline constexpr const char* kPluginEntry = "moescope_cuda_plugin";

/// Texts end with a zero byte and are cut where they are longer.
struct PluginDevice {
    char name[128];                     ///< "NVIDIA H200"
    char why_not[256];                  ///< the reason in English why it can't be used; empty: it can
    std::uint64_t memory, free_memory;  ///< bytes
    std::int32_t capability_major, capability_minor;
    std::int32_t multiprocessors;
};

/// Functions may be called from any thread, one at a time, and throw nothing: what goes wrong is written into `error`
/// (`error_size` bytes with the zero byte).
struct Plugin {
    std::uint32_t version;  ///< kPluginVersion of its sources
    /// The interface that it was compiled against (MOESCOPE_KERNELS_INTERFACE: a hash of its headers and the compiler):
    /// Ops is a C++ class, and another one's would be called wrongly.
    const char* interface;
    std::int32_t toolkit;  ///< of CUDA's runtime: 13050 for 13.5
    /// The driver's version in the same form; 0 where there is none.
    std::int32_t (*driver)();
    /// Fills the first `most` devices in the order of CUDA; their number, or -1 with `error`.
    std::int32_t (*devices)(PluginDevice* into, std::int32_t most, char* error, std::int32_t error_size);
    /// Operations on a device, to be deleted by the caller with its destructor; null with `error`.
    Ops* (*open)(std::int32_t device, char* error, std::int32_t error_size);
};
using PluginEntry = const Plugin* (*)();

}  // namespace moescope::kernels::cuda
