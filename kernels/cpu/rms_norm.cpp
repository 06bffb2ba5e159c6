#include "kernels/cpu/rms_norm.hpp"

#include <cmath>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kRows = 64;
constexpr std::int64_t kColumns = 64;
}  // namespace

namespace reference {

void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T, std::int64_t D,
                      double epsilon) {
    for (std::int64_t t = 0; t < T; ++t) {
        double squares = 0;
        for (std::int64_t d = 0; d < D; ++d) {
            squares += static_cast<double>(x_TD[t * D + d]) * x_TD[t * D + d];
        }
        const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(D) + epsilon);
        rstd_T[t] = static_cast<float>(rstd);
        for (std::int64_t d = 0; d < D; ++d) {
            y_TD[t * D + d] = static_cast<float>(x_TD[t * D + d] * rstd * w_D[d]);
        }
    }
}

}  // namespace reference

void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T, std::int64_t D,
                      double epsilon) {
    parallel_blocks(T, kRows, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* x = x_TD + t * D;
            float* y = y_TD + t * D;
            const double mean = lanes::dot(x, x, D) / static_cast<double>(D);
            const float rstd = static_cast<float>(1.0 / std::sqrt(mean + epsilon));
            rstd_T[t] = rstd;
            for (std::int64_t d = 0; d < D; ++d) {
                y[d] = x[d] * rstd * w_D[d];
            }
        }
    });
}

// With n = x rstd: dx = rstd (dy w - n mean(dy w n)), dw = sum over tokens of dy n.
void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                       const float* w_D, std::int64_t T, std::int64_t D, Write write) {
    const bool add = write == Write::add;
    parallel_blocks(T, kRows, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float *x = x_TD + t * D, *dy = dy_TD + t * D;
            float* dx = dx_TD + t * D;
            const float rstd = rstd_T[t];
            const float shared = lanes::dot3(dy, w_D, x, D) * rstd * rstd * rstd / static_cast<float>(D);
            for (std::int64_t d = 0; d < D; ++d) {
                const float value = rstd * dy[d] * w_D[d] - shared * x[d];
                dx[d] = add ? dx[d] + value : value;
            }
        }
    });
    parallel_blocks(D, kColumns, [&](std::int64_t begin, std::int64_t end, int) {
        float sum[kColumns] = {};
        const std::int64_t n = end - begin;
        for (std::int64_t t = 0; t < T; ++t) {
            const float *x = x_TD + t * D + begin, *dy = dy_TD + t * D + begin;
            for (std::int64_t d = 0; d < n; ++d) {
                sum[d] += dy[d] * x[d] * rstd_T[t];
            }
        }
        for (std::int64_t d = 0; d < n; ++d) {
            dw_D[begin + d] = sum[d];
        }
    });
}

}  // namespace moescope::kernels
