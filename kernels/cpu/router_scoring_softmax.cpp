// Scoring softmax: s = softmax(z). Also the forward and backward of softmax_after_top_k.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/router_scoring_parts.hpp"

namespace moescope::kernels {
namespace router {

TokenScores softmax_forward(float* s_E, float* lse, const float* z_E, std::int64_t E) {
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

void softmax_backward(float* dz_E, const float* ds_E, const float* s_E, const float* /*z_E*/, float /*lse*/,
                      float z_term, std::int64_t E) {
    const float mean = lanes::dot(s_E, ds_E, E);
    for (std::int64_t e = 0; e < E; ++e) {
        dz_E[e] = s_E[e] * (ds_E[e] - mean + z_term);
    }
}

}  // namespace router

const ScoringFormulas softmax_formulas = {
    .softmax = true,
    .gguf = 1,
    .forward = router::softmax_forward,
    .backward = router::softmax_backward,
    .reference = [](double z, double lse) { return std::exp(z - lse); },
};

}  // namespace moescope::kernels
