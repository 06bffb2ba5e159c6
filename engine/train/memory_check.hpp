// Whether a run fits into memory.
#pragma once

#include <cstdint>

#include "engine/model/config.hpp"

namespace moescope::engine {

/// Throws Error when the run needs more than `available` bytes, before anything is allocated: how much it needs, how
/// much there is, and which smaller batch, context, number of experts or of layers would fit. Also throws what
/// validate() and planning throw.
void check_memory(const RunConfig& config, std::uint64_t available);

}  // namespace moescope::engine
