// What the window knows of a node, as plain immutable values. The client's I/O thread builds a new Snapshot from the
// records it reads and publishes it; the GUI thread takes one per frame and draws from nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/history/experiments.hpp"
#include "nodes/history/imported_run.hpp"
#include "nodes/history/notes.hpp"
#include "nodes/history/routing.hpp"
#include "nodes/history/runs.hpp"
#include "nodes/protocol/gauges.hpp"

namespace moescope::client {

using CommandId = std::uint64_t;  ///< client-side handle; the wire carries a random 128-bit id

struct CommandResult {
    /// pending: under way, or waiting for the connection to come back; unknown: sent, but the node or the connection
    /// was gone for good before an answer came, so it may have been carried out. Only pending ever changes.
    enum class State { pending, done, failed, unknown };
    State state = State::pending;
    std::string name;      ///< "train.start"
    nlohmann::json value;  ///< of a done command
    base::Sentence error;  ///< one sentence: why it failed, is unknown, or what a pending command still waits for
};

/// The link to the node.
struct Link {
    enum class State {
        starting,  ///< the node's process is being started or the greeting is under way
        connected,
        lost,      ///< was connected; trying again
        crashed,   ///< the node's process ended by itself; `message` says how. restart_node() goes on.
        refused,   ///< the node speaks another version, or does not accept us
        unopened,  ///< the node could not open the session and ended; `message` says why, `obstacle` what may help
    };
    /// Of a session that could not be opened: in use, or not writable: it can be opened for reading. Of a node that was
    /// to be reached over ssh: it is not there, or of a version that does not fit (node_copy.hpp helps).
    enum class Obstacle { none, in_use, not_writable, no_session, newer, other, no_program, other_version, not_paired };
    State state = State::starting;
    Obstacle obstacle = Obstacle::none;  ///< while `unopened` or `refused`
    base::Sentence message;              ///< for a person, empty while all is well
    std::string address;                 ///< of a node on another machine; empty: it is here
    double last_data_time = 0;  ///< seconds of steady clock (client::now_seconds()) at which the last frame came
    double round_trip_ms = 0;
    double bytes_per_second = 0;       ///< from the node
    double sent_bytes_per_second = 0;  ///< to it
    std::uint64_t records = 0;         ///< records read since start
    std::uint64_t epoch = 0;
    /// As the node greeted us; 0 and empty until it has.
    std::uint16_t protocol_major = 0, protocol_minor = 0;
    std::string build;     ///< its version
    std::string features;  ///< what it can do: "train,generate"
};

using protocol::ModelEntry;
using protocol::Task;

/// Files that come from the node or go to it, see transfers.hpp.
struct Transfer {
    enum class Phase {
        waiting,  ///< for its turn, or for the connection
        opening,  ///< the node looks for it, or packs it
        moving,
        checking,  ///< all bytes are there; the whole is compared
    };
    CommandId command = 0;
    std::string task;  ///< id of its Task
    bool push = false;
    std::string name, place;  ///< there; and here
    Phase phase = Phase::waiting;
    std::uint64_t done = 0, bytes = 0;  ///< verified; of all, 0 while that is not known
    double bytes_per_second = 0;
};

struct NodeInfo {
    std::string name, version, address, session, cpu;
    base::Sentence state;  ///< "up", or why nothing can be stored
    int cores = 0;
    std::uint64_t memory_total = 0, memory_used = 0;  ///< bytes; used is the node's resident set
    std::vector<protocol::DeviceEntry> devices;       ///< empty: an older node, which trains on its processor alone
    /// What computes models of our own engine, "cuda:0"; empty: where each was trained, as far as that is there.
    /// Nothing: an older node, which always takes the processor.
    std::optional<std::string> models_device;
    std::vector<protocol::DeviceUse> device_use;  ///< empty: an older node, or a system that does not tell
    std::uint64_t journal_bytes = 0;
    std::int64_t process = 0;  ///< process id, local nodes only
    bool read_only = false;    ///< the session is open for reading; commands that would write to it are refused
    std::uint64_t lost_records = 0;
    std::vector<base::Sentence> problems;            ///< what is damaged or lost in the session
    std::vector<protocol::ProcessMemory> processes;  ///< of the node and its models; empty while it does not tell
};

struct Snapshot {
    std::uint64_t version = 0;  ///< rises with every change
    /// Names the reading of one journal that everything here comes from; never 0. Another one for each client, and
    /// whenever the node at the other end turns out to have another journal. The same run number under another name is
    /// another run.
    std::uint64_t session = 0;
    Link link;
    NodeInfo node;
    std::uint64_t window_memory = 0;  ///< bytes of this program, see base::process_memory()
    std::vector<ModelEntry> models;
    std::vector<Task> tasks;  ///< of the node, and the transfers
    std::vector<Transfer> transfers;
    std::map<std::uint32_t, std::shared_ptr<const history::TrainingRun>> training;
    std::map<std::uint32_t, std::shared_ptr<const history::Generation>> generations;
    std::map<std::uint32_t, std::shared_ptr<const history::ProbeRun>> probes;
    std::map<std::uint32_t, std::shared_ptr<const history::RouteRun>> routes;
    std::map<std::uint32_t, std::shared_ptr<const history::ImportedRun>> imports;
    /// Of every run that was watched: answers and runs of `routes` alike.
    std::map<std::uint32_t, std::shared_ptr<const history::RunRouting>> routing;
    /// Named sets of changes to routers: name -> items (routing::interventions_from_json). Never a null pointer.
    std::shared_ptr<const std::map<std::string, nlohmann::json>> intervention_sets =
        std::make_shared<const std::map<std::string, nlohmann::json>>();
    /// By number. Never a null pointer.
    std::shared_ptr<const std::map<std::uint32_t, history::Note>> notes =
        std::make_shared<const std::map<std::uint32_t, history::Note>>();
    std::map<std::uint32_t, std::shared_ptr<const history::Experiment>> experiments;  ///< by number
    history::SharedList<history::LogLine> log;                                        ///< the latest 10,000 lines
    std::map<CommandId, CommandResult> results;                                       ///< the latest 256
    /// What the node offers: presets, probe sets and prompts (names and contents). Never a null pointer; null JSON
    /// until the greeting is done.
    std::shared_ptr<const nlohmann::json> catalogue = std::make_shared<const nlohmann::json>();
};

}  // namespace moescope::client
