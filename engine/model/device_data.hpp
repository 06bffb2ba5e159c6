// The memory that operations work on, as ranks exchange it.
#pragma once

#include <memory>

#include "engine/comm/comm.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// `ops` outlives it. Sums of f32 are taken by `ops`, those of other numbers by the host. Its scratch is taken when it
/// is first asked for and grows then; at most 32 MiB and a little for each rank.
std::shared_ptr<comm::Memory> memory_of(kernels::Ops& ops);

}  // namespace moescope::engine
