// The two state machines, driven by hand and against each other, without socket or clock.
#include <deque>
#include <gtest/gtest.h>
#include <random>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "nodes/protocol/node_session.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/protocol/viewer_session.hpp"
#include "tests/nodes/protocol/samples.hpp"

namespace moescope::protocol {
namespace {

using nlohmann::json;

const std::string kId = "0123456789abcdef0123456789abcdef";

Hello hello_of(Role role) {
    Hello hello;
    hello.role = role;
    return hello;
}

template <class T>
const T* find(const Actions& actions) {
    for (const Action& action : actions) {
        if (const T* found = std::get_if<T>(&action)) {
            return found;
        }
    }
    return nullptr;
}

const Frame* sent(const Actions& actions, FrameType type) {
    for (const Action& action : actions) {
        if (const auto* send = std::get_if<SendFrame>(&action);
            send && send->frame.type == static_cast<std::uint16_t>(type)) {
            return &send->frame;
        }
    }
    return nullptr;
}

NodeSession greeted_node(StreamPosition last = {5, 100}) {
    NodeSession node(hello_of(Role::node), last);
    node.start(0);
    node.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::viewer))), 0);
    return node;
}

ViewerSession ready_viewer() {
    ViewerSession viewer(hello_of(Role::viewer));
    viewer.start(0);
    viewer.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::node))), 0);
    viewer.on_frame(make_frame(FrameType::auth_ok), 0);
    return viewer;
}

Frame request_frame(const json& body) {
    return make_frame(FrameType::request, bytes_of(base::dump_json(body)));
}

Frame record(std::uint32_t epoch, std::uint64_t sequence, std::size_t bytes = 10, std::uint8_t channel = 2) {
    Frame frame;
    frame.type = static_cast<std::uint16_t>(RecordType::step);
    frame.channel = channel;
    frame.epoch = epoch;
    frame.sequence = sequence;
    frame.body.resize(bytes);
    return frame;
}

Frame data(std::uint32_t epoch, std::uint64_t sequence, std::size_t bytes = 10, std::uint8_t channel = 2) {
    Frame frame = record(epoch, sequence, bytes, channel);
    frame.type |= kDataTypeBase;
    return frame;
}

TEST(NodeGreeting, HelloThenAuthOk) {
    NodeSession node(hello_of(Role::node), {});
    EXPECT_TRUE(sent(node.start(0), FrameType::hello));
    EXPECT_EQ(node.body_limit(), kGreetingBodyLimit);
    const auto actions = node.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::viewer))), 1);
    EXPECT_TRUE(sent(actions, FrameType::auth_ok));
    EXPECT_TRUE(find<Greeted>(actions));
    EXPECT_TRUE(node.greeted());
    EXPECT_EQ(node.body_limit(), kControlBodyLimit);
}

TEST(NodeGreeting, AnythingElseBeforeHelloEndsIt) {
    for (const auto& [name, frame] : test::sample_frames()) {
        if (name == "hello") {
            continue;
        }
        NodeSession node(hello_of(Role::node), {});
        node.start(0);
        const auto actions = node.on_frame(frame, 0);
        EXPECT_TRUE(find<Close>(actions)) << name;
        EXPECT_FALSE(find<RequestReceived>(actions)) << name;
        EXPECT_TRUE(node.closed());
        EXPECT_TRUE(node.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::viewer))), 0).empty());
    }
}

TEST(NodeGreeting, WhoMustProveItselfIsHeardOnceBeforeAnythingElse) {
    const auto hello = make_frame(FrameType::hello, encode_hello(hello_of(Role::viewer)));
    const Auth proof{{1, 2, 3}, "lab"};
    const auto auth = make_frame(FrameType::auth, encode_auth(proof));
    NodeSession node(hello_of(Role::node), {}, NodeSession::Admission::by_proof);
    node.start(0);
    EXPECT_TRUE(node.on_frame(hello, 0).empty());
    EXPECT_FALSE(node.greeted());
    const auto actions = node.on_frame(auth, 0);
    ASSERT_TRUE(find<ProofReceived>(actions));
    EXPECT_EQ(find<ProofReceived>(actions)->auth, proof);
    EXPECT_FALSE(node.greeted());
    EXPECT_TRUE(sent(node.admit(), FrameType::auth_ok));
    EXPECT_TRUE(node.greeted());
    EXPECT_TRUE(node.admit().empty());
    // A second proof, a second greeting, a proof before the greeting, and one that nobody asked for.
    for (const auto& frames : {std::vector{hello, auth, auth}, {hello, hello}, {auth}}) {
        NodeSession other(hello_of(Role::node), {}, NodeSession::Admission::by_proof);
        other.start(0);
        Actions last;
        for (const Frame& frame : frames) {
            last = other.on_frame(frame, 0);
        }
        EXPECT_TRUE(find<Close>(last));
        EXPECT_TRUE(other.closed());
        EXPECT_TRUE(other.admit().empty());
    }
    NodeSession known(hello_of(Role::node), {});
    known.start(0);
    known.on_frame(hello, 0);
    EXPECT_TRUE(find<Close>(known.on_frame(auth, 0)));
    NodeSession slow(hello_of(Role::node), {}, NodeSession::Admission::by_proof);
    slow.start(0);
    slow.on_frame(hello, 1);
    const auto refuse = decode_refuse(sent(slow.on_time(5.1), FrameType::refuse)->body);
    ASSERT_TRUE(refuse);
    EXPECT_EQ(refuse->code, RefuseCode::not_allowed);
    EXPECT_EQ(refuse->text, NodeSession::not_known().english());
}

