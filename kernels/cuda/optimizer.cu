#include "kernels/cuda/optimizer.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kPiece = std::int64_t{1} << 14;  // elements that a block adds up

__global__ void adamw_step(float* p, float* m, float* v, const float* gradient, std::int64_t n,
                           const AdamWFactors* factors) {
    const AdamWFactors f = *factors;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const float g = gradient[i] * f.scale;
        const float m1 = f.b1 * m[i] + f.c1 * g;
        const float v1 = f.b2 * v[i] + f.c2 * g * g;
        m[i] = m1;
        v[i] = v1;
        p[i] = p[i] * f.keep - f.rate * m1 / (sqrtf(v1) * f.root + f.epsilon);
    }
}

__global__ void squares_of_pieces(double* sums, const float* x, std::int64_t n) {
    SIMT_SHARED(double, parts, kMostWarps);
    const std::int64_t begin = blockIdx.x * kPiece, end = begin + kPiece < n ? begin + kPiece : n;
    double sum = 0;
    for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
        sum += static_cast<double>(x[i]) * x[i];
    }
    sum = block_sum<double>(sum, parts);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

__global__ void sum_of_pieces(double* total, const double* sums, std::int64_t pieces) {
    SIMT_SHARED(double, parts, kMostWarps);
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < pieces; i += blockDim.x) {
        sum += sums[i];
    }
    sum = block_sum<double>(sum, parts);
    if (threadIdx.x == 0) {
        *total = sum;
    }
}

}  // namespace

void adamw(simt::Stream stream, float* p, float* m, float* v, const float* gradient, std::int64_t n,
           const AdamWFactors* factors) {
    SIMT_LAUNCH(adamw_step, dim3(stride_blocks(n, kThreads)), dim3(kThreads), 0, stream, p, m, v, gradient, n, factors);
}

std::int64_t sum_of_squares_scratch(std::int64_t n) {
    return (n + kPiece - 1) / kPiece;
}

void sum_of_squares(simt::Stream stream, double* sum, const float* x, std::int64_t n, double* scratch) {
    const std::int64_t pieces = sum_of_squares_scratch(n);
    SIMT_LAUNCH(squares_of_pieces, dim3(static_cast<unsigned>(pieces)), dim3(kThreads), 0, stream, scratch, x, n);
    SIMT_LAUNCH(sum_of_pieces, dim3(1), dim3(kThreads), 0, stream, sum, scratch, pieces);
}

}  // namespace moescope::kernels::cuda
