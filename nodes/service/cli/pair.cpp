// moescope-node pair: lets a workbench on another machine view nodes of this user.
#include <CLI/CLI.hpp>
#include <array>
#include <ctime>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/security/unix_time.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {

namespace {

struct PairCommand {
    std::string address, role = "operator", forget;
    std::int64_t minutes = security::PairingBook::kInvitationSeconds / 60;
    bool list = false, json = false;
};

/// At which other machines mostly reach this one.
std::string usual_address() {
    const std::string host = host_name();
    return (host.empty() ? "localhost" : host) + ":7443";
}

std::string date_of(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    std::array<char, 32> text{};
    ::gmtime_r(&time, &parts);
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
    return text.data();
}

void list(const security::PairingBook& book, bool as_json) {
    const auto viewers = book.viewers();
    for (const security::PairedViewer& viewer : viewers) {
        if (as_json) {
            print_json({{"name", viewer.name},
                        {"role", protocol::name_of(viewer.right)},
                        {"key", security::to_text(viewer.key)},
                        {"since", viewer.since}});
        } else {
            fmt::print("{:<24} {:<9} {}  {}\n", base::one_line(viewer.name), protocol::name_of(viewer.right),
                       security::to_text(viewer.key).substr(0, 12), date_of(viewer.since));
        }
    }
    if (viewers.empty() && !as_json) {
        fmt::print("no workbench is paired; `moescope-node pair --address HOST:PORT` prints an invitation\n");
    }
}

int pair_command(const Paths& paths, const PairCommand& options) {
    const std::filesystem::path folder = paths.data / "node";
    security::PairingBook book(folder);
    if (options.list) {
        list(book, options.json);
        return 0;
    }
    if (!options.forget.empty()) {
        if (book.forget(options.forget) == 0) {
            throw base::Error(
                base::say("no paired workbench is called '{}', and none has a key that begins so", options.forget));
        }
        return 0;
    }
    const transport::ListenAddress place =
        transport::parse_listen_address(options.address.empty() ? usual_address() : options.address);
    if (place.port == 0) {
        throw base::Error(base::say("an invitation needs the port at which the node listens"));
    }
    const auto identity = security::load_or_make_identity(folder / "identity.pem");
    const auto right = protocol::right_named(options.role).value_or(protocol::Right::viewer);
    const auto secret = book.invite(right, security::unix_seconds(), options.minutes * 60);
    const std::string text = security::to_text(security::Invitation{place.host, place.port, identity.hash, secret});
    if (options.json) {
        print_json({{"invitation", text}, {"role", options.role}, {"minutes", options.minutes}});
        return 0;
    }
    fmt::print("{}\n", text);
    fmt::print(stderr,
               "Paste this line into the workbench's \"Connect to a node\" within {} minutes. It is good once, and "
               "whoever has "
               "it may act as {} here: hand it over as you would a password.\n",
               options.minutes, options.role);
    return 0;
}

}  // namespace

void add_pair(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<PairCommand>();
    auto* pair = app.add_subcommand("pair", "Let a workbench on another machine view nodes here");
    pair->add_option("--address", options->address,
                     "HOST:PORT at which the other machine reaches the node (default: this machine's name and 7443)");
    pair->add_option("--role", options->role, "What it may do: see, start and stop work, or everything")
        ->check(CLI::IsMember({"viewer", "operator", "admin"}))
        ->capture_default_str();
    pair->add_option("--minutes", options->minutes, "How long the invitation is good")
        ->check(whole_number(1, 1440))
        ->capture_default_str();
    auto* list = pair->add_flag("--list", options->list, "Those that are paired");
    pair->add_option("--forget", options->forget, "Take the right of one away: its name, or how its key begins")
        ->check(filled())
        ->excludes(list);
    pair->add_flag("--json", options->json, "JSON on standard output");
    pair->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return pair_command(paths, *options); };
    });
}

}  // namespace moescope::node
