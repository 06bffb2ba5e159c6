// Which tokens come next: a pure function of (seed, number of the sequence), so a run goes on from a checkpoint by one
// integer.
#pragma once

#include <cstdint>

namespace moescope::engine {

/// Cuts the text into windows of `context` tokens (and one more, the last target) and visits each once per epoch: in an
/// order and with an offset that depend on seed and epoch, or, `in_order`, one after the other from the first token.
class BatchOrder {
 public:
    /// `tokens` must be more than `context`.
    BatchOrder(std::uint64_t tokens, std::uint64_t context, std::uint64_t seed, bool in_order = false);
    /// Index of the first token of the sequence-th sequence of the run; first + context is below `tokens`.
    std::uint64_t first_token(std::uint64_t sequence) const;

 private:
    std::uint64_t shuffled(std::uint64_t index, std::uint64_t epoch) const;

    std::uint64_t context_, seed_, windows_, slack_;
    int half_bits_ = 1;
    bool in_order_ = false;
};

}  // namespace moescope::engine
