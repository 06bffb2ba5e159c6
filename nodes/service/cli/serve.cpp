// moescope-node serve: jobs for workbenches.
#include <CLI/CLI.hpp>
#include <memory>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/commands/service.hpp"

namespace moescope::node {

namespace {

int serve_command(const Paths& paths, const std::string& socket, const std::string& session) {
    HeldSignals signals;
    Service service(paths, {socket, session});
    service.run([&] { return signals.taken(100); });
    return 0;
}

}  // namespace

void add_serve(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string socket, session;
        bool stdio = false;
    };
    const auto options = std::make_shared<Options>();
    auto* serve = app.add_subcommand("serve", "Run jobs for workbenches");
    auto* where = serve->add_option_group("where");
    where->add_option("--socket", options->socket, "Unix socket to listen on")->check(filled());
    where->add_flag("--stdio", options->stdio, "One workbench over standard input and output (ssh)");
    where->require_option(1);
    serve->add_option("--session", options->session, "Session folder; created when missing")
        ->required()
        ->check(filled());
    serve->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return serve_command(paths, options->socket, options->session);
        };
    });
}

}  // namespace moescope::node
