// Ranks whose data lie in the memory of devices and travel through the host's.
#pragma once

#include <memory>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

/// A Comm of the ranks of `world`, which has the host's memory, and with which it may be used by turns: what is sent is
/// downloaded from `memory`, and what has come is uploaded. Sums are taken by `world`. `world` outlives it and counts
/// what it exchanges; counters() are those of `world`.
std::unique_ptr<Comm> staged(Comm& world, std::shared_ptr<Memory> memory);

}  // namespace moescope::engine::comm
