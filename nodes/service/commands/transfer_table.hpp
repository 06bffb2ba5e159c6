// What a node has opened for its viewers to fetch or to send: objects by their id.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "nodes/protocol/ranges.hpp"
#include "nodes/transfer/incoming.hpp"
#include "nodes/transfer/outgoing.hpp"
#include "nodes/transport/node_server.hpp"

namespace moescope::node {

/// Thread safe. An object that nobody has used for ten minutes is let go of: who comes later opens it again.
class TransferTable {
 public:
    static constexpr std::size_t kMost = 64;  ///< objects; the one that was not used for the longest time makes room
    static constexpr std::chrono::minutes kKept{10};

    /// One of the two is there. Incoming is used under the lock.
    struct Object {
        std::unique_ptr<const transfer::Outgoing> out;
        std::unique_ptr<transfer::Incoming> in;
        std::shared_ptr<const void> hold;  ///< what has to stay as long as it is sent: a checkpoint, a packed session
        bool packed_session = false;
        std::uint64_t viewer = 0;  ///< who has opened it
        std::mutex mutex;
    };

    protocol::ObjectId add(std::shared_ptr<Object> object);
    /// Throws CommandError: the id is none, or there is no such object any more.
    std::shared_ptr<Object> find(const std::string& id);
    void close(const std::string& id);
    /// A session that was packed before and has this version, to go on with.
    std::optional<protocol::ObjectId> packed_session(const std::string& version);
    /// When something last came from a viewer; nothing when it has gone.
    using Heard = std::function<std::optional<std::chrono::steady_clock::time_point>(std::uint64_t viewer)>;
    /// Lets go of what comes to this place, so that `viewer` can begin it again: waits for a range that is being
    /// written. Throws CommandError while another viewer, which is still there, sends it: to know that one from a
    /// connection that was cut takes a few seconds.
    void close_incoming(const std::filesystem::path& target, std::uint64_t viewer, const Heard& heard);

    /// Reads or writes a range. Does not throw.
    transport::RangeAnswer carry_out(const transport::RangeRequest& request);

 private:
    struct Kept {
        std::shared_ptr<Object> object;
        std::chrono::steady_clock::time_point used;
    };
    std::shared_ptr<Object> find(const protocol::ObjectId& id);  ///< null when there is none
    void let_go_of_old();                                        ///< with the lock held
    /// The viewers, but that one, that have sent something to this place lately.
    std::set<std::uint64_t> senders(const std::filesystem::path& target, std::uint64_t but);

    std::mutex mutex_;
    std::map<protocol::ObjectId, Kept> objects_;
};

}  // namespace moescope::node
