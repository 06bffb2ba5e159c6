// What the ranks panel shows of a training run of several processes: what each of them worked on, how long it waited
// for the others, and what they sent each other. Pure: no window, no language, no clock; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "nodes/history/runs.hpp"
#include "panels/ui/figure_data.hpp"

namespace moescope::panels {

using RankRecords = std::vector<std::shared_ptr<const protocol::RankRecord>>;

/// The latest records of a run of at most `steps` steps in all, up to the one of `pinned` or the newest, oldest first.
/// All have the ranks of the last one: a run may have gone on with another number of them.
RankRecords latest_ranks(const history::TrainingRun& run, std::optional<std::uint64_t> pinned, std::size_t steps);

/// Numbers are of one step: the mean over the steps that were added up.
struct RanksShown {
    std::uint64_t first_step = 0, last_step = 0, steps = 0;
    std::size_t ranks = 0, expert_ranks = 1, layers = 0;
    std::optional<std::size_t> layer;  ///< of load and rows; none: all of them
    bool tokens_travel = false;
    double rows = 0, row_bytes = 0;                             ///< that all ranks sent of the layer
    double bytes = 0;                                           ///< that all ranks sent, everything
    std::size_t slowest = 0, fastest = 0;                       ///< with the most and the least milliseconds of work
    std::vector<double> work_ms, waiting_ms;                    ///< [ranks]
    std::shared_ptr<const Chart> load, waiting;                 ///< bars of the ranks
    std::shared_ptr<const Map> tokens_map, bytes_map, all_map;  ///< rows, their MB, MB of everything: from, to
    std::shared_ptr<const Table> table;                         ///< a row per rank
    /// The ranks differ by more than a hundredth in what they work.
    bool uneven() const { return work_ms[slowest] > 1.01 * work_ms[fastest]; }
};
/// `records` as latest_ranks gives them, not empty.
RanksShown show_ranks(const RankRecords& records, std::optional<std::size_t> layer, std::size_t experts);

}  // namespace moescope::panels
