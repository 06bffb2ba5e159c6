// What a fault test is asked on its command line: --seed N replays, --count N says how many.
#pragma once

#include <cstdint>

namespace moescope::faults {

/// Of --seed; a new one for each run of the program without it. Printed when the program begins.
std::uint64_t seed();
/// Of --count, else what a test does in ./test.
std::uint64_t count_or(std::uint64_t quick);

}  // namespace moescope::faults
