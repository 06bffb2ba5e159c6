#include "kernels/cpu/adamw.hpp"

#include <cmath>

#include "kernels/cpu/adamw_factors.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kBlock = 1 << 15;
}

namespace reference {

void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWStep& step) {
    for (std::int64_t i = 0; i < n; ++i) {
        const double g = gradient[i] * step.gradient_scale;
        const double m1 = step.beta1 * m[i] + (1 - step.beta1) * g, v1 = step.beta2 * v[i] + (1 - step.beta2) * g * g;
        const double mean = m1 / (1 - std::pow(step.beta1, static_cast<double>(step.update)));
        const double square = v1 / (1 - std::pow(step.beta2, static_cast<double>(step.update)));
        p[i] = static_cast<float>(p[i] - step.learning_rate *
                                             (mean / (std::sqrt(square) + step.epsilon) + step.weight_decay * p[i]));
        m[i] = static_cast<float>(m1);
        v[i] = static_cast<float>(v1);
    }
}

}  // namespace reference

void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWStep& step) {
    adamw(p, m, v, gradient, n, AdamWFactors(step));
}

void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n, const AdamWFactors& factors) {
    const AdamWFactors f = factors;
    parallel_blocks(n, kBlock, [=](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            const float g = gradient[i] * f.scale;
            const float m1 = f.b1 * m[i] + f.c1 * g;
            const float v1 = f.b2 * v[i] + f.c2 * g * g;
            m[i] = m1;
            v[i] = v1;
            p[i] = p[i] * f.keep - f.rate * m1 / (std::sqrt(v1) * f.root + f.epsilon);
        }
    });
}

std::int64_t sum_of_squares_scratch(std::int64_t n) {
    return (n + kBlock - 1) / kBlock;
}

double sum_of_squares(const float* x, std::int64_t n, double* scratch) {
    parallel_blocks(n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
        double sum[16] = {};
        std::int64_t i = begin;
        for (; i + 16 <= end; i += 16) {
            for (std::int64_t lane = 0; lane < 16; ++lane) {
                sum[lane] += static_cast<double>(x[i + lane]) * x[i + lane];
            }
        }
        double total = 0;
        for (; i < end; ++i) {
            total += static_cast<double>(x[i]) * x[i];
        }
        for (const double lane : sum) {
            total += lane;
        }
        scratch[begin / kBlock] = total;
    });
    double total = 0;
    for (std::int64_t block = 0; block < sum_of_squares_scratch(n); ++block) {
        total += scratch[block];
    }
    return total;
}

}  // namespace moescope::kernels
