// The viewer's side of one connection, as a pure state machine. It checks that records come in order and within the
// credit that was given.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "nodes/protocol/session.hpp"

namespace moescope::protocol {

class ViewerSession {
 public:
    /// `auth`: for a node that does not know this viewer yet.
    explicit ViewerSession(Hello ours, std::optional<Auth> auth = {})
        : ours_(std::move(ours)), auth_(std::move(auth)) {}

    Actions start(double now);  ///< our HELLO
    Actions on_frame(Frame frame, double now);
    Actions on_time(double now);  ///< call at least once a second
    /// After Greeted: this channel's records after that position, then live. `whole_bytes`: packed heads serve for all
    /// but the newest ones (SubscribeBody); a node of an older version sends every record whole all the same.
    Actions subscribe(std::uint8_t channel, StreamPosition after, std::optional<std::uint64_t> whole_bytes = {});
    Actions unsubscribe(std::uint8_t channel);
    Actions request(const std::string& id, const std::string& command, const nlohmann::json& parameters);
    /// Ask for a range of a file, or send one. The caller has at most kMaximumRanges under way, with a number each; how
    /// they end comes as RangeReceived, unless the connection does first.
    Actions pull(const RangeOrder& order);
    Actions push(PushBody push, std::vector<std::byte> bytes);
    /// Pieces of files that wait to be sent, behind everything else.
    bool has_pieces() const { return ready() && !sender_.empty(); }
    Frame next_piece() { return sender_.next(); }
    Actions bye(const Sentence& reason);
    std::size_t body_limit() const { return phase_ == Phase::ready ? kDataBodyLimit : kGreetingBodyLimit; }
    bool ready() const { return phase_ == Phase::ready; }
    bool closed() const { return phase_ == Phase::closed; }

 private:
    enum class Phase { new_, hello_sent, hello_received, ready, closed };
    struct Subscription {
        bool active = false;
        StreamPosition last;
        std::int64_t credit = 0;    ///< what the node may still send
        std::int64_t consumed = 0;  ///< not given back yet
    };
    Actions close(Close::Why why, const Sentence& reason);
    Actions on_greeting(const Frame& frame, double now);
    Actions on_data(Frame frame);
    Actions on_response(const Frame& frame);
    Actions on_chunk(const Frame& frame);
    Actions on_range(const Frame& frame);

    Hello ours_, theirs_;
    std::optional<Auth> auth_;
    Phase phase_ = Phase::new_;
    double started_ = 0;
    Heartbeat heartbeat_;
    std::array<Subscription, kChannels> subscriptions_;
    RangeAssembly assembly_;                      ///< of those that are asked for
    std::map<std::uint32_t, RangeOrder> pushed_;  ///< without an answer, by number
    RangeSender sender_;
};

}  // namespace moescope::protocol
