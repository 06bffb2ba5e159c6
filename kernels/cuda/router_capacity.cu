// Router: how many tokens chose each expert, and who loses the place where more want it than fit.
#include "kernels/cuda/router_parts.hpp"

namespace moescope::kernels::cuda::router {
namespace {

constexpr unsigned kThreads = 256;

/// One block per expert.
__global__ void count_choices(std::uint32_t* choices_E, std::uint32_t* counts_E, const std::int32_t* ids_TJ,
                              std::int64_t slots) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    const auto expert = static_cast<std::int32_t>(blockIdx.x);
    unsigned count = 0;
    for (std::int64_t slot = threadIdx.x; slot < slots; slot += blockDim.x) {
        count += ids_TJ[slot] == expert ? 1u : 0u;
    }
    count = block_sum<unsigned>(count, parts);
    if (threadIdx.x == 0) {
        choices_E[expert] = count;
        counts_E[expert] = count;
    }
}

/// One block per expert: the earliest `capacity` slots keep their place.
__global__ void drop_latest(RouterOutput out, std::int64_t slots, std::uint32_t capacity) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    const auto expert = static_cast<std::int32_t>(blockIdx.x);
    if (out.choices_E[expert] <= capacity) {
        return;
    }
    unsigned before = 0;
    for (std::int64_t begin = 0; begin < slots; begin += blockDim.x) {
        const std::int64_t slot = begin + threadIdx.x;
        const bool mine = slot < slots && out.ids_TJ[slot] == expert;
        unsigned total = 0;
        const unsigned rank = before + block_rank(mine, total, parts);
        if (mine && rank >= capacity) {
            out.kept_TJ[slot] = 0;
            out.w_TJ[slot] = 0.0f;
        }
        before += total;
    }
    if (threadIdx.x == 0) {
        out.counts_E[expert] = capacity;
    }
}

/// One block per expert: the largest `capacity` weights keep their place, the earlier slot wins a tie.
__global__ void drop_least(RouterOutput out, std::int64_t slots, std::uint32_t capacity) {
    SIMT_SHARED(unsigned, counts, 256);
    SIMT_SHARED(unsigned long long, found, 2);
    const auto expert = static_cast<std::int32_t>(blockIdx.x);
    if (out.choices_E[expert] <= capacity) {
        return;
    }
    const auto mine = [&](std::int64_t slot) { return out.ids_TJ[slot] == expert; };
    const auto bits = [&](std::int64_t slot) { return ordered_bits(key_of(out.w_TJ[slot], slot)); };
    const unsigned long long least =
        select_rank(slots, static_cast<std::int64_t>(capacity) - 1, mine, bits, counts, found);
    for (std::int64_t slot = threadIdx.x; slot < slots; slot += blockDim.x) {
        if (mine(slot) && bits(slot) < least) {
            out.kept_TJ[slot] = 0;
            out.w_TJ[slot] = 0.0f;
        }
    }
    if (threadIdx.x == 0) {
        out.counts_E[expert] = capacity;
    }
}

}  // namespace

void count_and_drop(simt::Stream stream, const RouterOutput& out, const RouterShape& shape) {
    const std::int64_t slots = shape.T * shape.slots();
    const dim3 experts(static_cast<unsigned>(shape.E));
    SIMT_LAUNCH(count_choices, experts, dim3(kThreads), 0, stream, out.choices_E, out.counts_E,
                static_cast<const std::int32_t*>(out.ids_TJ), slots);
    if (shape.choice == Choice::expert || !(shape.capacity_factor > 0.0)) {
        return;
    }
    const auto capacity = static_cast<std::uint32_t>(expert_capacity(shape));
    switch (shape.drop) {
        case Drop::position:
            SIMT_LAUNCH(drop_latest, experts, dim3(kThreads), 0, stream, out, slots, capacity);
            return;
        case Drop::probability:
            SIMT_LAUNCH(drop_least, experts, dim3(kThreads), 0, stream, out, slots, capacity);
            return;
    }
}

}  // namespace moescope::kernels::cuda::router
