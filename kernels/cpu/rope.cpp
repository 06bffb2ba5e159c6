#include "kernels/cpu/rope.hpp"

#include <cmath>

namespace moescope::kernels {

void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, double theta) {
    const std::int64_t half = C / 2;
    for (std::int64_t s = 0; s < S; ++s) {
        for (std::int64_t i = 0; i < half; ++i) {
            const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(C));
            const double angle = static_cast<double>(s) * frequency;
            cos_SP[s * half + i] = static_cast<float>(std::cos(angle));
            sin_SP[s * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

}  // namespace moescope::kernels
