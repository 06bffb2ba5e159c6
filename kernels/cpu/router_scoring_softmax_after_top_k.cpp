// Scoring softmax_after_top_k (gpt-oss): s = softmax(z), but the choice is by z and the weights are a softmax of the
// chosen z, for which router.cpp cares.
#include <cmath>

#include "kernels/cpu/router_scoring_parts.hpp"

namespace moescope::kernels {

const ScoringFormulas softmax_after_top_k_formulas = {
    .softmax = true,
    .of_logits = true,
    .gguf = 3,
    .forward = router::softmax_forward,
    .backward = router::softmax_backward,
    .reference = [](double z, double lse) { return std::exp(z - lse); },
};

}  // namespace moescope::kernels
