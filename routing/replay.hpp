// The routing of another run, read from its trace to be given to a model again.
#pragma once

#include <filesystem>

#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::routing {

/// Of the first text in a trace of either form. Throws Error naming the file: it cannot be read, is no trace, is
/// damaged anywhere (what is left of it would be another experiment), has two decisions for one place, or has too much
/// to be held.
Replay read_replay(const std::filesystem::path& path);

/// What a replay of a trace knows of the router that made it.
ReplayedRouter replayed_router(const RouterSpec& spec);

}  // namespace moescope::routing
