// Files that are fetched from a node or sent to it, as commands of the client itself: "transfer.pull", "transfer.push"
// and "transfer.cancel" go through NodeClient::send() like any other, and are carried out here. Everything runs on the
// client's I/O thread, but for files and hashes, which have a thread of their own. No Asio in this header.
//
//   transfer.pull    {"path" | "model" | "session": true, "to", "replace"}  -> {"path","bytes","files"}
//   transfer.push    {"from", "name" (that of the file), "replace"}         -> {"path" (there), "name", "bytes"}
//   transfer.cancel  {"id" of its task}; what has come stays, to go on with when the same is asked for again
//
// One after the other. A cut connection is waited for, and the ranges that are missing are asked for again; a file that
// has changed meanwhile begins anew.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/executor.hpp"
#include "nodes/client/snapshot.hpp"
#include "nodes/protocol/session.hpp"
#include "nodes/transfer/incoming.hpp"
#include "nodes/transfer/outgoing.hpp"

namespace moescope::client {

bool is_transfer_command(const std::string& name);

class Transfers {
 public:
    /// What the client does for them; all on its I/O thread.
    class Host {
     public:
        using Answered = std::function<void(const protocol::ResponseReceived&)>;
        virtual ~Host() = default;
        /// Sends a command. `then` is not called when the connection ends before the answer.
        virtual void ask_node(const std::string& name, nlohmann::json parameters, Answered then) = 0;
        virtual void pull_range(const protocol::RangeOrder& order) = 0;
        virtual void push_range(protocol::PushBody push, std::vector<std::byte> bytes) = 0;
        virtual void transfer_ended(CommandId id, CommandResult result) = 0;
        virtual void transfers_changed() = 0;
        /// From any thread: carries `work` out on the I/O thread.
        virtual void post(std::function<void()> work) = 0;
    };
    explicit Transfers(Host& host) : host_(host) {}
    /// What is under way stays as it is, to go on with.
    ~Transfers();
    Transfers(const Transfers&) = delete;
    Transfers& operator=(const Transfers&) = delete;

    void command(CommandId id, const std::string& name, const nlohmann::json& parameters);
    /// What the node has written at `path`, as its `answer` to the command `name` says, comes to `to`; `replace`: also
    /// when something is there. Only then that command is done, and its answer says both places ("path" here,
    /// "node_path" there).
    void fetch_output(CommandId id, const std::string& name, const std::string& path, nlohmann::json answer,
                      const std::string& to, bool replace);
    bool possible() const { return can_transfer_; }  ///< with the node that is there
    /// The connection is there. `features`: of the node.
    void greeted(const std::string& features);
    void connection_lost();
    /// The node is gone for good, or another session is there: all fail with that.
    void give_up(const base::Sentence& why);
    void range_received(protocol::RangeReceived range);
    std::vector<Transfer> list() const;  ///< for Snapshot::transfers, in their order

 private:
    struct Active;
    struct Order {
        CommandId id = 0;
        bool push = false;
        std::string name;  ///< of the command
        nlohmann::json parameters;
        nlohmann::json answer;  ///< of the node, to which that of the transfer is added
    };

    void begin_next();
    void open();  ///< asks the node for the first one's object
    void opened_to_pull(const nlohmann::json& answer);
    void opened_to_push(const nlohmann::json& answer);
    void prepare_push();
    struct Progress;
    void step_of_pull(std::function<void(Active&)> work);
    void ask_for_ranges(const Progress& progress);
    void send_ranges();
    void compare();
    void finish_pull();
    void ended_pull();
    void finish_push();
    void ended_push(const nlohmann::json& answer);
    void pulled(const protocol::RangeReceived& range);
    void pushed(const protocol::RangeReceived& range);
    void open_again(const base::Sentence& why);
    void begin_anew();  ///< the bytes were not those of the node's file
    void end(CommandResult::State state, nlohmann::json value, const base::Sentence& error);
    void fail(const base::Sentence& why) { end(CommandResult::State::failed, {}, why); }
    void ask(const char* name, nlohmann::json parameters, void (Transfers::*then)(const nlohmann::json& answer));
    /// Does `work` on the thread of files, then `then` here, unless the transfer or the connection has ended meanwhile;
    /// what it throws fails the transfer.
    void on_files(std::function<void(Active&)> work, std::function<void()> then);
    void measure();

    Host& host_;
    bool connected_ = false, can_transfer_ = false;
    std::deque<Order> waiting_;
    std::shared_ptr<Active> active_;
    std::uint64_t connection_ = 0;  ///< rises with each one
    std::uint32_t numbers_ = 0;     ///< of ranges
    base::Executor files_;          ///< last: its work uses what an Active holds
};

}  // namespace moescope::client
