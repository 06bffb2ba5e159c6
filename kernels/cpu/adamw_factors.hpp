// What a step of AdamW multiplies with, in single precision; the same on every device, in whose memory it stands.
#pragma once

#include <cmath>

#include "kernels/cpu/adamw.hpp"

namespace moescope::kernels {

struct AdamWFactors {
    float scale = 1, b1 = 0, b2 = 0, c1 = 0, c2 = 0, rate = 0, root = 0, epsilon = 0, keep = 1;

    AdamWFactors() = default;
    explicit AdamWFactors(const AdamWStep& step)
        : scale(static_cast<float>(step.gradient_scale)),
          b1(static_cast<float>(step.beta1)),
          b2(static_cast<float>(step.beta2)),
          c1(static_cast<float>(1 - step.beta1)),
          c2(static_cast<float>(1 - step.beta2)),
          rate(static_cast<float>(step.learning_rate / (1 - std::pow(step.beta1, static_cast<double>(step.update))))),
          root(static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, static_cast<double>(step.update))))),
          epsilon(static_cast<float>(step.epsilon)),
          keep(static_cast<float>(1 - step.learning_rate * step.weight_decay)) {}
};

}  // namespace moescope::kernels
