#include "kernels/cuda/counts.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

__global__ void add_choice_counts(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) {
    for (std::int64_t e = stride_begin(); e < E; e += stride_step()) {
        sums_E[e] += choices_E[e];
    }
}

/// One block per expert and group.
__global__ void count_slots_of(std::uint32_t* counts, SlotCounts slots) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    const auto expert = static_cast<std::int32_t>(blockIdx.x);
    const auto group = static_cast<std::uint8_t>(blockIdx.y);
    unsigned count = 0;
    for (std::int64_t slot = threadIdx.x; slot < slots.T * slots.J; slot += blockDim.x) {
        const bool counts_here = slots.kept_TJ[slot] != 0 && slots.ids_TJ[slot] == expert;
        count += counts_here && slots.groups_T[slot / slots.J] == group ? 1u : 0u;
    }
    count = block_sum<unsigned>(count, parts);
    if (threadIdx.x == 0) {
        counts[group * slots.stride + expert] += count;
    }
}

/// One warp per token: its margin, and 1 where it has one.
__global__ void token_margins(double* margins_T, double* has_T, ChosenScores layer) {
    const std::int64_t t = blockIdx.x, E = layer.E, K = layer.K;
    const float* s = layer.s_TE + t * E;
    const std::int32_t* ids = layer.ids_TK + t * K;
    const auto selection = [&](std::int64_t e) {
        return (layer.of_logits ? logf(s[e]) : s[e]) + (layer.bias_E == nullptr ? 0.0f : layer.bias_E[e]);
    };
    bool whole = K >= 1;
    for (std::int64_t k = 0; k < K; ++k) {
        whole = whole && ids[k] >= 0;
    }
    float best = -INFINITY;
    for (std::int64_t e = threadIdx.x; e < E; e += kLanes) {
        bool rival = layer.disabled_E == nullptr || layer.disabled_E[e] == 0;
        for (std::int64_t k = 0; k < K; ++k) {
            rival = rival && ids[k] != e;
        }
        if (rival) {
            const float value = selection(e);
            best = value > best ? value : best;
        }
    }
    best = warp_maximum(best);
    if (threadIdx.x == 0) {
        const float margin = whole ? selection(ids[K - 1]) - best : INFINITY;
        const bool has = margin - margin == 0.0f;
        margins_T[t] = has ? static_cast<double>(margin) : 0.0;
        has_T[t] = has ? 1.0 : 0.0;
    }
}

/// One block.
__global__ void add_token_margins(MarginSums* sums, const double* margins_T, const double* has_T, std::int64_t T) {
    SIMT_SHARED(double, parts, kMostWarps);
    double margin = 0, tokens = 0;
    for (std::int64_t t = threadIdx.x; t < T; t += blockDim.x) {
        margin += margins_T[t];
        tokens += has_T[t];
    }
    margin = block_sum<double>(margin, parts);
    tokens = block_sum<double>(tokens, parts);
    if (threadIdx.x == 0) {
        sums->sum += margin;
        sums->tokens += static_cast<std::uint64_t>(tokens);
    }
}

}  // namespace

void add_choices(simt::Stream stream, std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) {
    SIMT_LAUNCH(add_choice_counts, dim3(stride_blocks(E, kRowThreads)), dim3(kRowThreads), 0, stream, sums_E, choices_E,
                E);
}

void count_slots(simt::Stream stream, std::uint32_t* counts, const SlotCounts& slots) {
    SIMT_LAUNCH(count_slots_of, dim3(static_cast<unsigned>(slots.E), static_cast<unsigned>(slots.G)), dim3(kRowThreads),
                0, stream, counts, slots);
}

void add_margins(simt::Stream stream, MarginSums* sums, const ChosenScores& layer, double* scratch) {
    SIMT_LAUNCH(token_margins, dim3(static_cast<unsigned>(layer.T)), dim3(kLanes), 0, stream, scratch,
                scratch + layer.T, layer);
    SIMT_LAUNCH(add_token_margins, dim3(1), dim3(kRowThreads), 0, stream, sums, scratch, scratch + layer.T, layer.T);
}

}  // namespace moescope::kernels::cuda
