// What the log says of the records of runs: they are lines of the log too, without being written twice. Pure; used by
// Session only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// An event of a training run: what was changed, from which step on; the source is who did it (`by` of the record).
/// Nothing for what the node does by itself as it was planned (a checkpoint that was due).
std::optional<LogLine> log_line(const TrainingRun& run, const RunEvent& event, const std::string& by,
                                std::uint64_t time_ns);
/// A run whose node stopped while it was going on; its message says where.
LogLine log_line_of_interruption(const RunHeader& run, std::uint64_t time_ns);

}  // namespace moescope::history
