#include "routing/figures/vocabulary.hpp"

#include <algorithm>
#include <limits>
#include <string_view>

namespace moescope::routing {

namespace {

constexpr std::size_t kMostPieces = std::size_t{1} << 20, kMostPieceBytes = std::size_t{32} << 20;
constexpr std::size_t kLeastPending = std::size_t{1} << 16;

std::uint64_t key_of(std::int32_t token, std::uint16_t expert) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(token)) << 16 | expert;
}
std::int32_t token_of(std::uint64_t key) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(key >> 16));
}
std::uint16_t expert_of(std::uint64_t key) {
    return static_cast<std::uint16_t>(key);
}

}  // namespace

Vocabulary::Vocabulary(const Shape& shape, std::size_t layer, By by, Ranks ranks)
    : shape_(shape), layer_(layer), by_(by), ranks_(ranks), chosen_(shape.experts) {
    if (layer >= shape.layers) {
        throw Error(say("there is no layer with number {} among {}", layer, shape.layers));
    }
}

void Vocabulary::add(const Chunk& chunk) {
    const auto& tokens = by_ == By::input ? chunk.token : by_ == By::next ? chunk.next : chunk.predicted;
    for (std::size_t at = 0; at < tokens.size() && !chunk.ids.empty(); ++at) {
        if (pieces_.size() < kMostPieces && piece_bytes_ < kMostPieceBytes && chunk.token[at] >= 0 &&
            pieces_.try_emplace(chunk.token[at], chunk.piece_of(at)).second) {
            piece_bytes_ += chunk.piece_of(at).size();
        }
        auto ids = chunk.ids_of(layer_, at);
        if (tokens[at] < 0 || ids.empty()) {
            continue;
        }
        if (ranks_ == Ranks::first) {
            ids = ids.first(1);
        }
        ++decisions_;
        pending_.push_back(key_of(tokens[at], kNoExpert));
        for (const std::uint16_t id : ids) {
            ++chosen_[id];
            pending_.push_back(key_of(tokens[at], id));
        }
    }
    // Settled when as many wait as are there, each key is moved a constant number of times.
    if (pending_.size() > std::max(kLeastPending, counts_.size())) {
        settle();
    }
}

void Vocabulary::settle() {
    if (pending_.empty()) {
        return;
    }
    std::sort(pending_.begin(), pending_.end());
    std::vector<Count> merged;
    merged.reserve(counts_.size() + pending_.size());
    auto old = counts_.begin();
    for (std::size_t at = 0; at < pending_.size();) {
        const std::uint64_t key = pending_[at];
        std::uint64_t count = 0;
        for (; at < pending_.size() && pending_[at] == key; ++at) {
            ++count;
        }
        for (; old != counts_.end() && old->key < key; ++old) {
            merged.push_back(*old);
        }
        if (old != counts_.end() && old->key == key) {
            count += (old++)->count;
        }
        merged.push_back({key, count});
    }
    merged.insert(merged.end(), old, counts_.end());
    merged.shrink_to_fit();
    counts_ = std::move(merged);
    pending_.clear();
}

/// visit(first, total): the counts of a token, experts ascending, `total` (its occurrences) behind them.
template <class Visit>
void Vocabulary::for_each_token(const Visit& visit) const {
    auto first = counts_.begin();
    for (auto at = counts_.begin(); at != counts_.end(); ++at) {
        if (expert_of(at->key) == kNoExpert) {  // the highest key of a token
            visit(first, at);
            first = at + 1;
        }
    }
}

double Vocabulary::baseline(std::size_t expert) const {
    return decisions_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                           : static_cast<double>(chosen_[expert]) / static_cast<double>(decisions_);
}

std::vector<Vocabulary::TokenShare> Vocabulary::top(std::size_t expert, std::uint64_t least, std::size_t most) const {
    if (!pending_.empty()) {
        Vocabulary settled = *this;
        settled.settle();
        return settled.top(expert, least, most);
    }
    std::vector<TokenShare> found;
    for_each_token([&](auto first, auto total) {
        const auto at = std::lower_bound(first, total, key_of(token_of(total->key), static_cast<std::uint16_t>(expert)),
                                         [](const Count& count, std::uint64_t key) { return count.key < key; });
        if (total->count >= least && at != total && expert_of(at->key) == expert) {
            found.push_back({token_of(total->key),
                             {},
                             at->count,
                             total->count,
                             base::wilson(at->count, total->count),
                             baseline(expert)});
        }
    });
    const auto middle = found.begin() + static_cast<std::ptrdiff_t>(std::min(most, found.size()));
    std::partial_sort(found.begin(), middle, found.end(), [](const TokenShare& a, const TokenShare& b) {
        return a.share.low != b.share.low ? a.share.low > b.share.low : a.token < b.token;
    });
    found.erase(middle, found.end());
    for (TokenShare& token : found) {
        if (const auto piece = pieces_.find(token.token); piece != pieces_.end()) {
            token.piece = piece->second;
        }
    }
    return found;
}

double Vocabulary::specialisation(std::uint64_t least) const {
    if (!pending_.empty()) {
        Vocabulary settled = *this;
        settled.settle();
        return settled.specialisation(least);
    }
    double sum = 0;
    std::uint64_t tokens = 0;
    for_each_token([&](auto first, auto total) {
        const auto best =
            std::max_element(first, total, [](const Count& a, const Count& b) { return a.count < b.count; });
        if (total->count >= least && best != total) {
            sum += static_cast<double>(best->count) / static_cast<double>(total->count);
            ++tokens;
        }
    });
    return tokens == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(tokens);
}

}  // namespace moescope::routing
