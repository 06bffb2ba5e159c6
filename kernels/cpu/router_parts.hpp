// Pieces of the router, internal to its files in kernels/cpu and kernels/cuda: the order in which experts and tokens
// are chosen, and what the files share. Shapes and legend: router.hpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/router.hpp"
#include "kernels/host_device.hpp"
#include "kernels/random.hpp"

namespace moescope::kernels::router {

inline constexpr std::int64_t kTokens = 64;  ///< tokens per block; sums over blocks are added in block order

inline std::int64_t blocks_of(std::int64_t T) {
    return (T + kTokens - 1) / kTokens;
}
/// Tokens per sequence; the last sequence may be shorter.
inline std::int64_t sequence_of(const RouterShape& shape) {
    return shape.S > 0 && shape.S < shape.T ? shape.S : shape.T;
}
inline std::int64_t sequences_of(const RouterShape& shape) {
    return (shape.T + sequence_of(shape) - 1) / sequence_of(shape);
}
/// Weights are a softmax of the chosen logits, not parts of s.
inline bool softmax_of_chosen(const RouterShape& shape) {
    return formulas_of(shape.scoring).of_logits && shape.choice != Choice::expert;
}
inline bool softmax_scores(const RouterShape& shape) {
    return formulas_of(shape.scoring).softmax;
}
inline bool normalised(const RouterShape& shape) {
    return shape.normalise && shape.choice != Choice::expert;
}
inline constexpr float kSumFloor = 1e-20f;  ///< added to sums that divide, as DeepSeek does

/// A value and its index in one integer, so that the largest key is the largest value and among equals the lowest
/// index. NaN is below every number. kNever is below every key and stands for "may not be chosen".
using Key = std::int64_t;
inline constexpr Key kNever = std::numeric_limits<Key>::min();
inline constexpr std::int32_t kIndexMask = std::numeric_limits<std::int32_t>::max();

MOESCOPE_HOST_DEVICE inline Key key_of(float value, std::int64_t index) {
    const auto bits = __builtin_bit_cast(std::int32_t, value + 0.0f);  // -0 becomes +0
    const std::int32_t order = value == value ? bits ^ ((bits >> 31) & kIndexMask) : -kIndexMask;
    return static_cast<Key>(order) * (Key{1} << 32) + (kIndexMask - index);
}
MOESCOPE_HOST_DEVICE inline std::int32_t index_of(Key key) {
    return kIndexMask - static_cast<std::int32_t>(key & kIndexMask);
}

inline constexpr float kBelowAll = -std::numeric_limits<float>::infinity();

/// Applied weights of one token; slots whose id is -1 are not kept. `of_chosen`: a softmax of the chosen z.
MOESCOPE_HOST_DEVICE inline void weigh_slots(float* w_J, std::uint8_t* kept_J, const std::int32_t* ids_J,
                                             const float* s_E, const float* z_E, std::int64_t J, bool of_chosen,
                                             bool divide, float scale) {
    float top = kBelowAll, sum = 0;
    for (std::int64_t j = 0; of_chosen && j < J; ++j) {
        top = ids_J[j] >= 0 && z_E[ids_J[j]] > top ? z_E[ids_J[j]] : top;
    }
    for (std::int64_t j = 0; j < J; ++j) {
        kept_J[j] = ids_J[j] >= 0 ? 1 : 0;
        w_J[j] = ids_J[j] < 0 ? 0.0f : of_chosen ? std::exp(z_E[ids_J[j]] - top) : s_E[ids_J[j]];
        sum += w_J[j];
    }
    for (std::int64_t j = 0; j < J; ++j) {
        w_J[j] = (divide ? w_J[j] / (sum + kSumFloor) : w_J[j]) * scale;
    }
}
/// Whether weights are divided by their sum.
inline bool divides(const RouterShape& shape) {
    return softmax_of_chosen(shape) || normalised(shape);
}

// Choices over the whole batch, see router.hpp.
inline constexpr int kSinkhornRounds = 100;
inline constexpr double kSinkhornTolerance = 1e-4;
inline constexpr double kTiny = 1e-300;  ///< keeps a column that underflowed from dividing by zero
inline constexpr int kQuantileRounds = 8;

/// Tokens that each of N enabled experts is to take by quantile balancing; 0: there is nothing to balance.
MOESCOPE_HOST_DEVICE inline std::int64_t quantile_share(std::int64_t T, std::int64_t K, std::int64_t N) {
    const std::int64_t fair = N > 0 ? (2 * T * K + N) / (2 * N) : 1, share = fair > 1 ? fair : 1;
    return share >= T || K >= N ? 0 : share;
}

/// Expert ids of a hash layer for one token. Part of the model: changing one line here changes what a trained hash
/// layer computes.
MOESCOPE_HOST_DEVICE inline void hash_token(std::int32_t* ids_K, std::int32_t token, std::int64_t E, std::int64_t K,
                                            std::uint64_t seed) {
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15u;  // of splitmix64, whose output mix64 is
    std::uint64_t state = mix64(seed) ^ static_cast<std::uint32_t>(token);
    std::int32_t taken[kMaxChosen];  // in rising order
    for (std::int64_t k = 0; k < K; ++k) {
        // A number below E - k names one of the experts that are left.
        const auto left = static_cast<std::uint64_t>(E - k);
        auto id = static_cast<std::int32_t>(((mix64(state) >> 32) * left) >> 32);
        state += kStep;
        std::int64_t place = 0;
        for (; place < k && taken[place] <= id; ++place) {
            ++id;
        }
        for (std::int64_t i = k; i > place; --i) {
            taken[i] = taken[i - 1];
        }
        taken[place] = id;
        ids_K[k] = id;
    }
}

/// Keys of up to kMaxExperts things on the stack. Largest first by a tournament of blocks: a pick looks at the blocks'
/// largest keys and at one block, not at all keys, so K picks of E cost E + K (E / 16 + 16).
struct Tournament {
    static constexpr std::int64_t kBlock = 16;
    alignas(64) Key keys[kMaxExperts];

