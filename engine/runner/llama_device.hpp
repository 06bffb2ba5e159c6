// A GPU as libllama knows it, and how much of a model has room there. For the files that include llama.h.
#pragma once

#include <cstdint>
#include <functional>
#include <llama.h>
#include <string>

#include "base/sentence.hpp"
#include "kernels/devices.hpp"

namespace moescope::engine {

/// ggml's back end for a GPU is opened and registered for the rest of the process, also where that fails later. Throws
/// Error with the reason.
ggml_backend_dev_t open_ggml_device(const std::string& name, kernels::Devices& devices);

/// What contexts of a model and the model itself take on a device, in bytes.
std::uint64_t bytes_on_device(const llama_context* context, ggml_backend_dev_t device, bool with_model);

/// How much of a model a GPU computes.
struct GpuLayers {
    int count = -1;              ///< as n_gpu_layers wants it: the output, then the last layers; -1: all
    base::Sentence why_not_all;  ///< empty: all
};
/// Of a model with `layers` layers that takes `whole` bytes of `free` ones. `needed` gives the bytes for a count; more
/// take more. Throws Error with all figures when there is no room for the output and one layer.
GpuLayers layers_with_room(const std::string& device, int layers, std::uint64_t whole, std::uint64_t free,
                           const std::function<std::uint64_t(int count)>& needed);

}  // namespace moescope::engine
