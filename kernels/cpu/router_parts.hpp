// Pieces of the router, internal to kernels/cpu/router*.cpp: the order in which experts and tokens are chosen, and what
// the files share. Shapes and legend: router.hpp.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/cpu/router.hpp"

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

inline Key key_of(float value, std::int64_t index) {
    const auto bits = std::bit_cast<std::int32_t>(value + 0.0f);  // -0 becomes +0
    const std::int32_t order = value == value ? bits ^ ((bits >> 31) & kIndexMask) : -kIndexMask;
    return static_cast<Key>(order) * (Key{1} << 32) + (kIndexMask - index);
}
inline std::int32_t index_of(Key key) {
    return kIndexMask - static_cast<std::int32_t>(key & kIndexMask);
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
