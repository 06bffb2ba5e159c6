// Two traces of the same tokens: two checkpoints of a run, two quantisations of a model, before and after fine-tuning,
// untouched and with an intervention.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "base/intervals.hpp"
#include "routing/chunk.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/token_class.hpp"
#include "routing/trace_reader.hpp"

namespace moescope::routing {

/// Slots (token, layer, rank) of the first trace, and how many of them turned over.
///
/// Flip: the expert that the first trace has in the slot is not among those that the second one chose for that token
/// and layer. Flip rate = flips / slots; averaged over all ranks it is 1 - saturation. It does not count experts that
/// only changed their rank; those are `moved`. Source: "router flip rate" of the literature on routing replay in
/// reinforcement learning ("share of (token, layer, slot) changed against the reference run").
struct Flips {
    std::uint64_t slots = 0, flipped = 0, moved = 0;
    double rate() const;  ///< NaN without slots
};

/// What of two traces is alike. Fed token by token; incremental, bounded memory.
class Comparison {
 public:
    /// Throws Error, a sentence: the two routers have other layers, experts or experts per token.
    Comparison(const RouterSpec& first, const RouterSpec& second);
    /// A token that both have; gives its own flips, over all layers. Throws Error when it is not the same one.
    Flips add(const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second);
    /// Of either trace: tokens that the other one has and this one lacks.
    using Missing = std::array<std::uint64_t, 2>;
    void set_missing(const Missing& tokens) { missing_ = tokens; }

    struct Layer {
        int layer = 0;  ///< its number in the model
        Flips flips;
        /// Router saturation: (1/T) sum_x |E_first(x) and E_second(x)| / k, k the experts of the first. With the final
        /// checkpoint as the first trace it is that of OLMoE (arXiv 2409.02060), section 5.1.
        double saturation = 0;
        double saturation_of_best = 0;  ///< the same with each trace's best expert alone (k = 1)
        /// Total variation of the load: half of sum_i |q_i - r_i|, q and r the shares of the experts. 0: the same load.
        double load_distance = 0;
        int changed_expert = -1;  ///< whose share of the layer's load changed most; -1: nothing changed
        double changed_by = 0;    ///< its share in the second trace minus that in the first
        double violation_first = 0, violation_second = 0;  ///< MaxVio of either
    };
    std::vector<Layer> layers() const;
    /// Tokens per expert, [E], in the decisions that were compared; `side` 0 is the first trace, 1 the second; `layer`
    /// is a place among the routed ones.
    std::vector<double> load(std::size_t side, std::size_t layer) const;
    Flips all() const;
    const std::vector<Flips>& ranks() const { return ranks_; }  ///< [K]
    const std::array<Flips, kTokenClasses.size()>& classes() const { return classes_; }

    /// By the margin in the first trace: bin i holds those from 2^(i + kLeastOctave) up to twice that.
    static constexpr int kLeastOctave = -16, kOctaves = 20;
    struct MarginBin {
        double from = 0, to = 0;
        std::uint64_t decisions = 0, changed = 0;  ///< decisions with a flip
        Flips flips;
    };
    /// The first bin begins at 0 (forced experts included), the last has no end. Empty without margins.
    std::vector<MarginBin> margins() const;

    /// exp(-mean log-probability of the token that follows), over the tokens for which both traces have it.
    struct Perplexity {
        std::uint64_t tokens = 0;
        double first = 0, second = 0;  ///< NaN without tokens
        /// Mean of log-probability in the second minus in the first, nats, with its normal 95 % interval over tokens;
        /// neighbouring tokens are alike, so it is a lower bound. NaN, NaN, NaN without tokens; no interval with one.
        base::Interval difference;
    };
    Perplexity perplexity() const;

    std::uint64_t tokens() const { return tokens_; }        ///< compared
    std::uint64_t undecided() const { return undecided_; }  ///< decisions that only one of the traces has
    const Missing& missing() const { return missing_; }

 private:
    Flips compare(const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second,
                  std::size_t layer, TokenClass kind);

    RouterSpec spec_;
    Shape shape_;
    std::vector<Flips> by_layer_, ranks_;
    std::vector<std::uint64_t> decisions_, same_best_;  ///< [R]
    std::vector<double> overlap_;                       ///< [R], sum of the shares that are alike
    std::array<Flips, kTokenClasses.size()> classes_{};
    std::array<MarginBin, kOctaves> margins_{};
    std::array<std::vector<std::uint64_t>, 2> loads_;  ///< [R][E] of either
    std::vector<std::uint32_t> seen_;                  ///< [E], the decision whose second choice has the expert
    std::uint32_t decision_ = 0;
    std::string before_;  ///< bytes of the token before
    std::uint32_t document_ = 0;
    std::int32_t position_ = 0;
    Missing missing_{};
    std::uint64_t tokens_ = 0, undecided_ = 0, with_log_ = 0;
    double sum_first_ = 0, sum_second_ = 0, sum_squares_ = 0;
};

/// A token that both traces have: its place in a piece of either.
using TokenPair =
    std::function<void(const Chunk& first, std::size_t at_first, const Chunk& second, std::size_t at_second)>;
/// Goes through both from the beginning and gives what both have at one position of one text; a token that one of them
/// lacks is left out and counted. `check` is called before each piece and may throw. Throws Error, a sentence, when the
/// positions of one do not rise, when one goes on where the other ends and neither is damaged, or when they have no
/// token in common.
Comparison::Missing for_each_pair(TraceStream& first, TraceStream& second, const std::function<void()>& check,
                                  const TokenPair& each);
/// The comparison of all those tokens. Throws Error, a sentence, also when they are not the same or the shapes differ.
Comparison compare_traces(TraceStream& first, TraceStream& second, const std::function<void()>& check = {});

/// All of the above: the words that scripts rely on stand in docs/manual-en.md. Numbers that are none are null.
nlohmann::json to_json(const Comparison& comparison);

}  // namespace moescope::routing
