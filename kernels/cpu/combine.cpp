#include "kernels/cpu/combine.hpp"

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kTokens = 64;
}

void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TK,
                     const std::int32_t* row_of_TK, std::int64_t T, std::int64_t K, std::int64_t D) {
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            float* out = out_TD + t * D;
            for (std::int64_t d = 0; d < D; ++d) {
                out[d] = residual_TD[t * D + d];
            }
            for (std::int64_t k = 0; k < K; ++k) {
                const float* y = y_RD + row_of_TK[t * K + k] * D;
                const float w = w_TK[t * K + k];
                for (std::int64_t d = 0; d < D; ++d) {
                    out[d] += w * y[d];
                }
            }
        }
    });
}

void combine_backward(float* dy_RD, float* dw_TK, const float* dout_TD, const float* y_RD, const float* w_TK,
                      const std::int32_t* row_of_TK, std::int64_t T, std::int64_t K, std::int64_t D) {
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* dout = dout_TD + t * D;
            for (std::int64_t k = 0; k < K; ++k) {
                const std::int64_t row = row_of_TK[t * K + k];
                float* dy = dy_RD + row * D;
                const float w = w_TK[t * K + k];
                for (std::int64_t d = 0; d < D; ++d) {
                    dy[d] = w * dout[d];
                }
                dw_TK[t * K + k] = lanes::dot(dout, y_RD + row * D, D);
            }
        }
    });
}

}  // namespace moescope::kernels
