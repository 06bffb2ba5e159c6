#include "kernels/cpu/muon.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr int kIterations = 5;
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

}  // namespace

std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) {
    const std::int64_t small = std::min(rows, columns);
    return 2 * rows * columns + 2 * small * small;
}

// X <- a X + (b A + c A A) X with A = X X^T, on whichever side is smaller.
void orthogonalise(float* x, std::int64_t rows, std::int64_t columns, float* scratch) {
    const std::int64_t n = rows * columns, small = std::min(rows, columns);
    float *next = scratch, *a = next + n, *poly = a + small * small;
    const float norm = std::sqrt(lanes::dot(x, x, n)) + 1e-7f;
    for (std::int64_t i = 0; i < n; ++i) {
        x[i] /= norm;
    }
    const bool wide = rows <= columns;
    for (int iteration = 0; iteration < kIterations; ++iteration) {
        if (wide) {
            gemm(Transpose::no, Transpose::yes, small, small, columns, x, columns, x, columns, 0.0f, a, small);
        } else {
            gemm(Transpose::yes, Transpose::no, small, small, rows, x, columns, x, columns, 0.0f, a, small);
        }
        gemm(Transpose::no, Transpose::no, small, small, small, a, small, a, small, 0.0f, poly, small);
        for (std::int64_t i = 0; i < small * small; ++i) {
            poly[i] = kB * a[i] + kC * poly[i];
        }
        if (wide) {
            gemm(Transpose::no, Transpose::no, rows, columns, small, poly, small, x, columns, 0.0f, next, columns);
        } else {
            gemm(Transpose::no, Transpose::no, rows, columns, small, x, columns, poly, small, 0.0f, next, columns);
        }
        for (std::int64_t i = 0; i < n; ++i) {
            x[i] = kA * x[i] + next[i];
        }
    }
}

void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          float* scratch, const MuonStep& step) {
    const std::int64_t n = rows * columns, each = muon_scratch(rows, columns);
    const float momentum = static_cast<float>(step.momentum), scale = static_cast<float>(step.gradient_scale);
    const float shrink = static_cast<float>(1.0 - step.learning_rate * step.weight_decay);
    const float rate = static_cast<float>(
        step.learning_rate * std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns))));
    parallel_for(count, [&](std::int64_t index, int worker) {
        float *u = scratch + worker * each, *rest = u + n;
        float *moment = m + index * n, *value = p + index * n;
        const float* g = gradient + index * n;
        for (std::int64_t i = 0; i < n; ++i) {
            moment[i] = momentum * moment[i] + scale * g[i];
            u[i] = scale * g[i] + momentum * moment[i];
        }
        orthogonalise(u, rows, columns, rest);
        for (std::int64_t i = 0; i < n; ++i) {
            value[i] = shrink * value[i] - rate * u[i];
        }
    });
}

}  // namespace moescope::kernels
