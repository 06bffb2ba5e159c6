#include "nodes/service/commands/remote_paths.hpp"

#include <algorithm>
#include <system_error>

#include "nodes/service/jobs/routing_order.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::say;
using nlohmann::json;

namespace {

constexpr const char* kBuiltInData = "manpages";

}  // namespace

fs::path shared_files(const fs::path& session) {
    return session / "files";
}

fs::path confined(const fs::path& folder, const std::string& path) {
    const fs::path wanted(path);
    const bool plain =
        !path.empty() && std::none_of(path.begin(), path.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
    const bool climbs = std::any_of(wanted.begin(), wanted.end(), [](const fs::path& part) { return part == ".."; });
    if (!plain || wanted.is_absolute() || climbs) {
        throw CommandError(
            say("'{}' can't be named from another machine: files of this node's session are named by "
                "their path below its folder 'files'",
                path));
    }
    std::error_code error;
    const fs::path root = fs::weakly_canonical(folder, error);
    const fs::path file = error ? fs::path() : fs::weakly_canonical(root / wanted, error);
    const auto [end, rest] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
    if (error || end != root.end() || rest == file.end()) {
        throw CommandError(say("'{}' leads out of the files of this node's session", path));
    }
    return file;
}

json confine(const std::string& command, json parameters, const fs::path& session, const Offered& offered) {
    const auto text = [](const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); };
    // What is no text is left to who reads it: it is refused there, and names nothing.
    const auto below = [&](json& value) {
        if (value.is_string()) {
            value = confined(shared_files(session), text(value)).string();
        }
    };
    const auto model = [&](const json& value) {
        if (value.is_string() && !offered.model(text(value))) {
            throw CommandError(
                say("from another machine only models of this node's library can be named, and it has "
                    "none with the name '{}'",
                    text(value)));
        }
    };
    for (auto& [key, value] : parameters.items()) {
        if (key == "session" && value.is_string()) {  // whose records would name any file of this machine as their data
            throw CommandError(
                say("from another machine only runs of this node's own session can be run again, not those of '{}'",
                    text(value)));
        }
        if (key == "path" || key == "config") {  // a configuration is an object, the file of one a text
            below(value);
        } else if (key == "data" && text(value) != kBuiltInData) {
            below(value);
        } else if (key == "set" && command == "probe.start" && !offered.probe_set(text(value))) {
            below(value);
        } else if ((key == "interventions" || key == "items") && value.is_array()) {
            for (json& change : value) {
                const auto source = change.is_object() ? change.find("source") : change.end();
                if (source != change.end() && run_named(text(*source)) == 0) {
                    below(*source);
                }
            }
        } else if ((key == "model" && command != "route.import" && command != "probe.label") || key == "models") {
            if (value.is_array()) {  // in the two commands it is the name that something has, and opens nothing
                std::for_each(value.begin(), value.end(), model);
            } else {
                model(value);
            }
        }
    }
    return parameters;
}

}  // namespace moescope::node
