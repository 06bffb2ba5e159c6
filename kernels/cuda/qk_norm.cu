#include "kernels/cuda/qk_norm.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr std::int64_t kPositions = 32;  // tokens that one block of the backward works through
constexpr int kColumnsPerThread = static_cast<int>(kMaxHeadWidth / kRowThreads);

/// Element c of a head after (forward) or before (backward: transposed) its turn. `from` are the head's C values.
template <class Values>
__device__ float turned(const Values& from, std::int64_t c, const float* cos_P, const float* sin_P, std::int64_t C,
                        std::int64_t rope, RopeOrder order, bool back) {
    const std::int64_t plain = C - rope, half = rope / 2, at = c - plain;
    const float value = from[c];
    if (at < 0) {
        return value;
    }
    const bool by_half = order == RopeOrder::half;
    const std::int64_t index = by_half ? at % half : at / 2;
    const bool first = by_half ? at < half : at % 2 == 0;
    const std::int64_t apart = by_half ? half : 1;
    const float other = from[first ? c + apart : c - apart];
    const float sine = first == back ? sin_P[index] : -sin_P[index];
    return value * cos_P[index] + other * sine;
}

/// QkNorm::full: one factor per token.
__global__ void token_roots(float* rstd_T, const float* x, std::int64_t R, std::int64_t W, float epsilon) {
    SIMT_SHARED(float, parts, kMostWarps);
    const float* in = x + blockIdx.x * R;
    float squares = 0;
    for (std::int64_t i = threadIdx.x; i < W; i += blockDim.x) {
        squares += in[i] * in[i];
    }
    squares = block_sum<float>(squares, parts);
    if (threadIdx.x == 0) {
        rstd_T[blockIdx.x] = 1.0f / sqrtf(squares / static_cast<float>(W) + epsilon);
    }
}

/// One block per token and head.
__global__ void head_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                             const float* sin_SP, HeadShape shape) {
    SIMT_SHARED(float, parts, kMostWarps);
    SIMT_SHARED(float, normed, kMaxHeadWidth);
    const std::int64_t t = blockIdx.x, n = blockIdx.y, C = shape.C, s = t % shape.S;
    const std::int64_t row = (t / shape.S * shape.N + n) * shape.S + s, half = shape.rope / 2;
    const float* in = x + t * shape.R + n * C;
    float factor = 1.0f;
    if (shape.norm == QkNorm::head) {
        float squares = 0;
        for (std::int64_t c = threadIdx.x; c < C; c += blockDim.x) {
            squares += in[c] * in[c];
        }
        squares = block_sum<float>(squares, parts);
        factor = 1.0f / sqrtf(squares / static_cast<float>(C) + static_cast<float>(shape.epsilon));
        if (threadIdx.x == 0) {
            rstd[row] = factor;
        }
    } else if (shape.norm == QkNorm::full) {
        factor = rstd[t];
    }
    const float* weights = shape.norm == QkNorm::full ? w + n * C : w;
    for (std::int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        normed[c] = shape.norm == QkNorm::none ? in[c] : in[c] * factor * weights[c];
    }
    __syncthreads();
    for (std::int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        y_BNSC[row * C + c] =
            turned(normed, c, cos_SP + s * half, sin_SP + s * half, C, shape.rope, shape.order, false);
    }
}

