// Seeded resampling: the same numbers on every machine. Private to this folder.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "probes/probes.hpp"

namespace moescope::probes {

inline constexpr std::uint64_t kResampleSeed = 20260101;
inline constexpr int kResamples = 4000;

/// BCa bootstrap over items (Efron 1987) of mean(first) - mean(second), each group resampled by itself; `second` may be
/// empty (then just mean(first)). The interval is {NaN, -1, 1} when `first` is empty, and of width zero when all items
/// of each group are alike.
Interval bootstrap_difference(std::span<const double> first, std::span<const double> second);

/// Two-sided sign-flip permutation test of mean 0 for paired differences: exact up to 20 of them that are not zero,
/// else 10,000 seeded flips.
double sign_flip_p(std::span<const double> differences);

}  // namespace moescope::probes
