// What a training step counts of its routing: who chose whom, in which language, and by how much.
#pragma once

#include <cstdint>

#include "kernels/cpu/router.hpp"

namespace moescope::kernels {

/// The slots of one layer: T tokens of J slots (see router.hpp), each token in one of G groups.
struct SlotCounts {
    const std::int32_t* ids_TJ = nullptr;
    const std::uint8_t* kept_TJ = nullptr;
    const std::uint8_t* groups_T = nullptr;  ///< below G
    std::int64_t T = 0, J = 0, E = 0;
    std::int64_t G = 0;
    std::int64_t stride = 0;  ///< from one group's counts to the next one's
};
/// counts[group stride + expert] += 1 for every kept slot.
void count_slots(std::uint32_t* counts, const SlotCounts& slots);
/// sums_E += choices_E.
void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E);

/// The choices of one layer for T tokens, each of which takes the K largest selection scores of all enabled experts.
struct ChosenScores {
    const float* s_TE = nullptr;               ///< scores, of which the weights are made
    const float* bias_E = nullptr;             ///< added to them for the choice only; may be null
    const std::uint8_t* disabled_E = nullptr;  ///< 1: never chosen; may be null
    const std::int32_t* ids_TK = nullptr;      ///< best first; -1: not used
    std::int64_t T = 0, E = 0, K = 0;          ///< E at most kMaxExperts
    bool of_logits = false;                    ///< chosen by logits, of which s is the softmax
};
/// Over tokens and layers: the selection score of the last chosen expert minus that of the best one not chosen
/// (routing/decision.hpp has the same for one token). Where margins are small, a little noise (another quantisation, a
/// few more steps) sends tokens elsewhere.
struct MarginSums {
    double sum = 0;
    std::uint64_t tokens = 0;
};
/// A token with an unused slot, or with no expert left over, counts as none. One thread; takes no memory.
void add_margins(MarginSums& sums, const ChosenScores& layer);

}  // namespace moescope::kernels
