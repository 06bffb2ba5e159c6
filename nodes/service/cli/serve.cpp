// moescope-node serve: jobs for workbenches.
#include <CLI/CLI.hpp>
#include <memory>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/commands/service.hpp"

namespace moescope::node {

namespace {

int serve_command(const Paths& paths, const ServeOptions& options) {
    HeldSignals signals;
    Service service(paths, options);
    service.run([&] { return signals.taken(100); });
    return 0;
}

}  // namespace

void add_serve(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string socket, session;
        bool stdio = false;
        double keep_models = std::chrono::duration<double>(WorkerPool::kKeep).count();
    };
    const auto options = std::make_shared<Options>();
    auto* serve = app.add_subcommand("serve", "Run jobs for workbenches");
    auto* where = serve->add_option_group("where");
    where->add_option("--socket", options->socket, "Unix socket to listen on");
    where->add_flag("--stdio", options->stdio, "One workbench over standard input and output (ssh)");
    where->require_option(1);
    serve->add_option("--session", options->session, "Session folder; created when missing")->required();
    serve
        ->add_option("--keep-models", options->keep_models,
                     "Seconds that a model stays open after its last answer; less when memory is short")
        ->check(CLI::Range(0.0, 1e6))
        ->envname("MOESCOPE_KEEP_MODELS")
        ->capture_default_str();
    serve->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            const auto keep = std::chrono::duration<double>(options->keep_models);
            return serve_command(paths, {options->socket, options->session,
                                         std::chrono::duration_cast<std::chrono::milliseconds>(keep)});
        };
    });
}

}  // namespace moescope::node
