#include "kernels/cuda/rms_norm.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

__global__ void rms_norm_rows(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t D,
                              float epsilon) {
    SIMT_SHARED(float, parts, kMostWarps);
    const float* x = x_TD + blockIdx.x * D;
    float* y = y_TD + blockIdx.x * D;
    float squares = 0;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        squares += x[d] * x[d];
    }
    squares = block_sum<float>(squares, parts);
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(D) + epsilon);
    if (threadIdx.x == 0) {
        rstd_T[blockIdx.x] = rstd;
    }
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        y[d] = x[d] * rstd * w_D[d];
    }
}

__global__ void rms_norm_rows_backward(float* dx_TD, const float* dy_TD, const float* x_TD, const float* rstd_T,
                                       const float* w_D, std::int64_t D, bool add) {
    SIMT_SHARED(float, parts, kMostWarps);
    const float *x = x_TD + blockIdx.x * D, *dy = dy_TD + blockIdx.x * D;
    float* dx = dx_TD + blockIdx.x * D;
    float dot = 0;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        dot += dy[d] * w_D[d] * x[d];
    }
    dot = block_sum<float>(dot, parts);
    const float rstd = rstd_T[blockIdx.x];
    const float shared = dot * rstd * rstd * rstd / static_cast<float>(D);
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        const float value = rstd * dy[d] * w_D[d] - shared * x[d];
        dx[d] = add ? dx[d] + value : value;
    }
}

constexpr unsigned kColumns = 32, kStripes = 16;

/// One block per 32 columns; each of its rows of threads takes every 16th token.
__global__ void rms_norm_weights_backward(float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                                          std::int64_t T, std::int64_t D) {
    SIMT_SHARED(float, sums, kColumns* kStripes);
    const std::int64_t d = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
    float sum = 0;
    for (std::int64_t t = threadIdx.y; d < D && t < T; t += kStripes) {
        sum += dy_TD[t * D + d] * x_TD[t * D + d] * rstd_T[t];
    }
    sums[threadIdx.y * kColumns + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && d < D) {
        float total = 0;
        for (unsigned stripe = 0; stripe < kStripes; ++stripe) {
            total += sums[stripe * kColumns + threadIdx.x];
        }
        dw_D[d] = total;
    }
}

}  // namespace

void rms_norm_forward(simt::Stream stream, float* y_TD, float* rstd_T, const float* x_TD, const float* w_D,
                      std::int64_t T, std::int64_t D, double epsilon) {
    SIMT_LAUNCH(rms_norm_rows, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, y_TD, rstd_T, x_TD, w_D, D,
                static_cast<float>(epsilon));
}

void rms_norm_backward(simt::Stream stream, float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD,
                       const float* rstd_T, const float* w_D, std::int64_t T, std::int64_t D, Write write) {
    SIMT_LAUNCH(rms_norm_weights_backward, dim3(static_cast<unsigned>((D + kColumns - 1) / kColumns)),
                dim3(kColumns, kStripes), 0, stream, dw_D, dy_TD, x_TD, rstd_T, T, D);
    SIMT_LAUNCH(rms_norm_rows_backward, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, dx_TD, dy_TD,
                x_TD, rstd_T, w_D, D, write == Write::add);
}

}  // namespace moescope::kernels::cuda
