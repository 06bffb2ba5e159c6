#include "kernels/cpu/experts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kRows = 128;     // rows of one expert per task
constexpr std::int64_t kOutputs = 128;  // rows of a weight gradient per task

/// Calls body(expert, first row, rows) for blocks of rows. The blocks of expert e start at block offsets[e] / kRows +
/// e, which leaves gaps that are skipped: no list of tasks has to be stored, and no expert's block is ever counted
/// twice.
template <class Body>
void for_row_blocks(const std::int32_t* offsets_E1, std::int64_t E, const Body& body) {
    const std::int64_t blocks = offsets_E1[E] / kRows + E;
    parallel_for(blocks, [&](std::int64_t index, int) {
        // The last expert whose first block is not after this one. First blocks grow by at least one per expert.
        std::int64_t low = 0, high = E - 1;
        while (low < high) {
            const std::int64_t middle = (low + high + 1) / 2;
            (offsets_E1[middle] / kRows + middle <= index) ? low = middle : high = middle - 1;
        }
        const std::int64_t first = offsets_E1[low] + (index - (offsets_E1[low] / kRows + low)) * kRows;
        const std::int64_t rows = std::min<std::int64_t>(kRows, offsets_E1[low + 1] - first);
        if (rows > 0) {
            body(low, first, rows);
        }
    });
}

void swiglu_backward_row(float* dgu_2F, const float* dh_F, const float* gu_2F, std::int64_t F) {
    for (std::int64_t f = 0; f < F; ++f) {
        const float gate = gu_2F[f], up = gu_2F[F + f];
        const float sigmoid = 1.0f / (1.0f + lanes::exponential(-gate));
        dgu_2F[f] = dh_F[f] * up * sigmoid * (1.0f + gate * (1.0f - sigmoid));
        dgu_2F[F + f] = dh_F[f] * gate * sigmoid;
    }
}

}  // namespace

namespace reference {

void experts_forward(float* y_RD, const float* x_RD, const float* gate_up_E2FD, const float* down_EDF,
                     const std::int32_t* offsets_E1, const ExpertShape& shape) {
    const std::int64_t D = shape.D, F = shape.F;
    std::vector<double> h(static_cast<std::size_t>(F));
    for (std::int64_t e = 0; e < shape.E; ++e) {
        for (std::int64_t row = offsets_E1[e]; row < offsets_E1[e + 1]; ++row) {
            for (std::int64_t f = 0; f < F; ++f) {
                double gate = 0, up = 0;
                for (std::int64_t d = 0; d < D; ++d) {
                    gate += static_cast<double>(x_RD[row * D + d]) * gate_up_E2FD[(e * 2 * F + f) * D + d];
                    up += static_cast<double>(x_RD[row * D + d]) * gate_up_E2FD[(e * 2 * F + F + f) * D + d];
                }
                h[static_cast<std::size_t>(f)] = gate / (1.0 + std::exp(-gate)) * up;
            }
            for (std::int64_t d = 0; d < D; ++d) {
                double sum = 0;
                for (std::int64_t f = 0; f < F; ++f) {
                    sum += h[static_cast<std::size_t>(f)] * down_EDF[(e * D + d) * F + f];
                }
                y_RD[row * D + d] = static_cast<float>(sum);
            }
        }
    }
}

}  // namespace reference

void swiglu_row(float* h_F, const float* gu_2F, std::int64_t F) {
    for (std::int64_t f = 0; f < F; ++f) {
        h_F[f] = gu_2F[f] / (1.0f + lanes::exponential(-gu_2F[f])) * gu_2F[F + f];
    }
}

void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const float* gate_up_E2FD,
                     const float* down_EDF, const std::int32_t* offsets_E1, const ExpertShape& shape) {
    const std::int64_t D = shape.D, F = shape.F;
    for_row_blocks(offsets_E1, shape.E, [&](std::int64_t e, std::int64_t first, std::int64_t rows) {
        float *gu = gu_R2F + first * 2 * F, *h = h_RF + first * F;
        gemm(Transpose::no, Transpose::yes, rows, 2 * F, D, x_RD + first * D, D, gate_up_E2FD + e * 2 * F * D, D, 0.0f,
             gu, 2 * F);
        for (std::int64_t i = 0; i < rows; ++i) {
            swiglu_row(h + i * F, gu + i * 2 * F, F);
        }
        gemm(Transpose::no, Transpose::yes, rows, D, F, h, F, down_EDF + e * D * F, F, 0.0f, y_RD + first * D, D);
    });
}

void experts_backward(float* dx_RD, float* dgate_up_E2FD, float* ddown_EDF, float* dgu_R2F, float* dh_RF,
                      const float* dy_RD, const float* x_RD, const float* gu_R2F, const float* h_RF,
                      const float* gate_up_E2FD, const float* down_EDF, const std::int32_t* offsets_E1,
                      const ExpertShape& shape) {
    const std::int64_t E = shape.E, D = shape.D, F = shape.F;
    for_row_blocks(offsets_E1, E, [&](std::int64_t e, std::int64_t first, std::int64_t rows) {
        float *dh = dh_RF + first * F, *dgu = dgu_R2F + first * 2 * F;
        gemm(Transpose::no, Transpose::no, rows, F, D, dy_RD + first * D, D, down_EDF + e * D * F, F, 0.0f, dh, F);
        for (std::int64_t i = 0; i < rows; ++i) {
            swiglu_backward_row(dgu + i * 2 * F, dh + i * F, gu_R2F + (first + i) * 2 * F, F);
        }
        gemm(Transpose::no, Transpose::no, rows, D, 2 * F, dgu, 2 * F, gate_up_E2FD + e * 2 * F * D, D, 0.0f,
             dx_RD + first * D, D);
    });
    const std::int64_t up_blocks = (2 * F + kOutputs - 1) / kOutputs, down_blocks = (D + kOutputs - 1) / kOutputs;
    parallel_for(E * (up_blocks + down_blocks), [&](std::int64_t index, int) {
        const std::int64_t e = index / (up_blocks + down_blocks), block = index % (up_blocks + down_blocks);
        const std::int64_t first = offsets_E1[e], rows = offsets_E1[e + 1] - first;
        if (block < up_blocks) {
            const std::int64_t o = block * kOutputs, n = std::min(kOutputs, 2 * F - o);
            gemm(Transpose::yes, Transpose::no, n, D, rows, dgu_R2F + first * 2 * F + o, 2 * F, x_RD + first * D, D,
                 0.0f, dgate_up_E2FD + (e * 2 * F + o) * D, D);
        } else {
            const std::int64_t o = (block - up_blocks) * kOutputs, n = std::min(kOutputs, D - o);
            gemm(Transpose::yes, Transpose::no, n, F, rows, dy_RD + first * D + o, D, h_RF + first * F, F, 0.0f,
                 ddown_EDF + (e * D + o) * F, F);
        }
    });
}

}  // namespace moescope::kernels
