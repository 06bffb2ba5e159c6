// Whether a run fits into memory.
#pragma once

#include <cstdint>

#include "engine/model/config.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// Throws Error when the run needs more than `available` bytes, before anything is allocated: how much it needs, how
/// much there is, and which smaller batch, context, number of experts or of layers would fit. Also throws what
/// validate() and planning throw.
void check_memory(const RunConfig& config, std::uint64_t available);
/// The same of a rank, which shares `available` with the ranks on its machine. Throws Error, also when the run can't be
/// divided among the ranks.
void check_rank_memory(const RunConfig& config, const TrainingRanks& ranks, std::uint64_t available);
/// The same of a run whose configuration gives it several processes, all on this machine.
void check_rank_memory(const RunConfig& config, std::uint64_t available);
/// On the device of `ops`, which this rank has alone. Throws Error.
void check_rank_memory(const RunConfig& config, const RankShape& ranks, kernels::Ops& ops);
/// The same for a run with these operations: what its device has of its own is compared with the device's memory, the
/// rest with `available` bytes of this machine.
void check_memory(const RunConfig& config, kernels::Ops& ops, std::uint64_t available);

}  // namespace moescope::engine