TEST(ViewerGreeting, AProofIsShownAfterTheNodesHello) {
    ViewerSession viewer(hello_of(Role::viewer), Auth{{4}, "lab"});
    EXPECT_FALSE(sent(viewer.start(0), FrameType::auth));
    const auto actions = viewer.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::node))), 0);
    ASSERT_TRUE(sent(actions, FrameType::auth));
    EXPECT_EQ(decode_auth(sent(actions, FrameType::auth)->body), (Auth{{4}, "lab"}));
    EXPECT_TRUE(find<Greeted>(viewer.on_frame(make_frame(FrameType::auth_ok), 0)));
}

TEST(Auth, EveryCutIsRefused) {
    const auto body = encode_auth({{1}, "name"});
    EXPECT_TRUE(decode_auth(body));
    for (std::size_t size = 0; size < body.size(); ++size) {
        EXPECT_FALSE(decode_auth(std::span(body).first(size))) << size;
    }
    EXPECT_EQ(decode_auth(encode_auth({{1}, std::string(500, 'x')}))->name.size(), 100u);
}

TEST(NodeGreeting, VersionsOutsideTheRangeAreRefusedWithBothNames) {
    struct Case {
        std::uint16_t ours, our_oldest, theirs, their_oldest;
        bool fits;
    };
    for (const Case& c : {Case{1, 1, 1, 1, true}, Case{3, 2, 2, 1, true}, Case{2, 1, 3, 2, true},
                          Case{3, 3, 2, 1, false}, Case{2, 1, 9, 8, false}}) {
        Hello ours = hello_of(Role::node), theirs = hello_of(Role::viewer);
        ours.major = c.ours;
        ours.oldest_major = c.our_oldest;
        theirs.major = c.theirs;
        theirs.oldest_major = c.their_oldest;
        theirs.minor = 4;
        NodeSession node(ours, {});
        node.start(0);
        const auto actions = node.on_frame(make_frame(FrameType::hello, encode_hello(theirs)), 0);
        EXPECT_EQ(sent(actions, FrameType::auth_ok) != nullptr, c.fits);
        if (c.fits) {
            continue;
        }
        const auto refuse = decode_refuse(sent(actions, FrameType::refuse)->body);
        ASSERT_TRUE(refuse);
        EXPECT_NE(refuse->text.find(std::to_string(c.ours) + "." + std::to_string(kMinor)), std::string::npos);
        EXPECT_NE(refuse->text.find(std::to_string(c.theirs) + ".4"), std::string::npos);
        EXPECT_NE(refuse->text.find(c.ours > c.theirs ? "update the workbench" : "update the node"), std::string::npos);
        // The same words reach a viewer that only reads REFUSE, and one that compares by itself.
        ViewerSession viewer(theirs);
        viewer.start(0);
        const auto close = viewer.on_frame(make_frame(FrameType::refuse, encode_refuse(*refuse)), 0);
        EXPECT_EQ(find<Close>(close)->why, Close::Why::refused);
        EXPECT_EQ(find<Close>(close)->reason.english(), refuse->text);
        ViewerSession other(theirs);
        other.start(0);
        const auto own = other.on_frame(make_frame(FrameType::hello, encode_hello(ours)), 0);
        EXPECT_EQ(find<Close>(own)->why, Close::Why::refused);
        EXPECT_TRUE(sent(own, FrameType::refuse));
    }
}

