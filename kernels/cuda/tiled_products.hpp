// Products by an own kernel: exact single precision (no TF32) with fixed order of sums, for parity, for sizes that a
// library refuses, and where there is none. Operands of eight bits it rounds to bfloat16: grouped products of those are
// float8_products.hpp's.
#pragma once

#include "kernels/cuda/products.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

std::unique_ptr<Products> tiled_products(simt::Stream stream);

}  // namespace moescope::kernels::cuda
