// The tokens of two traces whose routing turned over most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "routing/figures/comparison.hpp"

namespace moescope::routing {

/// Those with the largest share of flipped slots over all layers (Flips), the earlier one first where it is equal.
/// Tokens without a flip are none of them. Bounded: it keeps `most`.
class FlippedTokens {
 public:
    struct Token {
        std::uint64_t number = 0;  ///< in the trace
        std::uint32_t document = 0;
        int position = 0;  ///< in its text
        std::int32_t token = -1;
        std::string piece;  ///< its bytes
        Flips flips;        ///< over all layers
        /// Log-probability of the token that follows, nats; NaN: not known.
        double first = 0, second = 0;
    };

    explicit FlippedTokens(std::size_t most) : most_(most) {}
    /// `flips` is what Comparison::add() gave for the pair.
    void add(const Flips& flips, const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second);
    std::vector<Token> top() const;  ///< most flips first

 private:
    std::size_t most_;
    std::vector<Token> heap_;  ///< the weakest in front
};

}  // namespace moescope::routing
