#include "routing/piece_maker.hpp"

#include <utility>

#include "routing/packed_trace.hpp"

namespace moescope::routing {

namespace {

// Bytes before they are packed, about; a piece is given when there are kEnough. What they come to packed is known only
// then: a piece that turned out too long is cut into two.
constexpr std::size_t kEnough = std::size_t{1} << 20, kOfToken = 40, kOfDecision = 6, kOfChosen = 4, kOfCount = 8;

}  // namespace

PieceMaker::PieceMaker(const RouterSpec& spec, std::uint64_t first, Take take, std::size_t longest)
    : spec_(spec), take_(std::move(take)), longest_(longest), builder_(spec, first) {}

void PieceMaker::add(const TokenDecisions& token) {
    builder_.add(token);
    weight_ += kOfToken + token.bytes.size();
    for (const LayerDecision& layer : token.layers) {
        weight_ += kOfDecision + kOfChosen * layer.ids.size();
    }
    if (weight_ >= kEnough || builder_.full()) {
        flush();
    }
}

void PieceMaker::add(LoadSample sample) {
    weight_ += kOfCount * sample.counts.size();
    builder_.add(std::move(sample));
    if (weight_ >= kEnough || builder_.full()) {
        flush();
    }
}

void PieceMaker::flush() {
    if (!builder_.empty()) {
        weight_ = 0;
        give(*builder_.take());
    }
}

void PieceMaker::give(const Chunk& chunk) {
    std::vector<std::byte> packed = pack(chunk);
    if (packed.size() <= longest_) {
        take_(chunk.first, std::move(packed));
        return;
    }
    if (chunk.tokens < 2 && chunk.loads.size() < 2 && (chunk.tokens == 0 || chunk.loads.empty())) {
        throw Error(chunk.tokens > 0
                        ? say("the routing of one token takes {} bytes, and a piece of a trace has at most {}",
                              packed.size(), longest_)
                        : say("one sample of the load takes {} bytes, and a piece of a trace has at most {}",
                              packed.size(), longest_));
    }
    // Tokens and samples apart, then each into halves.
    const bool apart = chunk.tokens > 0 && !chunk.loads.empty();
    const std::size_t tokens = apart ? chunk.tokens : chunk.tokens / 2, loads = apart ? 0 : chunk.loads.size() / 2;
    ChunkBuilder first(spec_, chunk.first), second(spec_, chunk.first + tokens);
    for (std::size_t at = 0; at < chunk.tokens; ++at) {
        (at < tokens ? first : second).add(decisions_at(chunk, at, spec_));
    }
    for (std::size_t at = 0; at < chunk.loads.size(); ++at) {
        (at < loads ? first : second).add(chunk.loads[at]);
    }
    give(*first.take());
    give(*second.take());
}

}  // namespace moescope::routing
