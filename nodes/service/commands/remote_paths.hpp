// What a viewer on another machine may name: files below one folder of the session, and models of the library.
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

/// The parameters of a command as they are carried out for such a viewer: paths lie below shared_files(). `is_model`:
/// does the node offer a model of that name? Throws CommandError naming what it may not name.
nlohmann::json confine(nlohmann::json parameters, const std::filesystem::path& session,
                       const std::function<bool(const std::string&)>& is_model);

}  // namespace moescope::node
