// The report's input from what a session's history says, and what the statistics of a probe run are computed from.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/messages.hpp"
#include "nodes/history/session.hpp"
#include "report/report.hpp"

namespace moescope::report {

/// Steps over which the report sums the experts' load.
inline constexpr std::size_t kLoadSteps = 100;

/// A history that was read whole, keeping the counts of kLoadSteps steps; `records_sha256` by run number. Title,
/// program and created are left to the caller. Sentences of the node are written in the language of `messages`. Throws
/// base::Error when the journal does not hold the set of a probe run.
Input input_of(const history::Session& history, const std::map<std::uint32_t, std::string>& records_sha256,
               const base::Messages& messages);

/// The set of a probe run, as its manifest keeps it: only the items that were asked. Throws base::Error.
probes::Set set_of_run(const history::RunHeader& run);
/// Answers with their labels, as the statistics see them.
std::vector<probes::Draw> draws_of(const history::ProbeRun& run);
/// probes::statistics of a run. Throws base::Error.
nlohmann::json statistics_of(const history::ProbeRun& run);

}  // namespace moescope::report
