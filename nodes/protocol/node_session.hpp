// The node's side of one connection, as a pure state machine: greeting, subscriptions with credits, requests,
// heartbeat.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>

#include "nodes/protocol/session.hpp"

namespace moescope::protocol {

class NodeSession {
 public:
    /// Is the viewer known by the way it came (a socket of the same user, a paired key), or must it prove that it was
    /// invited before anything else of it is read?
    enum class Admission { known, by_proof };
    /// `last` is where the journal ends now; a subscription beyond it (and what was sent since) is answered with a GAP.
    NodeSession(Hello ours, StreamPosition last, Admission admission = Admission::known)
        : ours_(std::move(ours)), last_(last), admission_(admission) {}

    Actions start(double now);  ///< our HELLO
    Actions on_frame(Frame frame, double now);
    Actions on_time(double now);  ///< call at least once a second
    /// While nothing is read from the viewer, because too much waits for it: it took some of that, so it is there.
    void on_taken(double now) { heartbeat_.heard(now); }
    Actions respond(const std::string& id,
                    const nlohmann::json& answer);  ///< {"state","value","error"}; dropped when the id is not pending
    Actions bye(const Sentence& reason);
    Actions refuse(RefuseCode code, const Sentence& text);
    Actions admit();  ///< after ProofReceived
    /// The one text for all viewers that are turned away: it does not tell them why.
    static Sentence not_known();
    /// Limit for the FrameReader, after each frame.
    std::size_t body_limit() const { return greeted_ ? kControlBodyLimit : kGreetingBodyLimit; }
    bool greeted() const { return greeted_ && !closed_; }
    bool closed() const { return closed_; }

    // Sending from the journal: ask next_read(), read that channel after `after`, give the frames to on_records().
    struct Read {
        std::uint8_t channel = 0;
        StreamPosition after;
        std::size_t max_bytes = 0;
        std::optional<std::uint64_t> whole_bytes{};  ///< packed heads serve, see SubscribeBody
    };
    /// The channel whose turn it is: events before all others, these one after the other, so that none of them waits
    /// for another to end. Nothing when all have caught up or have no credit.
    std::optional<Read> next_read() const;
    /// Records of that channel in order (types without 0x8000). None: the channel has caught up until
    /// on_journal_grew(). What goes beyond the credit is not sent and will be asked for again.
    Actions on_records(std::uint8_t channel, std::vector<Frame> records);
    /// What the journal has lost of that channel, in order; told once, as a GAP each. Before the records that follow.
    struct Missing {
        StreamPosition after, until;  ///< the missing ones: those between, with the last
        std::uint64_t count = 0;
    };
    Actions on_missing(std::uint8_t channel, const std::vector<Missing>& missing);
    void on_journal_grew();
    std::int64_t credit(std::uint8_t channel) const;  ///< 0 when not subscribed

    /// After PullReceived or PushReceived; dropped when that range is not under way. `bytes`: of a PULL that is whole.
    Actions answer_range(const RangeEnd& end, std::vector<std::byte> bytes = {});
    /// Pieces of files that wait to be sent: behind everything else, or one between two reads of the journal.
    bool has_pieces() const { return greeted() && !sender_.empty(); }
    Frame next_piece() { return sender_.next(); }

 private:
    struct Subscription {
        bool active = false, caught_up = false;
        StreamPosition after;
        std::int64_t credit = 0;
        StreamPosition told;  ///< up to here the viewer knows what is missing
        std::optional<std::uint64_t> whole_bytes{};
    };
    Actions close(Close::Why why, const Sentence& reason);
    Actions on_hello(const Frame& frame);
    Actions on_auth(const Frame& frame);
    Actions on_request(const Frame& frame);
    Actions on_subscribe(const Frame& frame);
    Actions on_unsubscribe(const Frame& frame);
    Actions on_credit(const Frame& frame);
    Actions on_pull(const Frame& frame);
    Actions on_push(const Frame& frame);
    Actions on_chunk(const Frame& frame);
    bool may_begin(std::uint32_t number) const;

    Hello ours_;
    StreamPosition last_;
    Admission admission_;
    Hello theirs_;
    enum class Proof { none, awaited, looked_at };
    Proof proof_ = Proof::none;
    bool greeted_ = false, closed_ = false;
    double started_ = 0;
    Heartbeat heartbeat_;
    std::array<Subscription, kChannels> subscriptions_;
    std::size_t turn_ = 0;  ///< of the channels other than events
    std::set<std::string> pending_;
    std::map<std::uint32_t, RangeOrder> ranges_;  ///< without an answer, by number
    RangeAssembly assembly_;                      ///< of those that are pushed
    RangeSender sender_;
};

}  // namespace moescope::protocol
