#include "panels/routing/decision_cache.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "routing/error.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMostBytes = std::size_t{96} << 20;
constexpr std::size_t kMostAtOnce = 4096;  ///< pieces of a request; a live trace has many small ones
constexpr std::uint64_t kRecent = 8;       ///< requests: what the last frame or two asked for is in sight
constexpr unsigned kColumns =
    routing::kTokens | routing::kIds | routing::kWeights | routing::kMargins | routing::kEntropies;

std::size_t bytes_of(const routing::Chunk& chunk) {
    const std::size_t cells = chunk.shape.layers * chunk.tokens;
    return 4096 + chunk.tokens * 32 + cells * (10 + 6 * chunk.shape.per_token);
}

}  // namespace

void DecisionCache::want(ui::Context& ctx, const std::shared_ptr<const routing::PackedTrace>& trace,
                         std::uint64_t first, std::uint64_t last) {
    if (trace_ != trace) {
        *this = DecisionCache();
        trace_ = trace;
    }
    ++turn_;
    std::vector<std::size_t> missing;
    if (first < last && trace->chunks() > 0) {
        // What no piece holds has no last one: then the request ends with the trace.
        const std::size_t end = std::min(trace->chunk_holding(last - 1) + 1, trace->chunks());
        for (std::size_t number = trace->chunk_holding(first); number < end && missing.size() < kMostAtOnce; ++number) {
            if (const auto known = numbers_.find(number); known != numbers_.end()) {
                chunks_.at(known->second).used = turn_;
            } else {
                missing.push_back(number);
            }
        }
    }
    if (missing.empty() || busy_) {
        return;
    }
    busy_ = true;
    ctx.in_background([this, trace, missing]() -> std::function<void()> {
        using Made = std::pair<std::size_t, std::shared_ptr<const routing::Chunk>>;
        auto made = std::make_shared<std::vector<Made>>();
        for (const std::size_t number : missing) {
            std::shared_ptr<const routing::Chunk> chunk;
            try {
                chunk = trace->chunk(number, kColumns);
            } catch (const routing::Error&) {
                chunk = nullptr;  // shown as missing
            }
            made->emplace_back(number, std::move(chunk));
        }
        return [this, trace, made] {
            if (trace_ != trace) {
                return;  // another one is on show by now, and its own request may be under way
            }
            busy_ = false;
            ++version_;
            for (auto& [number, chunk] : *made) {
                // A damaged one keeps a place that no token has.
                const std::uint64_t key = chunk ? chunk->first : ~std::uint64_t{0} - number;
                const std::size_t bytes = chunk ? bytes_of(*chunk) : 0;
                if (chunks_.try_emplace(key, Entry{chunk, number, bytes, turn_}).second) {
                    numbers_[number] = key;
                    bytes_ += bytes;
                }
            }
            drop_oldest();
        };
    });
}

void DecisionCache::drop_oldest() {
    while (bytes_ > kMostBytes) {
        const auto oldest = std::min_element(
            chunks_.begin(), chunks_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
        if (oldest == chunks_.end() || oldest->second.used + kRecent >= turn_) {
            return;  // all of it is in sight
        }
        bytes_ -= oldest->second.bytes;
        numbers_.erase(oldest->second.number);
        chunks_.erase(oldest);
    }
}

DecisionCache::Place DecisionCache::find(std::uint64_t token) const {
    auto behind = chunks_.upper_bound(token);
    if (behind == chunks_.begin()) {
        return {};
    }
    const Entry& entry = std::prev(behind)->second;
    if (!entry.chunk || token >= entry.chunk->first + entry.chunk->tokens) {
        return {};
    }
    return {entry.chunk.get(), static_cast<std::size_t>(token - entry.chunk->first)};
}

}  // namespace moescope::panels