/// QkNorm::none and QkNorm::head: one block per head and kPositions tokens, which also adds up its part of dw.
__global__ void head_backward(float* dx, float* partial, const float* dy_BNSC, const float* x, const float* rstd_BNS,
                              const float* w_C, const float* cos_SP, const float* sin_SP, HeadShape shape) {
    SIMT_SHARED(float, parts, kMostWarps);
    SIMT_SHARED(float, gradient, kMaxHeadWidth);
    const std::int64_t n = blockIdx.y, C = shape.C, half = shape.rope / 2, T = shape.B * shape.S;
    const std::int64_t begin = blockIdx.x * kPositions, end = begin + kPositions < T ? begin + kPositions : T;
    const bool normed = shape.norm == QkNorm::head;
    float dw[kColumnsPerThread] = {};
    for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t s = t % shape.S, row = (t / shape.S * shape.N + n) * shape.S + s;
        const std::int64_t at = t * shape.R + n * C;
        const float *dy = dy_BNSC + row * C, *cos_P = cos_SP + s * half, *sin_P = sin_SP + s * half;
        float dot = 0;
        for (std::int64_t c = threadIdx.x; c < C; c += blockDim.x) {
            const float value = turned(dy, c, cos_P, sin_P, C, shape.rope, shape.order, true);
            if (normed) {
                gradient[c] = value;  // read by this thread alone
                dot += value * w_C[c] * x[at + c];
            } else {
                dx[at + c] = value;
            }
        }
        if (!normed) {
            continue;
        }
        dot = block_sum<float>(dot, parts);
        const float rstd = rstd_BNS[row], shared = dot * rstd * rstd * rstd / static_cast<float>(C);
        SIMT_UNROLL
        for (int column = 0; column < kColumnsPerThread; ++column) {
            const std::int64_t c = threadIdx.x + column * static_cast<std::int64_t>(kRowThreads);
            if (c < C) {
                const float value = gradient[c];
                dw[column] += value * x[at + c] * rstd;
                dx[at + c] = rstd * value * w_C[c] - shared * x[at + c];
            }
        }
    }
    SIMT_UNROLL
    for (int column = 0; column < kColumnsPerThread; ++column) {
        const std::int64_t c = threadIdx.x + column * static_cast<std::int64_t>(kRowThreads);
        if (normed && c < C) {
            partial[(static_cast<std::int64_t>(blockIdx.x) * shape.N + n) * C + c] = dw[column];
        }
    }
}

/// QkNorm::full: one block per kPositions tokens, of all heads. The turned-back dy waits in dx.
__global__ void token_backward(float* dx, float* partial, const float* dy_BNSC, const float* x, const float* rstd_T,
                               const float* w_NC, const float* cos_SP, const float* sin_SP, HeadShape shape) {
    SIMT_SHARED(float, parts, kMostWarps);
    const std::int64_t C = shape.C, W = shape.N * C, half = shape.rope / 2, T = shape.B * shape.S;
    const std::int64_t begin = blockIdx.x * kPositions, end = begin + kPositions < T ? begin + kPositions : T;
    float* dw = partial + blockIdx.x * W;
    for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t s = t % shape.S;
        const float* in = x + t * shape.R;
        float* out = dx + t * shape.R;
        float dot = 0;
        for (std::int64_t i = threadIdx.x; i < W; i += blockDim.x) {
            const float* dy = dy_BNSC + ((t / shape.S * shape.N + i / C) * shape.S + s) * C;
            const float value =
                turned(dy, i % C, cos_SP + s * half, sin_SP + s * half, C, shape.rope, shape.order, true);
            out[i] = value;
            dot += value * w_NC[i] * in[i];
        }
        dot = block_sum<float>(dot, parts);
        const float rstd = rstd_T[t], shared = dot * rstd * rstd * rstd / static_cast<float>(W);
        for (std::int64_t i = threadIdx.x; i < W; i += blockDim.x) {
            const float value = out[i], before = t == begin ? 0.0f : dw[i];
            dw[i] = before + value * in[i] * rstd;
            out[i] = rstd * value * w_NC[i] - shared * in[i];
        }
    }
}

/// dw[i] = sum over `rows` of partial[row][i], in their order.
__global__ void add_partial_rows(float* dw, const float* partial, std::int64_t rows, std::int64_t width) {
    for (std::int64_t i = stride_begin(); i < width; i += stride_step()) {
        float sum = 0;
        for (std::int64_t row = 0; row < rows; ++row) {
            sum += partial[row * width + i];
        }
        dw[i] = sum;
    }
}

/// One block per token.
__global__ void latent_keys(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                            const float* sin_SP, LatentKeyShape shape) {
    const std::int64_t t = blockIdx.x, s = t % shape.S, half = shape.rope / 2, C = shape.nope + shape.rope;
    const float* shared = x_rope + t * shape.R_rope;
    for (std::int64_t i = threadIdx.x; i < shape.N * C; i += blockDim.x) {
        const std::int64_t n = i / C, c = i % C;
        float value = 0;
        if (c < shape.nope) {
            value = x_nope[t * shape.R + n * shape.stride + c];
        } else {
            value = turned(shared, c - shape.nope, cos_SP + s * half, sin_SP + s * half, shape.rope, shape.rope,
                           shape.order, false);
        }
        k_BNSC[((t / shape.S * shape.N + n) * shape.S + s) * C + c] = value;
    }
}

