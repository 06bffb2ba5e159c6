// How much memory a process takes.
#pragma once

#include <cstdint>

namespace moescope::base {

/// Bytes of the process's proportional set (PSS): pages that several processes have in common (a model file, libraries)
/// count for each of them in equal parts, so that a sum over processes counts none twice. Where the system does not
/// tell that (another user's process), its resident set. 0 when there is no such process. Reads /proc: microseconds to
/// a few milliseconds, more for more memory.
std::uint64_t process_memory(std::int64_t process);
/// Bytes of its resident set, shared pages counted whole; 0 when there is no such process. Microseconds.
std::uint64_t resident_memory(std::int64_t process);

}  // namespace moescope::base
