// Which rank keeps which part of the optimizer's state and moves the parameters there. Every rank that has a parameter
// could do it; they divide the work and the two moments among them instead and tell each other the moved parameters.
// Each number is computed as one rank alone would. Source of the idea: ZeRO, arXiv 1910.02054, stage 1.
//
// Parameters that all ranks have are divided among all; those of shared experts among the ranks that keep the same
// experts. Muon's matrices stay whole.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/activations.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"

namespace moescope::engine {

/// A part of one tensor. In floats.
struct OptimizerPiece {
    std::size_t tensor = 0;  ///< of the layout
    bool experts = false;    ///< only ranks that keep the same experts have it
    std::uint64_t begin = 0, count = 0;
    std::uint64_t here = 0;  ///< in the moments of the rank that keeps it, a multiple of 16
};

/// What one process keeps. Of one process alone it is everything trainable, with moments laid out as parameters are.
struct OptimizerShare {
    std::vector<OptimizerPiece> pieces;  ///< in the order of the tensors
    std::uint64_t floats = 0;            ///< of a moment: enough for the process that keeps most
};
/// `layout` is that of the process; which of them it is, `ranks` says.
OptimizerShare optimizer_share(const RunConfig& config, const ParameterLayout& layout, const RankShape& ranks);
/// The same run seen by another process.
RankShape shape_of_process(const RankShape& ranks, int process);

}  // namespace moescope::engine
