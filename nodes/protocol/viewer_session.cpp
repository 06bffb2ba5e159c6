#include "nodes/protocol/viewer_session.hpp"

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"

namespace moescope::protocol {

namespace {

// Credit goes back in pieces of this size: few frames, and the node never runs dry.
constexpr std::int64_t kCreditPiece = kInitialCredit / 4;

/// REFUSE and BYE carry a text alone. Those of ours mostly have no values, and then the text is the id.
Sentence spoken(std::string text) {
    const bool plain = text.find_first_of("{}") == std::string::npos;
    return plain ? Sentence(std::move(text), {}) : Sentence::verbatim(std::move(text));
}

}  // namespace

Actions ViewerSession::close(Close::Why why, const Sentence& reason) {
    if (phase_ == Phase::closed) {
        return {};
    }
    const bool say_bye = why != Close::Why::lost && phase_ != Phase::new_;
    phase_ = Phase::closed;
    Actions actions;
    if (say_bye) {
        actions.push_back(SendFrame{make_frame(FrameType::bye, bytes_of(reason.english()))});
    }
    actions.push_back(Close{why, reason});
    return actions;
}

Actions ViewerSession::start(double now) {
    phase_ = Phase::hello_sent;
    started_ = now;
    heartbeat_.start(now);
    return {SendFrame{make_frame(FrameType::hello, encode_hello(ours_))}};
}

Actions ViewerSession::bye(const Sentence& reason) {
    return close(Close::Why::clean, reason);
}

Actions ViewerSession::on_frame(Frame frame, double now) {
    if (phase_ == Phase::closed || phase_ == Phase::new_) {
        return {};
    }
    heartbeat_.heard(now);
    if (phase_ != Phase::ready) {
        return on_greeting(frame, now);
    }
    if (is_data(frame)) {
        return on_data(std::move(frame));
    }
    switch (static_cast<FrameType>(frame.type)) {
        case FrameType::response:
            return on_response(frame);
        case FrameType::state: {
            auto state = base::parse_object(frame.body, kDataBodyLimit);
            if (!state) {
                return close(Close::Why::broken_rule, say("the node sent a state that is no JSON object"));
            }
            return {StateReceived{std::move(*state)}};
        }
        case FrameType::gap: {
            auto gap = base::parse_object(frame.body, kDataBodyLimit);
            if (!gap || !is_data_channel(frame.channel)) {
                return close(Close::Why::broken_rule, say("the node sent a gap that can't be read"));
            }
            return {GapReceived{frame.channel, std::move(*gap)}};
        }
        case FrameType::chunk:
            return on_chunk(frame);
        case FrameType::range:
            return on_range(frame);
        case FrameType::ping:
        case FrameType::pong:
            if (auto actions = Heartbeat::on_ping_or_pong(std::move(frame), now)) {
                return std::move(*actions);
            }
            return close(Close::Why::broken_rule, say("a PING must carry 8 bytes"));
        case FrameType::bye:
            phase_ = Phase::closed;
            return {Close{Close::Why::clean, say("the node said goodbye: {}", spoken(body_text(frame.body)))}};
        default:
            if (frame.flags & kFlagSkippable) {
                return {};
            }
            return close(
                Close::Why::broken_rule,
                say("the node sent a frame of the unknown type {}; it may be newer than this program", frame.type));
    }
}

Actions ViewerSession::on_greeting(const Frame& frame, double now) {
    const auto type = static_cast<FrameType>(frame.type);
    if (type == FrameType::refuse) {
        const auto refuse = decode_refuse(frame.body);
        phase_ = Phase::closed;
        return {Close{Close::Why::refused, refuse ? spoken(refuse->text) : say("the node refused the connection"),
                      refuse && refuse->code == RefuseCode::version,
                      refuse && refuse->code == RefuseCode::not_allowed}};
    }
    if (type == FrameType::bye) {
        phase_ = Phase::closed;
        return {Close{Close::Why::clean, say("the node said goodbye: {}", spoken(body_text(frame.body)))}};
    }
    if (phase_ == Phase::hello_sent && type == FrameType::hello) {
        const auto hello = decode_hello(frame.body);
        if (!hello || hello->role != Role::node) {
            return close(Close::Why::refused, say("the other side is not a Moescope node"));
        }
        if (!compatible(ours_, *hello)) {
            const Sentence text = version_problem(ours_, *hello);
            phase_ = Phase::closed;
            return {SendFrame{make_frame(FrameType::refuse, encode_refuse({RefuseCode::version, ours_.major,
                                                                           ours_.minor, text.english()}))},
                    Close{Close::Why::refused, text, true}};
        }
        theirs_ = *hello;
        phase_ = Phase::hello_received;
        if (auth_) {
            return {SendFrame{make_frame(FrameType::auth, encode_auth(*auth_))}};
        }
        return {};
    }
    if (phase_ == Phase::hello_received && type == FrameType::auth_ok) {
        phase_ = Phase::ready;
        // The first round trip is wanted at once, not after five seconds.
        Actions actions{Greeted{theirs_}};
        for (Action& action : heartbeat_.ping(now)) {
            actions.push_back(std::move(action));
        }
        return actions;
    }
    return close(Close::Why::broken_rule, say("the node broke the order of the greeting"));
}

Actions ViewerSession::on_data(Frame frame) {
    const std::uint8_t channel = frame.channel;
    if (!is_data_channel(channel)) {
        return close(Close::Why::broken_rule, say("the node sent a record on a channel that carries none"));
    }
    Subscription& subscription = subscriptions_[channel];
    if (!subscription.active) {
        return {};  // crossed with our UNSUB
    }
    const StreamPosition position{frame.epoch, frame.sequence};
    if (position <= subscription.last) {
        return close(Close::Why::broken_rule, say("the node sent records out of order"));
    }
    if (subscription.credit <= 0) {
        return close(Close::Why::broken_rule, say("the node sent more than it had credit for"));
    }
    subscription.last = position;
    const auto bytes = static_cast<std::int64_t>(frame_bytes(frame));
    subscription.credit -= bytes;
    subscription.consumed += bytes;
    frame.type &= static_cast<std::uint16_t>(~kDataTypeBase);
    Actions actions{RecordReceived{std::move(frame)}};
    if (subscription.consumed >= kCreditPiece) {
        const auto back = static_cast<std::uint32_t>(subscription.consumed);
        subscription.credit += subscription.consumed;
        subscription.consumed = 0;
        actions.push_back(SendFrame{make_frame(FrameType::credit, encode_credit({channel, back}))});
    }
    return actions;
}

Actions ViewerSession::on_response(const Frame& frame) {
    auto body = base::parse_object(frame.body, kDataBodyLimit);
    if (!body || !body->contains("id") || !(*body)["id"].is_string()) {
        return close(Close::Why::broken_rule, say("the node sent an answer that can't be read"));
    }
    ResponseReceived response;
    response.id = (*body)["id"].get<std::string>();
    const nlohmann::json state = body->value("state", nlohmann::json());
    response.done = state == "done";
    response.unknown = state == "unknown";
    if (body->contains("value")) {
        response.value = std::move((*body)["value"]);
    }
    response.error = base::sentence_in(*body, "error");
    if (!response.done && response.error.empty()) {
        response.error = say("the node did not say why the command failed");
    }
    return {std::move(response)};
}

Actions ViewerSession::on_chunk(const Frame& frame) {
    const auto chunk = decode_chunk(frame.body);
    if (!chunk || !assembly_.add(*chunk)) {
        return close(Close::Why::broken_rule, say("the node sent a piece of a file that is not the next one"));
    }
    return {};
}

Actions ViewerSession::on_range(const Frame& frame) {
    auto end = decode_range_end(frame.body);
    if (!end) {
        return close(Close::Why::broken_rule, say("the node ended a range of a file in a way that can't be read"));
    }
    if (const auto pushed = pushed_.find(end->number); pushed != pushed_.end()) {
        const RangeOrder order = pushed->second;
        pushed_.erase(pushed);
        return {RangeReceived{order, std::move(*end), {}}};
    }
    const bool whole = assembly_.whole(end->number);
    auto range = assembly_.take(end->number);
    if (!range || (end->state == RangeEnd::State::whole && !whole)) {
        return close(Close::Why::broken_rule, say("the node ended a range of a file that is not under way"));
    }
    if (end->state != RangeEnd::State::whole) {
        range->bytes.clear();
    }
    return {RangeReceived{range->order, std::move(*end), std::move(range->bytes)}};
}

Actions ViewerSession::pull(const RangeOrder& order) {
    if (!ready() || !assembly_.begin(order)) {
        return {};
    }
    return {SendFrame{make_frame(FrameType::pull, encode_range_order(order))}};
}

Actions ViewerSession::push(PushBody push, std::vector<std::byte> bytes) {
    if (!ready() || bytes.size() != push.order.length) {
        return {};
    }
    pushed_.emplace(push.order.number, push.order);
    sender_.add(push.order, std::move(bytes), make_frame(FrameType::push, encode_push(push)), std::nullopt);
    return {MoreWanted{}};
}

Actions ViewerSession::on_time(double now) {
    if (phase_ == Phase::closed || phase_ == Phase::new_) {
        return {};
    }
    if (phase_ != Phase::ready) {
        if (now - started_ > kGreetingSeconds) {
            return close(Close::Why::lost, say("the node did not answer the greeting within 5 seconds"));
        }
        return {};
    }
    if (heartbeat_.dead(now)) {
        return close(Close::Why::lost, say("nothing was heard from the node for 20 seconds"));
    }
    return heartbeat_.ping_when_due(now);
}

Actions ViewerSession::subscribe(std::uint8_t channel, StreamPosition after, std::optional<std::uint64_t> whole_bytes) {
    if (!ready() || !is_data_channel(channel)) {
        return {};
    }
    subscriptions_[channel] = {true, after, kInitialCredit, 0};
    if (theirs_.major == 2 && theirs_.minor < 2) {
        whole_bytes.reset();
    }
    return {SendFrame{make_frame(FrameType::subscribe, encode_subscribe({channel, after, whole_bytes}))}};
}

Actions ViewerSession::unsubscribe(std::uint8_t channel) {
    if (!ready() || !is_data_channel(channel)) {
        return {};
    }
    subscriptions_[channel] = {};
    return {SendFrame{make_frame(FrameType::unsubscribe, {std::byte{channel}})}};
}

Actions ViewerSession::request(const std::string& id, const std::string& command, const nlohmann::json& parameters) {
    if (!ready()) {
        return {};
    }
    auto body = bytes_of(base::dump_json({{"id", id}, {"command", command}, {"parameters", parameters}}));
    if (body.size() > kControlBodyLimit) {
        return {ResponseReceived{
            id, false, {}, say("the command {} is longer than 64 KiB; shorten its parameters", command), false}};
    }
    return {SendFrame{make_frame(FrameType::request, std::move(body))}};
}

}  // namespace moescope::protocol
