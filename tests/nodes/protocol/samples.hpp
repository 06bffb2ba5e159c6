// One example of every frame and record, with fixed values: the golden files and the mutation tests start from these.
#pragma once

#include <map>
#include <string>

#include "base/json_guard.hpp"
#include "nodes/protocol/curve_record.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/hello.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::protocol::test {

inline Hello sample_hello() {
    Hello hello;
    hello.role = Role::node;
    hello.minor = 0;
    for (std::uint8_t i = 0; i < 16; ++i) {
        hello.node_id[i] = static_cast<std::uint8_t>(17 * i);
    }
    hello.epoch = 7;
    hello.build = "0.1.0";
    hello.features = "train,generate,probe";
    return hello;
}

inline StepRecord sample_step() {
    StepRecord step;
    step.run = 3;
    step.step = 1234;
    step.tokens_total = 5'000'000'000ull;
    step.loss = 2.5;
    step.cross_entropy = 2.25;
    step.balance_loss = 1.0625;
    step.z_loss = 3.5;
    step.gradient_norm = 0.75;
    step.learning_rate = 3e-4;
    step.balance_coefficient = 0.01;
    step.z_coefficient = 0.001;
    step.tokens_per_second = 12345.5;
    step.step_ms = 81.25;
    for (std::size_t i = 0; i < step.part_ms.size(); ++i) {
        step.part_ms[i] = static_cast<double>(i) + 0.5;
    }
    step.memory_bytes = 1ull << 33;
    step.prediction_loss = 3.25;
    step.dropped = 17;
    step.router_entropy_mean = 0.6875;
    step.layers = 2;
    step.experts = 4;
    step.top_k = 2;
    for (std::uint32_t i = 0; i < 16; ++i) {
        step.counts.push_back(i * 100);
    }
    step.router_entropy = {0.5f, 0.875f};
    return step;
}

/// Two groups of two ranks, two layers.
inline RankRecord sample_ranks() {
    RankRecord ranks;
    ranks.run = 3;
    ranks.step = 1234;
    ranks.steps = 2;
    ranks.ranks = 4;
    ranks.expert_ranks = 2;
    ranks.layers = 2;
    ranks.tokens_travel = 1;
    ranks.row_bytes = 512;
    for (std::uint64_t i = 0; i < 4; ++i) {
        ranks.compute_ms.push_back(80.0 + static_cast<double>(i));
        ranks.waiting_ms.push_back(3.5 - 0.5 * static_cast<double>(i));
        ranks.memory_bytes.push_back(1e8 + static_cast<double>(i));
    }
    for (std::uint64_t i = 0; i < 8; ++i) {
        ranks.load.push_back(100 + i);
    }
    for (std::uint64_t i = 0; i < 16; ++i) {
        ranks.rows.push_back(i == 0 ? std::uint64_t{1} << 40 : 10 * i);
        ranks.bytes.push_back(i % 5 == 0 ? 0 : 5000 * i);
    }
    return ranks;
}

inline CurveRecord sample_curve() {
    CurveRecord curve;
    curve.run = 4;
    curve.curve = 2;
    curve.name = "train/损失";
    curve.key = "loss";
    curve.unit = "nats/token";
    curve.steps = {1, 10, (std::uint64_t{1} << 53) - 1};
    curve.values = {2.5, -0.125, 1e-300};
    curve.wall_times = {1'760'000'000.25, 1'760'000'001.5, 0};
    return curve;
}

inline TokenBatch sample_tokens() {
    TokenBatch batch;
    batch.run = 9;
    batch.first = 40;
    batch.layers = 2;
    batch.top_k = 2;
    TokenRecord first;
    first.chosen = {17, "\xE4\xB8", -0.25f};  // half a character
    first.alternatives = {{17, "\xE4\xB8", -0.25f}, {-1, "", -3.0f}};
    first.experts = {0, 3, 65535, 1};
    TokenRecord second;
    second.chosen = {2, " end", -1.5f};
    batch.tokens = {first, second};
    return batch;
}

