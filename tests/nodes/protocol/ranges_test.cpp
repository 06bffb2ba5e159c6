// Files in pieces, through the two state machines.
#include <gtest/gtest.h>

#include "nodes/protocol/node_session.hpp"
#include "nodes/protocol/viewer_session.hpp"

namespace moescope::protocol {
namespace {

constexpr ObjectId kObject{1, 2, 3};
const std::string kHash(64, 'a');

std::vector<std::byte> some_bytes(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    }
    return bytes;
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

bool broken(const Actions& actions) {
    const Close* close = find<Close>(actions);
    return close != nullptr && close->why == Close::Why::broken_rule;
}

struct Pair {
    Pair() : node(hello(Role::node), {}), viewer(hello(Role::viewer)) {
        node.start(0);
        viewer.start(0);
        viewer.on_frame(make_frame(FrameType::hello, encode_hello(hello(Role::node))), 0);
        node.on_frame(make_frame(FrameType::hello, encode_hello(hello(Role::viewer))), 0);
        viewer.on_frame(make_frame(FrameType::auth_ok), 0);
    }
    static Hello hello(Role role) {
        Hello hello;
        hello.role = role;
        return hello;
    }
    NodeSession node;
    ViewerSession viewer;
};

Frame sent(const Actions& actions) {
    const auto* send = find<SendFrame>(actions);
    return send != nullptr ? send->frame : Frame{};
}

TEST(Ranges, APullComesInPiecesBehindItsHash) {
    Pair pair;
    const RangeOrder order{5, kObject, 1, kRangeBytes, 200'000};
    const auto pulled = pair.node.on_frame(sent(pair.viewer.pull(order)), 0);
    ASSERT_TRUE(find<PullReceived>(pulled));
    EXPECT_EQ(find<PullReceived>(pulled)->order, order);
    const auto bytes = some_bytes(order.length);
    EXPECT_FALSE(pair.node.has_pieces());
    pair.node.answer_range({5, RangeEnd::State::whole, kHash, {}}, bytes);
    std::size_t frames = 0;
    Actions last;
    while (pair.node.has_pieces()) {
        const Frame frame = pair.node.next_piece();
        EXPECT_LE(frame.body.size(), kControlBodyLimit);
        last = pair.viewer.on_frame(frame, 0);
        ++frames;
    }
    EXPECT_EQ(frames, 5u);  // four pieces and the end
    const auto* range = find<RangeReceived>(last);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->order, order);
    EXPECT_EQ(range->end.sha256, kHash);
    EXPECT_EQ(range->bytes, bytes);
}

TEST(Ranges, APushArrivesWholeAndIsAnswered) {
    Pair pair;
    const RangeOrder order{9, kObject, 0, 0, 100'001};
    const auto bytes = some_bytes(order.length);
    pair.viewer.push({order, kHash}, bytes);
    Actions last;
    while (pair.viewer.has_pieces()) {
        const Frame frame = pair.viewer.next_piece();
        EXPECT_LE(frame.body.size(), kControlBodyLimit);
        last = pair.node.on_frame(frame, 0);
    }
    const auto* push = find<PushReceived>(last);
    ASSERT_TRUE(push);
    EXPECT_EQ(push->range.order, order);
    EXPECT_EQ(push->range.sha256, kHash);
    EXPECT_EQ(push->range.bytes, bytes);
    pair.node.answer_range({9, RangeEnd::State::differs, {}, {}});
    const auto ended = pair.viewer.on_frame(pair.node.next_piece(), 0);
    ASSERT_TRUE(find<RangeReceived>(ended));
    EXPECT_EQ(find<RangeReceived>(ended)->end.state, RangeEnd::State::differs);
}

TEST(Ranges, AnEndSaysWhyInEveryLanguage) {
    const RangeEnd end{3, RangeEnd::State::open_again, {}, base::say("{} has changed while it was sent", "a")};
    EXPECT_EQ(decode_range_end(encode_range_end(end)), end);
    const auto body = encode_range_end(end);
    for (std::size_t size = 0; size < 40; ++size) {
        EXPECT_FALSE(decode_range_end(std::span(body).first(size))) << size;
    }
}

TEST(Ranges, WhatNoRangeCanBeIsRefused) {
    const RangeOrder good{1, kObject, 0, 0, 1};
    EXPECT_EQ(decode_range_order(encode_range_order(good)), good);
    for (const RangeOrder& bad : {RangeOrder{1, kObject, 0, 0, 0}, RangeOrder{1, kObject, 0, 0, kRangeBytes + 1},
                                  RangeOrder{1, kObject, 0, ~std::uint64_t{0}, 2}}) {
        EXPECT_FALSE(decode_range_order(encode_range_order(bad)));
        Pair pair;
        EXPECT_TRUE(broken(pair.node.on_frame(make_frame(FrameType::pull, encode_range_order(bad)), 0)));
    }
    const PushBody push{good, kHash};
    EXPECT_EQ(decode_push(encode_push(push)), push);
    auto longer = encode_push(push);
    longer.push_back(std::byte{});
    EXPECT_FALSE(decode_push(longer));
    EXPECT_FALSE(decode_chunk(encode_chunk({1, 0, {}})));
    EXPECT_FALSE(decode_chunk(encode_chunk({1, 0, some_bytes(kChunkBytes + 1)})));
    EXPECT_EQ(object_named(to_text(kObject)), kObject);
    EXPECT_FALSE(object_named("0102"));
    EXPECT_FALSE(object_named(std::string(32, 'G')));
}

TEST(Ranges, PiecesOutOfOrderEndTheConnection) {
    const auto piece = some_bytes(10);
    const auto push = make_frame(FrameType::push, encode_push({{1, kObject, 0, 100, 20}, kHash}));
    const auto chunk = [&](std::uint32_t number, std::uint64_t offset) {
        return make_frame(FrameType::chunk, encode_chunk({number, offset, piece}));
    };
    for (const auto& wrong : {chunk(2, 100), chunk(1, 0), chunk(1, 110)}) {
        Pair pair;
        EXPECT_TRUE(pair.node.on_frame(push, 0).empty());
        EXPECT_TRUE(broken(pair.node.on_frame(wrong, 0)));
    }
    Pair beyond;
    beyond.node.on_frame(push, 0);
    EXPECT_FALSE(broken(beyond.node.on_frame(chunk(1, 100), 0)));
    EXPECT_TRUE(find<PushReceived>(beyond.node.on_frame(chunk(1, 110), 0)));
    EXPECT_TRUE(broken(beyond.node.on_frame(chunk(1, 120), 0)));
    Pair unasked;
    EXPECT_TRUE(broken(unasked.viewer.on_frame(chunk(1, 0), 0)));
    Pair early;  // the end before all has come
    early.viewer.pull({1, kObject, 0, 0, 20});
    EXPECT_TRUE(broken(early.viewer.on_frame(
        make_frame(FrameType::range, encode_range_end({1, RangeEnd::State::whole, kHash, {}})), 0)));
}

TEST(Ranges, NoMoreAreUnderWayThanTheRuleSays) {
    Pair pair;
    for (std::uint32_t number = 0; number < kMaximumRanges; ++number) {
        EXPECT_FALSE(
            broken(pair.node.on_frame(make_frame(FrameType::pull, encode_range_order({number, kObject, 0, 0, 1})), 0)));
    }
    pair.node.answer_range({0, RangeEnd::State::failed, {}, base::say("this file was opened to be written")});
    EXPECT_FALSE(broken(pair.node.on_frame(make_frame(FrameType::pull, encode_range_order({7, kObject, 0, 0, 1})), 0)));
    EXPECT_TRUE(broken(pair.node.on_frame(make_frame(FrameType::pull, encode_range_order({8, kObject, 0, 0, 1})), 0)));
    Pair twice;
    const auto pull = make_frame(FrameType::pull, encode_range_order({1, kObject, 0, 0, 1}));
    twice.node.on_frame(pull, 0);
    EXPECT_TRUE(broken(twice.node.on_frame(pull, 0)));
}

TEST(Ranges, AnswersAndRecordsGoBeforePieces) {
    Pair pair;
    pair.node.on_frame(sent(pair.viewer.pull({1, kObject, 0, 0, 200'000})), 0);
    pair.node.answer_range({1, RangeEnd::State::whole, kHash, {}}, some_bytes(200'000));
    pair.viewer.on_frame(pair.node.next_piece(), 0);
    // In the middle of a range everything else goes on.
    const std::string id(32, '1');
    const auto asked = pair.node.on_frame(sent(pair.viewer.request(id, "status", nlohmann::json::object())), 0);
    ASSERT_TRUE(find<RequestReceived>(asked));
    const auto answered = pair.viewer.on_frame(sent(pair.node.respond(id, {{"state", "done"}})), 0);
    EXPECT_TRUE(find<ResponseReceived>(answered));
    EXPECT_TRUE(pair.node.has_pieces());
}

}  // namespace
}  // namespace moescope::protocol
