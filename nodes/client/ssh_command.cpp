#include "nodes/client/ssh_command.hpp"

#include <cstdlib>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::client {

using base::say;

std::filesystem::path ssh_program() {
    const char* given = std::getenv("MOESCOPE_SSH");
    return given != nullptr && *given != '\0' ? given : "/usr/bin/ssh";
}

std::string shell_quoted(const std::string& text) {
    std::string quoted = "'";
    for (const char letter : text) {
        if (letter == '\'') {
            quoted += "'\\''";
        } else {
            quoted += letter;
        }
    }
    return quoted + "'";
}

std::string ssh_command(const std::string& session) {
    std::string script = "p=\"$HOME/.local/share/moescope/" MOESCOPE_VERSION
                         "/bin/moescope-node\"; "
                         "[ -x \"$p\" ] || p=moescope-node; PATH=\"$PATH:$HOME/.local/share/moescope/bin\"; "
                         "exec \"$p\" serve --stdio --persist";
    if (!session.empty()) {
        script += " --session " + shell_quoted(session);
    }
    return "/bin/sh -c " + shell_quoted(script);
}

std::vector<std::string> ssh_arguments(const transport::NodeAddress& address, const std::string& command) {
    std::vector<std::string> arguments{"-T", "-x",
                                       "-o", "BatchMode=yes",
                                       "-o", "ConnectTimeout=10",
                                       "-o", "ServerAliveInterval=15",
                                       "-o", "ClearAllForwardings=yes"};
    if (address.port != 0) {
        arguments.insert(arguments.end(), {"-p", std::to_string(address.port)});
    }
    if (!address.user.empty()) {
        arguments.insert(arguments.end(), {"-l", address.user});
    }
    arguments.insert(arguments.end(), {"--", address.host, command});
    return arguments;
}

base::Sentence ssh_problem(const std::string& address, int status, const base::Sentence& how,
                           const std::string& words) {
    const auto has = [&](const char* part) { return words.find(part) != std::string::npos; };
    if (is_program_missing(status)) {
        return say(
            "there is no moescope-node at {}; copy it there (`moescope-node install --node {}`), unpack the archive "
            "that "
            "`./run --bundle` makes there as ~/.local/share/moescope, or put moescope-node into its PATH",
            address, address);
    }
    if (has("Permission denied")) {
        return say("{} does not let this user in; see that ssh gets there without being asked for a password", address);
    }
    if (has("Host key verification failed") || has("REMOTE HOST IDENTIFICATION HAS CHANGED")) {
        return say("the key of {} is not the one that ssh knows; connect once by hand with ssh and compare it",
                   address);
    }
    if (words.empty()) {
        return say("ssh to {} ended: {}", address, how);
    }
    return say("ssh to {} ended: {}", address, base::one_line(words));
}

}  // namespace moescope::client
