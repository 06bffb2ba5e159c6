// How the load of the experts of one layer goes along a trace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/chunk.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

/// Tokens by their number in the trace, in bins of equal width: a power of two, which doubles as the trace grows, so
/// that there are never more than kMostBins of them (fewer where a layer has very many experts). In each bin the tokens
/// with a decision and, for every expert, how many of them it was chosen for. Pieces that are damaged leave their
/// tokens out of both.
class LoadOverTime {
 public:
    static constexpr unsigned kWanted = kIds;
    static constexpr std::size_t kMostBins = 256;

    struct Bin {
        std::uint64_t from = 0, to = 0;           ///< numbers of tokens, [from, to)
        std::uint64_t chosen = 0, decisions = 0;  ///< of an expert; of all
    };

    /// `layer`: place among the routed layers. Throws Error when there is no such layer.
    LoadOverTime(const Shape& shape, std::size_t layer);
    void add(const Chunk& chunk);

    std::size_t layer() const { return layer_; }
    std::uint64_t width() const { return std::uint64_t{1} << log_width_; }
    /// Up to the last token that was seen; a bin without a decision is there, too.
    std::vector<Bin> bins(std::size_t expert) const;

 private:
    void halve();

    Shape shape_;
    std::size_t layer_;
    std::size_t most_;  ///< bins, even
    unsigned log_width_ = 0;
    std::vector<std::uint32_t> counts_;     ///< [most][E]
    std::vector<std::uint64_t> decisions_;  ///< [most]
    std::uint64_t end_ = 0;                 ///< number of the last token + 1
};

}  // namespace moescope::routing
