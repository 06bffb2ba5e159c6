#include "nodes/service/cli/remote_node.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {

using base::Error;
using base::say;
using client::Link;

namespace {

constexpr double kPatience = 30;      ///< seconds for a node to answer the first time
constexpr double kStarting = 5;       ///< seconds for one that can't be reached, which may have been started just now
constexpr double kLookAtDevices = 5;  ///< seconds that a node that was just started may take for it
constexpr int kLook = 20;             ///< milliseconds between two looks

client::ClientOptions options_for(const Paths& paths, const std::string& address, bool follow) {
    client::ClientOptions options;
    const auto place = transport::parse_node_address(address);
    if (place.kind == transport::NodeAddress::Kind::socket) {
        options.socket = place.path;
    } else {
        options.node = address;
    }
    options.keys = paths.data / "viewer";
    options.follow = follow;
    return options;
}

}  // namespace

RemoteNode::RemoteNode(const Paths& paths, const std::string& address, Follow follow)
    : address_(transport::to_text(transport::parse_node_address(address))),
      client_(std::make_unique<client::NodeClient>(options_for(paths, address, follow == Follow::yes), [] {})) {}

std::shared_ptr<const client::Snapshot> RemoteNode::wait(HeldSignals& signals,
                                                         const std::function<bool(const client::Snapshot&)>& done) {
    const double since = client::now_seconds();
    bool seen = false;
    while (true) {
        auto now = client_->snapshot();
        seen = seen || now->link.state == Link::State::connected;
        if (now->link.state == Link::State::refused || now->link.state == Link::State::crashed ||
            now->link.state == Link::State::unopened) {
            throw Error(now->link.message);
        }
        if (done(*now)) {
            return now;
        }
        if (!seen && client::now_seconds() - since > (now->link.message.empty() ? kPatience : kStarting)) {
            throw Error(now->link.message.empty() ? say("no node answers at {}", address_) : now->link.message);
        }
        if (signals.taken(kLook)) {
            throw Stopped(signals.first(), say("while it waited for {}", address_));
        }
    }
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

CLI::Option* add_node_option(CLI::App& command, std::string& node, const char* what) {
    return command
        .add_option("--node", node,
                    fmt::format("{}: ssh://[user@]host[:port], tls://host:port of a paired node, or unix:PATH", what))
        ->check(filled());
}

}  // namespace moescope::node
