#include "kernels/cpu/embedding.hpp"

#include <algorithm>

#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {

void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                       std::int64_t D) {
    parallel_blocks(T, 64, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* row = table_VD + static_cast<std::int64_t>(tokens_T[t]) * D;
            std::copy(row, row + D, x_TD + t * D);
        }
    });
}

// Cut by columns: the same token may come many times, and each sum must keep the order of the tokens.
void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                        std::int64_t D) {
    parallel_blocks(D, 64, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = 0; t < T; ++t) {
            float* row = dtable_VD + static_cast<std::int64_t>(tokens_T[t]) * D;
            for (std::int64_t d = begin; d < end; ++d) {
                row[d] += dx_TD[t * D + d];
            }
        }
    });
}

}  // namespace moescope::kernels
