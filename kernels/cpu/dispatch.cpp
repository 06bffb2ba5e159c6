#include "kernels/cpu/dispatch.hpp"

#include <algorithm>

#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kRows = 64;
}

std::int64_t dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                           const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                           std::int64_t T, std::int64_t E, std::int64_t J) {
    offsets_E1[0] = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        offsets_E1[e + 1] = offsets_E1[e] + static_cast<std::int32_t>(counts_E[e]);
    }
    // offsets[e] serves as the next free row of expert e and is put back afterwards: it ends where e + 1 began.
    for (std::int64_t slot = 0; slot < T * J; ++slot) {
        if (kept_TJ[slot] == 0) {
            row_of_TJ[slot] = -1;
            continue;
        }
        const std::int32_t row = offsets_E1[ids_TJ[slot]]++;
        row_of_TJ[slot] = row;
        token_of_R[row] = static_cast<std::int32_t>(slot / J);
    }
    for (std::int64_t e = E; e > 0; --e) {
        offsets_E1[e] = offsets_E1[e - 1];
    }
    offsets_E1[0] = 0;
    return offsets_E1[E];
}

void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, std::int64_t R, std::int64_t D) {
    parallel_blocks(R, kRows, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row) {
            const float* x = x_TD + token_of_R[row] * D;
            std::copy(x, x + D, y_RD + row * D);
        }
    });
}

void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J,
                     std::int64_t D, bool add) {
    parallel_blocks(T, kRows, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            float* dx = dx_TD + t * D;
            if (!add) {
                std::fill(dx, dx + D, 0.0f);
            }
            for (std::int64_t j = 0; j < J; ++j) {
                const std::int32_t row = row_of_TJ[t * J + j];
                if (row < 0) {
                    continue;
                }
                const float* dy = dy_RD + row * D;
                for (std::int64_t d = 0; d < D; ++d) {
                    dx[d] += dy[d];
                }
            }
        }
    });
}

}  // namespace moescope::kernels
