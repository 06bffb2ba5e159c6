// Scoring sqrt_softplus: s = sqrt(ln(1 + e^z)).
#include <cmath>

#include "kernels/cpu/router_scoring_parts.hpp"

namespace moescope::kernels {
namespace {

using namespace router;

TokenScores forward(float* s_E, float* lse, const float* z_E, std::int64_t E) {
    return forward_of_each(s_E, lse, z_E, E, [&](float* scores_E, float* log_E) {
        for (std::int64_t e = 0; e < E; ++e) {
            const float z = z_E[e], u = lanes::exponential(-magnitude(z));
            const float softplus = (z < 0.0f ? 0.0f : z) + logarithm_of_1_plus(u);
            scores_E[e] = std::sqrt(softplus);
            log_E[e] = 0.5f * logarithm(softplus);
        }
    });
}

void backward(float* dz_E, const float* ds_E, const float* s_E, const float* z_E, float lse, float z_term,
              std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        const float z = z_E[e], slope = sigmoid(z, lanes::exponential(-magnitude(z))) / (2.0f * s_E[e]);
        dz_E[e] = ds_E[e] * slope + z_term * lanes::exponential(z - lse);
    }
}

}  // namespace

const ScoringFormulas sqrt_softplus_formulas = {
    .gguf = 4,
    .forward = forward,
    .backward = backward,
    .reference = [](double z, double /*lse*/) { return std::sqrt(std::log1p(std::exp(z))); },
};

}  // namespace moescope::kernels