TEST(NodeGreeting, ForeignBytesOtherNodesAndSlownessAreRefused) {
    for (auto body : {bytes_of("GET / HTTP/1.1"), encode_hello(hello_of(Role::node))}) {
        NodeSession node(hello_of(Role::node), {});
        node.start(0);
        EXPECT_TRUE(sent(node.on_frame(make_frame(FrameType::hello, body), 0), FrameType::refuse));
    }
    NodeSession node(hello_of(Role::node), {});
    node.start(10);
    EXPECT_TRUE(node.on_time(14.9).empty());
    EXPECT_TRUE(find<Close>(node.on_time(15.1)));
}

TEST(ViewerGreeting, OrderIsHelloThenAuthOk) {
    ViewerSession viewer(hello_of(Role::viewer));
    EXPECT_TRUE(sent(viewer.start(0), FrameType::hello));
    EXPECT_TRUE(viewer.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::node))), 0).empty());
    EXPECT_FALSE(viewer.ready());
    EXPECT_TRUE(viewer.subscribe(1, {}).empty()) << "nothing before the greeting is done";
    EXPECT_TRUE(viewer.request(kId, "x", {}).empty());
    const auto actions = viewer.on_frame(make_frame(FrameType::auth_ok), 0);
    EXPECT_TRUE(find<Greeted>(actions));
    EXPECT_TRUE(sent(actions, FrameType::ping)) << "the round trip is measured at once";
    EXPECT_EQ(viewer.body_limit(), kDataBodyLimit);
}

TEST(ViewerGreeting, WrongOrderEndsIt) {
    for (const auto& [name, frame] : test::sample_frames()) {
        ViewerSession first(hello_of(Role::viewer));
        first.start(0);
        EXPECT_TRUE(name == "hello" || find<Close>(first.on_frame(frame, 0))) << name;
        ViewerSession second(hello_of(Role::viewer));
        second.start(0);
        second.on_frame(make_frame(FrameType::hello, encode_hello(hello_of(Role::node))), 0);
        EXPECT_TRUE(name == "auth_ok" || find<Close>(second.on_frame(frame, 0))) << name;
    }
    ViewerSession slow(hello_of(Role::viewer));
    slow.start(0);
    EXPECT_TRUE(find<Close>(slow.on_time(5.1)));
}

TEST(NodeRequests, AreDeliveredAnsweredAndNotRepeated) {
    auto node = greeted_node();
    const auto actions =
        node.on_frame(request_frame({{"id", kId}, {"command", "train.pause"}, {"parameters", {{"run", 3}}}}), 0);
    const auto* request = find<RequestReceived>(actions);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->command, "train.pause");
    EXPECT_EQ(request->parameters["run"], 3);
    EXPECT_TRUE(node.on_frame(request_frame({{"id", kId}, {"command", "train.pause"}}), 0).empty())
        << "it runs already";
    const auto answer = node.respond(kId, {{"state", "done"}, {"value", {{"x", 1}}}});
    ASSERT_TRUE(sent(answer, FrameType::response));
    auto viewer = ready_viewer();
    const auto received = viewer.on_frame(*sent(answer, FrameType::response), 0);
    ASSERT_TRUE(find<ResponseReceived>(received));
    EXPECT_TRUE(find<ResponseReceived>(received)->done);
    EXPECT_EQ(find<ResponseReceived>(received)->id, kId);
    EXPECT_EQ(find<ResponseReceived>(received)->value["x"], 1);
    EXPECT_TRUE(node.respond(kId, {{"state", "done"}}).empty()) << "answered once";
    EXPECT_TRUE(node.respond("ffff", {{"state", "done"}}).empty());
}

TEST(NodeRequests, BadOnesEndTheConnectionOrFail) {
    const std::vector<std::vector<std::byte>> broken = {
        bytes_of("not json"),
        bytes_of("[]"),
        bytes_of("{}"),
        bytes_of(R"({"id":"short","command":"x"})"),
        bytes_of(R"({"id":5,"command":"x"})"),
        bytes_of(R"({"id":"0123456789ABCDEF0123456789ABCDEF","command":"x"})"),
        bytes_of(R"({"id":")" + kId + R"(","parameters":)" + std::string(40, '[') + std::string(40, ']') + "}")};
    for (const auto& body : broken) {
        auto node = greeted_node();
        const auto actions = node.on_frame(make_frame(FrameType::request, body), 0);
        ASSERT_TRUE(find<Close>(actions)) << body_text(body);
        EXPECT_EQ(find<Close>(actions)->why, Close::Why::broken_rule);
    }
    for (const json& body : {json{{"id", kId}}, json{{"id", kId}, {"command", 3}},
                             json{{"id", kId}, {"command", "x"}, {"parameters", {1}}}}) {
        auto node = greeted_node();
        const auto actions = node.on_frame(request_frame(body), 0);
        EXPECT_FALSE(find<Close>(actions));
        ASSERT_TRUE(sent(actions, FrameType::response));
        EXPECT_NE(body_text(sent(actions, FrameType::response)->body).find("failed"), std::string::npos);
    }
}

