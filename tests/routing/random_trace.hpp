// Decisions of a router that is drawn at random but has habits, as real ones do: some experts are chosen more often
// than others, and a token prefers some.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "routing/chunk.hpp"

namespace moescope::routing {

inline RouterSpec make_spec(int layers, int experts, int per_token) {
    RouterSpec spec;
    spec.model = "random";
    spec.architecture = "qwen3moe";
    spec.layers = layers;
    spec.experts = experts;
    spec.experts_per_token = per_token;
    spec.scoring = "softmax";
    for (int layer = 0; layer < layers; ++layer) {
        spec.routed_layers.push_back(layer);
    }
    return spec;
}

inline LayerDecision decided(int layer, std::vector<std::int32_t> ids, std::vector<float> weights = {}) {
    LayerDecision decision;
    decision.layer = layer;
    decision.ids = std::move(ids);
    decision.weights = std::move(weights);
    return decision;
}

/// Pieces of ten kinds; token n always has the same text.
inline std::string piece_of_token(std::int32_t token) {
    static const std::vector<std::string> kPieces = {" the", "ing", "路由",     "42", ".",  "\n",
                                                     "{",    " A",  "\xe4\xbd", "",   "器", " expert"};
    return kPieces[static_cast<std::size_t>(token) % kPieces.size()] +
           (token % 12 == 0 ? std::string(static_cast<std::size_t>(token / 12 % 5), 'x') : "");
}

class RandomTrace {
 public:
    RandomTrace(RouterSpec spec, unsigned seed) : spec_(std::move(spec)), random_(seed) {
        for (int i = 0; i < spec_.experts * static_cast<int>(spec_.routed_layers.size()); ++i) {
            habit_.push_back(normal_(random_));
        }
    }

    /// `spread`: standard deviation of the logits beside the habit.
    TokenDecisions token(int position, float spread = 1.5f) {
        TokenDecisions token;
        token.position = position;
        token.token = static_cast<std::int32_t>(random_() % 60);
        token.next = static_cast<std::int32_t>(random_() % 60);
        token.predicted = random_() % 3 == 0 ? -1 : static_cast<std::int32_t>(random_() % 60);
        token.bytes = piece_of_token(token.token);
        token.document = static_cast<std::uint32_t>(position / 16);
        token.language = token.document % 2 == 0 ? "en" : "zh";
        token.group = token.document % 3 == 0 ? "" : "news";
        if (random_() % 4 != 0) {
            token.log_probability = -std::abs(normal_(random_));
        }
        std::size_t place = 0;
        for (const int layer : spec_.routed_layers) {
            token.layers.push_back(decision(layer, place++, spread));
        }
        return token;
    }

    std::vector<TokenDecisions> tokens(int count) {
        std::vector<TokenDecisions> all;
        for (int position = 0; position < count; ++position) {
            all.push_back(token(position));
        }
        return all;
    }

 private:
    LayerDecision decision(int layer, std::size_t place, float spread) {
        const auto experts = static_cast<std::size_t>(spec_.experts);
        std::vector<float> scores(experts);
        float sum = 0;
        for (std::size_t i = 0; i < experts; ++i) {
            scores[i] = std::exp(habit_[place * experts + i] * 0.5f + spread * normal_(random_));
            sum += scores[i];
        }
        std::vector<std::int32_t> order(experts);
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
            return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
        });
        LayerDecision decision;
        decision.layer = layer;
        const auto chosen = static_cast<std::size_t>(spec_.experts_per_token);
        decision.ids.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(chosen));
        for (const std::int32_t id : decision.ids) {
            decision.weights.push_back(scores[static_cast<std::size_t>(id)] / sum);
        }
        decision.margin = chosen < experts
                              ? decision.weights.back() - scores[static_cast<std::size_t>(order[chosen])] / sum
                              : std::numeric_limits<float>::quiet_NaN();
        for (const float score : scores) {
            decision.entropy -= score / sum * std::log(score / sum);
        }
        return decision;
    }

    const RouterSpec spec_;
    std::mt19937 random_;
    std::normal_distribution<float> normal_;
    std::vector<float> habit_;
};

inline std::vector<std::shared_ptr<const Chunk>> chunks_of(const RouterSpec& spec,
                                                           const std::vector<TokenDecisions>& tokens,
                                                           std::size_t tokens_of_chunk = 50) {
    ChunkBuilder builder(spec);
    std::vector<std::shared_ptr<const Chunk>> chunks;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        builder.add(tokens[i]);
        if ((i + 1) % tokens_of_chunk == 0) {
            chunks.push_back(builder.take());
        }
    }
    if (!builder.empty()) {
        chunks.push_back(builder.take());
    }
    return chunks;
}

template <class Function>
std::string sentence_of(const Function& function) {
    try {
        function();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace moescope::routing
