// Ranks whose messages travel between GPUs, by NCCL.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

struct NcclSettings {
    std::filesystem::path plugin;  ///< libmoescope-nccl.so
    int device = 0;                ///< GPU of this rank, in CUDA's order
    /// For the others in an operation of a step, and for joining.
    std::chrono::milliseconds patience = std::chrono::minutes(10);
};

/// The ranks of `world`, which tells them NCCL's id and where each other is; it outlives the result and is not used
/// meanwhile. Every rank calls it. Memory of exchanges is the host's, as with any Comm: it is copied to the GPU and
/// back, and sums are taken here, in the order of the ranks. When an operation fails, what goes on on this rank's GPU
/// is ended at once. Throws Error, on every rank, when one can't use its GPU.
std::unique_ptr<Comm> open_nccl(Comm& world, const NcclSettings& settings);

}  // namespace moescope::engine::comm
