// The clock of invitations.
#pragma once

#include <chrono>
#include <cstdint>

namespace moescope::security {

/// Seconds of the Unix epoch, by the wall clock.
inline std::int64_t unix_seconds() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

}  // namespace moescope::security
