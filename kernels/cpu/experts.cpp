#include "kernels/cpu/experts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/few_rows.hpp"
#include "kernels/cpu/float8_product.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kOutputs = 128;  // rows of a weight gradient per task

/// Rows of one expert per task, for R rows in all: 128, less where there would be fewer than four tasks.
std::int64_t block_of(std::int64_t R) {
    return std::clamp<std::int64_t>((R / 4 + 15) / 16 * 16, 16, 128);
}

/// Calls body(expert, first row, rows) for blocks of rows. The blocks of expert e start at block offsets[e] / size + e,
/// which leaves gaps that are skipped: no list of tasks has to be stored, and no expert's block is ever counted twice.
template <class Body>
void for_row_blocks(const std::int32_t* offsets_E1, const ExpertShape& shape, const Body& body) {
    const std::int64_t E = shape.E, size = block_of(shape.rows_of_all > 0 ? shape.rows_of_all : offsets_E1[E]);
    parallel_for(offsets_E1[E] / size + E, [&](std::int64_t index, int) {
        const auto first_block = [&](std::int64_t e) { return offsets_E1[e] / size + e; };
        // The last expert whose first block is not after this one. First blocks grow by at least one per expert.
        std::int64_t low = 0, high = E - 1;
        while (low < high) {
            const std::int64_t middle = (low + high + 1) / 2;
            first_block(middle) <= index ? low = middle : high = middle - 1;
        }
        const std::int64_t first = offsets_E1[low] + (index - first_block(low)) * size;
        const std::int64_t rows = std::min<std::int64_t>(size, offsets_E1[low + 1] - first);
        if (rows > 0) {
            body(low, first, rows);
        }
    });
}

// The comparisons are written so that NaN stays NaN.
float clamp_above(float x, float limit) {
    return x > limit ? limit : x;
}
float clamp_both(float x, float limit) {
    return x > limit ? limit : (x < -limit ? -limit : x);
}

void swiglu_backward_row(float* dgu_2F, const float* dh_F, const float* gu_2F, std::int64_t F) {
    for (std::int64_t f = 0; f < F; ++f) {
        const float gate = gu_2F[f], up = gu_2F[F + f];
        const float sigmoid = 1.0f / (1.0f + lanes::exponential(-gate));
        dgu_2F[f] = dh_F[f] * up * sigmoid * (1.0f + gate * (1.0f - sigmoid));
        dgu_2F[F + f] = dh_F[f] * gate * sigmoid;
    }
}

/// Beyond the limits the gradient is zero; at a limit it passes, as in PyTorch.
void clamped_backward_row(float* dgu_2F, const float* dh_F, const float* gu_2F, std::int64_t F, float alpha,
                          float limit) {
    for (std::int64_t f = 0; f < F; ++f) {
        const float gate = clamp_above(gu_2F[f], limit), up = clamp_both(gu_2F[F + f], limit);
        const float sigmoid = 1.0f / (1.0f + lanes::exponential(-alpha * gate));
        const float dgate = dh_F[f] * (up + 1.0f) * sigmoid * (1.0f + alpha * gate * (1.0f - sigmoid));
        const float dup = dh_F[f] * gate * sigmoid;
        dgu_2F[f] = gu_2F[f] > limit ? 0.0f : dgate;
        dgu_2F[F + f] = gu_2F[F + f] > limit || gu_2F[F + f] < -limit ? 0.0f : dup;
    }
}

void activate_backward_row(float* dgu_2F, const float* dh_F, const float* gu_2F, const ExpertShape& shape) {
    if (shape.activation == Activation::swiglu) {
        swiglu_backward_row(dgu_2F, dh_F, gu_2F, shape.F);
    } else {
        clamped_backward_row(dgu_2F, dh_F, gu_2F, shape.F, shape.alpha, shape.limit);
    }
}

