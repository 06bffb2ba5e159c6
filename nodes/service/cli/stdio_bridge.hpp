// A node that outlives the connection over which it was asked for: standard input and output are handed on to the
// socket of a node of this user that serves the session, which is started when none does.
#pragma once

#include <filesystem>

#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// Where the node that serves a session for others of this user listens: below $XDG_RUNTIME_DIR or /tmp, in a folder of
/// mode 0700. The same session has the same socket, however its path is written.
std::filesystem::path socket_of_session(const std::filesystem::path& session);

/// Until one side ends. `session` is created when missing. Throws base::Error: the session can't be opened, the node
/// does not come. Exit status.
int bridge_stdio(const Paths& paths, const std::filesystem::path& session);

}  // namespace moescope::node
