#include "kernels/cuda/activation.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct ActivationFactors {
    bool clamped;
    float alpha, limit;
};

__device__ float sigmoid(float z) {
    return 1.0f / (1.0f + expf(-z));
}
/// NaN stays NaN.
__device__ float clamp_above(float x, float limit) {
    return x > limit ? limit : x;
}
__device__ float clamp_both(float x, float limit) {
    return x < -limit ? -limit : clamp_above(x, limit);
}

__device__ std::int64_t rows_of(const std::int32_t* rows_end, std::int64_t most) {
    return rows_end == nullptr ? most : static_cast<std::int64_t>(*rows_end);
}

__global__ void activate_rows(float* h_RF, const float* gu_R2F, const std::int32_t* rows_end, std::int64_t most,
                              std::int64_t F, ActivationFactors factors) {
    const std::int64_t n = rows_of(rows_end, most) * F;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const float* gu = gu_R2F + i / F * 2 * F + i % F;
        if (factors.clamped) {
            const float gate = clamp_above(gu[0], factors.limit), up = clamp_both(gu[F], factors.limit);
            h_RF[i] = gate * sigmoid(factors.alpha * gate) * (up + 1.0f);
        } else {
            h_RF[i] = gu[0] * sigmoid(gu[0]) * gu[F];
        }
    }
}

__global__ void activate_rows_backward(float* dgu_R2F, const float* dh_RF, const float* gu_R2F,
                                       const std::int32_t* rows_end, std::int64_t most, std::int64_t F,
                                       ActivationFactors factors) {
    const std::int64_t n = rows_of(rows_end, most) * F;
    for (std::int64_t i = stride_begin(); i < n; i += stride_step()) {
        const std::int64_t at = i / F * 2 * F + i % F;
        const float gate = gu_R2F[at], up = gu_R2F[at + F], dh = dh_RF[i];
        if (factors.clamped) {
            const float g = clamp_above(gate, factors.limit), u = clamp_both(up, factors.limit);
            const float s = sigmoid(factors.alpha * g);
            const float dgate = dh * (u + 1.0f) * s * (1.0f + factors.alpha * g * (1.0f - s));
            dgu_R2F[at] = gate > factors.limit ? 0.0f : dgate;
            dgu_R2F[at + F] = up > factors.limit || up < -factors.limit ? 0.0f : dh * g * s;
        } else {
            const float s = sigmoid(gate);
            dgu_R2F[at] = dh * up * s * (1.0f + gate * (1.0f - s));
            dgu_R2F[at + F] = dh * gate * s;
        }
    }
}

/// One block per row; its expert is found by halving.
__global__ void bias_rows(float* y_RN, const float* bias_EN, const std::int32_t* offsets_E1, std::int64_t E,
                          std::int64_t N) {
    const std::int64_t row = blockIdx.x;
    std::int64_t expert = 0;
    if (offsets_E1 != nullptr) {
        if (row >= offsets_E1[E]) {
            return;
        }
        std::int64_t end = E;  // offsets[expert] <= row < offsets[end]
        while (end - expert > 1) {
            const std::int64_t middle = (expert + end) / 2;
            (offsets_E1[middle] <= row ? expert : end) = middle;
        }
    }
    for (std::int64_t i = threadIdx.x; i < N; i += blockDim.x) {
        y_RN[row * N + i] += bias_EN[expert * N + i];
    }
}

__global__ void bias_columns(float* dbias_EN, const float* dy_RN, const std::int32_t* offsets_E1, std::int64_t most,
                             std::int64_t N, bool add) {
    const std::int64_t expert = blockIdx.y, i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const std::int64_t begin = offsets_E1 == nullptr ? 0 : offsets_E1[expert];
    const std::int64_t end = offsets_E1 == nullptr ? most : offsets_E1[expert + 1];
    if (i < N) {
        float sum = add ? dbias_EN[expert * N + i] : 0.0f;
        for (std::int64_t row = begin; row < end; ++row) {
            sum += dy_RN[row * N + i];
        }
        dbias_EN[expert * N + i] = sum;
    }
}

ActivationFactors factors_of(const ExpertShape& shape) {
    return {shape.activation == Activation::clamped_swiglu, shape.alpha, shape.limit};
}

}  // namespace

void activate(simt::Stream stream, float* h_RF, const float* gu_R2F, const std::int32_t* rows_end, std::int64_t most,
              const ExpertShape& shape) {
    SIMT_LAUNCH(activate_rows, dim3(stride_blocks(most * shape.F, kThreads)), dim3(kThreads), 0, stream, h_RF, gu_R2F,
                rows_end, most, shape.F, factors_of(shape));
}

void activate_backward(simt::Stream stream, float* dgu_R2F, const float* dh_RF, const float* gu_R2F,
                       const std::int32_t* rows_end, std::int64_t most, const ExpertShape& shape) {
    SIMT_LAUNCH(activate_rows_backward, dim3(stride_blocks(most * shape.F, kThreads)), dim3(kThreads), 0, stream,
                dgu_R2F, dh_RF, gu_R2F, rows_end, most, shape.F, factors_of(shape));
}

void add_bias(simt::Stream stream, float* y_RN, const float* bias_EN, const std::int32_t* offsets_E1, std::int64_t most,
              std::int64_t E, std::int64_t N) {
    SIMT_LAUNCH(bias_rows, dim3(static_cast<unsigned>(most)), dim3(kRowThreads), 0, stream, y_RN, bias_EN, offsets_E1,
                E, N);
}

void bias_gradient(simt::Stream stream, float* dbias_EN, const float* dy_RN, const std::int32_t* offsets_E1,
                   std::int64_t most, std::int64_t E, std::int64_t N, Write write) {
    const dim3 grid(static_cast<unsigned>((N + kRowThreads - 1) / kRowThreads),
                    static_cast<unsigned>(offsets_E1 == nullptr ? 1 : E));
    SIMT_LAUNCH(bias_columns, grid, dim3(kRowThreads), 0, stream, dbias_EN, dy_RN, offsets_E1, most, N,
                write == Write::add);
}

}  // namespace moescope::kernels::cuda
