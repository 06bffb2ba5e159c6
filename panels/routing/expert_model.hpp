// What the expert view shows of one expert, made of the figures over its trace: tables and charts. Every share stands
// with what it is compared with and with its interval. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/runs.hpp"
#include "panels/ui/figure_data.hpp"
#include "routing/figures/groups.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/load_over_time.hpp"
#include "routing/figures/pairs.hpp"
#include "routing/figures/together.hpp"
#include "routing/figures/vocabulary.hpp"

namespace moescope::panels {

/// An expert of a trace: `place` is that of its layer among the routed ones, `layer` its number in the model.
struct ExpertPlace {
    std::size_t place = 0, expert = 0;
    int layer = 0;
    bool operator==(const ExpertPlace&) const = default;
};

// Load: over the layers and along the trace.

using ExpertLoadFigure = routing::Together<routing::Load, routing::LoadOverTime>;
struct ExpertLoadShown {
    ExpertPlace expert;
    /// Tokens that the expert was chosen for, of those of its layer. Of counts without tokens it is worked out: slots
    /// divided by the experts per token.
    std::uint64_t chosen = 0, tokens = 0;
    Estimate share;        ///< with its Wilson interval; neighbouring tokens are alike, so it is a lower bound
    double uniform = 0;    ///< k/N
    std::size_t rank = 0;  ///< 1: the busiest of its layer
    std::shared_ptr<const Chart> over_layers;  ///< bars: the experts of the same number in all layers; null without any
    std::shared_ptr<const Chart> over_time;    ///< lines over tokens of the trace; null without tokens
    std::uint64_t tokens_of_point = 0;         ///< of over_time, at most
};
ExpertLoadShown expert_load(const ExpertLoadFigure& figure, const routing::RouterSpec& spec, const ExpertPlace& expert);

/// The load of an expert over the steps of a training run, as far as they are kept: all tokens, English, Chinese; at
/// most `most` points. Null when the run has no such expert or no counts.
std::shared_ptr<const Chart> training_history(const history::TrainingRun& run, int layer, std::size_t expert,
                                              std::size_t most);

// Tokens.

struct ExpertTokensShown {
    ExpertPlace expert;
    std::shared_ptr<const Table> table;  ///< piece, token, count, of, share, baseline, ratio
    std::size_t token_column = 0;        ///< of its number
    double baseline = 0;                 ///< the expert's share of all tokens
};
/// At most `most` tokens that occur `least` times or more, those whose share is surely the highest first.
ExpertTokensShown expert_tokens(const routing::Vocabulary& figure, const ExpertPlace& expert, std::uint64_t least,
                                std::size_t most);

// Texts: languages and groups of documents.

class TextGroups {
 public:
    static constexpr unsigned kWanted = routing::GroupLoad::kWanted;
    explicit TextGroups(const routing::Shape& shape)
        : languages(shape, routing::GroupLoad::By::language), groups(shape, routing::GroupLoad::By::group) {}
    void add(const routing::Chunk& chunk) {
        languages.add(chunk);
        groups.add(chunk);
    }
    routing::GroupLoad languages, groups;
};
struct ExpertTextsShown {
    ExpertPlace expert;
    struct Part {
        std::shared_ptr<const Table> table;  ///< name, texts, tokens, share, of all texts, uniform, ratio
        std::shared_ptr<const Chart> chart;
        bool single = false;         ///< a group has one text only: its interval is a lower bound
        bool known = false;          ///< any text says to which group it belongs
        std::uint64_t left_out = 0;  ///< tokens, as there were too many groups
    };
    Part languages, groups;
};
ExpertTextsShown expert_texts(const TextGroups& figure, const ExpertPlace& expert);

// Neighbours: in its layer, in the layer before and in the one after.

class NeighbourPairs {
 public:
    static constexpr unsigned kWanted = routing::CoActivation::kWanted;
    /// Throws Error as CoActivation does.
    NeighbourPairs(const routing::Shape& shape, std::size_t place);
    void add(const routing::Chunk& chunk);

    std::size_t experts;
    routing::CoActivation together;
    std::optional<routing::Transitions> before, after;  ///< nothing where there is no such layer
};
struct ExpertNeighboursShown {
    ExpertPlace expert;
    /// expert, count, of, share, baseline, ratio; the largest share first. Null where there is no such layer.
    std::shared_ptr<const Table> together, before, after;
    int layer_before = -1, layer_after = -1;  ///< numbers in the model
};
ExpertNeighboursShown expert_neighbours(const NeighbourPairs& figure, const routing::RouterSpec& spec,
                                        const ExpertPlace& expert);

/// The next token behind `after` (-1: from the beginning, and again from there at the end) that is `token` by `by` and
/// for which the expert was chosen; nothing where there is none. Reads the trace: not on the GUI thread.
std::optional<std::uint64_t> find_token(const routing::TraceSource& trace, const ExpertPlace& expert,
                                        routing::Vocabulary::By by, std::int32_t token, std::int64_t after);

}  // namespace moescope::panels
