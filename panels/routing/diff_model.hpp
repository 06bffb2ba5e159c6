// What the diff of two traces shows: flips by layer, by rank, by kind of token and by margin, the change of load, the
// perplexities, the tokens that flipped most. The numbers are those of `moescope-node diff`. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "panels/ui/figure_data.hpp"
#include "routing/figures/comparison_job.hpp"

namespace moescope::panels {

struct DiffShown {
    struct Part {
        std::shared_ptr<const Chart> chart;  ///< bars of flip rates
        std::shared_ptr<const Table> table;
    };
    std::uint64_t tokens = 0, undecided = 0;
    routing::Comparison::Missing missing{};  ///< tokens that only the other one has
    routing::Flips all;
    Estimate rate;  ///< of all flips, with its Wilson interval: a lower bound, as neighbouring tokens are alike
    routing::Comparison::Perplexity perplexity;
    /// layer, flipped, moved, saturation, of the best alone, distance of the loads, MaxVio of either, the expert that
    /// changed most and by how much
    Part layers;
    Part ranks;                       ///< rank from 1, flipped, moved, slots
    Part classes;                     ///< kinds of token that occur, the highest rate first
    Part margins;                     ///< from, to, decisions, with a flip, flipped, slots; null without margins
    std::shared_ptr<const Map> load;  ///< layers x experts: share of the layer's load in the second minus in the first
    std::shared_ptr<const Table> loads;  ///< layer, expert, share in the first, in the second, change
    /// piece, token, number in the trace, text, position, flipped, slots, log-probability in either, change
    std::shared_ptr<const Table> tokens_flipped;
    std::size_t number_column = 0;            ///< of tokens_flipped
    std::shared_ptr<const std::string> json;  ///< as `moescope-node diff --json` prints the comparison
};
DiffShown diff_of(const routing::ComparisonJob::Result& result, const routing::RouterSpec& spec);

}  // namespace moescope::panels
