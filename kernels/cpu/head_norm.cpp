#include "kernels/cpu/head_norm.hpp"

#include <cmath>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/rope.hpp"

namespace moescope::kernels {

namespace reference {

void head_norm_forward(float* y_BNSC, float* rstd_BNS, const float* x, const float* w_C, double theta,
                       const HeadShape& shape) {
    const auto [B, S, N, C, R, epsilon] = shape;
    for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t n = 0; n < N; ++n) {
            for (std::int64_t s = 0; s < S; ++s) {
                const float* in = x + (b * S + s) * R + n * C;
                float* out = y_BNSC + ((b * N + n) * S + s) * C;
                double squares = 0;
                for (std::int64_t c = 0; c < C; ++c) {
                    squares += static_cast<double>(in[c]) * in[c];
                }
                const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(C) + epsilon);
                rstd_BNS[(b * N + n) * S + s] = static_cast<float>(rstd);
                for (std::int64_t c = 0; c < C; ++c) {
                    const std::int64_t pair = c < C / 2 ? c + C / 2 : c - C / 2;
                    const double own = in[c] * rstd * w_C[c], other = in[pair] * rstd * w_C[pair];
                    const double frequency =
                        std::pow(theta, -2.0 * static_cast<double>(c % (C / 2)) / static_cast<double>(C));
                    const double angle = static_cast<double>(s) * frequency;
                    out[c] = static_cast<float>(own * std::cos(angle) + (c < C / 2 ? -other : other) * std::sin(angle));
                }
            }
        }
    }
}

}  // namespace reference

void head_norm_forward(float* y_BNSC, float* rstd_BNS, const float* x, const float* w_C, const float* cos_SP,
                       const float* sin_SP, const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C, R = shape.R, half = C / 2;
    parallel_for(shape.B * N, [&](std::int64_t index, int) {
        const std::int64_t b = index / N, n = index % N;
        for (std::int64_t s = 0; s < S; ++s) {
            const float* in = x + (b * S + s) * R + n * C;
            float* out = y_BNSC + (index * S + s) * C;
            const double mean = lanes::dot(in, in, C) / static_cast<double>(C);
            const float rstd = static_cast<float>(1.0 / std::sqrt(mean + shape.epsilon));
            rstd_BNS[index * S + s] = rstd;
            for (std::int64_t c = 0; c < C; ++c) {
                out[c] = in[c] * rstd * w_C[c];
            }
            rope_rotate(out, cos_SP + s * half, sin_SP + s * half, C);
        }
    });
}

void head_norm_backward(float* dx, float* dw_C, float* partial, const float* dy_BNSC, const float* x,
                        const float* rstd_BNS, const float* w_C, const float* cos_SP, const float* sin_SP,
                        const HeadShape& shape) {
    const std::int64_t B = shape.B, S = shape.S, N = shape.N, C = shape.C, R = shape.R, half = C / 2;
    parallel_for(B * N, [&](std::int64_t index, int) {
        const std::int64_t b = index / N, n = index % N;
        float dw[kMaxHeadWidth] = {};
        float dy[kMaxHeadWidth];
        for (std::int64_t s = 0; s < S; ++s) {
            const std::int64_t at = (b * S + s) * R + n * C;
            const float rstd = rstd_BNS[index * S + s];
            for (std::int64_t c = 0; c < C; ++c) {
                dy[c] = dy_BNSC[(index * S + s) * C + c];
            }
            rope_rotate_back(dy, cos_SP + s * half, sin_SP + s * half, C);
            const float shared = lanes::dot3(dy, w_C, x + at, C) * rstd * rstd * rstd / static_cast<float>(C);
            for (std::int64_t c = 0; c < C; ++c) {
                dw[c] += dy[c] * x[at + c] * rstd;
                dx[at + c] = rstd * dy[c] * w_C[c] - shared * x[at + c];
            }
        }
        for (std::int64_t c = 0; c < C; ++c) {
            partial[index * C + c] = dw[c];
        }
    });
    for (std::int64_t c = 0; c < C; ++c) {
        float sum = 0;
        for (std::int64_t index = 0; index < B * N; ++index) {
            sum += partial[index * C + c];
        }
        dw_C[c] = sum;
    }
}

}  // namespace moescope::kernels
