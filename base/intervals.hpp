// The interval of one rate, and of a mean. One definition for the statistics of probes and for those of routing.
#pragma once

#include <cstdint>
#include <span>

namespace moescope::base {

struct Interval {
    double estimate = 0, low = 0, high = 0;
};

/// Wilson 95 % interval (Wilson 1927). n = 0 gives {NaN, 0, 1}.
Interval wilson(std::uint64_t successes, std::uint64_t n);

/// The same for a rate whose observations are not independent of each other: `rate` with as many independent
/// observations as would vary equally much (a design effect; Franco, Little, Louis and Slud 2019). `n` need not be
/// whole; {NaN, 0, 1} when it is not above 0 or the rate is no number.
Interval wilson_of_rate(double rate, double n);

/// Student's 95 % interval of a mean over independent values. With one value {it, NaN, NaN}, with none all are NaN.
Interval of_mean(std::span<const double> values);
/// The same of what can't be below 0, such as divergences: Student's interval is symmetric and would go there.
Interval of_positive_mean(std::span<const double> values);

}  // namespace moescope::base
