// A node elsewhere, for commands: what --node names.
#pragma once

#include <CLI/CLI.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "nodes/client/client.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// Seconds for which a command goes on without its node, as --wait has it. Left out: kFirstWait until the node has
/// answered once, kLostWait when the connection is lost later.
using Wait = std::optional<double>;
inline constexpr double kFirstWait = 30, kLostWait = 300;
inline constexpr double kSocketWait = 5;  ///< as kFirstWait, for a socket of this machine

class RemoteNode {
 public:
    /// Whether the records of its session are read, or its state alone.
    enum class Follow { no, yes };
    /// Begins to connect. Throws base::Error: the address is none.
    RemoteNode(const Paths& paths, const std::string& address, Wait wait, Follow follow = Follow::yes);

    /// The next snapshot after which `done` holds. Without a connection it says every 10 seconds on standard error what
    /// it waits for. Throws base::Error when the node can't be reached for as long as --wait allows, or refuses us;
    /// Stopped after a signal.
    std::shared_ptr<const client::Snapshot> wait(HeldSignals& signals,
                                                 const std::function<bool(const client::Snapshot&)>& done);
    /// Waits until the node is there and has told what it is.
    std::shared_ptr<const client::Snapshot> greeted(HeldSignals& signals);
    /// Sends a command and waits for its answer. Throws base::Error with the node's sentence when it failed.
    nlohmann::json ask(HeldSignals& signals, const std::string& command, const nlohmann::json& parameters);
    /// The snapshot after which `done` holds, or the newest after so many seconds. No signal ends it.
    std::shared_ptr<const client::Snapshot> wait_for(double seconds,
                                                     const std::function<bool(const client::Snapshot&)>& done);
    client::NodeClient& client() { return *client_; }
    /// As it may be shown: without the secret of an invitation.
    const std::string& address() const { return address_; }

 private:
    void wait_for_link(const client::Link& link);

    std::string address_;
    Wait wait_;
    const double first_wait_;              ///< seconds, without --wait
    bool seen_ = false;                    ///< it has answered once
    double away_since_ = 0, told_at_ = 0;  ///< of client::now_seconds()
    std::unique_ptr<client::NodeClient> client_;
};

/// What a node has said, with the option by which this command is told to replace a file that is there.
base::Sentence with_option(const base::Sentence& said, const char* force);
/// The options --node and --wait of a command. `what` the former means there, before the kinds of addresses.
CLI::Option* add_node_option(CLI::App& command, std::string& node, Wait& wait,
                             const char* what = "Do it on another machine");

}  // namespace moescope::node
