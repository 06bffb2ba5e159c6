// cuBLASLt as the library of library_products.hpp.
//
// Deterministic: a shape has one algorithm, which the library's heuristic names the first time, out of those that don't
// split the sum of an element (no reduction scheme, so no order that could change); the workspace has one size; all
// runs on one stream. The heuristic depends on shape, alignment, device and version alone. Single precision is
// CUBLAS_COMPUTE_32F_PEDANTIC: no TF32, no emulation by bfloat16, whatever the environment says.
#pragma once

#include <memory>

#include "kernels/cuda/device.hpp"
#include "kernels/cuda/library_products.hpp"

namespace moescope::kernels::cuda {

/// Takes device memory for its workspace, and no more later. `device` outlives it. Throws std::runtime_error with
/// cuBLAS's name of the error, std::bad_alloc without memory.
std::unique_ptr<Library> cublaslt(Device& device);

}  // namespace moescope::kernels::cuda
