// AdamW (Loshchilov and Hutter, arXiv 1711.05101), and the norm of a gradient.
#pragma once

#include <cstdint>

namespace moescope::kernels {

struct AdamWStep {
    double learning_rate = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0;
    double gradient_scale = 1;  ///< from clipping
    std::uint64_t update = 1;   ///< 1 is the first, for the bias correction
};

struct AdamWFactors;  // adamw_factors.hpp

/// p, m, v of n elements; p = p - lr (m' / (sqrt(v') + epsilon) + decay p).
void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWFactors& factors);
void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWStep& step);

/// Blocks that sum_of_squares cuts n elements into; scratch is one double each.
std::int64_t sum_of_squares_scratch(std::int64_t n);
/// In double and in a fixed order; NaN and Inf in, NaN and Inf out.
double sum_of_squares(const float* x, std::int64_t n, double* scratch);

namespace reference {
void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWStep& step);
}  // namespace reference

}  // namespace moescope::kernels
