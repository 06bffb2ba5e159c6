#include "routing/figures/flipped_tokens.hpp"

#include <algorithm>

namespace moescope::routing {

namespace {

/// Whether a stands before b: a / b of whole numbers without rounding.
bool before(const FlippedTokens::Token& a, const FlippedTokens::Token& b) {
    const std::uint64_t left = a.flips.flipped * b.flips.slots, right = b.flips.flipped * a.flips.slots;
    return left != right ? left > right : a.number < b.number;
}

}  // namespace

void FlippedTokens::add(const Flips& flips, const Chunk& first, std::size_t at_first, const Chunk& second,
                        std::size_t at_second) {
    if (flips.flipped == 0 || most_ == 0) {
        return;
    }
    Token token;
    token.number = first.first + at_first;
    token.flips = flips;
    if (heap_.size() == most_ && !before(token, heap_.front())) {
        return;
    }
    token.document = first.document[at_first];
    token.position = first.position[at_first];
    const bool known = first.token[at_first] >= 0;
    token.token = known ? first.token[at_first] : second.token[at_second];
    token.piece = first.piece_of(at_first).empty() ? second.piece_of(at_second) : first.piece_of(at_first);
    token.first = first.log_probability[at_first];
    token.second = second.log_probability[at_second];
    if (heap_.size() == most_) {
        std::pop_heap(heap_.begin(), heap_.end(), before);
        heap_.pop_back();
    }
    heap_.push_back(std::move(token));
    std::push_heap(heap_.begin(), heap_.end(), before);
}

std::vector<FlippedTokens::Token> FlippedTokens::top() const {
    std::vector<Token> tokens = heap_;
    std::sort(tokens.begin(), tokens.end(), before);
    return tokens;
}

}  // namespace moescope::routing
