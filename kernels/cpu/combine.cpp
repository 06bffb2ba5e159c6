#include "kernels/cpu/combine.hpp"

#include <algorithm>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kTokens = 64;
}

void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                     const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) {
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            float* out = out_TD + t * D;
            if (residual_TD == nullptr) {
                std::fill(out, out + D, 0.0f);
            } else if (residual_TD != out_TD) {
                std::copy(residual_TD + t * D, residual_TD + (t + 1) * D, out);
            }
            for (std::int64_t j = 0; j < J; ++j) {
                const std::int32_t row = row_of_TJ[t * J + j];
                if (row < 0) {
                    continue;
                }
                const float* y = y_RD + row * D;
                const float w = w_TJ[t * J + j];
                for (std::int64_t d = 0; d < D; ++d) {
                    out[d] += w * y[d];
                }
            }
        }
    });
}

void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD, const float* w_TJ,
                      const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) {
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* dout = dout_TD + t * D;
            for (std::int64_t j = 0; j < J; ++j) {
                const std::int32_t row = row_of_TJ[t * J + j];
                if (row < 0) {
                    dw_TJ[t * J + j] = 0.0f;
                    continue;
                }
                float* dy = dy_RD + row * D;
                const float w = w_TJ[t * J + j];
                for (std::int64_t d = 0; d < D; ++d) {
                    dy[d] = w * dout[d];
                }
                dw_TJ[t * J + j] = lanes::dot(dout, y_RD + row * D, D);
            }
        }
    });
}

}  // namespace moescope::kernels
