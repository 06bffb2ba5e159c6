#include <algorithm>

#include "kernels/cuda/muon.hpp"
#include "kernels/cuda/optimizer.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;
using newton_schulz::kA, newton_schulz::kB, newton_schulz::kC, newton_schulz::kIterations;

/// m = momentum m + scale g; u = scale g + momentum m.
__global__ void muon_momentum(float* u, float* m, const float* g, const MuonFactors* factors, std::int64_t n) {
    const float momentum = factors->momentum, scale = factors->scale;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const float now = momentum * m[i] + scale * g[i];
        m[i] = now;
        u[i] = scale * g[i] + momentum * now;
    }
}

__global__ void divide_by_norm(float* x, const double* squares, std::int64_t n) {
    const float norm = static_cast<float>(sqrt(*squares)) + 1e-7f;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        x[i] /= norm;
    }
}

/// y = a x + b y.
__global__ void mix(float* y, const float* x, float a, float b, std::int64_t n) {
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        y[i] = a * x[i] + b * y[i];
    }
}

/// p = shrink p - rate x; the rate is of matrices with this shape_factor().
__global__ void muon_move(float* p, const float* x, const MuonFactors* factors, double shape_factor, std::int64_t n) {
    const float a = -factors->rate(shape_factor), b = factors->shrink;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        p[i] = a * x[i] + b * p[i];
    }
}

void mix_arrays(simt::Stream stream, float* y, const float* x, float a, float b, std::int64_t n) {
    SIMT_LAUNCH(mix, dim3(stride_blocks(n, kThreads)), dim3(kThreads), 0, stream, y, x, a, b, n);
}

/// Doubles for the norm, as floats.
std::int64_t norm_floats(std::int64_t n) {
    return 2 * (1 + sum_of_squares_scratch(n));
}

}  // namespace

std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) {
    const std::int64_t n = rows * columns, small = std::min(rows, columns);
    return norm_floats(n) + 2 * n + 2 * small * small;
}

void muon(simt::Stream stream, Products& products, float* p, float* m, const float* gradient, std::int64_t count,
          std::int64_t rows, std::int64_t columns, float* scratch, const MuonFactors* factors) {
    const std::int64_t n = rows * columns, small = std::min(rows, columns);
    auto* squares = reinterpret_cast<double*>(scratch);
    float *u = scratch + norm_floats(n), *next = u + n, *a = next + n, *poly = a + small * small;
    const bool wide = rows <= columns;
    const Transpose first = wide ? Transpose::no : Transpose::yes, second = wide ? Transpose::yes : Transpose::no;
    for (std::int64_t index = 0; index < count; ++index) {
        SIMT_LAUNCH(muon_momentum, dim3(stride_blocks(n, kThreads)), dim3(kThreads), 0, stream, u, m + index * n,
                    gradient + index * n, factors, n);
        sum_of_squares(stream, squares, u, n, squares + 1);
        SIMT_LAUNCH(divide_by_norm, dim3(stride_blocks(n, kThreads)), dim3(kThreads), 0, stream, u,
                    static_cast<const double*>(squares), n);
        for (int iteration = 0; iteration < kIterations; ++iteration) {
            products.multiply(first, second, small, small, wide ? columns : rows, u, columns, u, columns, 0.0f, a,
                              small);
            products.multiply(Transpose::no, Transpose::no, small, small, small, a, small, a, small, 0.0f, poly, small);
            mix_arrays(stream, poly, a, kB, kC, small * small);
            if (wide) {
                products.multiply(Transpose::no, Transpose::no, rows, columns, small, poly, small, u, columns, 0.0f,
                                  next, columns);
            } else {
                products.multiply(Transpose::no, Transpose::no, rows, columns, small, u, columns, poly, small, 0.0f,
                                  next, columns);
            }
            mix_arrays(stream, u, next, 1.0f, kA, n);
        }
        SIMT_LAUNCH(muon_move, dim3(stride_blocks(n, kThreads)), dim3(kThreads), 0, stream, p + index * n,
                    static_cast<const float*>(u), factors, MuonFactors::shape_factor(rows, columns), n);
    }
}

}  // namespace moescope::kernels::cuda
