#include "kernels/cuda/dispatch.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// One block. Each warp takes 32 experts; the sums of the warps before it come through shared memory.
__global__ void expert_offsets(std::int32_t* offsets_E1, const std::uint32_t* counts_E, std::int64_t E) {
    SIMT_SHARED(int, parts, kMostWarps);
    const auto e = static_cast<std::int64_t>(threadIdx.x);
    const unsigned lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
    int sum = e < E ? static_cast<int>(counts_E[e]) : 0;
    for (unsigned apart = 1; apart < kLanes; apart *= 2) {
        const int before = __shfl_up_sync(kAllLanes, sum, apart);
        sum += lane >= apart ? before : 0;
    }
    if (lane == kLanes - 1) {
        parts[warp] = sum;
    }
    __syncthreads();
    for (unsigned other = 0; other < warp; ++other) {
        sum += parts[other];
    }
    if (e < E) {
        offsets_E1[e + 1] = sum;
    }
    if (e == 0) {
        offsets_E1[0] = 0;
    }
}

/// One block per expert looks at all slots, a piece at a time, and numbers its own in their order.
__global__ void expert_rows(std::int32_t* row_of_TJ, std::int32_t* token_of_R, const std::int32_t* offsets_E1,
                            const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, std::int64_t slots,
                            std::int64_t J) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    const auto expert = static_cast<std::int32_t>(blockIdx.x);
    std::int32_t next = offsets_E1[expert];
    for (std::int64_t begin = 0; begin < slots; begin += blockDim.x) {
        const std::int64_t slot = begin + threadIdx.x;
        const bool mine = slot < slots && kept_TJ[slot] != 0 && ids_TJ[slot] == expert;
        unsigned total = 0;
        const unsigned rank = block_rank(mine, total, parts);
        if (mine) {
            const std::int32_t row = next + static_cast<std::int32_t>(rank);
            row_of_TJ[slot] = row;
            token_of_R[row] = static_cast<std::int32_t>(slot / J);
        }
        next += static_cast<std::int32_t>(total);
    }
}

__global__ void slots_without_row(std::int32_t* row_of_TJ, const std::uint8_t* kept_TJ, std::int64_t slots) {
    for (std::int64_t slot = stride_begin(); slot < slots; slot += stride_step()) {
        if (kept_TJ[slot] == 0) {
            row_of_TJ[slot] = -1;
        }
    }
}

__global__ void gather_rows(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const std::int32_t* rows,
                            std::int64_t D) {
    const std::int64_t row = blockIdx.x;
    if (row >= *rows) {
        return;
    }
    const float* x = x_TD + static_cast<std::int64_t>(token_of_R[row]) * D;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        y_RD[row * D + d] = x[d];
    }
}

__global__ void gather_rows_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t J,
                                     std::int64_t D, bool add) {
    const std::int32_t* row_of_J = row_of_TJ + blockIdx.x * J;
    float* dx = dx_TD + blockIdx.x * D;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        float sum = add ? dx[d] : 0.0f;
        for (std::int64_t j = 0; j < J; ++j) {
            const std::int64_t row = row_of_J[j];
            sum += row < 0 ? 0.0f : dy_RD[row * D + d];
        }
        dx[d] = sum;
    }
}

}  // namespace

void dispatch_plan(simt::Stream stream, std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                   const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                   std::int64_t T, std::int64_t E, std::int64_t J) {
    const auto threads = static_cast<unsigned>((E + kLanes - 1) / kLanes * kLanes);
    SIMT_LAUNCH(expert_offsets, dim3(1), dim3(threads), 0, stream, offsets_E1, counts_E, E);
    SIMT_LAUNCH(slots_without_row, dim3(stride_blocks(T * J, kThreads)), dim3(kThreads), 0, stream, row_of_TJ, kept_TJ,
                T * J);
    SIMT_LAUNCH(expert_rows, dim3(static_cast<unsigned>(E)), dim3(kThreads), 0, stream, row_of_TJ, token_of_R,
                offsets_E1, ids_TJ, kept_TJ, T * J, J);
}

void gather_forward(simt::Stream stream, float* y_RD, const float* x_TD, const std::int32_t* token_of_R,
                    const std::int32_t* offsets_E1, std::int64_t most, std::int64_t E, std::int64_t D) {
    SIMT_LAUNCH(gather_rows, dim3(static_cast<unsigned>(most)), dim3(kRowThreads), 0, stream, y_RD, x_TD, token_of_R,
                offsets_E1 + E, D);
}

void gather_backward(simt::Stream stream, float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ,
                     std::int64_t T, std::int64_t J, std::int64_t D, bool add) {
    SIMT_LAUNCH(gather_rows_backward, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, dx_TD, dy_RD,
                row_of_TJ, J, D, add);
}

}  // namespace moescope::kernels::cuda
