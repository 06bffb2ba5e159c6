// The operations of a GPU without one: the very kernels, run on the CPU (emulation.hpp). For tests; slow.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "kernels/ops.hpp"

namespace moescope::kernels::cuda {

/// "cuda-emulated". `library_products`: products, and attention with rounded operands, as the CPU computes them, in
/// place of a library's; otherwise those of the own kernels.
std::unique_ptr<Ops> emulated_ops(bool library_products = true);

/// What operations did to the device; whoever looks keeps it longer than them.
struct EmulatedUse {
    std::uint64_t allocations = 0, waits = 0;
    std::uint64_t captures = 0, starts = 0;  ///< of graphs
};

/// What a test wants of it besides.
struct EmulatedGpu {
    std::string name = "cuda-emulated";
    std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes
    /// Copies to the host that go well; then it is lost, and each throws.
    std::uint64_t lost_after = std::numeric_limits<std::uint64_t>::max();
    bool captures = true;        ///< false: it refuses to
    bool float8 = true;          ///< as of compute capability 9.0 or later
    EmulatedUse* use = nullptr;  ///< counted there; null: nowhere
};
std::unique_ptr<Ops> emulated_ops(const EmulatedGpu& gpu, bool library_products = true);

}  // namespace moescope::kernels::cuda
