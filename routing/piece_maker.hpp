// Makes packed pieces of a trace while it is made, none longer than a record of a journal may be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::routing {

/// Bytes of a packed piece; leaves room in a record of 1 MiB for what stands beside it.
inline constexpr std::size_t kLongestPackedPiece = 900'000;

/// One thread.
class PieceMaker {
 public:
    /// The number of the first token in the trace, and the bytes (packed_trace.hpp). Pieces follow each other.
    using Take = std::function<void(std::uint64_t first, std::vector<std::byte> packed)>;

    /// `first`: number of the token that comes next. Throws Error as check() does.
    PieceMaker(const RouterSpec& spec, std::uint64_t first, Take take, std::size_t longest = kLongestPackedPiece);

    /// Gives a piece when there is enough for one. Throws what ChunkBuilder::add throws, and Error when one token or
    /// one sample alone is too long.
    void add(const TokenDecisions& token);
    void add(LoadSample sample);
    /// Gives what was collected, if anything was.
    void flush();
    bool empty() const { return builder_.empty(); }  ///< nothing was collected since the latest piece

 private:
    void give(const Chunk& chunk);

    const RouterSpec spec_;
    const Take take_;
    const std::size_t longest_;
    ChunkBuilder builder_;
    std::size_t weight_ = 0;  ///< bytes that were collected, about
};

}  // namespace moescope::routing
