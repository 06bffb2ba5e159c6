#include "kernels/cuda/combine.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

__global__ void combine_rows(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                             const std::int32_t* row_of_TJ, std::int64_t J, std::int64_t D) {
    const std::int64_t t = blockIdx.x;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        float sum = residual_TD == nullptr ? 0.0f : residual_TD[t * D + d];
        for (std::int64_t j = 0; j < J; ++j) {
            const std::int64_t row = row_of_TJ[t * J + j];
            if (row >= 0) {
                sum += w_TJ[t * J + j] * y_RD[row * D + d];
            }
        }
        out_TD[t * D + d] = sum;
    }
}

/// One block per token; its slots one after the other.
__global__ void combine_rows_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD,
                                      const float* w_TJ, const std::int32_t* row_of_TJ, std::int64_t J,
                                      std::int64_t D) {
    SIMT_SHARED(float, parts, kMostWarps);
    const std::int64_t t = blockIdx.x;
    const float* dout = dout_TD + t * D;
    for (std::int64_t j = 0; j < J; ++j) {
        const std::int64_t row = row_of_TJ[t * J + j];
        float dot = 0;
        if (row >= 0) {
            const float w = w_TJ[t * J + j];
            for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
                dy_RD[row * D + d] = w * dout[d];
                dot += dout[d] * y_RD[row * D + d];
            }
            dot = block_sum<float>(dot, parts);
        }
        if (threadIdx.x == 0) {
            dw_TJ[t * J + j] = dot;
        }
    }
}

}  // namespace

void combine_forward(simt::Stream stream, float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                     const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) {
    SIMT_LAUNCH(combine_rows, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, out_TD, residual_TD, y_RD,
                w_TJ, row_of_TJ, J, D);
}

void combine_backward(simt::Stream stream, float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD,
                      const float* w_TJ, const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J,
                      std::int64_t D) {
    SIMT_LAUNCH(combine_rows_backward, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, dy_RD, dw_TJ,
                dout_TD, y_RD, w_TJ, row_of_TJ, J, D);
}

}  // namespace moescope::kernels::cuda
