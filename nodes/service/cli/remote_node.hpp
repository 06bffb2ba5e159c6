// A node elsewhere, for commands: what --node names.
#pragma once

#include <CLI/CLI.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "nodes/client/client.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

class RemoteNode {
 public:
    /// Whether the records of its session are read, or its state alone.
    enum class Follow { no, yes };
    /// Begins to connect. Throws base::Error: the address is none.
    RemoteNode(const Paths& paths, const std::string& address, Follow follow = Follow::yes);

    /// The next snapshot after which `done` holds. Throws base::Error when the node can't be reached or refuses us,
    /// Stopped after a signal.
    std::shared_ptr<const client::Snapshot> wait(HeldSignals& signals,
                                                 const std::function<bool(const client::Snapshot&)>& done);
    /// Waits until the node is there and has told what it is.
    std::shared_ptr<const client::Snapshot> greeted(HeldSignals& signals);
    /// Sends a command and waits for its answer. Throws base::Error with the node's sentence when it failed.
    nlohmann::json ask(HeldSignals& signals, const std::string& command, const nlohmann::json& parameters);
    client::NodeClient& client() { return *client_; }

 private:
    std::string address_;
    std::unique_ptr<client::NodeClient> client_;
};

/// What a node has said, with the option by which this command is told to replace a file that is there.
base::Sentence with_option(const base::Sentence& said, const char* force);
/// The option --node of a command. `what` it means there, before the kinds of addresses.
CLI::Option* add_node_option(CLI::App& command, std::string& node, const char* what = "Do it on another machine");

}  // namespace moescope::node
