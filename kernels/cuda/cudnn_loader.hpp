// Opens libmoescope-cudnn.so (cudnn_plugin.hpp), which stands beside libmoescope-cuda.so where ./run --cudnn was.
#pragma once

#include "kernels/cuda/attention_library.hpp"
#include "kernels/cuda/device.hpp"

namespace moescope::kernels::cuda {

/// For the GPU `index`, which is current; `device` is its stream and outlives the library.
LoadedAttention load_cudnn(const Device& device, int index);

}  // namespace moescope::kernels::cuda
