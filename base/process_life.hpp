// Whether a process is still there.
#pragma once

#include <cstdint>

namespace moescope::base {

/// When the process began, in ticks since the machine did: with its number it names a process for good. 0 when there is
/// none, or when it has ended and nobody has asked how.
std::uint64_t process_start(std::int64_t process);

}  // namespace moescope::base
