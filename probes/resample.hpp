// Seeded resampling: the same numbers on every machine. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "probes/probes.hpp"

namespace moescope::probes {

inline constexpr std::uint64_t kResampleSeed = 20260101;
inline constexpr int kResamples = 4000;

/// splitmix64 (Steele, Lea and Flood 2014): the standard library's distributions differ between implementations, this
/// does not.
class Random {
 public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    /// Below `n`; the bias of the modulus is under n / 2^64.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }

 private:
    std::uint64_t state_;
};

/// BCa bootstrap over items (Efron 1987) of mean(first) - mean(second), each group resampled by itself; `second` may be
/// empty (then just mean(first)). The interval is {NaN, -1, 1} when `first` is empty, and of width zero when all items
/// of each group are alike.
Interval bootstrap_difference(std::span<const double> first, std::span<const double> second);

/// Two-sided sign-flip permutation test of mean 0 for paired differences: exact up to 20 of them that are not zero,
/// else 10,000 seeded flips.
double sign_flip_p(std::span<const double> differences);

}  // namespace moescope::probes