    static Key largest(const Key* from, std::int64_t count) {
        Key best = from[0];
        for (std::int64_t i = 1; i < count; ++i) {
            best = from[i] > best ? from[i] : best;
        }
        return best;
    }
    /// Writes the indices of the `count` largest of keys[0, n) and spends the keys; -1 where none may be chosen.
    void take(std::int32_t* indices, std::int64_t n, std::int64_t count) {
        Key blocks[kMaxExperts / kBlock];
        const std::int64_t B = (n + kBlock - 1) / kBlock;
        for (std::int64_t i = n; i < B * kBlock; ++i) {
            keys[i] = kNever;
        }
        for (std::int64_t b = 0; b < B; ++b) {
            blocks[b] = largest(keys + b * kBlock, kBlock);
        }
        for (std::int64_t k = 0; k < count; ++k) {
            const Key best = largest(blocks, B);
            if (best == kNever) {
                indices[k] = -1;
                continue;
            }
            const std::int32_t index = index_of(best);
            indices[k] = index;
            if (k + 1 < count) {
                keys[index] = kNever;
                blocks[index / kBlock] = largest(keys + index / kBlock * kBlock, kBlock);
            }
        }
    }
};

/// 1 / sum s, the factor from s to q of the kinds that are not a softmax.
float inverse_sum(const float* s_E, std::int64_t E);

// router_choice.cpp
/// Doubles of scratch that a choice over the whole batch needs.
std::int64_t batch_choice_scratch(const RouterShape& shape);
/// Ids of token t by token choice or hash.
void choose_token(std::int32_t* ids_K, std::int64_t t, const float* s_E, const RouterInput& in,
                  const RouterShape& shape);
/// The other choices: fills ids_TJ.
void choose_in_batch(const RouterOutput& out, const RouterInput& in, double* scratch, const RouterShape& shape);

// router_capacity.cpp
/// Takes kept and weight from those without a place; counts_E = min(choices_E, capacity). Gives how many lost theirs.
std::uint64_t drop_overflow(const RouterOutput& out, double* scratch, const RouterShape& shape);

// router_balance.cpp
void count_choices(std::uint32_t* choices_E, const std::int32_t* ids_TJ, std::int64_t slots, std::int64_t E);
std::int64_t balance_scratch(const RouterShape& shape);
/// q_sums_E: sums over all tokens of q.
double balance_loss(const RouterOutput& out, const RouterInput& in, const double* q_sums_E, double* scratch,
                    const RouterShape& shape);
/// The gradient of the balance loss by q, times its scale.
struct BalanceGradient {
    float dq_E[kMaxExperts];      ///< batch and global: the same for all tokens
    const float* f_SE = nullptr;  ///< sequence: per sequence, in the scratch
    float scale = 0;

    void prepare(double balance_scale, const RouterOutput& out, const RouterInput& in, double* scratch,
                 const RouterShape& shape);
    void of_token(float* dq, std::int64_t t, const RouterShape& shape) const;
};

}  // namespace moescope::kernels::router
