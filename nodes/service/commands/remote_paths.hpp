// What a viewer on another machine may name: files below one folder of the session, models of the library, and what
// comes with the program.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace moescope::node {

/// The folder of a session that such viewers read and write files in.
std::filesystem::path shared_files(const std::filesystem::path& session);

/// The file of that relative path below `folder`. Throws CommandError: it is absolute, leads out of the folder (also
/// over a link), or has control characters.
std::filesystem::path confined(const std::filesystem::path& folder, const std::string& path);

/// What a node offers to everybody by name.
struct Offered {
    std::function<bool(const std::string&name)> model, probe_set;
};

/// The parameters of that command as they are carried out for such a viewer: every path in them, also one within a
/// list of changes, lies below shared_files(), and a model is one that is offered. Throws CommandError naming what it
/// may not name.
nlohmann::json confine(const std::string& command, nlohmann::json parameters, const std::filesystem::path& session,
                       const Offered& offered);

}  // namespace moescope::node
