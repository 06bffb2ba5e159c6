// moescope-node install: puts this version onto another machine, as the window offers it.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <future>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "nodes/client/node_copy.hpp"
#include "nodes/client/ssh_command.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"

namespace moescope::node {

namespace {

struct InstallOptions {
    std::string node, archive;
    bool json = false;
};

client::NodeBundle bundle_of(const InstallOptions& options) {
    if (!options.archive.empty()) {
        client::NodeBundle bundle;
        bundle.archive = options.archive;
        return bundle;
    }
    if (const auto found = client::bundle_at_hand()) {
        return *found;
    }
    throw base::Error(
        base::say("there is nothing to copy: make an archive with `./run --bundle` and name it with --archive"));
}

int install_command(const InstallOptions& options) {
    const client::NodeBundle bundle = bundle_of(options);
    HeldSignals signals;
    client::CopyProgress progress;
    // On a thread of its own, which stays until ssh has ended.
    auto copied =
        std::async(std::launch::async, [&] { copy_node(options.node, bundle, client::ssh_program(), progress); });
    std::uint64_t shown = 0;
    std::optional<ProgressLine> line(std::in_place);
    while (copied.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
        if (signals.taken(100)) {
            progress.stop = true;
        }
        if (const std::uint64_t sent = progress.sent; sent != shown) {
            shown = sent;
            line->show_bytes(sent, progress.total);
        }
    }
    line.reset();
    try {
        copied.get();
    } catch (const base::Error& problem) {
        if (signals.first() != 0) {
            throw Stopped(signals.first(), base::say("before it was done; nothing was written"));
        }
        throw;
    }
    if (options.json) {
        print_json({{"node", options.node}, {"version", MOESCOPE_VERSION}, {"bytes", progress.total.load()}});
    } else {
        fmt::print("moescope-node {} is at {} now, in ~/.local/share/moescope/{}\n", MOESCOPE_VERSION, options.node,
                   MOESCOPE_VERSION);
    }
    return 0;
}

}  // namespace

void add_install(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<InstallOptions>();
    auto* install = app.add_subcommand(
        "install", "Put this version, with all libraries, onto another machine: into ~/.local/share/moescope there");
    install->add_option("--node", options->node, "ssh://[user@]host[:port]")->required()->check(filled());
    install
        ->add_option("--archive", options->archive,
                     "What `./run --bundle` made, as .tar.gz; without it the bundle that this program is part of, or "
                     "the one in out/")
        ->check(filled());
    install->add_flag("--json", options->json, "JSON on standard output");
    install->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return install_command(*options); }; });
}

}  // namespace moescope::node