__global__ void latent_keys_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                                     const float* sin_SP, LatentKeyShape shape) {
    SIMT_SHARED(float, sums, kMaxHeadWidth);
    const std::int64_t t = blockIdx.x, s = t % shape.S, half = shape.rope / 2, C = shape.nope + shape.rope;
    const float* dk = dk_BNSC + (t / shape.S * shape.N * shape.S + s) * C;  // head 0; the next one S C further
    for (std::int64_t i = threadIdx.x; i < shape.N * shape.nope; i += blockDim.x) {
        const std::int64_t n = i / shape.nope, c = i % shape.nope;
        dx_nope[t * shape.R + n * shape.stride + c] = dk[n * shape.S * C + c];
    }
    for (std::int64_t c = threadIdx.x; c < shape.rope; c += blockDim.x) {
        float sum = 0;
        for (std::int64_t n = 0; n < shape.N; ++n) {
            sum += dk[n * shape.S * C + shape.nope + c];
        }
        sums[c] = sum;
    }
    __syncthreads();
    for (std::int64_t c = threadIdx.x; c < shape.rope; c += blockDim.x) {
        dx_rope[t * shape.R_rope + c] =
            turned(sums, c, cos_SP + s * half, sin_SP + s * half, shape.rope, shape.rope, shape.order, true);
    }
}

std::int64_t pieces(const HeadShape& shape) {
    return (shape.B * shape.S + kPositions - 1) / kPositions;
}

}  // namespace

void qk_norm_forward(simt::Stream stream, float* y_BNSC, float* rstd, const float* x, const float* w,
                     const float* cos_SP, const float* sin_SP, const HeadShape& shape) {
    const auto T = static_cast<unsigned>(shape.B * shape.S), N = static_cast<unsigned>(shape.N);
    if (shape.norm == QkNorm::full) {
        SIMT_LAUNCH(token_roots, dim3(T), dim3(kRowThreads), 0, stream, rstd, x, shape.R, shape.N * shape.C,
                    static_cast<float>(shape.epsilon));
    }
    SIMT_LAUNCH(head_forward, dim3(T, N), dim3(kRowThreads), 0, stream, y_BNSC, rstd, x, w, cos_SP, sin_SP, shape);
}

std::int64_t qk_norm_scratch(const HeadShape& shape) {
    return shape.norm == QkNorm::none ? 0 : pieces(shape) * shape.N * shape.C;
}

void qk_norm_backward(simt::Stream stream, float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x,
                      const float* rstd, const float* w, const float* cos_SP, const float* sin_SP,
                      const HeadShape& shape) {
    const auto blocks = static_cast<unsigned>(pieces(shape)), N = static_cast<unsigned>(shape.N);
    if (shape.norm == QkNorm::full) {
        SIMT_LAUNCH(token_backward, dim3(blocks), dim3(kRowThreads), 0, stream, dx, scratch, dy_BNSC, x, rstd, w,
                    cos_SP, sin_SP, shape);
    } else {
        SIMT_LAUNCH(head_backward, dim3(blocks, N), dim3(kRowThreads), 0, stream, dx, scratch, dy_BNSC, x, rstd, w,
                    cos_SP, sin_SP, shape);
    }
    if (shape.norm != QkNorm::none) {
        const bool full = shape.norm == QkNorm::full;
        const std::int64_t width = full ? shape.N * shape.C : shape.C, rows = full ? blocks : blocks * shape.N;
        SIMT_LAUNCH(add_partial_rows, dim3(stride_blocks(width, kRowThreads)), dim3(kRowThreads), 0, stream, dw,
                    scratch, rows, width);
    }
}

void latent_key_forward(simt::Stream stream, float* k_BNSC, const float* x_nope, const float* x_rope,
                        const float* cos_SP, const float* sin_SP, const LatentKeyShape& shape) {
    SIMT_LAUNCH(latent_keys, dim3(static_cast<unsigned>(shape.B * shape.S)), dim3(kRowThreads), 0, stream, k_BNSC,
                x_nope, x_rope, cos_SP, sin_SP, shape);
}

void latent_key_backward(simt::Stream stream, float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                         const float* sin_SP, const LatentKeyShape& shape) {
    SIMT_LAUNCH(latent_keys_backward, dim3(static_cast<unsigned>(shape.B * shape.S)), dim3(kRowThreads), 0, stream,
                dx_nope, dx_rope, dk_BNSC, cos_SP, sin_SP, shape);
}

}  // namespace moescope::kernels::cuda
