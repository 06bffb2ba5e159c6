// A piece of a trace in memory: some ten thousand decisions as columns. Made whole, then never changed, so that any
// number of threads may read it. Everything that is shown of a trace is made of these, piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/decision.hpp"
#include "routing/router_spec.hpp"

namespace moescope::routing {

inline constexpr std::uint16_t kNoExpert = 0xffff;
/// A piece ends with so many decisions (a token in a layer), chosen experts or bytes of text, whichever comes first.
inline constexpr std::size_t kDecisionsOfChunk = std::size_t{1} << 16, kChosenOfChunk = std::size_t{1} << 20,
                             kTextOfChunk = std::size_t{1} << 22;

/// Tokens per expert without the tokens: what counters of other programs say.
struct LoadSample {
    std::int64_t step = -1;             ///< of the training run; -1: none
    std::vector<std::uint64_t> counts;  ///< [R][E]
};

/// T tokens, R layers with a router, K experts per token (Shape). Columns that were not wanted or that a trace does not
/// have are empty; single values that are not known are NaN, -1 or kNoExpert.
struct Chunk {
    std::uint64_t first = 0;  ///< number of its first token in the trace
    // [T]
    std::vector<std::int32_t> position, token, next, predicted;  ///< as in TokenDecisions
    std::vector<float> log_probability;
    std::vector<std::uint32_t> document;
    std::vector<std::uint16_t> language, group;  ///< places in `names`
    std::vector<std::uint32_t> piece;            ///< place in `pieces`
    std::vector<std::string> pieces, names;      ///< bytes of tokens; names[0] is empty: not known
    // [R][T]
    std::vector<std::uint16_t> chosen;  ///< experts of the decision, K' <= K; 0: no decision is known
    std::vector<float> margin, entropy;
    // [R][T][K], best first, filled up with kNoExpert and NaN
    std::vector<std::uint16_t> ids;
    std::vector<float> weights;
    std::vector<LoadSample> loads;  ///< beside the tokens or without any
    /// [T] 1: weights, margin and entropy of the token are rounded, as a packed trace keeps them (number_codes.hpp);
    /// empty: none are.
    std::vector<std::uint8_t> rounded;

    Shape shape;
    std::size_t tokens = 0;  ///< T

    std::size_t cell(std::size_t layer, std::size_t at) const { return layer * tokens + at; }
    /// The chosen experts of a decision, K' of them.
    std::span<const std::uint16_t> ids_of(std::size_t layer, std::size_t at) const {
        return {ids.data() + cell(layer, at) * shape.per_token, chosen[cell(layer, at)]};
    }
    /// Their weights; empty when the trace has none.
    std::span<const float> weights_of(std::size_t layer, std::size_t at) const {
        return weights.empty() ? std::span<const float>()
                               : std::span(weights.data() + cell(layer, at) * shape.per_token, chosen[cell(layer, at)]);
    }
    bool is_rounded(std::size_t at) const { return at < rounded.size() && rounded[at] != 0; }
    std::string_view piece_of(std::size_t at) const {
        return at < piece.size() ? std::string_view(pieces[piece[at]]) : std::string_view();
    }
};

/// A token of a chunk that has all its columns, as records again; scores are not kept in chunks.
TokenDecisions decisions_at(const Chunk& chunk, std::size_t at, const RouterSpec& spec);

/// Collects decisions of one router into chunks. One thread.
class ChunkBuilder {
 public:
    /// `first`: number of the first token in the trace. Throws Error as check() does.
    explicit ChunkBuilder(const RouterSpec& spec, std::uint64_t first = 0);
    ~ChunkBuilder();
    ChunkBuilder(const ChunkBuilder&) = delete;
    ChunkBuilder& operator=(const ChunkBuilder&) = delete;

    /// Throws Error, a sentence without a subject, and takes nothing of it: a layer without a router or twice, an
    /// expert that the router does not have or twice, more experts than it chooses, weights of another number, a name
    /// of a language or a group of more than kLongestName bytes. Of a token's text kLongestPiece bytes are kept.
    void add(const TokenDecisions& token);
    /// The same for counts, [R][E].
    void add(LoadSample sample);
    bool full() const;
    bool empty() const;
    /// What was collected; a new one begins.
    std::shared_ptr<const Chunk> take();

 private:
    struct Rows;
    std::unique_ptr<Rows> rows_;
};

/// A trace that can be read at any place. All functions may be called from several threads at once.
class TraceSource {
 public:
    virtual ~TraceSource() = default;
    virtual const RouterSpec& spec() const = 0;
    virtual std::size_t chunks() const = 0;
    /// Finds what was appended since; a trace that does not grow has nothing to do.
    virtual void refresh() const {}
    /// The columns of `wanted` (Columns) at least; null when the chunk is damaged. Throws Error when the file can't be
    /// read.
    virtual std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned wanted) const = 0;
    /// Places that are damaged and no chunk: bytes between chunks or at the end, tokens that no chunk has.
    virtual std::size_t damaged_places() const { return 0; }
    /// What is damaged, for a person, with the number of chunks that turned out to be; empty when all is well. Who
    /// reads chunks counts those that are null: before they were read nobody knows.
    virtual std::vector<Sentence> problems(std::size_t damaged_chunks) const;
};

/// What of a chunk is wanted. `chosen` comes with each that has decisions.
enum Columns : unsigned {
    kTokens = 1,  ///< everything that has one value per token, and the pieces
    kIds = 2,
    kWeights = 4,
    kMargins = 8,
    kEntropies = 16,
    kLoads = 32,
    kAllColumns = 63,
};

/// Chunks in memory.
class MemoryTrace final : public TraceSource {
 public:
    MemoryTrace(RouterSpec spec, std::vector<std::shared_ptr<const Chunk>> chunks)
        : spec_(std::move(spec)), chunks_(std::move(chunks)) {}
    const RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override { return chunks_.size(); }
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned /*wanted*/) const override {
        return number < chunks_.size() ? chunks_[number] : nullptr;
    }

 private:
    const RouterSpec spec_;
    const std::vector<std::shared_ptr<const Chunk>> chunks_;
};

}  // namespace moescope::routing
