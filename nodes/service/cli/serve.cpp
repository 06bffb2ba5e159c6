// moescope-node serve: jobs for workbenches.
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "base/json_guard.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/commands/service.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {

namespace {

struct ServeCommand {
    std::string socket, session, failure;
    bool stdio = false, read_only = false;
    double keep_models = std::chrono::duration<double>(WorkerPool::kKeep).count();  ///< seconds
};

/// For the workbench that started this node: what it shall show, and what it can offer.
void write_failure(const std::string& file, const char* why, const base::Sentence& error) {
    if (file.empty()) {
        return;
    }
    nlohmann::json failure = {{"why", why}};
    base::put_sentence(failure, "error", error);
    try {
        sessions::write_output(file, base::dump_json(failure) + "\n", sessions::Existing::refuse);
    } catch (const std::exception&) {  // the sentence goes to standard error all the same
    }
}

int serve_command(const Paths& paths, const ServeCommand& options) {
    HeldSignals signals;
    std::optional<Service> service;
    try {
        const auto keep =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(options.keep_models));
        service.emplace(paths, ServeOptions{options.socket, options.session, options.read_only, keep});
    } catch (const sessions::OpenError& error) {
        write_failure(options.failure, sessions::name_of(error.why()), error.sentence());
        throw;
    } catch (const base::Error& error) {
        write_failure(options.failure, "other", error.sentence());
        throw;
    }
    service->run([&] { return signals.taken(100); });
    return 0;
}

}  // namespace

void add_serve(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ServeCommand>();
    auto* serve = app.add_subcommand("serve", "Run jobs for workbenches");
    auto* where = serve->add_option_group("where");
    where->add_option("--socket", options->socket, "Unix socket to listen on")->check(filled());
    where->add_flag("--stdio", options->stdio, "One workbench over standard input and output (ssh)");
    where->require_option(1);
    serve->add_option("--session", options->session, "Session folder; created when missing")
        ->required()
        ->check(filled());
    serve->add_flag("--read-only", options->read_only,
                    "Show the session and write nothing to it: also one that is in use or may not be written");
    serve->add_option("--failure", options->failure, "File that says, as JSON, why the session could not be opened");
    serve
        ->add_option("--keep-models", options->keep_models,
                     "Seconds that a model stays open after its last answer; less when memory is short")
        ->check(real_number(0.0, 1e6))
        ->envname("MOESCOPE_KEEP_MODELS")
        ->capture_default_str();
    serve->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return serve_command(paths, *options); };
    });
}

}  // namespace moescope::node
