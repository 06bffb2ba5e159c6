// operator new of this program, which can be told to fail on the calling thread.
#pragma once

namespace moescope::faults {

/// The n-th allocation (from 0) of those that are counted throws std::bad_alloc; `for_ever`: all later ones, too.
/// Negative: none.
void fail_allocation(long n, bool for_ever);
/// Counts and fails allocations of this thread while it is on.
void count_allocations(bool on);
long allocations();

}  // namespace moescope::faults
