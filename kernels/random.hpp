// Counter-based random numbers: the n-th value of a stream is a pure function of (seed, stream, n), so a run can go on
// from a checkpoint by remembering two integers.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/host_device.hpp"

namespace moescope::kernels {

/// Finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
MOESCOPE_HOST_DEVICE inline std::uint64_t mix64(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

MOESCOPE_HOST_DEVICE inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
    return mix64(mix64(mix64(seed) ^ stream) ^ counter);
}

/// In (0, 1): never 0, so its logarithm is finite.
MOESCOPE_HOST_DEVICE inline double random_unit(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
    return (static_cast<double>(random_bits(seed, stream, counter) >> 11) + 0.5) * 0x1.0p-53;
}

/// Box and Muller, one value per counter.
inline double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
    const double radius = std::sqrt(-2.0 * std::log(random_unit(seed, stream, 2 * counter)));
    return radius * std::cos(2.0 * std::numbers::pi * random_unit(seed, stream, 2 * counter + 1));
}

}  // namespace moescope::kernels