TEST(NodeRequests, ThatCannotBeReadAreToldWhy) {
    const std::string begin = R"({"id":")" + kId + R"(","command":"x","parameters":)";
    const std::pair<std::string, std::string> causes[] = {
        {begin + "{\"a\":1e999}}", "has the number 1e999, which is too large"},
        {begin + "{\"a\":NaN}}", "has NaN at byte"},
        {begin + "{\"run\":1,\"run\":2}}", "has the key \"run\" twice in one object"},
        {begin + "{},\"id\":\"" + kId + "\"}", "has the key \"id\" twice in one object"},
        {begin + std::string(40, '[') + std::string(40, ']') + "}", "is nested deeper than 16 levels"},
        {begin, "ends before its JSON does"}};
    for (const auto& [body, cause] : causes) {
        auto node = greeted_node();
        const auto actions = node.on_frame(make_frame(FrameType::request, bytes_of(body)), 0);
        ASSERT_TRUE(find<Close>(actions)) << body;
        EXPECT_NE(find<Close>(actions)->reason.english().find(cause), std::string::npos)
            << find<Close>(actions)->reason.english();
    }
}

TEST(NodeRequests, AreBoundedInNumberAndAnswersInSize) {
    auto node = greeted_node();
    char id[33];
    for (std::size_t i = 0; i <= kMaximumRequests; ++i) {
        std::snprintf(id, sizeof id, "%032zx", i);
        const auto actions = node.on_frame(request_frame({{"id", id}, {"command", "x"}}), 0);
        EXPECT_EQ(find<RequestReceived>(actions) != nullptr, i < kMaximumRequests);
        EXPECT_EQ(sent(actions, FrameType::response) != nullptr, i == kMaximumRequests);
    }
    std::snprintf(id, sizeof id, "%032zx", std::size_t{1});
    const auto answer = node.respond(id, {{"state", "done"}, {"value", std::string(kDataBodyLimit, 'x')}});
    EXPECT_LE(sent(answer, FrameType::response)->body.size(), kDataBodyLimit);
    std::snprintf(id, sizeof id, "%032zx", std::size_t{2});
    EXPECT_NE(body_text(sent(node.respond(id, "nonsense"), FrameType::response)->body).find("failed"),
              std::string::npos);
}

TEST(ViewerRequests, TooLongFailsWithoutBeingSent) {
    auto viewer = ready_viewer();
    EXPECT_TRUE(sent(viewer.request(kId, "x", {{"a", 1}}), FrameType::request));
    const auto actions = viewer.request(kId, "x", {{"a", std::string(kControlBodyLimit, 'x')}});
    EXPECT_FALSE(sent(actions, FrameType::request));
    ASSERT_TRUE(find<ResponseReceived>(actions));
    EXPECT_FALSE(find<ResponseReceived>(actions)->done);
}

TEST(NodeSubscriptions, SendInOrderUntilCreditIsUsedUp) {
    auto node = greeted_node();
    EXPECT_FALSE(node.next_read());
    EXPECT_TRUE(find<MoreWanted>(node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({2, {5, 10}})), 0)));
    auto read = node.next_read();
    ASSERT_TRUE(read);
    EXPECT_EQ(read->channel, 2);
    EXPECT_EQ(read->after, (StreamPosition{5, 10}));
    std::size_t count = 0;
    const std::size_t size = 1'000'000;
    for (std::uint64_t sequence = 11; node.next_read(); ++sequence, ++count) {
        const auto actions = node.on_records(2, {record(5, sequence, size)});
        const auto* send = find<SendFrame>(actions);
        ASSERT_TRUE(send);
        EXPECT_EQ(send->frame.type, kDataTypeBase | 10);
        EXPECT_EQ(node.credit(2) > 0, node.next_read().has_value());
    }
    EXPECT_EQ(count, static_cast<std::size_t>(kInitialCredit) / size + 1) << "one record may overdraw";
    EXPECT_TRUE(node.on_records(2, {record(5, 99)}).empty()) << "no credit, no record";
    EXPECT_TRUE(find<MoreWanted>(node.on_frame(make_frame(FrameType::credit, encode_credit({2, 3'000'000})), 0)));
    ASSERT_TRUE(node.next_read());
    EXPECT_EQ(node.next_read()->after.sequence, 10 + count) << "what did not fit is asked for again";
}

