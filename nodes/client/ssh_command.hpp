// What ssh is told to run on the other machine, and what its failures mean.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::transport {
struct NodeAddress;
}

namespace moescope::client {

/// One command for whatever shell the user has there: starts moescope-node, as copy_node() puts it there, else from
/// PATH, else from where a bundle is put by hand, as a node that goes on when this connection ends. `session`: a path
/// there, "" for the usual one; no shell looks into it.
std::string ssh_command(const std::string& session);

/// What ssh is called with to run the command there: it asks nothing and forwards nothing.
std::vector<std::string> ssh_arguments(const transport::NodeAddress& address, const std::string& command);

/// What MOESCOPE_SSH names, else the system's ssh.
std::filesystem::path ssh_program();

/// The text between single quotes, for a POSIX shell.
std::string shell_quoted(const std::string& text);

/// ssh ended with this status because there is no moescope-node.
inline bool is_program_missing(int status) {
    return status == 127;
}

/// Why no node came: `how` ssh ended, with which status (0: by a signal), and its last words.
base::Sentence ssh_problem(const std::string& address, int status, const base::Sentence& how, const std::string& words);

}  // namespace moescope::client
