// What a router decided, token by token and layer by layer: the one record behind every view of routing, whoever the
// model was computed by (our engine, libllama, another program whose recording was read). Plain data; knows no model.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::routing {

/// Bytes of a token's text that are kept of a longer one, and the most that the name of a language, a group or a model
/// may have.
inline constexpr std::size_t kLongestPiece = 4096, kLongestName = 4096;

/// How a token without a text of its own is shown to people, wherever it is: "‹2›"; `id` below 0: not known.
inline std::string name_of_empty(std::int32_t id) {
    return "\u2039" + (id >= 0 ? std::to_string(id) : std::string("?")) + "\u203a";
}

/// Where the ids of a trace come from.
enum class Source {
    executed,    ///< taken from the computation that made the logits
    recomputed,  ///< from the scores, by our own rule
    imported,    ///< from another program's recording
};

/// What of each decision is kept. Each level holds those before it.
enum class Detail {
    ids,      ///< the chosen experts
    weights,  ///< and their applied weights
    scores,   ///< and everything that the choice was made of, of all experts
};

/// The router of a model, as its file describes it. E experts, of which K are chosen per token.
struct RouterSpec {
    std::string model;         ///< name in the library, or path
    std::string architecture;  ///< "qwen3moe"
    int layers = 0, experts = 0, experts_per_token = 0, shared_experts = 0;
    std::vector<int> routed_layers;  ///< numbers of the layers that have a router, ascending; others are dense
    int hash_layers = 0;             ///< of these the first so many choose by the token's id
    std::string scoring;             ///< "softmax", "sigmoid", "softmax_after_top_k", "sqrt_softplus"; empty: not known
    std::string group_score;         ///< "max" or "top2" with more than one group
    int groups = 1, groups_kept = 1;
    bool selection_bias = false;  ///< added to the scores for the choice only
    bool normalise = false;       ///< the chosen weights are divided by their sum
    double scale = 1.0;           ///< times the applied weights
    Source source = Source::executed;
    std::string device;                         ///< that computed it: "cpu", "cuda:0"; empty: not known
    std::vector<std::pair<int, int>> disabled;  ///< layer, expert: never chosen, as the run of the model has them
    /// Why what is shown may differ from the original model; empty: nothing is known to.
    std::vector<base::Sentence> doubts;
};

/// Whether the layer is one of the hash layers.
inline bool chooses_by_token(const RouterSpec& spec, int layer) {
    const auto hash = static_cast<std::size_t>(std::max(0, spec.hash_layers));
    const auto end =
        spec.routed_layers.begin() + static_cast<std::ptrdiff_t>(std::min(hash, spec.routed_layers.size()));
    return std::find(spec.routed_layers.begin(), end, layer) != end;
}

/// The decision of one layer for one token. Vectors that were not asked for, or that this router does not have, are
/// empty; a number that was not computed is NaN.
struct LayerDecision {
    int layer = 0;
    std::vector<std::int32_t> ids;  ///< [K'], best first, K' <= K where experts were limited or dropped the token
    std::vector<float> weights;     ///< [K'], applied: what the experts' outputs are multiplied by
    // Detail::scores:
    std::vector<float> logits;        ///< [E]
    std::vector<float> scores;        ///< [E], of which the weights are made
    std::vector<float> selection;     ///< [E], what the largest are taken of: scores + bias, before the group mask
    std::vector<float> group_scores;  ///< [groups]
    std::vector<std::int32_t> groups_kept;  ///< ids of groups, best first
    /// Selection score of the last chosen minus that of the best expert that was not, among the kept groups.
    float margin = 0;
    float entropy = 0;  ///< of the scores divided by their sum, nats
};

struct TokenDecisions {
    int position = 0;                      ///< in its text, from 0
    std::uint32_t document = 0;            ///< number of its text in the trace, from 0
    std::string language, group;           ///< of its text: "zh", "news"; empty: not known
    std::int32_t token = 0;                ///< the token that was read at this position; -1: not known
    std::string bytes;                     ///< its text; may be a part of a character
    std::int32_t next = -1;                ///< the token that follows in the text; -1: none does
    std::int32_t predicted = -1;           ///< the most probable next token; -1: not known
    std::optional<float> log_probability;  ///< of `next`, natural logarithm
    std::vector<LayerDecision> layers;     ///< routed layers, ascending
};

}  // namespace moescope::routing
