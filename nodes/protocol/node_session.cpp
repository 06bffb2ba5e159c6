#include "nodes/protocol/node_session.hpp"

#include <algorithm>

#include "base/json_guard.hpp"

namespace moescope::protocol {

namespace {

// Events are few and say what the rest means: they go first, the others in turn.
constexpr std::array kTurns = {Channel::metrics, Channel::text, Channel::bulk};
constexpr std::size_t kReadBytes = 256 * 1024;  // what one turn of one channel sends at most, so that others get theirs

/// What a viewer is told of records that it will not get.
SendFrame gap_of(std::uint8_t channel, nlohmann::json gap, const Sentence& reason) {
    base::put_sentence(gap, "reason", reason);
    Frame frame = make_frame(FrameType::gap, bytes_of(base::dump_json(gap)));
    frame.channel = channel;
    return {std::move(frame)};
}

}  // namespace

Actions NodeSession::close(Close::Why why, const Sentence& reason) {
    if (closed_) {
        return {};
    }
    closed_ = true;
    Actions actions;
    if (why != Close::Why::lost) {
        actions.push_back(SendFrame{make_frame(FrameType::bye, bytes_of(reason.english()))});
    }
    actions.push_back(Close{why, reason});
    return actions;
}

Actions NodeSession::start(double now) {
    started_ = now;
    heartbeat_.start(now);
    return {SendFrame{make_frame(FrameType::hello, encode_hello(ours_))}};
}

Actions NodeSession::refuse(RefuseCode code, const Sentence& text) {
    if (closed_) {
        return {};
    }
    closed_ = true;
    return {SendFrame{make_frame(FrameType::refuse, encode_refuse({code, ours_.major, ours_.minor, text.english()}))},
            Close{Close::Why::refused, text}};
}

Actions NodeSession::bye(const Sentence& reason) {
    return close(Close::Why::clean, reason);
}

Actions NodeSession::on_frame(Frame frame, double now) {
    if (closed_) {
        return {};
    }
    heartbeat_.heard(now);
    const auto type = static_cast<FrameType>(frame.type);
    if (!greeted_) {
        if (type == FrameType::hello && proof_ == Proof::none) {
            return on_hello(frame);
        }
        if (type == FrameType::auth && proof_ == Proof::awaited) {
            return on_auth(frame);
        }
        if (type == FrameType::bye || type == FrameType::refuse) {
            closed_ = true;
            return {Close{Close::Why::clean, say("the viewer left before the greeting was done")}};
        }
        return close(Close::Why::broken_rule, say("the viewer sent a frame before its greeting"));
    }
    switch (type) {
        case FrameType::request:
            return on_request(frame);
        case FrameType::subscribe:
            return on_subscribe(frame);
        case FrameType::unsubscribe:
            return on_unsubscribe(frame);
        case FrameType::credit:
            return on_credit(frame);
        case FrameType::pull:
            return on_pull(frame);
        case FrameType::push:
            return on_push(frame);
        case FrameType::chunk:
            return on_chunk(frame);
        case FrameType::ping:
        case FrameType::pong:
            if (auto actions = Heartbeat::on_ping_or_pong(std::move(frame), now)) {
                return std::move(*actions);
            }
            return close(Close::Why::broken_rule, say("a PING must carry 8 bytes"));
        case FrameType::bye:
            closed_ = true;
            return {Close{Close::Why::clean, say("the viewer said goodbye")}};
        default:
            if (frame.flags & kFlagSkippable) {
                return {};
            }
            return close(Close::Why::broken_rule,
                         say("the node does not expect frames of type {} from a viewer", frame.type));
    }
}

Actions NodeSession::on_hello(const Frame& frame) {
    const auto hello = decode_hello(frame.body);
    if (!hello) {
        return refuse(RefuseCode::bad_greeting,
                      say("this is a Moescope node and the other side is not a Moescope workbench"));
    }
    if (!compatible(ours_, *hello)) {
        return refuse(RefuseCode::version, version_problem(ours_, *hello));
    }
    if (hello->role != Role::viewer) {
        return refuse(RefuseCode::bad_greeting, say("a node can only be viewed by a workbench, not by another node"));
    }
    theirs_ = *hello;
    if (admission_ == Admission::by_proof) {
        proof_ = Proof::awaited;
        return {};
    }
    return admit();
}

Actions NodeSession::on_auth(const Frame& frame) {
    proof_ = Proof::looked_at;
    auto auth = decode_auth(frame.body);
    if (!auth) {
        return close(Close::Why::broken_rule, say("the viewer sent a proof that can't be read"));
    }
    return {ProofReceived{std::move(*auth)}};
}

Sentence NodeSession::not_known() {
    return say(
        "this node does not know this workbench; let its administrator make an invitation with `moescope-node pair`, "
        "and paste it within ten minutes");
}

Actions NodeSession::admit() {
    if (closed_ || greeted_) {
        return {};
    }
    greeted_ = true;
    return {SendFrame{make_frame(FrameType::auth_ok)}, Greeted{theirs_}};
}

Actions NodeSession::on_request(const Frame& frame) {
    auto parsed =
        base::read_json({reinterpret_cast<const char*>(frame.body.data()), frame.body.size()}, kControlBodyLimit);
    if (!parsed.value) {
        return close(Close::Why::broken_rule, say("a request must be a JSON object; this one {}", parsed.problem));
    }
    nlohmann::json* body = &*parsed.value;
    if (!body->is_object()) {
        return close(Close::Why::broken_rule, say("a request must be a JSON object"));
    }
    const auto id = body->find("id");
    if (id == body->end() || !id->is_string() || !is_command_id(id->get_ref<const std::string&>())) {
        return close(Close::Why::broken_rule, say("a request needs an id of 32 hexadecimal digits"));
    }
    RequestReceived request;
    request.id = id->get<std::string>();
    if (pending_.contains(request.id)) {
        return {};  // its answer is under way
    }
    pending_.insert(request.id);
    if (pending_.size() > kMaximumRequests) {
        return respond(request.id,
                       failed_answer(say("more than {} commands wait for an answer; send it again when some are done",
                                         kMaximumRequests)));
    }
    const auto command = body->find("command");
    const auto parameters = body->find("parameters");
    if (command == body->end() || !command->is_string() || (parameters != body->end() && !parameters->is_object())) {
        return respond(request.id,
                       failed_answer(say("a request needs a command name and, if any, parameters as an object")));
    }
    request.command = command->get<std::string>();
    request.parameters = parameters == body->end() ? nlohmann::json::object() : std::move(*parameters);
    return {std::move(request)};
}

Actions NodeSession::respond(const std::string& id, const nlohmann::json& answer) {
    if (closed_ || pending_.erase(id) == 0) {
        return {};
    }
    nlohmann::json body = answer.is_object() ? answer : nlohmann::json::object();
    const auto state = body.find("state");
    if (state == body.end() || (*state != "done" && *state != "failed" && *state != "unknown")) {
        body = failed_answer(say("the node gave no proper answer to this command"));
    }
    body["id"] = id;
    auto bytes = bytes_of(base::dump_json(body));
    if (bytes.size() > kDataBodyLimit) {
        body = failed_answer(say("the answer is longer than 1 MiB"));
        body["id"] = id;
        bytes = bytes_of(base::dump_json(body));
    }
    return {SendFrame{make_frame(FrameType::response, std::move(bytes))}};
}

Actions NodeSession::on_subscribe(const Frame& frame) {
    const auto body = decode_subscribe(frame.body);
    if (!body || !is_data_channel(body->channel)) {
        return close(Close::Why::broken_rule, say("a subscription must name a channel from 1 to 4 and a position"));
    }
    Subscription& subscription = subscriptions_[body->channel];
    subscription = {true, false, body->after, kInitialCredit, body->after, body->whole_bytes};
    Actions actions;
    if (body->after > last_) {
        // Records that this journal does not know: the viewer must be told, never left with a silent hole.
        nlohmann::json gap = {
            {"from", body->after.sequence}, {"to", last_.sequence}, {"epoch", last_.epoch}, {"count", 0}};
        actions.push_back(
            gap_of(body->channel, std::move(gap), say("the node's journal ends before the viewer's position")));
    }
    actions.push_back(MoreWanted{});
    return actions;
}

Actions NodeSession::on_unsubscribe(const Frame& frame) {
    if (frame.body.size() != 1 || !is_data_channel(static_cast<std::uint8_t>(frame.body[0]))) {
        return close(Close::Why::broken_rule, say("UNSUB must name a channel from 1 to 4"));
    }
    subscriptions_[static_cast<std::uint8_t>(frame.body[0])] = {};
    return {};
}

Actions NodeSession::on_credit(const Frame& frame) {
    const auto body = decode_credit(frame.body);
    if (!body || !is_data_channel(body->channel)) {
        return close(Close::Why::broken_rule, say("CREDIT must name a channel from 1 to 4 and a number of bytes"));
    }
    Subscription& subscription = subscriptions_[body->channel];
    if (!subscription.active) {
        return {};  // crossed with an UNSUB
    }
    subscription.credit += body->bytes;
    if (subscription.credit > kMaximumCredit) {
        return close(Close::Why::broken_rule, say("the viewer gave more credit than the node may use"));
    }
    return {MoreWanted{}};
}

bool NodeSession::may_begin(std::uint32_t number) const {
    return ranges_.size() < kMaximumRanges && !ranges_.contains(number);
}

Actions NodeSession::on_pull(const Frame& frame) {
    const auto order = decode_range_order(frame.body);
    if (!order) {
        return close(Close::Why::broken_rule, say("PULL must name a range of 1 byte to 4 MiB"));
    }
    if (!may_begin(order->number)) {
        return close(Close::Why::broken_rule, say("more than {} ranges of files are under way", kMaximumRanges));
    }
    ranges_.emplace(order->number, *order);
    return {PullReceived{*order}};
}

Actions NodeSession::on_push(const Frame& frame) {
    auto push = decode_push(frame.body);
    if (!push) {
        return close(Close::Why::broken_rule, say("PUSH must name a range of 1 byte to 4 MiB and its hash"));
    }
    if (!may_begin(push->order.number) || !assembly_.begin(push->order, std::move(push->sha256))) {
        return close(Close::Why::broken_rule, say("more than {} ranges of files are under way", kMaximumRanges));
    }
    ranges_.emplace(push->order.number, push->order);
    return {};
}

Actions NodeSession::on_chunk(const Frame& frame) {
    const auto chunk = decode_chunk(frame.body);
    if (!chunk || !assembly_.add(*chunk)) {
        return close(Close::Why::broken_rule, say("the viewer sent a piece of a file that is not the next one"));
    }
    if (!assembly_.whole(chunk->number)) {
        return {};
    }
    return {PushReceived{*assembly_.take(chunk->number)}};
}

Actions NodeSession::answer_range(const RangeEnd& end, std::vector<std::byte> bytes) {
    const auto found = ranges_.find(end.number);
    if (closed_ || found == ranges_.end()) {
        return {};
    }
    const RangeOrder order = found->second;
    ranges_.erase(found);
    sender_.add(order, std::move(bytes), std::nullopt, make_frame(FrameType::range, encode_range_end(end)));
    return {MoreWanted{}};
}

Actions NodeSession::on_time(double now) {
    if (closed_) {
        return {};
    }
    if (!greeted_) {
        if (now - started_ > kGreetingSeconds && proof_ == Proof::awaited) {
            return refuse(RefuseCode::not_allowed, not_known());
        }
        if (now - started_ > kGreetingSeconds) {
            return refuse(RefuseCode::bad_greeting, say("the greeting took longer than 5 seconds"));
        }
        return {};
    }
    if (heartbeat_.dead(now)) {
        return close(Close::Why::lost, say("nothing was heard from the viewer for 20 seconds"));
    }
    return heartbeat_.ping_when_due(now);
}

std::optional<NodeSession::Read> NodeSession::next_read() const {
    if (!greeted()) {
        return std::nullopt;
    }
    const auto wanted = [&](Channel channel) -> std::optional<Read> {
        const auto& subscription = subscriptions_[static_cast<std::size_t>(channel)];
        if (!subscription.active || subscription.caught_up || subscription.credit <= 0) {
            return std::nullopt;
        }
        return Read{static_cast<std::uint8_t>(channel), subscription.after,
                    std::min(kReadBytes, static_cast<std::size_t>(subscription.credit)), subscription.whole_bytes};
    };
    if (const auto events = wanted(Channel::events)) {
        return events;
    }
    for (std::size_t i = 0; i < kTurns.size(); ++i) {
        if (const auto read = wanted(kTurns[(turn_ + i) % kTurns.size()])) {
            return read;
        }
    }
    return std::nullopt;
}

Actions NodeSession::on_records(std::uint8_t channel, std::vector<Frame> records) {
    if (closed_ || !is_data_channel(channel) || !subscriptions_[channel].active) {
        return {};
    }
    Subscription& subscription = subscriptions_[channel];
    if (records.empty()) {
        subscription.caught_up = true;
        return {};
    }
    for (std::size_t i = 0; i < kTurns.size(); ++i) {
        if (static_cast<std::uint8_t>(kTurns[i]) == channel) {
            turn_ = (i + 1) % kTurns.size();
        }
    }
    Actions actions;
    for (Frame& record : records) {
        // A record may overdraw the credit once, otherwise a small credit could never let a large record through.
        if (subscription.credit <= 0) {
            break;
        }
        subscription.credit -= static_cast<std::int64_t>(frame_bytes(record));
        subscription.after = {record.epoch, record.sequence};
        last_ = std::max(last_, subscription.after);
        record.type |= kDataTypeBase;
        record.channel = channel;
        actions.push_back(SendFrame{std::move(record)});
    }
    return actions;
}

Actions NodeSession::on_missing(std::uint8_t channel, const std::vector<Missing>& missing) {
    if (closed_ || !is_data_channel(channel) || !subscriptions_[channel].active) {
        return {};
    }
    Subscription& subscription = subscriptions_[channel];
    Actions actions;
    for (const Missing& part : missing) {
        if (part.until <= subscription.told) {
            continue;
        }
        subscription.told = part.until;
        nlohmann::json gap = {{"from", part.after.epoch == part.until.epoch ? part.after.sequence : 0},
                              {"to", part.until.sequence},
                              {"epoch", part.until.epoch},
                              {"count", part.count}};
        actions.push_back(gap_of(channel, std::move(gap), say("the journal is damaged")));
    }
    return actions;
}

void NodeSession::on_journal_grew() {
    for (Subscription& subscription : subscriptions_) {
        subscription.caught_up = false;
    }
}

std::int64_t NodeSession::credit(std::uint8_t channel) const {
    return channel < kChannels ? subscriptions_[channel].credit : 0;
}

}  // namespace moescope::protocol
