// Grouped products by kernels of our own build (grouped_kernels.hpp) in a library's place, and which of the two
// computes them.
#pragma once

#include <memory>

#include "kernels/cuda/grouped_kernels.hpp"
#include "kernels/cuda/library_products.hpp"

namespace moescope::kernels::cuda {

/// Takes groups of bfloat16 and of single precision. Refuses single products, groups of eight bits, groups of bfloat16
/// whose terms lie side by side with depths that are no multiples of 8, and groups with both operands transposed.
/// Takes device memory. Throws std::bad_alloc.
std::unique_ptr<Library> grouped_library(Device& device, std::unique_ptr<GroupedKernels> kernels);

/// Who computes grouped products, those of eight bits left out; what it refuses is the tiled kernel's.
enum class GroupedBy {
    either,    ///< cuBLASLt, and CUTLASS what that refuses
    cublaslt,  ///< the others to compare, and for when one of them turns out to be wrong
    cutlass,
    tiled,
};
/// Of the environment variable MOESCOPE_GROUPED_PRODUCTS; null and "" are `either`. Throws std::runtime_error for what
/// is no name.
GroupedBy grouped_by(const char* name);

/// `single` computes single products, and of grouped ones what it and `grouped` are asked for.
std::unique_ptr<Library> chosen_library(GroupedBy by, std::unique_ptr<Library> single,
                                        std::unique_ptr<Library> grouped);

}  // namespace moescope::kernels::cuda
