// What libmoescope-cudnn.so offers to libmoescope-cuda.so, which opens it at run time: without it attention with 16-bit
// operands is our own kernels'. One C function returns this table.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_library.hpp"

namespace moescope::kernels::cuda {

inline constexpr const char* kCudnnPluginFile = "libmoescope-cudnn.so";
inline constexpr const char* kCudnnPluginEntry = "moescope_cudnn_plugin";

/// Functions throw nothing: what goes wrong is written into `error` (`error_size` bytes with the zero byte) and they
/// return null. What they return is deleted by the caller.
struct CudnnPlugin {
    /// As Plugin::interface; stands first, so that a plugin of other sources is told apart before anything else is
    /// read.
    const char* interface;
    /// For the current device. `stream` is a cudaStream_t; `capability` is 90 for 9.0.
    AttentionLibrary* (*open)(void* stream, std::int32_t capability, char* error, std::int32_t error_size);
    /// For a device that isn't there: what it would take, and with which workspace, and nothing is computed.
    /// `properties`: as cuDNN writes those of a device, JSON (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION).
    AttentionLibrary* (*describe)(const char* properties, std::int32_t capability, char* error,
                                  std::int32_t error_size);
};
using CudnnPluginEntry = const CudnnPlugin* (*)();

}  // namespace moescope::kernels::cuda
