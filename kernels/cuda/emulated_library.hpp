// What stands in a library's place for grouped products of eight bits (library_products.hpp): it reads codes and scales
// as cuBLASLt's documentation has them, adds up each tile and multiplies its sum by the scales. What that library
// forbids, and would not notice, throws std::logic_error.
#pragma once

#include <memory>

#include "kernels/cuda/library_products.hpp"

namespace moescope::kernels::cuda {

/// Refuses everything but those.
std::unique_ptr<Library> emulated_library();

}  // namespace moescope::kernels::cuda
