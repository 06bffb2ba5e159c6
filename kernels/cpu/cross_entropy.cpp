#include "kernels/cpu/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kChunk = 512;
constexpr std::int64_t kRows = 16;      // rows of a softmax task
constexpr std::int64_t kColumns = 512;  // vocabulary entries of a product's task
constexpr std::int64_t kInputRows = 128;

void chunk_logits(float* logits, const float* x, const float* w_VD, std::int64_t rows, std::int64_t D, std::int64_t V) {
    parallel_blocks(V, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::no, Transpose::yes, rows, end - begin, D, x, D, w_VD + begin * D, D, 0.0f, logits + begin, V);
    });
}

/// Leaves the exponentials in `row`; gives their sum through `sum` and the token's loss, 0 without a target.
float row_loss(float* row, std::int32_t target, std::int64_t V, float& sum) {
    const float top = lanes::maximum(row, V);
    const float wanted = target < 0 ? 0.0f : row[target];
    sum = lanes::exponentials(row, V, 1.0f, top);
    return target < 0 ? 0.0f : top + std::log(sum) - wanted;
}

std::int64_t with_target(const std::int32_t* targets_T, std::int64_t T) {
    return std::count_if(targets_T, targets_T + T, [](std::int32_t target) { return target >= 0; });
}

double mean(const float* losses_T, const std::int32_t* targets_T, std::int64_t T) {
    double sum = 0;
    for (std::int64_t t = 0; t < T; ++t) {
        sum += losses_T[t];
    }
    const std::int64_t count = with_target(targets_T, T);
    return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

}  // namespace

namespace reference {

double cross_entropy(const float* x_TD, const float* w_VD, const std::int32_t* targets_T, std::int64_t T,
                     std::int64_t D, std::int64_t V) {
    double total = 0;
    for (std::int64_t t = 0; t < T; ++t) {
        double sum = 0, wanted = 0;
        for (std::int64_t v = 0; v < V; ++v) {
            double logit = 0;
            for (std::int64_t d = 0; d < D; ++d) {
                logit += static_cast<double>(x_TD[t * D + d]) * w_VD[v * D + d];
            }
            sum += std::exp(logit);
            wanted = v == targets_T[t] ? logit : wanted;
        }
        total += std::log(sum) - wanted;
    }
    return total / static_cast<double>(T);
}

}  // namespace reference

std::int64_t cross_entropy_rows(std::int64_t T) {
    return std::min(kChunk, T);
}

double cross_entropy_forward(float* losses_T, const float* x_TD, const float* w_VD, const std::int32_t* targets_T,
                             float* logits, std::int64_t T, std::int64_t D, std::int64_t V) {
    for (std::int64_t first = 0; first < T; first += kChunk) {
        const std::int64_t rows = std::min(kChunk, T - first);
        chunk_logits(logits, x_TD + first * D, w_VD, rows, D, V);
        parallel_blocks(rows, kRows, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                float sum = 0;
                losses_T[first + i] = row_loss(logits + i * V, targets_T[first + i], V, sum);
            }
        });
    }
    return mean(losses_T, targets_T, T);
}

double cross_entropy_forward_backward(float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD, const float* w_VD,
                                      const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                                      std::int64_t V, double gradient_scale, Write write) {
    const auto count = static_cast<double>(std::max<std::int64_t>(1, with_target(targets_T, T)));
    const float share = static_cast<float>(gradient_scale / count);
    for (std::int64_t first = 0; first < T; first += kChunk) {
        const std::int64_t rows = std::min(kChunk, T - first);
        const float* x = x_TD + first * D;
        const float beta = first == 0 && write == Write::assign ? 0.0f : 1.0f;
        chunk_logits(logits, x, w_VD, rows, D, V);
        parallel_blocks(rows, kRows, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                float sum = 0;
                float* row = logits + i * V;
                losses_T[first + i] = row_loss(row, targets_T[first + i], V, sum);
                const std::int32_t target = targets_T[first + i];
                if (target < 0) {
                    std::fill_n(row, V, 0.0f);
                    continue;
                }
                const float scale = share / sum;
                for (std::int64_t v = 0; v < V; ++v) {
                    row[v] *= scale;
                }
                row[target] -= share;
            }
        });
        parallel_blocks(rows, kInputRows, [&](std::int64_t begin, std::int64_t end, int) {
            gemm(Transpose::no, Transpose::no, end - begin, D, V, logits + begin * V, V, w_VD, D, 0.0f,
                 dx_TD + (first + begin) * D, D);
        });
        parallel_blocks(V, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
            gemm(Transpose::yes, Transpose::no, end - begin, D, rows, logits + begin, V, x, D, beta, dw_VD + begin * D,
                 D);
        });
    }
    return mean(losses_T, targets_T, T);
}

}  // namespace moescope::kernels
