// Router: the balance losses and what is told of a layer.
#include "kernels/cuda/router_parts.hpp"

namespace moescope::kernels::cuda::router {
namespace {

/// One block per sequence counts its choices. Counting is exact in any order.
__global__ void count_sequences(float* f_SE, const std::int32_t* ids_TJ, std::int64_t T, std::int64_t S,
                                std::int64_t sequences, std::int64_t J, std::int64_t E, std::int64_t K) {
    SIMT_SHARED(unsigned, counts_E, kMaxExperts);
    const std::int64_t first = blockIdx.x * S, tokens = S < T - first ? S : T - first;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        counts_E[e] = 0u;
    }
    __syncthreads();
    for (std::int64_t slot = threadIdx.x; slot < tokens * J; slot += blockDim.x) {
        const std::int32_t id = ids_TJ[first * J + slot];
        if (id >= 0) {
            atomicAdd(counts_E + id, 1u);
        }
    }
    __syncthreads();
    const double n = static_cast<double>(tokens);
    const double factor = static_cast<double>(E) / (n * static_cast<double>(K)) / n / static_cast<double>(sequences);
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        f_SE[blockIdx.x * E + e] = static_cast<float>(factor * static_cast<double>(static_cast<unsigned>(counts_E[e])));
    }
}

/// f . q of one token; one block of those.
__global__ void token_balance(double* balance_T, const float* f_SE, const float* s_TE, const double* q_of_s_T,
                              std::int64_t S, std::int64_t E) {
    SIMT_SHARED(float, parts, kMostWarps);
    const std::int64_t t = blockIdx.x;
    float sum = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        sum += s_TE[t * E + e] * f_SE[t / S * E + e];
    }
    sum = block_sum<float>(sum, parts);
    if (threadIdx.x == 0) {
        balance_T[t] = sum * q_of_s_T[t];
    }
}

/// One block.
__global__ void layer_losses(RouterLosses* losses, const double* sums, const double* balance_T,
                             const std::uint32_t* choices_E, const std::uint32_t* counts_E,
                             const std::uint64_t* earlier_choices_E, std::int64_t T, std::int64_t E, double share,
                             Balance balance) {
    SIMT_SHARED(double, parts, kMostWarps);
    SIMT_SHARED(unsigned, count_parts, kMostWarps);
    double sum = 0;
    unsigned dropped = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        dropped += choices_E[e] - counts_E[e];
        if (balance == Balance::batch || balance == Balance::global) {
            const double earlier = earlier_choices_E == nullptr ? 0.0 : static_cast<double>(earlier_choices_E[e]);
            sum += static_cast<double>(E) * (choices_E[e] + earlier) * share * (sums[e] / static_cast<double>(T));
        }
    }
    for (std::int64_t t = threadIdx.x; balance == Balance::sequence && t < T; t += blockDim.x) {
        sum += balance_T[t];
    }
    sum = block_sum<double>(sum, parts);
    dropped = block_sum<unsigned>(dropped, count_parts);
    if (threadIdx.x == 0) {
        losses->balance = sum;
        losses->z = sums[E] / static_cast<double>(T);
        losses->entropy = sums[E + 1] / static_cast<double>(T);
        losses->dropped = dropped;
    }
}

}  // namespace

void sequence_factors(simt::Stream stream, float* f_SE, const std::int32_t* ids_TJ, const RouterShape& shape) {
    const std::int64_t sequences = sequences_of(shape);
    SIMT_LAUNCH(count_sequences, dim3(static_cast<unsigned>(sequences)), dim3(kRowThreads), 0, stream, f_SE, ids_TJ,
                shape.T, sequence_of(shape), sequences, shape.slots(), shape.E, shape.K);
}

void losses(simt::Stream stream, RouterLosses* losses, const RouterOutput& out, const RouterInput& in,
            const Scratch& scratch, const RouterShape& shape) {
    if (shape.balance == Balance::sequence) {
        sequence_factors(stream, scratch.f_SE, out.ids_TJ, shape);
        SIMT_LAUNCH(token_balance, dim3(static_cast<unsigned>(shape.T)), dim3(kRowThreads), 0, stream,
                    scratch.sequences_T, scratch.f_SE, out.s_TE, scratch.q_of_s_T, sequence_of(shape), shape.E);
    }
    const bool earlier = shape.balance == Balance::global && in.earlier_choices_E != nullptr;
    const double counted = static_cast<double>(shape.T) + (earlier ? static_cast<double>(in.earlier_tokens) : 0.0);
    SIMT_LAUNCH(layer_losses, dim3(1), dim3(kRowThreads), 0, stream, losses, scratch.sums, scratch.sequences_T,
                out.choices_E, out.counts_E, earlier ? in.earlier_choices_E : nullptr, shape.T, shape.E,
                1.0 / (counted * static_cast<double>(shape.K)), shape.balance);
}

}  // namespace moescope::kernels::cuda::router