TEST(NodeSubscriptions, SayWhereHeadsServe) {
    auto viewer = ready_viewer();
    const auto asked = viewer.subscribe(2, {5, 10}, 1000);
    auto node = greeted_node();
    node.on_frame(*sent(asked, FrameType::subscribe), 0);
    ASSERT_TRUE(node.next_read());
    EXPECT_EQ(node.next_read()->whole_bytes, std::optional<std::uint64_t>(1000));
    node.on_frame(*sent(viewer.subscribe(2, {5, 10}), FrameType::subscribe), 0);
    EXPECT_FALSE(node.next_read()->whole_bytes);
    // One frame stands for many records: the next are asked for behind its last one.
    node.on_frame(*sent(asked, FrameType::subscribe), 0);
    Frame heads = record(5, 40);
    heads.type = kPackedHeads;
    const auto actions = node.on_records(2, {heads});
    EXPECT_EQ(find<SendFrame>(actions)->frame.type, kDataTypeBase | kPackedHeads);
    EXPECT_EQ(node.next_read()->after, (StreamPosition{5, 40}));
    const auto received = viewer.on_frame(find<SendFrame>(actions)->frame, 0);
    ASSERT_TRUE(find<RecordReceived>(received));
    EXPECT_EQ(find<RecordReceived>(received)->frame.type, kPackedHeads);
    // A node of version 2.1 takes no longer subscription.
    ViewerSession other(hello_of(Role::viewer));
    other.start(0);
    Hello old = hello_of(Role::node);
    old.minor = 1;
    other.on_frame(make_frame(FrameType::hello, encode_hello(old)), 0);
    other.on_frame(make_frame(FrameType::auth_ok), 0);
    EXPECT_EQ(sent(other.subscribe(2, {5, 10}, 1000), FrameType::subscribe)->body.size(), 16U);
}

TEST(NodeSubscriptions, CaughtUpWaitsForTheJournal) {
    auto node = greeted_node();
    node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({1, {}})), 0);
    ASSERT_TRUE(node.next_read());
    node.on_records(1, {});
    EXPECT_FALSE(node.next_read());
    node.on_journal_grew();
    EXPECT_TRUE(node.next_read());
    node.on_frame(make_frame(FrameType::unsubscribe, {std::byte{1}}), 0);
    EXPECT_FALSE(node.next_read());
    EXPECT_TRUE(node.on_records(1, {record(1, 1)}).empty());
}

TEST(NodeSubscriptions, EventsGoBeforeMetricsBeforeText) {
    auto node = greeted_node();
    for (std::uint8_t channel : {3, 2, 4, 1}) {
        node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({channel, {}})), 0);
    }
    for (std::uint8_t channel : {1, 2, 3, 4}) {
        ASSERT_EQ(node.next_read()->channel, channel);
        node.on_records(channel, {});
    }
    EXPECT_FALSE(node.next_read());
}

TEST(NodeSubscriptions, NoChannelWaitsForAnotherThatNeverEnds) {
    auto node = greeted_node();
    for (std::uint8_t channel : {1, 2, 3, 4}) {
        node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({channel, {}})), 0);
    }
    node.on_records(1, {});
    // Metrics come faster than the line takes them: none of these channels is ever caught up.
    std::array<int, kChannels> turns{};
    for (std::uint64_t sequence = 1; sequence <= 300; ++sequence) {
        const auto channel = node.next_read()->channel;
        ++turns[channel];
        node.on_records(channel, {record(5, sequence, 10, channel)});
    }
    EXPECT_EQ(turns, (std::array{0, 0, 100, 100, 100}));
    node.on_journal_grew();
    EXPECT_EQ(node.next_read()->channel, 1) << "events never wait";
}

TEST(NodeSubscriptions, UnknownEpochIsToldAsAGap) {
    auto node = greeted_node({5, 100});
    const auto actions = node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({1, {6, 3}})), 0);
    ASSERT_TRUE(sent(actions, FrameType::gap));
    auto viewer = ready_viewer();
    const auto received = viewer.on_frame(*sent(actions, FrameType::gap), 0);
    ASSERT_TRUE(find<GapReceived>(received));
    EXPECT_EQ(find<GapReceived>(received)->channel, 1);
    const nlohmann::json& gap = find<GapReceived>(received)->gap;
    EXPECT_EQ(gap.at("from"), 3);
    EXPECT_EQ(gap.at("to"), 100);
    EXPECT_EQ(gap.at("epoch"), 5);
    EXPECT_EQ(gap.at("count"), 0);
    auto known = greeted_node({5, 100});
    EXPECT_FALSE(
        sent(known.on_frame(make_frame(FrameType::subscribe, encode_subscribe({1, {5, 3}})), 0), FrameType::gap));
    EXPECT_TRUE(
        sent(known.on_frame(make_frame(FrameType::subscribe, encode_subscribe({1, {5, 101}})), 0), FrameType::gap))
        << "another journal with the same number of starts";
    known.on_frame(make_frame(FrameType::subscribe, encode_subscribe({2, {5, 100}})), 0);
    known.on_records(2, {record(5, 150)});
    EXPECT_FALSE(
        sent(known.on_frame(make_frame(FrameType::subscribe, encode_subscribe({2, {5, 150}})), 0), FrameType::gap))
        << "the journal has grown since the greeting";
}

