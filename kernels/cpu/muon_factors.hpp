// Muon (muon.hpp) in numbers; the same on every device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/muon.hpp"
#include "kernels/host_device.hpp"

namespace moescope::kernels {

/// What a step multiplies with, in single precision; stands in the device's memory.
struct MuonFactors {
    float momentum = 0, scale = 1, shrink = 1;
    double learning_rate = 0;

    MuonFactors() = default;
    explicit MuonFactors(const MuonStep& step)
        : momentum(static_cast<float>(step.momentum)),
          scale(static_cast<float>(step.gradient_scale)),
          shrink(static_cast<float>(1.0 - step.learning_rate * step.weight_decay)),
          learning_rate(step.learning_rate) {}
    /// Of matrices of a shape, from their shape_factor().
    MOESCOPE_HOST_DEVICE float rate(double factor) const { return static_cast<float>(learning_rate * factor); }
    static double shape_factor(std::int64_t rows, std::int64_t columns) {
        return std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
    }
};

namespace newton_schulz {

inline constexpr int kIterations = 5;
inline constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

}  // namespace newton_schulz
}  // namespace moescope::kernels
