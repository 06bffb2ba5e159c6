// Which tokens an expert is chosen for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/intervals.hpp"
#include "routing/chunk.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

/// Vocabulary specialisation of the experts of one layer: N_xi / N_x, the share of the occurrences of token x at which
/// expert i was chosen; x is the token read, the one that follows, or the one predicted. Source: OLMoE (arXiv
/// 2409.02060), section 5.4. Shown with its count, a Wilson interval, and as baseline the expert's share of all tokens:
/// what the share would be if the token did not matter. Occurrences of a token in one text are not independent, so the
/// interval is a lower bound.
class Vocabulary {
 public:
    static constexpr unsigned kWanted = kTokens | kIds;
    enum class By { input, next, predicted };
    enum class Ranks {
        all,   ///< chosen at all: the definition with k experts
        first  ///< chosen best, as scripts/run_moe_analysis.py of allenai/OLMoE counts
    };

    struct TokenShare {
        std::int32_t token = 0;
        std::string piece;                ///< its bytes, where the token was read somewhere in the trace
        std::uint64_t count = 0, of = 0;  ///< N_xi and N_x
        base::Interval share;
        double baseline = 0;
    };

    /// `layer`: place among the routed layers. Throws Error when there is no such layer.
    Vocabulary(const Shape& shape, std::size_t layer, By by, Ranks ranks = Ranks::all);
    void add(const Chunk& chunk);
    /// Works in what add() has put aside; whoever publishes the figure for others to read does it before, as each of
    /// the functions below else does it for itself.
    void settle();

    /// Tokens of an expert that occur `least` times or more, at most `most`, those first whose share is surely the
    /// highest (lower end of the interval), so that rare tokens do not stand before all others.
    std::vector<TokenShare> top(std::size_t expert, std::uint64_t least, std::size_t most) const;
    /// Mean over the different tokens of the largest share that an expert has of it: 1 is one expert for each token,
    /// 1/N none (with Ranks::first; k/N otherwise). Source: "average probability" of do_token_analysis in the script
    /// above, which takes every token, however rare: with few occurrences it is high by chance alone. `least` 1 gives
    /// its figure. NaN without any.
    double specialisation(std::uint64_t least) const;
    double baseline(std::size_t expert) const;  ///< its share of all tokens; NaN without any

 private:
    struct Count {
        std::uint64_t key = 0;  ///< token, then expert (kNoExpert: occurrences of the token)
        std::uint64_t count = 0;
    };
    template <class Visit>
    void for_each_token(const Visit& visit) const;

    Shape shape_;
    std::size_t layer_;
    By by_;
    Ranks ranks_;
    std::uint64_t decisions_ = 0;
    std::vector<std::uint64_t> chosen_;                     ///< [E]
    std::unordered_map<std::int32_t, std::string> pieces_;  ///< bounded
    std::size_t piece_bytes_ = 0;
    std::vector<std::uint64_t> pending_;  ///< keys that are not in counts_ yet
    std::vector<Count> counts_;           ///< by key
};

}  // namespace moescope::routing
