// What the emulation must find: each kernel here is wrong in one way, and right beside it.
#include <gtest/gtest.h>
#include <vector>

#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 64;

/// What the launch says, or nothing.
template <class Launch>
std::string fault_of(const Launch& launch) {
    try {
        launch();
    } catch (const simt::Fault& fault) {
        return fault.what();
    }
    return {};
}
bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

enum class Wrong { nothing, no_barrier, index, ended, other_barrier, lane };

/// out[i] = in[last - i] by way of shared memory.
template <Wrong kWrong>
__global__ void turn_around(int* out, const int* in) {
    SIMT_SHARED(int, values, kThreads);
    const unsigned i = threadIdx.x;
    if (kWrong == Wrong::ended && i == 5) {
        return;
    }
    values[i + (kWrong == Wrong::index && i == 3 ? kThreads : 0)] = in[i];
    if (kWrong == Wrong::other_barrier && i >= 32) {
        __syncthreads();
    } else if (kWrong != Wrong::no_barrier) {
        __syncthreads();
    }
    out[i] = values[kThreads - 1 - i];
    if (kWrong == Wrong::lane) {
        out[i] += __shfl_sync(i % 32 < 16 ? 0x0000ffffu : 0xffff0000u, out[i], 20);
    }
}

template <Wrong kWrong>
std::string turn(std::vector<int>& out) {
    std::vector<int> in(kThreads);
    for (unsigned i = 0; i < kThreads; ++i) {
        in[i] = static_cast<int>(i);
    }
    out.assign(kThreads, -1);
    return fault_of(
        [&] { SIMT_LAUNCH(turn_around<kWrong>, dim3(1), dim3(kThreads), 0, simt::Stream{}, out.data(), in.data()); });
}

TEST(Emulation, RunsWhatIsRightInEveryOrder) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        simt::set_seed(seed);
        std::vector<int> out;
        EXPECT_EQ(turn<Wrong::nothing>(out), "");
        for (unsigned i = 0; i < kThreads; ++i) {
            EXPECT_EQ(out[i], static_cast<int>(kThreads - 1 - i));
        }
    }
}

TEST(Emulation, FindsAMissingBarrier) {
    std::vector<int> out;
    const std::string fault = turn<Wrong::no_barrier>(out);
    EXPECT_TRUE(has(fault, "with no barrier between")) << fault;
    EXPECT_TRUE(has(fault, "turn_around")) << fault;
    EXPECT_TRUE(has(fault, "seed ")) << fault;
}

TEST(Emulation, FindsAnIndexOutsideOfSharedMemory) {
    std::vector<int> out;
    EXPECT_TRUE(has(turn<Wrong::index>(out), "index 67 of shared values[64]")) << turn<Wrong::index>(out);
}

TEST(Emulation, FindsABarrierThatNotAllThreadsReach) {
    std::vector<int> out;
    EXPECT_TRUE(has(turn<Wrong::ended>(out), "but thread 5 has ended without")) << turn<Wrong::ended>(out);
    const std::string two = turn<Wrong::other_barrier>(out);
    EXPECT_TRUE(has(two, "thread 0 waits at ") && has(two, ", but thread 32 at ")) << two;
}

TEST(Emulation, FindsAValueOfALaneThatDoesNotTakePart) {
    std::vector<int> out;
    EXPECT_TRUE(has(turn<Wrong::lane>(out), "lane 20, which does not take part")) << turn<Wrong::lane>(out);
}

/// A warp may go on by __syncwarp alone; two warps may not.
template <bool kAcross>
__global__ void warps_only(int* out) {
    SIMT_SHARED(int, values, kThreads);
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncwarp();
    out[threadIdx.x] = values[kAcross ? kThreads - 1 - threadIdx.x : threadIdx.x ^ 1u];
}

/// A shuffle moves values between lanes, not memory.
__global__ void shuffle_is_no_barrier(int* out) {
    SIMT_SHARED(int, values, kThreads);
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
    out[threadIdx.x] += values[threadIdx.x ^ 1u];
}

TEST(Emulation, KnowsHowFarABarrierOfAWarpReaches) {
    std::vector<int> out(kThreads, -1);
    EXPECT_EQ(fault_of([&] { SIMT_LAUNCH(warps_only<false>, dim3(1), dim3(kThreads), 0, simt::Stream{}, out.data()); }),
              "");
    EXPECT_EQ(out[6], 7);
    EXPECT_TRUE(
        has(fault_of([&] { SIMT_LAUNCH(warps_only<true>, dim3(1), dim3(kThreads), 0, simt::Stream{}, out.data()); }),
            "with no barrier between"));
    EXPECT_TRUE(has(
        fault_of([&] { SIMT_LAUNCH(shuffle_is_no_barrier, dim3(1), dim3(kThreads), 0, simt::Stream{}, out.data()); }),
        "with no barrier between"));
}

__global__ void reads_before_it_writes(float* out) {
    SIMT_SHARED(float, values, kThreads);
    out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x];
}

TEST(Emulation, FillsSharedMemoryWithNaN) {
    std::vector<float> out(2 * kThreads, 0.0f);
    SIMT_LAUNCH(reads_before_it_writes, dim3(2), dim3(kThreads), 0, simt::Stream{}, out.data());
    for (const float value : out) {
        EXPECT_NE(value, value);
    }
}

/// Counts in any order, and the votes and ranks of a block.
__global__ void counts_and_ranks(unsigned* out, int* ranks) {
    SIMT_SHARED(unsigned, counts, 2);
    SIMT_SHARED(unsigned, parts, kMostWarps);
    if (threadIdx.x < 2) {
        counts[threadIdx.x] = 0u;
    }
    __syncthreads();
    atomicAdd(counts + threadIdx.x % 3 / 2, 1u);
    __syncthreads();
    if (threadIdx.x < 2) {
        out[threadIdx.x] = counts[threadIdx.x];
    }
    unsigned total = 0;
    const unsigned rank = block_rank(threadIdx.x % 3 == 0, total, parts);
    ranks[threadIdx.x] = threadIdx.x % 3 == 0 ? static_cast<int>(rank) : -1;
    if (threadIdx.x == 0) {
        out[2] = total;
    }
}

TEST(Emulation, CountsAndRanks) {
    std::vector<unsigned> out(3, 77);
    std::vector<int> ranks(96, 77);
    SIMT_LAUNCH(counts_and_ranks, dim3(1), dim3(96), 0, simt::Stream{}, out.data(), ranks.data());
    EXPECT_EQ(out, (std::vector<unsigned>{64, 32, 32}));
    for (int i = 0; i < 96; ++i) {
        EXPECT_EQ(ranks[static_cast<std::size_t>(i)], i % 3 == 0 ? i / 3 : -1);
    }
}

TEST(Emulation, RefusesLaunchesThatNoGpuTakes) {
    std::vector<int> out(kThreads);
    const auto launch = [&](dim3 grid, dim3 block, std::size_t bytes) {
        return fault_of([&] { SIMT_LAUNCH(warps_only<false>, grid, block, bytes, simt::Stream{}, out.data()); });
    };
    EXPECT_TRUE(has(launch(dim3(0), dim3(32), 0), "a launch of 0 blocks"));
    EXPECT_TRUE(has(launch(dim3(1), dim3(2048), 0), "2048 threads"));
    EXPECT_TRUE(has(launch(dim3(1), dim3(32), std::size_t{1} << 20), "1048576 bytes"));
}

}  // namespace
}  // namespace moescope::kernels::cuda
