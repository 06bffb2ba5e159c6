// What several scorings share, internal to kernels/cpu/router*.cpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels::router {

/// ln x within 2e-7 relative for normal x > 0, also near 1; NaN gives NaN. x = m 2^k with m in [2/3, 4/3), then ln m =
/// 2 artanh((m - 1) / (m + 1)).
inline float logarithm(float x) {
    const auto bits = std::bit_cast<std::int32_t>(x);
    const std::int32_t k = (bits - 0x3f2aaaab) >> 23;
    const float f = std::bit_cast<float>(bits - k * (1 << 23)) - 1.0f;
    const float r = f / (2.0f + f), r2 = r * r;
    float p = 1.0f / 9.0f;
    p = p * r2 + 1.0f / 7.0f;
    p = p * r2 + 1.0f / 5.0f;
    p = p * r2 + 1.0f / 3.0f;
    p = p * r2 + 1.0f;
    const float value = static_cast<float>(k) * 0.693147180559945f + 2.0f * r * p;
    return x == x ? value : x;
}

/// ln(1 + u) for u in [0, 1]; the quotient puts back what rounding 1 + u lost.
inline float logarithm_of_1_plus(float u) {
    const float w = 1.0f + u;
    return w == 1.0f ? u : logarithm(w) * (u / (w - 1.0f));
}

inline float magnitude(float z) {
    return z < 0.0f ? -z : z;
}

/// sigmoid(z), with u = e^-|z|.
inline float sigmoid(float z, float u) {
    return (z < 0.0f ? u : 1.0f) / (1.0f + u);
}

/// The two functions of the softmax kinds.
TokenScores softmax_forward(float* s_E, float* lse, const float* z_E, std::int64_t E);
void softmax_backward(float* dz_E, const float* ds_E, const float* s_E, const float* z_E, float lse, float z_term,
                      std::int64_t E);

/// The forward of a scoring that takes each logit by itself. `scores`(s_E, log_E) writes s and log s.
template <class Scores>
TokenScores forward_of_each(float* s_E, float* lse, const float* z_E, std::int64_t E, const Scores& scores) {
    float other_E[kMaxExperts];
    std::copy(z_E, z_E + E, other_E);
    const float top = lanes::maximum(z_E, E);
    *lse = top + std::log(lanes::exponentials(other_E, E, 1.0f, top));
    scores(s_E, other_E);
    // -sum q log q = log sum s - sum s log s / sum s.
    const float inverse = inverse_sum(s_E, E);
    const double entropy = -std::log(static_cast<double>(inverse)) -
                           static_cast<double>(lanes::dot(s_E, other_E, E)) * static_cast<double>(inverse);
    return {static_cast<double>(*lse) * *lse, entropy, inverse};
}

}  // namespace moescope::kernels::router
