// Which experts go together: within a layer (co-activation) and from one layer to the next (transitions). One layer at
// a time, as a layer of 256 experts has 65,536 pairs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/chunk.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

/// Experts of which all pairs are counted.
inline constexpr std::size_t kMostPairedExperts = 4096;

/// N_ij: tokens for which experts i and j of one layer were both chosen; N_i: tokens for which i was.
/// P(E_j given E_i) = N_ij / N_i. Source: Muennighoff et al. 2024, "OLMoE", arXiv 2409.02060, section 5.2.
class CoActivation {
 public:
    static constexpr unsigned kWanted = kIds;
    enum class Pairs {
        all,  ///< exact: the 28 pairs of a top-8, as the paper defines it
        /// Pairs of neighbouring ranks only (7 of a top-8), each in both directions. So counts
        /// do_correlation_analysis in scripts/run_moe_analysis.py of allenai/OLMoE, which made the paper's figure; to
        /// reproduce it. It undercounts.
        adjacent,
    };

    /// `layer`: place among the routed layers. Throws Error: there is no such layer, or too many experts.
    CoActivation(const Shape& shape, std::size_t layer, Pairs pairs = Pairs::all);
    void add(const Chunk& chunk);

    std::uint64_t together(std::size_t i, std::size_t j) const;      ///< N_ij; N_i when i = j
    std::uint64_t count(std::size_t i) const { return counts_[i]; }  ///< N_i
    std::uint64_t decisions() const { return decisions_; }           ///< tokens counted
    double conditional(std::size_t i, std::size_t j) const;          ///< P(E_j given E_i); NaN when N_i is 0
    double baseline(std::size_t j) const;  ///< P(E_j), what it would be if they were independent

 private:
    Shape shape_;
    std::size_t layer_;
    Pairs pairs_;
    std::vector<std::uint32_t> together_;  ///< [E][E], the smaller expert first
    std::vector<std::uint64_t> counts_;    ///< [E]
    std::uint64_t decisions_ = 0;
};

/// C_ab: pairs (token, choice) in which expert a was chosen in one layer and expert b in a later one. Share of b among
/// what follows a: C_ab / sum_b C_ab. Source: the cross-layer paths of the OLMoE analysis.
class Transitions {
 public:
    static constexpr unsigned kWanted = kIds;
    enum class Ranks {
        all,    ///< every chosen expert of the one layer with every one of the other
        first,  ///< the best of either
        /// Rank r with rank r. So counts scripts/run_routing_analysis.py of allenai/OLMoE (crosslayer_counters), which
        /// made the paper's figures; to reproduce them. It takes k of the k k pairs, by an order that has no meaning
        /// between layers.
        same,
    };

    /// Places among the routed layers; mostly `to` = `from` + 1. Throws Error as CoActivation.
    Transitions(const Shape& shape, std::size_t from, std::size_t to, Ranks ranks = Ranks::all);
    void add(const Chunk& chunk);

    std::uint64_t count(std::size_t from, std::size_t to) const { return counts_[from * shape_.experts + to]; }
    double share(std::size_t from, std::size_t to) const;  ///< NaN when `from` was never chosen
    double baseline(std::size_t to) const;                 ///< the share of `to` whatever comes before; NaN without any
    std::uint64_t total() const { return total_; }

 private:
    Shape shape_;
    std::size_t from_, to_;
    Ranks ranks_;
    std::vector<std::uint32_t> counts_;            ///< [E][E]
    std::vector<std::uint64_t> leaving_, coming_;  ///< [E]
    std::uint64_t total_ = 0;
};

}  // namespace moescope::routing
