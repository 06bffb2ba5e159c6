// Scoring sigmoid (DeepSeek-V3): s = 1 / (1 + e^-z).
#include <cmath>

#include "kernels/cpu/router_scoring_parts.hpp"

namespace moescope::kernels {
namespace {

using namespace router;

TokenScores forward(float* s_E, float* lse, const float* z_E, std::int64_t E) {
    return forward_of_each(s_E, lse, z_E, E, [&](float* scores_E, float* log_E) {
        for (std::int64_t e = 0; e < E; ++e) {
            const float z = z_E[e], u = lanes::exponential(-magnitude(z));
            scores_E[e] = sigmoid(z, u);
            log_E[e] = (z < 0.0f ? z : 0.0f) - logarithm_of_1_plus(u);
        }
    });
}

void backward(float* dz_E, const float* ds_E, const float* s_E, const float* z_E, float lse, float z_term,
              std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        dz_E[e] = ds_E[e] * s_E[e] * (1.0f - s_E[e]) + z_term * lanes::exponential(z_E[e] - lse);
    }
}

}  // namespace

const ScoringFormulas sigmoid_formulas = {
    .gguf = 2,
    .forward = forward,
    .backward = backward,
    .reference = [](double z, double /*lse*/) { return 1.0 / (1.0 + std::exp(-z)); },
};

}  // namespace moescope::kernels
