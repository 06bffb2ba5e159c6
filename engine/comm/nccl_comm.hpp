// Ranks whose data lie in the memory of GPUs and travel between them, by NCCL.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

struct NcclSettings {
    std::filesystem::path plugin;  ///< libmoescope-nccl.so
    int device = 0;                ///< GPU of this rank, in CUDA's order
    /// For the others in an operation of a step, and for joining.
    std::chrono::milliseconds patience = std::chrono::minutes(10);
};

/// The plugin of this program; it is there where NCCL was built in.
std::filesystem::path nccl_plugin_here();

/// Why this rank can't exchange data by NCCL ("there is no NVIDIA driver"); empty: nothing speaks against it here. The
/// plugin is opened for it.
std::string why_no_nccl(const NcclSettings& settings);

/// The ranks of `world`, which tells them NCCL's id and where each other is; it outlives the result, with which it may
/// be used by turns. Every rank calls it. Data of exchanges lie in `memory`, that of this rank's GPU, and go from GPU
/// to GPU; sums are taken there, in the order of the ranks. When an operation fails, what goes on on this rank's GPU is
/// ended at once, and `world` with it. Throws Error, on every rank, when one can't use its GPU.
std::unique_ptr<Comm> open_nccl(Comm& world, std::shared_ptr<Memory> memory, const NcclSettings& settings);

}  // namespace moescope::engine::comm
