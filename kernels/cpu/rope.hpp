// Rotary position embedding: pairs of elements turn by position x frequency. Source: Su et al., 2021 (arXiv
// 2104.09864). YaRN stretches the slow frequencies (arXiv 2309.00071; the details are those of Hugging Face's
// _compute_yarn_parameters). Shapes: S positions, C rotated width (even). cos_SP and sin_SP are [S, C/2].
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// half: element i turns with i + C/2 (NeoX, Hugging Face); interleaved: 2i turns with 2i + 1 (DeepSeek).
enum class RopeOrder { half, interleaved };

struct RopeSpec {
    double theta = 10000.0;  ///< more than 1 with YaRN
    double factor = 1.0;     ///< YaRN when more than 1
    double original_context = 4096, beta_fast = 32.0, beta_slow = 1.0;
    bool truncate = true;
    double mscale = 0, mscale_all_dim = 0;
};

/// Fills both tables, angles in double; YaRN's attention factor is multiplied into them.
void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, const RopeSpec& spec);
/// What DeepSeek multiplies the softmax scale with: (0.1 mscale_all_dim ln(factor) + 1)^2, 1 without.
double rope_softmax_factor(const RopeSpec& spec);

/// Rotates one head in place by the table row of its position.
inline void rope_rotate(float* x_C, const float* cos_P, const float* sin_P, std::int64_t C, RopeOrder order) {
    const std::int64_t half = C / 2;
    const std::int64_t step = order == RopeOrder::half ? 1 : 2, apart = order == RopeOrder::half ? half : 1;
    for (std::int64_t i = 0; i < half; ++i) {
        float &first = x_C[i * step], &second = x_C[i * step + apart];
        const float a = first, b = second;
        first = a * cos_P[i] - b * sin_P[i];
        second = b * cos_P[i] + a * sin_P[i];
    }
}

/// The transposed rotation, which is also the gradient.
inline void rope_rotate_back(float* x_C, const float* cos_P, const float* sin_P, std::int64_t C, RopeOrder order) {
    const std::int64_t half = C / 2;
    const std::int64_t step = order == RopeOrder::half ? 1 : 2, apart = order == RopeOrder::half ? half : 1;
    for (std::int64_t i = 0; i < half; ++i) {
        float &first = x_C[i * step], &second = x_C[i * step + apart];
        const float a = first, b = second;
        first = a * cos_P[i] + b * sin_P[i];
        second = b * cos_P[i] - a * sin_P[i];
    }
}

}  // namespace moescope::kernels