inline RangeOrder sample_range() {
    RangeOrder order{9, {}, 2, 4096, 5};
    order.object.fill(3);
    return order;
}

inline std::map<std::string, Frame> sample_frames() {
    const std::string id = "0123456789abcdef0123456789abcdef";
    const auto json_frame = [](FrameType type, const nlohmann::json& value) {
        return make_frame(type, bytes_of(base::dump_json(value)));
    };
    std::map<std::string, Frame> frames{
        {"hello", make_frame(FrameType::hello, encode_hello(sample_hello()))},
        {"refuse",
         make_frame(FrameType::refuse, encode_refuse({RefuseCode::version, 1, 0, "the versions do not fit"}))},
        {"auth_ok", make_frame(FrameType::auth_ok)},
        {"auth", make_frame(FrameType::auth, encode_auth({{1, 2, 3, 4}, "lab"}))},
        {"request",
         json_frame(FrameType::request, {{"id", id}, {"command", "train.pause"}, {"parameters", {{"run", 3}}}})},
        {"response", json_frame(FrameType::response, {{"id", id}, {"state", "done"}, {"value", {{"step", 12}}}})},
        {"subscribe", make_frame(FrameType::subscribe, encode_subscribe({2, {7, 1000}}))},
        {"unsubscribe", make_frame(FrameType::unsubscribe, {std::byte{2}})},
        {"credit", make_frame(FrameType::credit, encode_credit({2, 1 << 20}))},
        {"gap", json_frame(FrameType::gap, {{"from", 1}, {"to", 5}, {"count", 4}, {"reason", "ring full"}})},
        {"state", json_frame(FrameType::state, {{"node", {{"name", "here"}}}, {"tasks", nlohmann::json::array()}})},
        {"ping", make_frame(FrameType::ping, std::vector<std::byte>(8, std::byte{5}))},
        {"pong", make_frame(FrameType::pong, std::vector<std::byte>(8, std::byte{5}))},
        {"bye", make_frame(FrameType::bye, bytes_of("the node ends"))},
        {"pull", make_frame(FrameType::pull, encode_range_order(sample_range()))},
        {"push", make_frame(FrameType::push, encode_push({sample_range(), std::string(64, '5')}))},
        {"chunk", make_frame(FrameType::chunk, encode_chunk({9, 4096, std::as_bytes(std::span("piece", 5))}))},
        {"range",
         make_frame(FrameType::range, encode_range_end({9, RangeEnd::State::whole, std::string(64, '5'), {}}))}};
    const auto record = [&](const std::string& name, RecordType type, std::vector<std::byte> body) {
        Frame frame;
        frame.type = static_cast<std::uint16_t>(kDataTypeBase | static_cast<std::uint16_t>(type));
        frame.channel = static_cast<std::uint8_t>(channel_of(type));
        frame.sequence = 1001;
        frame.time_ns = 1'760'000'000'123'456'789ull;
        frame.epoch = 7;
        frame.body = std::move(body);
        frames["record_" + name] = std::move(frame);
    };
    record("step", RecordType::step, encode_step(sample_step()));
    record("ranks", RecordType::ranks, encode_ranks(sample_ranks()));
    record("curve", RecordType::curve, encode_curve(sample_curve()));
    record("tokens", RecordType::tokens, encode_tokens(sample_tokens()));
    const std::pair<const char*, RecordType> json_records[] = {{"run_started", RecordType::run_started},
                                                               {"run_ended", RecordType::run_ended},
                                                               {"event", RecordType::event},
                                                               {"sample", RecordType::sample},
                                                               {"evaluation", RecordType::evaluation},
                                                               {"generation_ended", RecordType::generation_ended},
                                                               {"probe_draw", RecordType::probe_draw},
                                                               {"probe_label", RecordType::probe_label},
                                                               {"probe_codings", RecordType::probe_codings},
                                                               {"log", RecordType::log},
                                                               {"gap", RecordType::gap}};
    for (const auto& [name, type] : json_records) {
        record(name, type, encode_json({{"run", 3}, {"name", name}, {"text", "中文 and English"}}));
    }
    return frames;
}

}  // namespace moescope::protocol::test
