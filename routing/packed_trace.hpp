// A trace as it comes out of a journal or over a wire: its pieces stay packed in memory, about a tenth of their size,
// and are unpacked for whoever asks. What the pieces say is untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "routing/chunk.hpp"
#include "routing/value_limits.hpp"

namespace moescope::routing {

/// A piece as bytes, those of a trace file (chunk_codec.hpp).
std::vector<std::byte> pack(const Chunk& chunk);
/// The decisions of one token with everything that they were made of, as bytes; what else stands in `token` is left
/// out.
std::vector<std::byte> pack_decisions(const TokenDecisions& token);
/// Layers ascending. Nothing when the bytes are damaged or do not fit the router.
std::optional<std::vector<LayerDecision>> unpack_decisions(std::span<const std::byte> bytes, const RouterSpec& spec);

/// Grows at its end. Any number of threads may read while one appends; what was given out never changes.
class PackedTrace final : public TraceSource {
 public:
    /// Throws Error as check() does.
    explicit PackedTrace(RouterSpec spec);

    /// False, and nothing is added, when these are not the bytes of a piece of this router that follows those before.
    bool append(std::vector<std::byte> packed);
    /// The scores of a token, given by its number in the trace; may come before its piece. False when they do not fit.
    bool append_scores(std::uint64_t token, std::vector<std::byte> packed);

    const RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override;
    /// Of a token whose scores are there, weights, margin and entropy are those that were computed; of the others they
    /// are rounded (Chunk::rounded).
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned wanted) const override;
    std::uint64_t tokens() const;  ///< so far
    std::uint64_t bytes() const;   ///< packed, scores included
    /// The piece that holds a token of the trace; chunks() when none does.
    std::size_t chunk_holding(std::uint64_t token) const;
    /// Everything that the choices for a token were made of, in all layers; nothing where it was not recorded.
    std::optional<std::vector<LayerDecision>> scores(std::uint64_t token) const;
    bool has_scores() const;  ///< of any token

 private:
    using Bytes = std::shared_ptr<const std::vector<std::byte>>;
    struct Entry {
        Bytes bytes;
        std::uint64_t first = 0;
        std::uint32_t tokens = 0;
    };
    struct Scores {
        std::uint64_t token = 0;
        Bytes bytes;
    };

    void put_exact(Chunk& chunk) const;

    const RouterSpec spec_;
    const Shape shape_;
    const ValueLimits limits_;
    mutable std::mutex mutex_;  ///< of what follows
    std::vector<Entry> entries_;
    std::vector<Scores> scores_;  ///< by token
    std::uint64_t bytes_ = 0;
};

}  // namespace moescope::routing
