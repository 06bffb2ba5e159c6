// Rotary position embedding, half-split (NeoX): element i is rotated together with element i + C/2 by the angle
// position * theta^(-2i/C). Source: Su et al., 2021 (arXiv 2104.09864); the half-split order is Hugging Face's.
// Shapes: S positions, C head width (even). cos_SP and sin_SP are [S, C/2].
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// Fills both tables, angles in double.
void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, double theta);

/// Rotates one head in place by the table row of its position.
inline void rope_rotate(float* x_C, const float* cos_P, const float* sin_P, std::int64_t C) {
    const std::int64_t half = C / 2;
    for (std::int64_t i = 0; i < half; ++i) {
        const float a = x_C[i], b = x_C[i + half];
        x_C[i] = a * cos_P[i] - b * sin_P[i];
        x_C[i + half] = b * cos_P[i] + a * sin_P[i];
    }
}

/// The transposed rotation, which is also the gradient.
inline void rope_rotate_back(float* x_C, const float* cos_P, const float* sin_P, std::int64_t C) {
    const std::int64_t half = C / 2;
    for (std::int64_t i = 0; i < half; ++i) {
        const float a = x_C[i], b = x_C[i + half];
        x_C[i] = a * cos_P[i] + b * sin_P[i];
        x_C[i + half] = b * cos_P[i] - a * sin_P[i];
    }
}

}  // namespace moescope::kernels
