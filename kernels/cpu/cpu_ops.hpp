// The operations on this machine's processor.
#pragma once

#include <memory>

#include "kernels/ops.hpp"

namespace moescope::kernels {

/// `threads`: how many cores the operations use; at least 1.
std::unique_ptr<Ops> cpu_ops(int threads);

}  // namespace moescope::kernels
