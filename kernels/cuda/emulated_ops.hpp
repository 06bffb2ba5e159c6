// The operations of a GPU without one: the very kernels, run on the CPU (emulation.hpp). For tests; slow.
#pragma once

#include <memory>

#include "kernels/ops.hpp"

namespace moescope::kernels::cuda {

/// "cuda-emulated". `library_products`: products as the CPU computes them, in place of a library's; otherwise those of
/// the own tiled kernel.
std::unique_ptr<Ops> emulated_ops(bool library_products = true);

}  // namespace moescope::kernels::cuda
