#include "kernels/cpu/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kChunk = 256;
constexpr std::int64_t kRows = 16;      // rows of a softmax task
constexpr std::int64_t kColumns = 512;  // vocabulary entries of a product's task
constexpr std::int64_t kInputRows = 64;

void chunk_logits(float* logits, const float* x, const float* w_VD, std::int64_t rows, std::int64_t D, std::int64_t V) {
    parallel_blocks(V, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::no, Transpose::yes, rows, end - begin, D, x, D, w_VD + begin * D, D, 0.0f, logits + begin, V);
    });
}

/// Leaves the exponentials in `row`; gives their sum through `sum` and the token's loss.
float row_loss(float* row, std::int32_t target, std::int64_t V, float& sum) {
    const float top = lanes::maximum(row, V);
    const float wanted = row[target];
    sum = lanes::exponentials(row, V, 1.0f, top);
    return top + std::log(sum) - wanted;
}

double mean(const float* losses_T, std::int64_t T) {
    double sum = 0;
    for (std::int64_t t = 0; t < T; ++t) {
        sum += losses_T[t];
    }
    return sum / static_cast<double>(T);
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
    return mean(losses_T, T);
}

double cross_entropy_forward_backward(float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD, const float* w_VD,
                                      const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                                      std::int64_t V) {
    const float per_token = static_cast<float>(1.0 / static_cast<double>(T));
    for (std::int64_t first = 0; first < T; first += kChunk) {
        const std::int64_t rows = std::min(kChunk, T - first);
        const float* x = x_TD + first * D;
        chunk_logits(logits, x, w_VD, rows, D, V);
        parallel_blocks(rows, kRows, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                float sum = 0;
                float* row = logits + i * V;
                losses_T[first + i] = row_loss(row, targets_T[first + i], V, sum);
                const float scale = per_token / sum;
                for (std::int64_t v = 0; v < V; ++v) {
                    row[v] *= scale;
                }
                row[targets_T[first + i]] -= per_token;
            }
        });
        parallel_blocks(rows, kInputRows, [&](std::int64_t begin, std::int64_t end, int) {
            gemm(Transpose::no, Transpose::no, end - begin, D, V, logits + begin * V, V, w_VD, D, 0.0f,
                 dx_TD + (first + begin) * D, D);
        });
        parallel_blocks(V, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
            gemm(Transpose::yes, Transpose::no, end - begin, D, rows, logits + begin, V, x, D, first == 0 ? 0.0f : 1.0f,
                 dw_VD + begin * D, D);
        });
    }
    return mean(losses_T, T);
}

}  // namespace moescope::kernels
