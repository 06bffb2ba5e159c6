// Axes of plots: where ticks stand, and from values to pixels.
#pragma once

#include <vector>

namespace moescope::base {

/// 1, 2 or 5 times a power of ten, so that at most `most` steps of it cover `range`. 1 for a range that is not
/// positive.
double tick_step(double range, int most);
/// The multiples of tick_step(high - low, most) within [low, high], ascending; empty for an empty range.
std::vector<double> ticks(double low, double high, int most);

/// A line from values to places; `low` stands at `from`, `high` at `to`.
struct Scale {
    double low = 0, high = 1, from = 0, to = 1;
    double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

}  // namespace moescope::base
