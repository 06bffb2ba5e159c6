// Router: from logits to scores, and back.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels::router {
namespace {

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

TokenScores softmax(float* s_E, float* lse, const float* z_E, std::int64_t E) {
    const float top = lanes::maximum(z_E, E);
    std::copy(z_E, z_E + E, s_E);
    const float sum = lanes::exponentials(s_E, E, 1.0f, top);
    const float inverse = 1.0f / sum;
    for (std::int64_t e = 0; e < E; ++e) {
        s_E[e] *= inverse;
    }
    *lse = top + std::log(sum);
    // -sum q log q, with log q = z - lse.
    return {static_cast<double>(*lse) * *lse, *lse - static_cast<double>(lanes::dot(s_E, z_E, E)), 1.0f};
}

/// Writes s and log s.
void sigmoid_scores(float* s_E, float* log_E, const float* z_E, std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        const float z = z_E[e], u = lanes::exponential(-magnitude(z));
        s_E[e] = sigmoid(z, u);
        log_E[e] = (z < 0.0f ? z : 0.0f) - logarithm_of_1_plus(u);
    }
}
void sqrt_softplus_scores(float* s_E, float* log_E, const float* z_E, std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        const float z = z_E[e], u = lanes::exponential(-magnitude(z));
        const float softplus = (z < 0.0f ? 0.0f : z) + logarithm_of_1_plus(u);
        s_E[e] = std::sqrt(softplus);
        log_E[e] = 0.5f * logarithm(softplus);
    }
}

}  // namespace

float inverse_sum(const float* s_E, std::int64_t E) {
    lanes::Lanes sum = {};
    std::int64_t e = 0;
    for (; e + lanes::kWidth <= E; e += lanes::kWidth) {
        lanes::Lanes s;
        lanes::load(s, s_E + e);
        sum += s;
    }
    float total = lanes::add_up(sum);
    for (; e < E; ++e) {
        total += s_E[e];
    }
    return 1.0f / (total + kSumFloor);
}

TokenScores score_token(float* s_E, float* lse, const float* z_E, const RouterShape& shape) {
    const std::int64_t E = shape.E;
    if (softmax_scores(shape)) {
        return softmax(s_E, lse, z_E, E);
    }
    float other_E[kMaxExperts];
    std::copy(z_E, z_E + E, other_E);
    const float top = lanes::maximum(z_E, E);
    *lse = top + std::log(lanes::exponentials(other_E, E, 1.0f, top));
    if (shape.scoring == Scoring::sigmoid) {
        sigmoid_scores(s_E, other_E, z_E, E);
    } else {
        sqrt_softplus_scores(s_E, other_E, z_E, E);
    }
    // -sum q log q = log sum s - sum s log s / sum s.
    const float inverse = inverse_sum(s_E, E);
    const double entropy = -std::log(static_cast<double>(inverse)) -
                           static_cast<double>(lanes::dot(s_E, other_E, E)) * static_cast<double>(inverse);
    return {static_cast<double>(*lse) * *lse, entropy, inverse};
}

void scores_backward(float* dz_E, const float* ds_E, const float* s_E, const float* z_E, float lse, float z_term,
                     const RouterShape& shape) {
    const std::int64_t E = shape.E;
    if (softmax_scores(shape)) {
        const float mean = lanes::dot(s_E, ds_E, E);
        for (std::int64_t e = 0; e < E; ++e) {
            dz_E[e] = s_E[e] * (ds_E[e] - mean + z_term);
        }
        return;
    }
    if (shape.scoring == Scoring::sigmoid) {
        for (std::int64_t e = 0; e < E; ++e) {
            dz_E[e] = ds_E[e] * s_E[e] * (1.0f - s_E[e]) + z_term * lanes::exponential(z_E[e] - lse);
        }
        return;
    }
    for (std::int64_t e = 0; e < E; ++e) {
        const float z = z_E[e], slope = sigmoid(z, lanes::exponential(-magnitude(z))) / (2.0f * s_E[e]);
        dz_E[e] = ds_E[e] * slope + z_term * lanes::exponential(z - lse);
    }
}

}  // namespace moescope::kernels::router
