#include "kernels/cpu/muon.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/muon_factors.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

using newton_schulz::kA, newton_schulz::kB, newton_schulz::kC, newton_schulz::kIterations;

}  // namespace

namespace reference {

namespace {
/// a [m, k] b [k, n].
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, std::size_t m, std::size_t k,
                            std::size_t n) {
    std::vector<double> c(m * n, 0.0);
    for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t l = 0; l < k; ++l) {
            for (std::size_t j = 0; j < n; ++j) {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
        }
    }
    return c;
}
}  // namespace

void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          const MuonStep& step) {
    const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns), n = r * c;
    const double rate = step.learning_rate * std::sqrt(std::max(1.0, static_cast<double>(r) / static_cast<double>(c)));
    for (std::int64_t index = 0; index < count; ++index, p += n, m += n, gradient += n) {
        std::vector<double> x(n), turned(n);
        double squares = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const double g = step.gradient_scale * gradient[i], moment = step.momentum * m[i] + g;
            m[i] = static_cast<float>(moment);
            x[i] = g + step.momentum * moment;
            squares += x[i] * x[i];
        }
        for (double& value : x) {
            value /= std::sqrt(squares) + 1e-7;
        }
        for (int iteration = 0; iteration < kIterations; ++iteration) {
            for (std::size_t i = 0; i < n; ++i) {
                turned[i % c * r + i / c] = x[i];
            }
            const auto once = product(product(x, turned, r, c, r), x, r, r, c);      // X X^T X
            const auto twice = product(product(once, turned, r, c, r), x, r, r, c);  // X X^T X X^T X
            for (std::size_t i = 0; i < n; ++i) {
                x[i] = static_cast<double>(kA) * x[i] + static_cast<double>(kB) * once[i] +
                       static_cast<double>(kC) * twice[i];
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            p[i] = static_cast<float>((1.0 - step.learning_rate * step.weight_decay) * p[i] - rate * x[i]);
        }
    }
}

}  // namespace reference

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
    muon(p, m, gradient, count, rows, columns, scratch, MuonFactors(step));
}

void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          float* scratch, const MuonFactors& factors) {
    const std::int64_t n = rows * columns, each = muon_scratch(rows, columns);
    const float momentum = factors.momentum, scale = factors.scale, shrink = factors.shrink;
    const float rate = factors.rate(MuonFactors::shape_factor(rows, columns));
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
