// The node's end of the wire: listens for viewers, reads records from the journal for them, and hands their commands
// on. One I/O thread of its own; every public function may be called from any thread. No Asio in this header.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nodes/protocol/ranges.hpp"
#include "nodes/protocol/rights.hpp"
#include "nodes/security/identity.hpp"
#include "nodes/transport/node_address.hpp"
#include "sessions/journal.hpp"

namespace moescope::transport {

/// Viewers of other machines: TLS 1.3, and only those that were paired or are invited.
struct TlsListener {
    ListenAddress address;
    security::Identity identity;
    std::filesystem::path pairing;   ///< folder of the security::PairingBook
    std::size_t max_handshakes = 8;  ///< connections that are no TLS yet; more are hung up on
};

struct NodeServerOptions {
    /// Unix socket to listen on; its folder is created with mode 0700 and refused when others may enter it. Empty, and
    /// no listener: speak over stdin and stdout with exactly one viewer (then nothing else may print to stdout).
    std::filesystem::path socket;
    std::optional<TlsListener> listener{};
    /// Called on the I/O thread with what an administrator should know: who was paired, who was turned away.
    std::function<void(bool warning, const base::Sentence&)> log{};
    std::array<std::uint8_t, 16> node_id{};  ///< all zero: a random one
    std::string build = MOESCOPE_VERSION;    ///< program version, shown to people
    std::string features;                    ///< comma separated
    std::size_t max_viewers = 16;            ///< greeted ones
    /// Connections that have not greeted yet; one more takes the place of the oldest.
    std::size_t max_greetings = 32;
    /// While more bytes of answers than this wait for a viewer, nothing is read from it. What it has asked for already
    /// still comes, at most protocol::kMaximumRequests answers.
    std::size_t unsent_bytes = std::size_t{1} << 20;
};

/// Who sends a command.
struct Asker {
    std::uint64_t viewer = 0;  ///< no two connections have the same one, and none has 0
    protocol::Right right = protocol::Right::admin;
    bool remote = false;  ///< over a network: what it names must lie inside the session
};

/// A range of a file that a viewer asks for, or has sent.
struct RangeRequest {
    protocol::RangeOrder order;
    bool pushed = false;
    std::string sha256;            ///< of a pushed one: what its bytes should have, which nobody has looked at yet
    std::vector<std::byte> bytes;  ///< of a pushed one: as many as the order says
};
struct RangeAnswer {
    protocol::RangeEnd end;        ///< its number is filled in here
    std::vector<std::byte> bytes;  ///< of one that was asked for and is whole
};

/// What the node does with commands. Its functions are called on the server's I/O thread and must return at once.
class RequestHandler {
 public:
    virtual ~RequestHandler() = default;

    /// One command of that viewer, not yet known under this id among the commands that still run; the same id again
    /// while it runs is answered together with the first. A finished one that is sent again after a reconnect does
    /// arrive here: look it up in Session::finished_command first. `id` is 32 lower-case hex digits, `parameters` an
    /// object (at most 64 KiB, 16 levels; its values are unchecked).
    ///
    /// Call `reply` exactly once (but see on_abandoned), from any thread, now or later, also after the server is gone
    /// (then nothing happens), with
    /// {"state": "done", "value": {...}} or {"state": "failed", "error": "one sentence"}; the id is added here.
    virtual void on_request(const Asker& asker, std::string id, std::string command, nlohmann::json parameters,
                            std::function<void(nlohmann::json)> reply) = 0;

    /// A range, of an object that a command has opened. `reply` as of on_request().
    virtual void on_range(const Asker& asker, RangeRequest request, std::function<void(RangeAnswer)> reply) {
        (void)asker, (void)request;
        reply({{0, protocol::RangeEnd::State::failed, {}, base::say("this node sends and takes no files")}, {}});
    }

    /// Nobody waits for the answers to these commands any more: their viewers have gone. Gives those that were not
    /// begun and now will not be; their `reply` is never called. One of them that comes again is a new command.
    virtual std::vector<std::string> on_abandoned(const std::vector<std::string>& ids) {
        (void)ids;
        return {};
    }

    /// The number of greeted viewers changed. With stdio, 0 means that the only viewer is gone for good.
    virtual void on_viewers(std::size_t count) { (void)count; }
};

class NodeServer {
 public:
    /// Starts listening (and, for stdio, greeting) at once. Throws std::runtime_error naming the path. The journal and
    /// the handler must outlive the server. Sets journal.on_append to wake its viewers; take nothing else from there.
    NodeServer(NodeServerOptions options, sessions::Journal& journal, RequestHandler& handler);
    /// Says BYE to every viewer (at most 1 s of waiting for slow ones), joins the thread and removes the socket file.
    ~NodeServer();
    NodeServer(const NodeServer&) = delete;
    NodeServer& operator=(const NodeServer&) = delete;

    /// Latest-wins gauges: an object with any subset of the keys "node", "models", "tasks", "runs". A key's value
    /// replaces the earlier value of this key. Every viewer gets the keys that changed since it was last sent one; a
    /// new viewer gets all. False when it is no object, or a key's value is over 1 MiB as text and left out.
    bool publish_state(nlohmann::json state);
    std::size_t viewers() const;  ///< greeted ones
    /// When anything last came from that viewer, by std::chrono::steady_clock; nothing when it has gone. A viewer that
    /// is there sends something every 5 s.
    std::optional<std::chrono::steady_clock::time_point> heard(std::uint64_t viewer) const;
    std::uint16_t port() const;  ///< of the TLS listener, 0 without one

 private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace moescope::transport
