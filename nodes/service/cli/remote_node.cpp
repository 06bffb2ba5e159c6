#include "nodes/service/cli/remote_node.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {

using base::Error;
using base::say;
using client::Link;

namespace {

constexpr double kBetweenWords = 10;  ///< seconds between two lines on what is waited for
constexpr double kLookAtDevices = 5;  ///< seconds that a node that was just started may take for it
constexpr int kLook = 20;             ///< milliseconds between two looks

client::ClientOptions options_for(const Paths& paths, const std::string& address, bool follow, Wait wait) {
    client::ClientOptions options;
    const auto place = transport::parse_node_address(address);
    if (place.kind == transport::NodeAddress::Kind::socket) {
        options.socket = place.path;
    } else {
        options.node = address;
    }
    options.keys = paths.data / "viewer";
    options.follow = follow;
    options.command_patience = wait.value_or(kLostWait);
    return options;
}

}  // namespace

RemoteNode::RemoteNode(const Paths& paths, const std::string& address, Wait wait, Follow follow)
    : address_(transport::to_text(transport::parse_node_address(address))),
      wait_(wait),
      first_wait_(transport::parse_node_address(address).kind == transport::NodeAddress::Kind::socket ? kSocketWait
                                                                                                      : kFirstWait),
      away_since_(client::now_seconds()),
      told_at_(away_since_),
      client_(std::make_unique<client::NodeClient>(options_for(paths, address, follow == Follow::yes, wait), [] {})) {}

/// Throws when the node has been away for too long.
void RemoteNode::wait_for_link(const client::Link& link) {
    const double now = client::now_seconds();
    if (link.state == Link::State::connected) {
        seen_ = true;
        away_since_ = told_at_ = now;
        return;
    }
    const double away = now - away_since_;
    const base::Sentence why = link.message.empty() ? say("no node answers at {}", address_) : link.message;
    if (away > wait_.value_or(seen_ ? kLostWait : first_wait_)) {
        throw seen_
            ? Error(say("the node at {} has not answered for {} seconds ({}); what it had begun may go on there, "
                        "and `--wait SECONDS` waits longer",
                        address_, std::lround(away), why))
            : Error(why);
    }
    if (now - told_at_ > kBetweenWords) {
        told_at_ = now;
        // On a terminal the line before it may be one of progress, which has no end.
        fmt::print(stderr, "{}moescope-node: waiting for {} since {:.0f} seconds: {}\n",
                   isatty(STDERR_FILENO) != 0 ? "\n" : "", address_, away, base::one_line(why.english()));
        std::fflush(stderr);
    }
}

std::shared_ptr<const client::Snapshot> RemoteNode::wait(HeldSignals& signals,
                                                         const std::function<bool(const client::Snapshot&)>& done) {
    while (true) {
        auto now = client_->snapshot();
        if (now->link.state == Link::State::refused || now->link.state == Link::State::crashed ||
            now->link.state == Link::State::unopened) {
            throw Error(now->link.message);
        }
        if (done(*now)) {
            return now;
        }
        wait_for_link(now->link);
        if (signals.taken(kLook)) {
            throw Stopped(signals.first(), say("while it waited for {}", address_));
        }
    }
}

std::shared_ptr<const client::Snapshot> RemoteNode::wait_for(double seconds,
                                                             const std::function<bool(const client::Snapshot&)>& done) {
    const double until = client::now_seconds() + seconds;
    auto now = client_->snapshot();
    while (!done(*now) && client::now_seconds() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(kLook));
        now = client_->snapshot();
    }
    return now;
}

std::shared_ptr<const client::Snapshot> RemoteNode::greeted(HeldSignals& signals) {
    const double since = client::now_seconds();
    return wait(signals, [&](const client::Snapshot& now) {
        const bool devices = !now.node.devices.empty() || client::now_seconds() - since > kLookAtDevices;
        return now.link.state == Link::State::connected && !now.node.version.empty() && !now.catalogue->is_null() &&
               now.link.round_trip_ms > 0 && devices;
    });
}

nlohmann::json RemoteNode::ask(HeldSignals& signals, const std::string& command, const nlohmann::json& parameters) {
    const client::CommandId id = client_->send(command, parameters);
    using State = client::CommandResult::State;
    const auto answered = wait(signals, [&](const client::Snapshot& now) {
        const auto result = now.results.find(id);
        return result != now.results.end() && result->second.state != State::pending;
    });
    const client::CommandResult& result = answered->results.at(id);
    if (result.state != State::done) {
        throw Error(result.error);
    }
    return result.value;
}

base::Sentence with_option(const base::Sentence& said, const char* force) {
    if (said.id() != sessions::kMayBeReplaced || said.arguments().size() != 1) {
        return said;
    }
    return say("{} is there already; choose another name, or say that it shall be replaced ({})",
               said.arguments().front(), force);
}

CLI::Option* add_node_option(CLI::App& command, std::string& node, Wait& wait, const char* what) {
    auto* option =
        command
            .add_option(
                "--node", node,
                fmt::format("{}: ssh://[user@]host[:port], tls://host:port of a paired node, or unix:PATH", what))
            ->check(filled());
    command
        .add_option("--wait", wait,
                    fmt::format("Seconds to wait for a node that does not answer; left out: {:.0f} at the beginning, "
                                "{:.0f} when the connection is lost",
                                kFirstWait, kLostWait))
        ->check(real_number(0.0, 1e9))
        ->needs(option);
    return option;
}

}  // namespace moescope::node