/// c [rows, n] = (or +=) x [rows, k] op(w) [k, n], all dense. In eight bits as DeepSeek-V3 has it: rows by 1 x 128,
/// weights by 128 x 128, forward and backward.
void rows_times(Transpose op_w, std::int64_t rows, std::int64_t n, std::int64_t k, const float* x, const float* w,
                float beta, float* c) {
    const std::int64_t ldw = op_w == Transpose::yes ? k : n;
    if (operands() == Operands::fp8) {
        float8_gemm(Transpose::no, op_w, rows, n, k, x, k, Float8Tiles::lines, w, ldw, Float8Tiles::blocks, beta, c, n);
    } else {
        few_rows_gemm(op_w, rows, n, k, x, k, w, ldw, beta, c, n);
    }
}

/// y [rows, n] = x [rows, k] w [n, k]^T + b [n], all dense. b may be null.
void project(float* y, const float* x, const float* w, const float* b, std::int64_t rows, std::int64_t n,
             std::int64_t k) {
    for (std::int64_t i = 0; b != nullptr && i < rows; ++i) {
        std::copy(b, b + n, y + i * n);
    }
    rows_times(Transpose::yes, rows, n, k, x, w, b == nullptr ? 0.0f : 1.0f, y);
}

/// Rows [o, o + n) of dw [O, I] = dy [rows, O]^T x [rows, I], and of the bias gradient db [O] unless that is null.
void weight_gradient(float* dw, float* db, const float* dy, const float* x, std::int64_t rows, std::int64_t O,
                     std::int64_t I, std::int64_t o) {
    const std::int64_t n = std::min(kOutputs, O - o);
    if (operands() == Operands::fp8) {  // the sum runs over the expert's rows: so do the tiles of both operands
        float8_gemm(Transpose::yes, Transpose::no, n, I, rows, dy + o, O, Float8Tiles::lines, x, I, Float8Tiles::lines,
                    0.0f, dw + o * I, I);
    } else {
        gemm(Transpose::yes, Transpose::no, n, I, rows, dy + o, O, x, I, 0.0f, dw + o * I, I);
    }
    if (db != nullptr) {
        column_sums(db + o, dy + o, rows, O, n, Write::assign);
    }
}

/// Address of expert e's part, or null when there is no such tensor.
template <class T>
T* part(T* tensor, std::int64_t e, std::int64_t size) {
    return tensor == nullptr ? nullptr : tensor + e * size;
}

}  // namespace

namespace reference {
namespace {

double activate(double gate, double up, const ExpertShape& shape) {
    if (shape.activation == Activation::swiglu) {
        return gate / (1.0 + std::exp(-gate)) * up;
    }
    const double limit = shape.limit;
    gate = std::min(gate, limit);
    return gate / (1.0 + std::exp(-shape.alpha * gate)) * (std::clamp(up, -limit, limit) + 1.0);
}

/// x . w + bias.
double affine(const float* x, const float* w, std::int64_t n, const float* bias) {
    double sum = bias == nullptr ? 0.0 : *bias;
    for (std::int64_t i = 0; i < n; ++i) {
        sum += static_cast<double>(x[i]) * w[i];
    }
    return sum;
}

}  // namespace

void experts_forward(float* y_RD, const float* x_RD, const ExpertWeights& w, const std::int32_t* offsets_E1,
                     const ExpertShape& shape) {
    const std::int64_t D = shape.D, F = shape.F;
    std::vector<double> h(static_cast<std::size_t>(F));
    for (std::int64_t e = 0; e < shape.E; ++e) {
        const float *gate_up = w.gate_up_E2FD + e * 2 * F * D, *down = w.down_EDF + e * D * F;
        const float *b1 = w.gate_up_bias_E2F, *b2 = w.down_bias_ED;
        for (std::int64_t row = offsets_E1[e]; row < offsets_E1[e + 1]; ++row) {
            const float* x = x_RD + row * D;
            for (std::int64_t f = 0; f < F; ++f) {
                const double gate = affine(x, gate_up + f * D, D, part(b1, e * 2 * F + f, 1));
                const double up = affine(x, gate_up + (F + f) * D, D, part(b1, e * 2 * F + F + f, 1));
                h[static_cast<std::size_t>(f)] = activate(gate, up, shape);
            }
            for (std::int64_t d = 0; d < D; ++d) {
                double sum = b2 == nullptr ? 0.0 : b2[e * D + d];
                for (std::int64_t f = 0; f < F; ++f) {
                    sum += h[static_cast<std::size_t>(f)] * down[d * F + f];
                }
                y_RD[row * D + d] = static_cast<float>(sum);
            }
        }
    }
}

}  // namespace reference

