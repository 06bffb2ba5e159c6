// Sums and maxima over the threads of a warp and of a block, in an order that the sizes alone fix.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr unsigned kLanes = 32;
inline constexpr unsigned kMostWarps = 32;  ///< of a block
/// Threads of a block that works on one row.
inline constexpr unsigned kRowThreads = 128;

/// Every lane gets the sum. All 32 lanes take part.
template <class Value>
__device__ inline Value warp_sum(Value value) {
    for (int apart = 16; apart > 0; apart /= 2) {
        value += __shfl_xor_sync(kAllLanes, value, apart);
    }
    return value;
}
template <class Value>
__device__ inline Value warp_maximum(Value value) {
    for (int apart = 16; apart > 0; apart /= 2) {
        const Value other = __shfl_xor_sync(kAllLanes, value, apart);
        value = other > value ? other : value;
    }
    return value;
}

/// Every thread of a one-dimensional block of whole warps gets the sum. `parts_W`: kMostWarps shared values, which the
/// next call may use again.
template <class Value>
__device__ inline Value block_sum(Value value, simt::SharedPointer<Value> parts_W) {
    value = warp_sum(value);
    __syncthreads();  // the last call's parts have been read
    if (threadIdx.x % kLanes == 0) {
        parts_W[threadIdx.x / kLanes] = value;
    }
    __syncthreads();
    Value total = 0;
    for (unsigned warp = 0; warp < blockDim.x / kLanes; ++warp) {
        total += parts_W[warp];
    }
    return total;
}
template <class Value>
__device__ inline Value block_maximum(Value value, simt::SharedPointer<Value> parts_W) {
    value = warp_maximum(value);
    __syncthreads();
    if (threadIdx.x % kLanes == 0) {
        parts_W[threadIdx.x / kLanes] = value;
    }
    __syncthreads();
    Value best = parts_W[0];
    for (unsigned warp = 1; warp < blockDim.x / kLanes; ++warp) {
        const Value other = parts_W[warp];
        best = other > best ? other : best;
    }
    return best;
}

/// How many of the block's threads before this one say yes; the number of all goes to `total`. `parts_W` as above.
__device__ inline unsigned block_rank(bool yes, unsigned& total, simt::SharedPointer<unsigned> parts_W) {
    const unsigned votes = __ballot_sync(kAllLanes, yes), lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
    __syncthreads();
    if (lane == 0) {
        parts_W[warp] = static_cast<unsigned>(__popc(votes));
    }
    __syncthreads();
    unsigned before = static_cast<unsigned>(__popc(votes & ((1u << lane) - 1)));
    total = 0;
    for (unsigned other = 0; other < blockDim.x / kLanes; ++other) {
        const unsigned count = parts_W[other];
        before += other < warp ? count : 0;
        total += count;
    }
    return before;
}

/// Blocks of `threads` for n elements in a loop that strides over the grid: enough to fill a GPU, few enough that each
/// thread has several when n is large.
inline unsigned stride_blocks(std::int64_t n, unsigned threads) {
    constexpr std::int64_t kMost = 1056;
    const std::int64_t blocks = (n + threads - 1) / threads;
    return static_cast<unsigned>(blocks < 1 ? 1 : blocks < kMost ? blocks : kMost);
}
__device__ inline std::int64_t stride_begin() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t stride_step() {
    return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

}  // namespace moescope::kernels::cuda
