// The workbench's end of the protocol. One I/O thread owns the socket, the child process and the state; the GUI thread
// reads snapshots and sends commands, and never waits.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/client/snapshot.hpp"
#include "nodes/client/ssh_command.hpp"

namespace moescope::client {

/// Seconds of the steady clock, the clock of Link::last_data_time.
double now_seconds();

struct ClientOptions {
    std::filesystem::path node_program;       ///< moescope-node beside the workbench
    std::filesystem::path session;            ///< session folder; created when missing
    std::vector<std::string> node_arguments;  ///< after "serve --socket S --session DIR", for tests
    std::filesystem::path socket;             ///< not empty: view the node that listens here instead of starting one
    /// A node on another machine instead, as transport::parse_node_address() reads it (ssh, tls). Then `session` and
    /// `node_program` are not used.
    std::string node{};
    std::filesystem::path keys{};  ///< tls: folder of our own key and of the list of known nodes
    std::filesystem::path ssh = ssh_program();
    bool follow = true;            ///< read the records of the session; else snapshots have gauges and results alone
    double command_patience = 60;  ///< seconds that a command waits for a lost connection to come back
    /// Steps are read whole, with their counts, as far back as so many bytes of each run reach; before that by their
    /// heads where these are packed. A little more than what is kept of counts.
    std::uint64_t whole_bytes = history::kCountBytes + history::kCountBytes / 4;
};

/// Why that is no address of a node on another machine; empty when it is one.
base::Sentence node_address_problem(const std::string& address);
/// The address as it is shown and remembered: without the secret of an invitation. What is none stays as it is.
std::string shown_node_address(const std::string& address);

class NodeClient {
 public:
    /// Starts the node as a child on a private unix socket (a 0700 folder in $XDG_RUNTIME_DIR or /tmp) and reads the
    /// session's journal from its beginning. `wake` is called from the I/O thread after each new snapshot (at most
    /// every 30 ms).
    NodeClient(ClientOptions options, std::function<void()> wake);
    ~NodeClient();  ///< says BYE, ends the child (SIGTERM, after 3 s SIGKILL) and joins
    NodeClient(const NodeClient&) = delete;
    NodeClient& operator=(const NodeClient&) = delete;

    /// Never blocks for longer than a pointer copy.
    std::shared_ptr<const Snapshot> snapshot() const;
    /// Queues a command (see docs/protocol.md for names and parameters); its result appears in Snapshot::results.
    /// Without a connection it stays pending, says so, and is sent when the node is back; after command_patience it is
    /// given up: failed when it was never sent, unknown when it was. While the node is crashed or refuses us, it fails.
    CommandId send(std::string name, nlohmann::json parameters = nlohmann::json::object());
    /// Starts the child again after Link::State::crashed or unopened; `for_reading`: from now on it writes nothing to
    /// the session.
    void restart_node(bool for_reading = false);
    /// Process id of the child, 0 when there is none (for tests that kill it).
    int node_process() const;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace moescope::client
