#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/sums.hpp"
#include "kernels/random.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

__global__ void add_arrays(float* out, const float* a, const float* b, std::int64_t n) {
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        out[i] = a[i] + b[i];
    }
}

__global__ void add_share_of(float* sum, const float* x, float share, bool first, std::int64_t n) {
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const float piece = share * x[i];
        sum[i] = first ? piece : sum[i] + piece;
    }
}

__global__ void jitter_array(float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
                             std::uint64_t random_stream, std::uint64_t first) {
    const std::uint64_t bits = *seed;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const double unit = random_unit(bits, random_stream, first + static_cast<std::uint64_t>(i));
        out[i] = x[i] * static_cast<float>(1.0 + amount * (2.0 * unit - 1.0));
    }
}

__global__ void copy_column_block(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride,
                                  std::int64_t rows, std::int64_t width) {
    for (std::int64_t i = stride_begin(); i < rows * width; i += stride_step()) {
        to[i / width * to_stride + i % width] = from[i / width * from_stride + i % width];
    }
}

__global__ void shift_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T,
                              std::int64_t T, std::int64_t length) {
    for (std::int64_t t = stride_begin(); t < T; t += stride_step()) {
        tokens_T[t] = targets_T[t];
        next_T[t] = t % length + 1 < length ? targets_T[t + 1] : -1;
    }
}

__global__ void find_not_finite(unsigned* broken, const float* x, std::int64_t n) {
    bool found = false;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        found = found || !(x[i] - x[i] == 0.0f);
    }
    if (found) {
        atomicAdd(broken, 1u);
    }
}

dim3 grid(std::int64_t n) {
    return dim3(stride_blocks(n, kThreads));
}

}  // namespace

void add(simt::Stream stream, float* out, const float* a, const float* b, std::int64_t n) {
    SIMT_LAUNCH(add_arrays, grid(n), dim3(kThreads), 0, stream, out, a, b, n);
}

void add_share(simt::Stream stream, float* sum, const float* x, float share, bool first, std::int64_t n) {
    SIMT_LAUNCH(add_share_of, grid(n), dim3(kThreads), 0, stream, sum, x, share, first, n);
}

void jitter(simt::Stream stream, float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
            std::uint64_t random_stream, std::uint64_t first) {
    SIMT_LAUNCH(jitter_array, grid(n), dim3(kThreads), 0, stream, out, x, n, amount, seed, random_stream, first);
}

void copy_columns(simt::Stream stream, float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride,
                  std::int64_t rows, std::int64_t width) {
    SIMT_LAUNCH(copy_column_block, grid(rows * width), dim3(kThreads), 0, stream, to, to_stride, from, from_stride,
                rows, width);
}

void next_targets(simt::Stream stream, std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T,
                  std::int64_t T, std::int64_t length) {
    SIMT_LAUNCH(shift_targets, grid(T), dim3(kThreads), 0, stream, tokens_T, next_T, targets_T, T, length);
}

void count_not_finite(simt::Stream stream, unsigned* broken, const float* x, std::int64_t n) {
    SIMT_LAUNCH(find_not_finite, grid(n), dim3(kThreads), 0, stream, broken, x, n);
}

}  // namespace moescope::kernels::cuda
