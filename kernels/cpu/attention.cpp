#include "kernels/cpu/attention.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kRows = 64;  // query rows whose scores are held at a time

float scale_of(const AttentionShape& shape) {
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.C)));
}

}  // namespace

namespace reference {

void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const AttentionShape& shape) {
    const std::int64_t B = shape.B, S = shape.S, H = shape.H, G = shape.G, C = shape.C, R = shape.R;
    std::vector<double> p(static_cast<std::size_t>(S));
    for (std::int64_t row = 0; row < B * H * S; ++row) {
        const std::int64_t b = row / (H * S), h = row / S % H, s = row % S, g = h / (H / G);
        double sum = 0;
        for (std::int64_t j = 0; j <= s; ++j) {
            double score = 0;
            for (std::int64_t c = 0; c < C; ++c) {
                score += static_cast<double>(q_BHSC[row * C + c]) * k_BGSC[((b * G + g) * S + j) * C + c];
            }
            p[static_cast<std::size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(C)));
            sum += p[static_cast<std::size_t>(j)];
        }
        lse_BHS[row] = static_cast<float>(std::log(sum));
        for (std::int64_t c = 0; c < C; ++c) {
            double out = 0;
            for (std::int64_t j = 0; j <= s; ++j) {
                out += p[static_cast<std::size_t>(j)] / sum * v[(b * S + j) * R + g * C + c];
            }
            o_THC[(b * S + s) * H * C + h * C + c] = static_cast<float>(out);
        }
    }
}

}  // namespace reference

std::int64_t attention_scratch(std::int64_t S) {
    return 2 * std::min(kRows, S) * S;
}

void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       float* scratch, const AttentionShape& shape) {
    const std::int64_t S = shape.S, H = shape.H, G = shape.G, C = shape.C, R = shape.R;
    const float scale = scale_of(shape);
    parallel_for(shape.B * H, [&](std::int64_t index, int worker) {
        const std::int64_t b = index / H, h = index % H, g = h / (H / G);
        float* scores = scratch + worker * attention_scratch(S);
        const float *q = q_BHSC + index * S * C, *k = k_BGSC + (b * G + g) * S * C, *values = v + b * S * R + g * C;
        for (std::int64_t first = 0; first < S; first += kRows) {
            const std::int64_t rows = std::min(kRows, S - first), n = first + rows;
            gemm(Transpose::no, Transpose::yes, rows, n, C, q + first * C, C, k, C, 0.0f, scores, n);
            for (std::int64_t i = 0; i < rows; ++i) {
                float* row = scores + i * n;
                const std::int64_t seen = first + i + 1;
                const float top = scale * lanes::maximum(row, seen);
                const float sum = lanes::exponentials(row, seen, scale, top);
                const float inverse = 1.0f / sum;
                for (std::int64_t j = 0; j < seen; ++j) {
                    row[j] *= inverse;
                }
                std::fill(row + seen, row + n, 0.0f);
                lse_BHS[index * S + first + i] = top + std::log(sum);
            }
            gemm(Transpose::no, Transpose::no, rows, C, n, scores, n, values, R, 0.0f,
                 o_THC + (b * S + first) * H * C + h * C, H * C);
        }
    });
}

namespace {

/// p [rows, n] holds scores and becomes probabilities; dp [rows, n] holds their gradients and becomes those of q k^T.
void softmax_backward(float* p, float* dp, const float* lse, std::int64_t rows, std::int64_t first, std::int64_t n,
                      float scale) {
    for (std::int64_t i = 0; i < rows; ++i) {
        float *prob = p + i * n, *grad = dp + i * n;
        const std::int64_t seen = first + i + 1;
        lanes::exponentials(prob, seen, scale, lse[i]);
        const float shared = lanes::dot(prob, grad, seen);
        for (std::int64_t j = 0; j < seen; ++j) {
            grad[j] = prob[j] * (grad[j] - shared) * scale;
        }
        std::fill(prob + seen, prob + n, 0.0f);
        std::fill(grad + seen, grad + n, 0.0f);
    }
}

}  // namespace

void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, const float* do_THC, const float* q_BHSC,
                        const float* k_BGSC, const float* v, const float* lse_BHS, float* scratch,
                        const AttentionShape& shape) {
    const std::int64_t S = shape.S, H = shape.H, G = shape.G, C = shape.C, R = shape.R, group = H / G;
    const float scale = scale_of(shape);
    // One task per key-value head: the query heads of its group add to dk and dv in a fixed order.
    parallel_for(shape.B * G, [&](std::int64_t index, int worker) {
        const std::int64_t b = index / G, g = index % G;
        float* p = scratch + worker * attention_scratch(S);
        float* dp = p + std::min(kRows, S) * S;
        const float *k = k_BGSC + index * S * C, *values = v + b * S * R + g * C;
        float *dk = dk_BGSC + index * S * C, *dvalues = dv + b * S * R + g * C;
        std::fill(dk, dk + S * C, 0.0f);
        for (std::int64_t s = 0; s < S; ++s) {
            std::fill(dvalues + s * R, dvalues + s * R + C, 0.0f);
        }
        for (std::int64_t h = g * group; h < (g + 1) * group; ++h) {
            const float* q = q_BHSC + (b * H + h) * S * C;
            float* dq = dq_BHSC + (b * H + h) * S * C;
            for (std::int64_t first = 0; first < S; first += kRows) {
                const std::int64_t rows = std::min(kRows, S - first), n = first + rows;
                const float* dout = do_THC + (b * S + first) * H * C + h * C;
                gemm(Transpose::no, Transpose::yes, rows, n, C, q + first * C, C, k, C, 0.0f, p, n);
                gemm(Transpose::no, Transpose::yes, rows, n, C, dout, H * C, values, R, 0.0f, dp, n);
                softmax_backward(p, dp, lse_BHS + (b * H + h) * S + first, rows, first, n, scale);
                gemm(Transpose::yes, Transpose::no, n, C, rows, p, n, dout, H * C, 1.0f, dvalues, R);
                gemm(Transpose::no, Transpose::no, rows, C, n, dp, n, k, C, 0.0f, dq + first * C, C);
                gemm(Transpose::yes, Transpose::no, n, C, rows, dp, n, q + first * C, C, 1.0f, dk, C);
            }
        }
    });
}

}  // namespace moescope::kernels
