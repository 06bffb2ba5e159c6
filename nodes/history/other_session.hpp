// The training runs of a session that no node of this program has open: read once from its folder, as they are now.
// Nothing is written, so that another program may go on with it meanwhile. Reads files: not for the thread that draws.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/history/run_figures.hpp"
#include "nodes/history/runs.hpp"

namespace moescope::history {

/// A run with its load figures, which are made of more counts than it keeps.
struct OtherRun {
    std::shared_ptr<const TrainingRun> run;
    std::shared_ptr<const LoadSeries> loads;
};

struct OtherSession {
    std::filesystem::path folder;
    std::string name;            ///< the folder's, as it may be shown
    std::vector<OtherRun> runs;  ///< trainings with any step, by number
    /// Why nothing could be read, or what of it is lost; empty when all is well.
    base::Sentence problem;
};

inline constexpr std::size_t kOtherCounts = 512;  ///< steps whose counts are kept of each run, evenly spread
/// While it reads, the counts of all runs together take no more than about this.
inline constexpr std::size_t kOtherBytes = std::size_t{256} << 20;

/// Does not throw for what the folder is or holds.
OtherSession read_other_session(const std::filesystem::path& folder, std::size_t most_bytes = kOtherBytes);

/// The folders beside `session` that look like sessions, without itself, by name; at most some hundred.
std::vector<std::filesystem::path> sessions_beside(const std::filesystem::path& session);

/// `count` of the kept steps of counts, evenly spread and with the newest.
SharedList<std::shared_ptr<const StepCounts>> thinned(const SharedList<std::shared_ptr<const StepCounts>>& counts,
                                                      std::size_t count);

}  // namespace moescope::history