void activate_row(float* h_F, const float* gu_2F, const ExpertShape& shape) {
    const std::int64_t F = shape.F;
    if (shape.activation == Activation::swiglu) {
        for (std::int64_t f = 0; f < F; ++f) {
            h_F[f] = gu_2F[f] / (1.0f + lanes::exponential(-gu_2F[f])) * gu_2F[F + f];
        }
        return;
    }
    const float alpha = shape.alpha, limit = shape.limit;
    for (std::int64_t f = 0; f < F; ++f) {
        const float gate = clamp_above(gu_2F[f], limit), up = clamp_both(gu_2F[F + f], limit);
        h_F[f] = gate / (1.0f + lanes::exponential(-alpha * gate)) * (up + 1.0f);
    }
}

void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                     const std::int32_t* offsets_E1, const ExpertShape& shape) {
    const std::int64_t D = shape.D, F = shape.F;
    for_row_blocks(offsets_E1, shape, [&](std::int64_t e, std::int64_t first, std::int64_t rows) {
        float *gu = gu_R2F + first * 2 * F, *h = h_RF + first * F;
        project(gu, x_RD + first * D, w.gate_up_E2FD + e * 2 * F * D, part(w.gate_up_bias_E2F, e, 2 * F), rows, 2 * F,
                D);
        for (std::int64_t i = 0; i < rows; ++i) {
            activate_row(h + i * F, gu + i * 2 * F, shape);
        }
        project(y_RD + first * D, h, w.down_EDF + e * D * F, part(w.down_bias_ED, e, D), rows, D, F);
    });
}

void experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF, const float* dy_RD,
                      const float* x_RD, const float* gu_R2F, const float* h_RF, const ExpertWeights& w,
                      const std::int32_t* offsets_E1, const ExpertShape& shape) {
    const std::int64_t E = shape.E, D = shape.D, F = shape.F;
    for_row_blocks(offsets_E1, shape, [&](std::int64_t e, std::int64_t first, std::int64_t rows) {
        float *dh = dh_RF + first * F, *dgu = dgu_R2F + first * 2 * F;
        rows_times(Transpose::no, rows, F, D, dy_RD + first * D, w.down_EDF + e * D * F, 0.0f, dh);
        for (std::int64_t i = 0; i < rows; ++i) {
            activate_backward_row(dgu + i * 2 * F, dh + i * F, gu_R2F + (first + i) * 2 * F, shape);
        }
        rows_times(Transpose::no, rows, D, 2 * F, dgu, w.gate_up_E2FD + e * 2 * F * D, 0.0f, dx_RD + first * D);
    });
    const std::int64_t up_blocks = (2 * F + kOutputs - 1) / kOutputs,
                       blocks = up_blocks + (D + kOutputs - 1) / kOutputs;
    parallel_for(E * blocks, [&](std::int64_t index, int) {
        const std::int64_t e = index / blocks, block = index % blocks;
        const std::int64_t first = offsets_E1[e], rows = offsets_E1[e + 1] - first;
        if (block < up_blocks) {
            weight_gradient(g.gate_up_E2FD + e * 2 * F * D, part(g.gate_up_bias_E2F, e, 2 * F), dgu_R2F + first * 2 * F,
                            x_RD + first * D, rows, 2 * F, D, block * kOutputs);
        } else {
            weight_gradient(g.down_EDF + e * D * F, part(g.down_bias_ED, e, D), dy_RD + first * D, h_RF + first * F,
                            rows, D, F, (block - up_blocks) * kOutputs);
        }
    });
}

}  // namespace moescope::kernels
