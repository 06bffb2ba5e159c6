// What ssh is told to run on the other machine, and what its failures mean.
#pragma once

#include <filesystem>
#include <string>

#include "base/sentence.hpp"

namespace moescope::client {

/// One command for whatever shell the user has there: starts moescope-node from PATH or from where a bundle is put, as
/// a node that goes on when this connection ends. `session`: a path there, "" for the usual one; no shell looks into
/// it.
std::string ssh_command(const std::string& session);

/// What MOESCOPE_SSH names, else the system's ssh.
std::filesystem::path ssh_program();

/// The text between single quotes, for a POSIX shell.
std::string shell_quoted(const std::string& text);

/// Why no node came: `how` ssh ended, with which status (0: by a signal), and its last words.
base::Sentence ssh_problem(const std::string& address, int status, const base::Sentence& how, const std::string& words);

}  // namespace moescope::client
