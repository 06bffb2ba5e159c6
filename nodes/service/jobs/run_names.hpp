// What runs are called: people count the runs of one kind, run numbers count all.
#pragma once

#include <string>
#include <vector>

#include "nodes/history/runs.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/service/library/status_board.hpp"

namespace moescope::node {

/// "workshop-3" for the third training run of a session: `base` ("run" when it is empty) and which one of its kind the
/// run will be, `earlier` being the names of those before. A name that is taken is passed over.
std::string running_name(const std::string& base, const std::vector<std::string>& earlier);

/// Of all runs of that kind, in their order.
std::vector<std::string> names_of(const std::vector<RunStatus>& runs, protocol::RunKind kind);
/// What sentences call a run: its name in quotes; its number where that is not known.
Sentence name_in(const std::vector<RunStatus>& runs, std::uint32_t run);
Sentence title_of(const history::RunHeader& run);

}  // namespace moescope::node
