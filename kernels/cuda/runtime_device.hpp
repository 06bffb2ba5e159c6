// A GPU through CUDA's runtime.
#pragma once

#include <cuda_runtime.h>
#include <memory>
#include <string>

#include "kernels/cuda/device.hpp"

namespace moescope::kernels::cuda {

/// Throws std::runtime_error: what was being done, where, and CUDA's name of the error.
void check(cudaError_t error, const std::string& device, const char* doing);

/// The GPU of this index in CUDA's order; memory of its own context is taken. Throws std::runtime_error.
std::unique_ptr<Device> runtime_device(int index);

}  // namespace moescope::kernels::cuda
