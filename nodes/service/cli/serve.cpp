// moescope-node serve: jobs for workbenches.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "base/json_guard.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/security/unix_time.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/stdio_bridge.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/transport/unix_socket.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {

namespace {

struct ServeCommand {
    std::string socket, session, failure, listen;
    std::optional<std::uint64_t> disk_reserve;
    bool stdio = false, persist = false, read_only = false;
    double linger = -1;                                                             ///< seconds; below 0: for good
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

/// Throws base::Error where nobody could ever view the node.
transport::ListenAddress listener_of(const Paths& paths, const std::string& listen) {
    const auto address = transport::parse_listen_address(listen);
    if (!security::PairingBook(paths.data / "node").anyone(security::unix_seconds())) {
        throw base::Error(
            base::say("no workbench is paired with this node and none is invited, so that nobody could view it; run "
                      "`moescope-node "
                      "pair --address {}` first, and paste what it prints into the workbench",
                      listen));
    }
    return address;
}

int serve_command(const Paths& paths, const ServeCommand& options) {
    const std::filesystem::path session =
        options.session.empty() ? paths.data / "sessions" / "node" : std::filesystem::path(options.session);
    if (options.persist) {
        return bridge_stdio(paths, session);
    }
    std::optional<transport::ListenAddress> listen;
    if (!options.listen.empty()) {
        listen = listener_of(paths, options.listen);
    }
    HeldSignals signals;
    std::optional<Service> service;
    try {
        if (!options.socket.empty()) {
            transport::prepare_socket_path(options.socket);  // before a session is made that nobody could view
        }
        const auto keep =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(options.keep_models));
        const auto linger =
            options.linger < 0 ? std::nullopt : std::optional(std::chrono::seconds(std::lround(options.linger)));
        service.emplace(paths, ServeOptions{options.socket, listen, linger, session, options.read_only, keep,
                                            options.disk_reserve});
    } catch (const sessions::OpenError& error) {
        write_failure(options.failure, sessions::name_of(error.why()), error.sentence());
        throw;
    } catch (const base::Error& error) {
        write_failure(options.failure, "other", error.sentence());
        throw;
    }
    if (listen) {
        fmt::print("listening at {}:{}\n", listen->host, service->port());
        std::fflush(stdout);
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
    auto* stdio = where->add_flag("--stdio", options->stdio, "One workbench over standard input and output (ssh)");
    where->add_option("--listen", options->listen, "HOST:PORT for paired workbenches of other machines (TLS 1.3)")
        ->check(filled());
    where->require_option(1);
    auto* session =
        serve->add_option("--session", options->session, "Session folder; created when missing")->check(filled());
    auto* persist =
        serve->add_flag("--persist", options->persist,
                        "With --stdio: hand the connection on to a node that serves the session and goes on "
                        "when it ends; one is started when there is none");
    persist->needs(stdio);
    serve->add_option("--linger", options->linger, "Seconds after which a node without work and viewers ends")
        ->check(real_number(0.0, 1e9));
    serve->add_flag("--read-only", options->read_only,
                    "Show the session and write nothing to it: also one that is in use or may not be written");
    serve->add_option("--failure", options->failure, "File that says, as JSON, why the session could not be opened");
    serve
        ->add_option(
            "--disk-reserve", options->disk_reserve,
            "Bytes that stay free on the disk of the session: with less a run is paused after a checkpoint; left "
            "out: as it was set in the window, else two checkpoints and a segment of the journal; 0: nobody watches")
        ->check(whole_number(0, std::numeric_limits<std::int64_t>::max()));
    serve
        ->add_option("--keep-models", options->keep_models,
                     "Seconds that a model stays open after its last answer; less when memory is short")
        ->check(real_number(0.0, 1e6))
        ->envname("MOESCOPE_KEEP_MODELS")
        ->capture_default_str();
    serve->callback([&chosen, options, session] {
        if (session->empty() && !options->persist) {
            throw CLI::RequiredError("--session");
        }
        chosen.command = [options](const Paths& paths) { return serve_command(paths, *options); };
    });
}

}  // namespace moescope::node