TEST(NodeSubscriptions, BrokenRulesEndIt) {
    const std::vector<Frame> broken = {make_frame(FrameType::subscribe, encode_subscribe({0, {}})),
                                       make_frame(FrameType::subscribe, encode_subscribe({5, {}})),
                                       make_frame(FrameType::subscribe, bytes_of("short")),
                                       make_frame(FrameType::unsubscribe, {}),
                                       make_frame(FrameType::credit, encode_credit({0, 1})),
                                       make_frame(FrameType::credit, bytes_of("x")),
                                       make_frame(FrameType::ping, bytes_of("x")),
                                       make_frame(FrameType::hello, encode_hello(hello_of(Role::viewer))),
                                       make_frame(static_cast<FrameType>(999), {}),
                                       make_frame(FrameType::state, bytes_of("{}")),
                                       data(1, 1)};
    for (const Frame& frame : broken) {
        auto node = greeted_node();
        const auto actions = node.on_frame(frame, 0);
        ASSERT_TRUE(find<Close>(actions)) << frame.type;
        EXPECT_EQ(find<Close>(actions)->why, Close::Why::broken_rule);
        EXPECT_TRUE(sent(actions, FrameType::bye)) << "it says why";
    }
    auto node = greeted_node();
    node.on_frame(make_frame(FrameType::subscribe, encode_subscribe({1, {}})), 0);
    EXPECT_TRUE(find<Close>(node.on_frame(make_frame(FrameType::credit, encode_credit({1, 0xFFFFFFFF})), 0)));
    Frame skippable = make_frame(static_cast<FrameType>(999));
    skippable.flags = kFlagSkippable;
    auto tolerant = greeted_node();
    EXPECT_TRUE(tolerant.on_frame(skippable, 0).empty());
    EXPECT_TRUE(tolerant.greeted());
    EXPECT_TRUE(tolerant.on_frame(make_frame(FrameType::credit, encode_credit({3, 5})), 0).empty())
        << "crossed with UNSUB";
}

