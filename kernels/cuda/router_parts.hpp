// Pieces of the router on a GPU, internal to kernels/cuda/router*.cu. Legend: kernels/cpu/router.hpp.
#pragma once

#include <cstdint>

#include "kernels/cpu/router_parts.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda::router {

// The facts that both devices choose by.
using kernels::router::divides;
using kernels::router::hash_token;
using kernels::router::index_of;
using kernels::router::Key;
using kernels::router::key_of;
using kernels::router::kNever;
using kernels::router::kQuantileRounds;
using kernels::router::kSinkhornRounds;
using kernels::router::kSinkhornTolerance;
using kernels::router::kSumFloor;
using kernels::router::kTiny;
using kernels::router::quantile_share;
using kernels::router::sequence_of;
using kernels::router::sequences_of;
using kernels::router::softmax_of_chosen;
using kernels::router::weigh_slots;

/// Where the parts of the scratch stand. All in device memory.
struct Scratch {
    double* sums;         ///< [E] of q over the tokens, then of z and of entropy
    double* z_T;          ///< (log sum exp z)^2
    double* entropy_T;    ///< nats
    double* q_of_s_T;     ///< q = s x this
    double* sequences_T;  ///< balance `sequence`: f . q of a token
    float* f_SE;          ///< balance `sequence`: see sequence_factors
    double* choice;       ///< of a choice over the whole batch, choice_scratch(shape)
};
Scratch scratch_of(double* scratch, const RouterShape& shape);
std::int64_t choice_scratch(const RouterShape& shape);

/// The largest of keys_n, given to every lane of the one warp that calls; all have read when it returns.
__device__ inline Key largest(simt::SharedPointer<Key> keys_n, std::int64_t n) {
    Key best = kNever;
    for (std::int64_t i = threadIdx.x; i < n; i += kLanes) {
        const Key key = keys_n[i];
        best = key > best ? key : best;
    }
    best = warp_maximum(best);
    __syncwarp();  // a shuffle orders values, not memory
    return best;
}

__device__ inline bool enabled(const std::uint8_t* disabled_E, std::int64_t e) {
    return disabled_E == nullptr || disabled_E[e] == 0;
}

/// Unsigned bits in the order of the keys.
__device__ inline unsigned long long ordered_bits(Key key) {
    return static_cast<unsigned long long>(key) ^ 0x8000000000000000ULL;
}
/// And of doubles that are no NaN.
__device__ inline unsigned long long ordered_bits(double value) {
    const auto bits = static_cast<unsigned long long>(__double_as_longlong(value));
    return bits >> 63 != 0 ? ~bits : bits | 0x8000000000000000ULL;
}
__device__ inline double double_of(unsigned long long bits) {
    return __longlong_as_double(static_cast<long long>(bits >> 63 != 0 ? bits & 0x7fffffffffffffffULL : ~bits));
}

/// The value of rank `rank` (0: the largest) among bits(i), i < n, of those for which takes(i): 8 bits at a time, each
/// pass counts in `counts_256`. By a whole block; every thread gets it. rank is below the number taken.
template <class Takes, class Bits>
__device__ unsigned long long select_rank(std::int64_t n, std::int64_t rank, const Takes& takes, const Bits& bits,
                                          simt::SharedPointer<unsigned> counts_256,
                                          simt::SharedPointer<unsigned long long> found_2) {
    unsigned long long prefix = 0, mask = 0;
    auto left = static_cast<unsigned long long>(rank);
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) {
            counts_256[i] = 0u;
        }
        __syncthreads();
        for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
            if (takes(i)) {
                const unsigned long long value = bits(i);
                if ((value & mask) == prefix) {
                    atomicAdd(counts_256 + static_cast<std::int64_t>(value >> shift & 255u), 1u);
                }
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int digit = 255;
            for (; digit > 0; --digit) {
                const unsigned count = counts_256[digit];
                if (left < count) {
                    break;
                }
                left -= count;
            }
            found_2[0] = prefix | static_cast<unsigned long long>(digit) << shift;
            found_2[1] = left;
        }
        __syncthreads();
        prefix = found_2[0];
        left = found_2[1];
        mask |= 255ULL << shift;
        __syncthreads();
    }
    return prefix;
}

// router_choice.cu
/// ids, kept and weights of all tokens, by every choice.
void choose(simt::Stream stream, const RouterOutput& out, const RouterInput& in, const Scratch& scratch,
            const RouterShape& shape);
// router_capacity.cu
/// choices_E, then counts_E; slots without a place lose weight and keep mark.
void count_and_drop(simt::Stream stream, const RouterOutput& out, const RouterShape& shape);
// router_balance.cu
/// f_SE: E x share of the sequence's choices / (tokens of the sequence x sequences).
void sequence_factors(simt::Stream stream, float* f_SE, const std::int32_t* ids_TJ, const RouterShape& shape);
void losses(simt::Stream stream, RouterLosses* losses, const RouterOutput& out, const RouterInput& in,
            const Scratch& scratch, const RouterShape& shape);

}  // namespace moescope::kernels::cuda::router
