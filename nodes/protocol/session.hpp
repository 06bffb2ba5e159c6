// What the two sides of a connection share: timing, limits and the actions their state machines ask for.
//
// The state machines are pure. Give them frames and the time, and carry out the actions they return, in order. `now` is
// seconds of any clock that never goes back. After a Close action the machine is finished: every later call returns
// nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/hello.hpp"
#include "nodes/protocol/ranges.hpp"
#include "nodes/protocol/rights.hpp"

namespace moescope::protocol {

inline constexpr double kGreetingSeconds = 5;  ///< for the whole greeting
inline constexpr double kPingSeconds = 5;
inline constexpr double kDeadSeconds = 20;  ///< silent for this long: the peer is gone
inline constexpr std::int64_t kInitialCredit = 4 * 1024 * 1024;
inline constexpr std::int64_t kMaximumCredit = 64 * 1024 * 1024;
inline constexpr std::size_t kMaximumRequests = 64;  ///< without an answer, per connection

/// A place in the journal; the same fields as sessions::Position, which this folder does not know.
struct StreamPosition {
    std::uint32_t epoch = 0;
    std::uint64_t sequence = 0;
    auto operator<=>(const StreamPosition&) const = default;
};

/// Send this frame.
struct SendFrame {
    Frame frame;
};
/// Send what was asked for before, then end the connection.
struct Close {
    enum class Why { clean, lost, broken_rule, refused };  ///< clean: a BYE; lost: silence; refused: versions or rights
    Why why = Why::clean;
    base::Sentence reason;
    bool version = false;  ///< refused because the two sides speak no common version
    bool unknown = false;  ///< refused because the node does not know this viewer
};
/// Both sides know each other; limits for bodies rise.
struct Greeted {
    Hello peer;
};

// Of the node's side.
/// A viewer that is not known proves that it was invited: answer with NodeSession::admit() or refuse().
struct ProofReceived {
    Auth auth;
};
struct RequestReceived {
    std::string id, command;
    nlohmann::json parameters;
};
/// A subscription began or got credit: look at NodeSession::next_read().
struct MoreWanted {};
/// Answer with NodeSession::answer_range().
struct PullReceived {
    RangeOrder order;
};
/// All chunks of a PUSH are there; whether they have the hash has not been looked at. Answer as of PullReceived.
struct PushReceived {
    RangeAssembly::Range range;
};

// Of the viewer's side.
struct RecordReceived {
    Frame frame;  ///< type is the record's type, without 0x8000
};
struct ResponseReceived {
    std::string id;
    bool done = false;
    nlohmann::json value;
    base::Sentence error;
    bool unknown = false;  ///< not done: the node stopped while it carried the command out
};
struct GapReceived {
    std::uint8_t channel = 0;
    nlohmann::json gap;  ///< {"from","to","count","reason","reason_id"}
};
struct StateReceived {
    nlohmann::json state;
};
struct RoundTrip {
    double seconds = 0;
};
/// How a range ended that was asked for or sent.
struct RangeReceived {
    RangeOrder order;
    RangeEnd end;
    std::vector<std::byte> bytes;  ///< of a PULL that is whole; they have the order's length, and perhaps not the hash
};

using Action =
    std::variant<SendFrame, Close, Greeted, ProofReceived, RequestReceived, MoreWanted, PullReceived, PushReceived,
                 RecordReceived, ResponseReceived, GapReceived, StateReceived, RoundTrip, RangeReceived>;
using Actions = std::vector<Action>;

/// {"state": "failed", "error", "error_id"}: the answer to a command that could not be carried out.
nlohmann::json failed_answer(const base::Sentence& why);

bool is_command_id(std::string_view id);  ///< 32 lower-case hex digits

/// May records travel on this channel?
inline bool is_data_channel(std::uint8_t channel) {
    return channel >= 1 && channel < kChannels;
}

// Bodies of the small binary frames.
struct SubscribeBody {
    std::uint8_t channel = 0;
    StreamPosition after;
    /// Since version 2.2: the heads of records that are packed serve, but for the newest so many bytes of each run.
    std::optional<std::uint64_t> whole_bytes{};
    bool operator==(const SubscribeBody&) const = default;
};
struct CreditBody {
    std::uint8_t channel = 0;
    std::uint32_t bytes = 0;
};
std::vector<std::byte> encode_subscribe(const SubscribeBody& body);
std::optional<SubscribeBody> decode_subscribe(std::span<const std::byte> body);
std::vector<std::byte> encode_credit(const CreditBody& body);
std::optional<CreditBody> decode_credit(std::span<const std::byte> body);

/// PING every kPingSeconds, dead after kDeadSeconds of silence; both sides do the same.
class Heartbeat {
 public:
    void start(double now) { heard_ = sent_ = now; }
    void heard(double now) { heard_ = now; }
    bool dead(double now) const { return now - heard_ > kDeadSeconds; }
    /// A PING carrying `now`, at once or when one is due.
    Actions ping(double now);
    Actions ping_when_due(double now);
    /// The PONG to a PING, the round trip told by a PONG (nothing when it answers no PING of ours). No value: a PING
    /// that breaks the rules.
    static std::optional<Actions> on_ping_or_pong(Frame frame, double now);

 private:
    double heard_ = 0, sent_ = 0;
};

}  // namespace moescope::protocol
