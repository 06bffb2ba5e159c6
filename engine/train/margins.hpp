// How far apart the last chosen expert and the first not chosen one are, while a model trains: where margins are small,
// a little noise (another quantisation, a few more steps) sends tokens elsewhere.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/router.hpp"

namespace moescope::engine {

/// The choices of one layer for T tokens, each of which takes the K largest selection scores of all enabled experts.
struct ChosenScores {
    const float* s_TE = nullptr;               ///< scores, of which the weights are made
    const float* bias_E = nullptr;             ///< added to them for the choice only; may be null
    const std::uint8_t* disabled_E = nullptr;  ///< 1: never chosen; may be null
    const std::int32_t* ids_TK = nullptr;      ///< best first; -1: not used
    std::int64_t T = 0, E = 0, K = 0;          ///< E at most kernels::kMaxExperts
    bool of_logits = false;                    ///< chosen by logits, of which s is the softmax
};

/// Mean over tokens and layers of the selection score of the last chosen expert minus that of the best one not chosen
/// (routing/decision.hpp has the same for one token). One thread; takes no memory.
class MarginMean {
 public:
    void clear() { *this = {}; }
    /// A token with an unused slot, or with no expert left over, counts as none.
    void add(const ChosenScores& layer);
    /// NaN when there was no token.
    double mean() const {
        return tokens_ == 0 ? std::numeric_limits<double>::quiet_NaN() : sum_ / static_cast<double>(tokens_);
    }

 private:
    double sum_ = 0;
    std::uint64_t tokens_ = 0;
};

}  // namespace moescope::engine