TEST(ViewerData, IsDeliveredAndCreditGoesBack) {
    auto viewer = ready_viewer();
    viewer.subscribe(2, {1, 5});
    std::int64_t given = kInitialCredit, used = 0;
    for (std::uint64_t sequence = 6; sequence < 200; ++sequence) {
        const auto actions = viewer.on_frame(data(1, sequence, 100'000), 0);
        ASSERT_TRUE(find<RecordReceived>(actions)) << sequence;
        EXPECT_EQ(find<RecordReceived>(actions)->frame.type, 10);
        used += 100'032;
        if (const auto* credit = sent(actions, FrameType::credit)) {
            given += decode_credit(credit->body)->bytes;
        }
        ASSERT_GT(given, used);
        ASSERT_LE(given - used, kInitialCredit);
    }
}

TEST(ViewerData, OutOfOrderUnaskedOrTooMuchEndsIt) {
    {
        auto viewer = ready_viewer();
        EXPECT_TRUE(viewer.on_frame(data(1, 1), 0).empty()) << "not subscribed: crossed with UNSUB";
        viewer.subscribe(2, {1, 5});
        EXPECT_TRUE(find<Close>(viewer.on_frame(data(1, 5), 0)));
    }
    {
        auto viewer = ready_viewer();
        viewer.subscribe(2, {1, 5});
        EXPECT_TRUE(find<RecordReceived>(viewer.on_frame(data(2, 1), 0))) << "a new epoch begins at 1";
        EXPECT_TRUE(find<Close>(viewer.on_frame(data(1, 9), 0)));
    }
    for (std::uint8_t channel : {0, 5, 255}) {
        auto viewer = ready_viewer();
        EXPECT_TRUE(find<Close>(viewer.on_frame(data(1, 1, 5, channel), 0)));
    }
    for (const Frame& frame :
         {make_frame(FrameType::response, bytes_of("x")), make_frame(FrameType::response, bytes_of("{}")),
          make_frame(FrameType::state, bytes_of("[]")), make_frame(FrameType::gap, bytes_of("{}")),
          make_frame(FrameType::ping, {}), make_frame(static_cast<FrameType>(77))}) {
        auto viewer = ready_viewer();
        EXPECT_TRUE(find<Close>(viewer.on_frame(frame, 0))) << frame.type;
    }
}

TEST(Heartbeat, BothSidesPingAndNoticeSilence) {
    auto node = greeted_node();
    auto viewer = ready_viewer();
    EXPECT_TRUE(node.on_time(4.9).empty());
    const auto ping = node.on_time(5.0);
    ASSERT_TRUE(sent(ping, FrameType::ping));
    EXPECT_TRUE(node.on_time(5.1).empty());
    const auto pong = viewer.on_frame(*sent(ping, FrameType::ping), 5.2);
    ASSERT_TRUE(sent(pong, FrameType::pong));
    const auto trip = node.on_frame(*sent(pong, FrameType::pong), 5.25);
    ASSERT_TRUE(find<RoundTrip>(trip));
    EXPECT_NEAR(find<RoundTrip>(trip)->seconds, 0.25, 1e-9);
    EXPECT_TRUE(sent(viewer.on_time(10.3), FrameType::ping));
    EXPECT_FALSE(find<Close>(node.on_time(25.2)));
    const auto dead = node.on_time(25.3);
    ASSERT_TRUE(find<Close>(dead));
    EXPECT_EQ(find<Close>(dead)->why, Close::Why::lost);
    EXPECT_FALSE(sent(dead, FrameType::bye)) << "nobody is there to hear it";
    EXPECT_TRUE(find<Close>(viewer.on_time(25.3)));
    EXPECT_TRUE(viewer.on_time(99).empty());
    auto other = ready_viewer();
    EXPECT_TRUE(other.on_frame(make_frame(FrameType::pong, bytes_of("whatever")), 1).empty())
        << "a PONG that is none of ours";
}

/// A viewer that is not read from, as too much waits for it, is there as long as it takes some of that.
TEST(Heartbeat, WhoTakesWhatWaitsIsThere) {
    auto node = greeted_node();
    node.on_taken(15);
    EXPECT_FALSE(find<Close>(node.on_time(34.9)));
    EXPECT_TRUE(find<Close>(node.on_time(35.1)));
}

TEST(Heartbeat, IsTheSameForBothSidesAndTakesNothingForgedAsATrip) {
    Heartbeat heartbeat;
    heartbeat.start(100);
    EXPECT_TRUE(heartbeat.ping_when_due(104.9).empty());
    const auto ping = heartbeat.ping_when_due(105);
    ASSERT_TRUE(sent(ping, FrameType::ping));
    EXPECT_TRUE(heartbeat.ping_when_due(105).empty());
    const auto pong = Heartbeat::on_ping_or_pong(*sent(ping, FrameType::ping), 0);
    ASSERT_TRUE(pong && sent(*pong, FrameType::pong));
    const Frame answer = *sent(*pong, FrameType::pong);
    ASSERT_TRUE(find<RoundTrip>(*Heartbeat::on_ping_or_pong(answer, 105.5)));
    EXPECT_EQ(find<RoundTrip>(*Heartbeat::on_ping_or_pong(answer, 105.5))->seconds, 0.5);
    EXPECT_TRUE(Heartbeat::on_ping_or_pong(answer, 104)->empty()) << "from the future";
    EXPECT_TRUE(Heartbeat::on_ping_or_pong(answer, 105 + 2 * kDeadSeconds)->empty()) << "far too late";
    EXPECT_TRUE(Heartbeat::on_ping_or_pong(make_frame(FrameType::pong, std::vector<std::byte>(8, std::byte{0xFF})), 105)
                    ->empty())
        << "not a number";
    EXPECT_TRUE(Heartbeat::on_ping_or_pong(make_frame(FrameType::pong), 105)->empty());
    EXPECT_FALSE(Heartbeat::on_ping_or_pong(make_frame(FrameType::ping, std::vector<std::byte>(9)), 105));
    EXPECT_FALSE(heartbeat.dead(120));
    EXPECT_TRUE(heartbeat.dead(120.1));
    heartbeat.heard(120);
    EXPECT_FALSE(heartbeat.dead(140));
}

TEST(Bye, EndsBothSidesCleanly) {
    auto node = greeted_node();
    auto viewer = ready_viewer();
    const auto bye = viewer.bye(say("the workbench leaves"));
    ASSERT_TRUE(sent(bye, FrameType::bye));
    const auto end = node.on_frame(*sent(bye, FrameType::bye), 0);
    ASSERT_TRUE(find<Close>(end));
    EXPECT_EQ(find<Close>(end)->why, Close::Why::clean);
    EXPECT_TRUE(viewer.bye(say("again")).empty());
    auto other = ready_viewer();
    EXPECT_EQ(find<Close>(other.on_frame(*sent(greeted_node().bye(say("the node ends")), FrameType::bye), 0))->reason,
              say("the node said goodbye: {}", say("the node ends")));
}

/// A journal in memory, a node and viewers that come and go: whatever happens, the viewer ends with every record
/// exactly once, in order.
TEST(BothTogether, ReconnectsFromAnyPositionLoseAndRepeatNothing) {
    for (unsigned seed = 0; seed < 20; ++seed) {
        std::mt19937 random(seed);
        std::vector<Frame> journal;
        for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) {
            for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) {
                journal.push_back(
                    record(epoch, sequence, random() % 60'000, static_cast<std::uint8_t>(1 + random() % 2)));
            }
        }
        std::array<StreamPosition, kChannels> at{};
        std::vector<Frame> got;
        int connections = 0;
        while (got.size() < journal.size() && ++connections < 1000) {
            NodeSession node(hello_of(Role::node), {3, 60});
            ViewerSession viewer(hello_of(Role::viewer));
            std::deque<Frame> to_node, to_viewer;
            long budget = static_cast<long>(1 + random() % 60);  // frames until the cable is cut
            const auto deliver = [&](const Actions& actions, std::deque<Frame>& out) {
                for (const Action& action : actions) {
                    if (const auto* send = std::get_if<SendFrame>(&action)) {
                        out.push_back(send->frame);
                    } else if (const auto* received = std::get_if<RecordReceived>(&action)) {
                        got.push_back(received->frame);
                        at[received->frame.channel] = {received->frame.epoch, received->frame.sequence};
                    } else if (const auto* close = std::get_if<Close>(&action)) {
                        FAIL() << close->reason;
                    }
                }
            };
            deliver(node.start(0), to_viewer);
            deliver(viewer.start(0), to_node);
            bool subscribed = false;
            while (budget-- > 0) {
                if (!to_node.empty()) {
                    deliver(node.on_frame(to_node.front(), 0), to_viewer);
                    to_node.pop_front();
                }
                if (!to_viewer.empty()) {
                    deliver(viewer.on_frame(to_viewer.front(), 0), to_node);
                    to_viewer.pop_front();
                }
                if (viewer.ready() && !subscribed) {
                    subscribed = true;
                    deliver(viewer.subscribe(1, at[1]), to_node);
                    deliver(viewer.subscribe(2, at[2]), to_node);
                }
                if (const auto read = node.next_read()) {
                    std::vector<Frame> some;
                    for (const Frame& frame : journal) {
                        if (frame.channel == read->channel &&
                            StreamPosition{frame.epoch, frame.sequence} > read->after && some.size() < 3) {
                            some.push_back(frame);
                        }
                    }
                    deliver(node.on_records(read->channel, some), to_viewer);
                }
            }
        }
        ASSERT_EQ(got.size(), journal.size());
        EXPECT_GT(connections, 1);
        for (std::uint8_t channel : {1, 2}) {
            std::vector<Frame> want, have;
            for (const Frame& frame : journal) {
                if (frame.channel == channel) {
                    want.push_back(frame);
                }
            }
            for (const Frame& frame : got) {
                if (frame.channel == channel) {
                    have.push_back(frame);
                }
            }
            EXPECT_EQ(have, want);
        }
    }
}

TEST(BothTogether, RandomFramesNeverBreakTheMachines) {
    std::mt19937_64 random(8);
    std::vector<Frame> seeds;
    for (const auto& [name, frame] : test::sample_frames()) {
        seeds.push_back(frame);
    }
    for (int round = 0; round < 3000; ++round) {
        auto node = greeted_node();
        auto viewer = ready_viewer();
        viewer.subscribe(2, {});
        for (int i = 0; i < 10; ++i) {
            Frame frame = seeds[random() % seeds.size()];
            if (random() % 2 && !frame.body.empty()) {
                frame.body[random() % frame.body.size()] = static_cast<std::byte>(random());
            }
            if (random() % 4 == 0) {
                frame.channel = static_cast<std::uint8_t>(random());
            }
            frame.sequence = random() % 100;
            (void)node.on_frame(frame, i);
            (void)viewer.on_frame(frame, i);
            (void)node.next_read();
        }
    }
}

}  // namespace
}  // namespace moescope::protocol
