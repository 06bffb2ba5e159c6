// Bytes: golden files, round trips, truncation, mutation. With MOESCOPE_WRITE_GOLDEN=1 the golden files are written
// instead of compared.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <set>

#include "base/crc32c.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/protocol/tagged_fields.hpp"
#include "tests/nodes/protocol/samples.hpp"
#include "tests/paths.hpp"

namespace moescope::protocol {
namespace {

using nlohmann::json;

std::vector<std::byte> wire(const Frame& frame) {
    std::vector<std::byte> bytes;
    append_frame(bytes, frame);
    return bytes;
}

TEST(Golden, EveryFrameAndRecordHasTheBytesItAlwaysHad) {
    const std::string folder = moescope::test::test_data() + "/nodes/protocol/golden/";
    for (const auto& [name, frame] : test::sample_frames()) {
        const auto bytes = wire(frame);
        const std::string file = folder + name + ".bin";
        if (std::getenv("MOESCOPE_WRITE_GOLDEN")) {
            std::ofstream(file, std::ios::binary)
                .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
            continue;
        }
        std::ifstream in(file, std::ios::binary);
        const std::string golden{std::istreambuf_iterator<char>(in), {}};
        ASSERT_FALSE(golden.empty()) << file;
        EXPECT_EQ(body_text(bytes), golden) << name;
        FrameReader reader(kDataBodyLimit);
        reader.feed(bytes_of(golden));
        const auto read = reader.next();
        ASSERT_TRUE(read) << name << ": " << reader.error();
        EXPECT_EQ(*read, frame) << name;
    }
}

/// The body of a golden record.
std::vector<std::byte> golden_body(const std::string& name) {
    std::ifstream in(moescope::test::test_data() + "/nodes/protocol/golden/" + name + ".bin", std::ios::binary);
    FrameReader reader(kDataBodyLimit);
    reader.feed(bytes_of(std::string{std::istreambuf_iterator<char>(in), {}}));
    const auto frame = reader.next();
    return frame ? frame->body : std::vector<std::byte>{};
}

TEST(Golden, RecordsOfTheFirstLayoutAreRead) {
    const auto step = decode_step(golden_body("record_step_layout1"));
    ASSERT_TRUE(step);
    StepRecord known = test::sample_step();
    known.prediction_loss = known.dropped = base::kAbsent;  // which that layout did not have
    EXPECT_EQ(encode_step(*step), encode_step(known));
    const auto tokens = decode_tokens(golden_body("record_tokens_layout1"));
    ASSERT_TRUE(tokens);
    EXPECT_EQ(encode_tokens(*tokens), encode_tokens(test::sample_tokens()));
    for (const char* name : {"record_step_layout1", "record_tokens_layout1"}) {
        auto body = golden_body(name);
        for (std::size_t size = 0; size < body.size(); ++size) {
            ASSERT_FALSE(decode_step(std::span(body).first(size)));
            ASSERT_FALSE(decode_tokens(std::span(body).first(size)));
        }
        body.push_back({});
        ASSERT_FALSE(decode_step(body));
        ASSERT_FALSE(decode_tokens(body));
    }
}

TEST(Golden, ZerosOfTheFirstLayoutThatSaidNothingAreAbsent) {
    // Two layers of two experts; the first is dense: no tokens, entropy 0. No balancing: a balance loss of 0.
    auto body = golden_body("record_step_layout1");
    const StepRecord whole = test::sample_step();
    const std::size_t values = 8 + 4 + 8 + 8, counts = body.size() - 4 * (16 + 2);
    std::memset(body.data() + values + 2 * sizeof(double), 0, sizeof(double));
    for (const std::size_t language : {0u, 1u}) {
        std::memset(body.data() + counts + 4 * (language * 8), 0, 4 * 4);
    }
    std::memset(body.data() + counts + 4 * 16, 0, 4);
    const auto step = decode_step(body);
    ASSERT_TRUE(step);
    EXPECT_TRUE(std::isnan(step->balance_loss));
    EXPECT_EQ(step->z_loss, whole.z_loss);
    EXPECT_TRUE(std::isnan(step->router_entropy[0]));
    EXPECT_EQ(step->router_entropy_mean, static_cast<double>(whole.router_entropy[1]));
}

TEST(RoutingPiece, HasTheBytesOfTheDocumentAndNoOthers) {
    const std::vector<std::byte> packed = {std::byte{1}, std::byte{2}, std::byte{3}};
    const auto body = encode_routing({0x01020304, 0x1112131415161718, packed});
    ASSERT_EQ(body.size(), 19u);
    EXPECT_EQ(body[0], std::byte{0x04});
    EXPECT_EQ(body[3], std::byte{0x01});
    EXPECT_EQ(body[4], std::byte{0});
    EXPECT_EQ(body[8], std::byte{0x18});
    EXPECT_EQ(body[16], std::byte{1});
    const auto read = decode_routing(body);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->run, 0x01020304u);
    EXPECT_EQ(read->token, 0x1112131415161718u);
    EXPECT_TRUE(std::equal(read->packed.begin(), read->packed.end(), packed.begin(), packed.end()));
    for (std::size_t size = 0; size < 16; ++size) {
        EXPECT_FALSE(decode_routing(std::span(body).first(size)));
    }
    EXPECT_TRUE(decode_routing(std::span(body).first(16))->packed.empty()) << "whoever unpacks it refuses that";
    auto later = body;
    later[5] = std::byte{1};
    EXPECT_FALSE(decode_routing(later)) << "a layout that is not known";
    for (const RecordType type : {RecordType::routing_started, RecordType::routing_chunk, RecordType::routing_scores}) {
        EXPECT_EQ(channel_of(type), Channel::bulk);
    }
    EXPECT_EQ(channel_of(RecordType::routing_result), Channel::text);
    EXPECT_EQ(channel_of(RecordType::intervention_set), Channel::events);
    EXPECT_EQ(channel_of(RecordType::note), Channel::events);
    EXPECT_EQ(run_kind_named("route"), RunKind::route);
}

TEST(Golden, HeaderLayoutIsThatOfTheDocument) {
    Frame frame;
    frame.type = 0x1122;
    frame.flags = 0x33;
    frame.channel = 0x44;
    frame.sequence = 0x0102030405060708;
    frame.time_ns = 0x1112131415161718;
    frame.epoch = 0xA1A2A3A4;
    frame.body = {std::byte{0xEE}};
    auto bytes = wire(frame);
    const auto at = [&](std::size_t i) { return static_cast<int>(bytes[i]); };
    ASSERT_EQ(bytes.size(), 33u);
    EXPECT_EQ(at(0), 1);
    EXPECT_EQ(at(4), 0x22);
    EXPECT_EQ(at(5), 0x11);
    EXPECT_EQ(at(6), 0x33);
    EXPECT_EQ(at(7), 0x44);
    EXPECT_EQ(at(8), 0x08);
    EXPECT_EQ(at(16), 0x18);
    EXPECT_EQ(at(28), 0xA4);
    std::uint32_t crc;
    std::memcpy(&crc, bytes.data() + 24, 4);
    std::memset(bytes.data() + 24, 0, 4);
    EXPECT_EQ(crc, base::crc32c(bytes));
}

/// Frames that nobody takes pile up: each costs what itself has, not what lies there.
TEST(Frames, AreAppendedInTheSameTimeHoweverManyThereAre) {
    constexpr int kFrames = 200'000;
    const Frame frame = make_frame(FrameType::response, std::vector<std::byte>(100));
    std::vector<std::byte> bytes;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (int i = 0; i < kFrames; ++i) {
        append_frame(bytes, frame);
        ASSERT_TRUE(i % 1000 != 0 || std::chrono::steady_clock::now() < deadline) << "after " << i;
    }
    EXPECT_EQ(bytes.size(), kFrames * frame_bytes(frame));
}

TEST(FrameReader, AnyCutOfTheStreamGivesTheSameFrames) {
    std::vector<std::byte> stream;
    std::vector<Frame> frames;
    for (const auto& [name, frame] : test::sample_frames()) {
        append_frame(stream, frame);
        frames.push_back(frame);
    }
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        FrameReader reader(kDataBodyLimit);
        std::vector<Frame> read;
        for (std::size_t at = 0; at < stream.size();) {
            const std::size_t count = round == 0 ? 1 : std::min<std::size_t>(1 + random() % 300, stream.size() - at);
            reader.feed(std::span(stream).subspan(at, count));
            at += count;
            while (auto frame = reader.next()) {
                read.push_back(std::move(*frame));
            }
        }
        ASSERT_EQ(read, frames);
        ASSERT_EQ(reader.pending(), 0u);
        ASSERT_EQ(reader.error().english(), "");
    }
}

TEST(FrameReader, TruncationAtEveryByteWaitsAndGivesNothing) {
    for (const auto& [name, frame] : test::sample_frames()) {
        const auto bytes = wire(frame);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            FrameReader reader(kDataBodyLimit);
            reader.feed(std::span(bytes).first(size));
            ASSERT_FALSE(reader.next());
            ASSERT_EQ(reader.error().english(), "");
        }
    }
}

TEST(FrameReader, EveryFlippedBitIsFound) {
    for (const auto& [name, frame] : test::sample_frames()) {
        const auto bytes = wire(frame);
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            auto damaged = bytes;
            damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
            FrameReader reader(kDataBodyLimit);
            reader.feed(damaged);
            ASSERT_FALSE(reader.next()) << name << " bit " << bit;
        }
    }
}

TEST(FrameReader, LimitIsCheckedBeforeTheBodyComes) {
    Frame frame = make_frame(FrameType::bye, std::vector<std::byte>(kGreetingBodyLimit + 1));
    const auto bytes = wire(frame);
    FrameReader reader;
    reader.feed(std::span(bytes).first(kHeaderBytes));
    EXPECT_FALSE(reader.next());
    EXPECT_NE(reader.error().english(), "");
    reader.feed(std::span(bytes).subspan(kHeaderBytes));
    EXPECT_FALSE(reader.next()) << "no way back from an error";
    EXPECT_LE(reader.pending(), kHeaderBytes);
    FrameReader wide(kGreetingBodyLimit + 1);
    wide.feed(bytes);
    EXPECT_TRUE(wide.next());
}

TEST(Records, StepRoundTrip) {
    std::mt19937_64 random(3);
    for (int round = 0; round < 200; ++round) {
        StepRecord step = test::sample_step();
        step.run = static_cast<std::uint32_t>(random());
        step.step = random();
        step.loss = static_cast<double>(random()) / 1e10;
        step.layers = static_cast<std::uint16_t>(random() % 5);
        step.experts = static_cast<std::uint16_t>(random() % 9);
        step.counts.resize(round % 3 == 0 ? 0 : 2u * step.layers * step.experts);
        for (auto& count : step.counts) {
            count = static_cast<std::uint32_t>(random());
        }
        step.router_entropy.assign(round % 4 == 0 ? 0 : step.layers, 0.5f);
        const auto body = encode_step(step);
        const auto read = decode_step(body);
        ASSERT_TRUE(read);
        EXPECT_EQ(encode_step(*read), body);
        EXPECT_EQ(read->counts, step.counts);
        EXPECT_EQ(read->router_entropy, step.router_entropy);
        EXPECT_EQ(read->step, step.step);
        EXPECT_EQ(read->part_ms, step.part_ms);
        for (std::size_t size = 0; size < body.size(); ++size) {
            ASSERT_FALSE(decode_step(std::span(body).first(size)));
        }
        auto longer = body;
        longer.push_back({});
        EXPECT_FALSE(decode_step(longer));
    }
}

TEST(Records, TheHeadOfAStepIsEverythingButItsLayers) {
    const StepRecord step = test::sample_step();
    const auto body = encode_step(step);
    const RecordHead head = head_of(RecordType::step, body);
    EXPECT_EQ(head.run, step.run);
    ASSERT_LT(head.bytes, body.size() - 4 * step.counts.size());
    const auto read = decode_step_head(std::span(body).first(head.bytes));
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->counts.empty());
    EXPECT_TRUE(read->router_entropy.empty());
    StepRecord expected = step;
    expected.counts.clear();
    expected.router_entropy.clear();
    EXPECT_EQ(encode_step(*read), encode_step(expected));
    EXPECT_EQ(encode_step(*decode_step_head(body)), body) << "all of it, when that is there";
    EXPECT_FALSE(decode_step_head(std::span(body).first(head.bytes - 1)));
    // Older records leave the mean of the entropies to their reader.
    StepRecord old = step;
    old.router_entropy_mean = base::kAbsent;
    const auto old_body = encode_step(old);
    EXPECT_EQ(head_of(RecordType::step, old_body).bytes, old_body.size());
    // Of any other record, and of the first layout, all of it is the head.
    const auto text = encode_json({{"run", 3}});
    EXPECT_EQ(head_of(RecordType::evaluation, text).bytes, text.size());
    EXPECT_EQ(head_of(RecordType::step, text).bytes, text.size());
    EXPECT_EQ(head_of(RecordType::step, {}).bytes, 0U);
}

// Errors of layers stand among the values: also in a head, and in a shape of their own.
TEST(Records, ErrorsOfExpertsHaveAPlaceForEachLayer) {
    StepRecord step = test::sample_step();
    const auto without = encode_step(step);
    step.expert_errors = {2.5f, 3.5f, 4.5f, std::nanf(""), std::nanf(""), std::nanf("")};
    const auto body = encode_step(step);
    EXPECT_GT(body.size(), without.size());
    const auto read = decode_step(body);
    ASSERT_TRUE(read);
    ASSERT_EQ(read->expert_errors.size(), 6U);
    EXPECT_EQ(read->expert_errors[2], 4.5f);
    EXPECT_TRUE(std::isnan(read->expert_errors[3]));
    const auto cut = decode_step_head(std::span(body).first(head_of(RecordType::step, body).bytes));
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->expert_errors.size(), 6U);
    EXPECT_TRUE(cut->counts.empty());
    step.expert_errors.pop_back();
    EXPECT_FALSE(decode_step(encode_step(step)));
}

TEST(Records, AValueThatWasNotComputedIsAbsent) {
    StepRecord step = test::sample_step();
    for (const base::StepValue& row : base::kStepValues) {
        if (std::isnan(value_of(step, row))) {
            value_of(step, row) = 1;  // younger than the golden files
        }
    }
    const std::size_t whole = encode_step(step).size();
    for (const base::StepValue& row : base::kStepValues) {
        StepRecord without = step;
        value_of(without, row) = base::kAbsent;
        if (row.member == &base::StepValues::router_entropy_mean) {
            without.router_entropy = {};
        }
        const auto body = encode_step(without);
        EXPECT_LT(body.size(), whole);
        const auto read = decode_step(body);
        ASSERT_TRUE(read);
        for (const base::StepValue& other : base::kStepValues) {
            EXPECT_EQ(std::isnan(value_of(*read, other)), other.tag == row.tag) << row.key << ", " << other.key;
        }
    }
}

TEST(Records, RanksAreWholeOrUnreadable) {
    const RankRecord ranks = test::sample_ranks();
    const auto body = encode_ranks(ranks);
    const auto read = decode_ranks(body);
    ASSERT_TRUE(read);
    EXPECT_EQ(encode_ranks(*read), body);
    EXPECT_EQ(read->rows, ranks.rows);
    for (std::size_t size = 0; size < body.size(); ++size) {
        ASSERT_FALSE(decode_ranks(std::span(body).first(size)));
    }
    const auto refused = [&](auto change) {
        RankRecord wrong = ranks;
        change(wrong);
        return !decode_ranks(encode_ranks(wrong));
    };
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.ranks = 5; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.ranks = 0; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.expert_ranks = 0; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.expert_ranks = 3; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.layers = 3; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.steps = 0; }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.load.pop_back(); }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.bytes.push_back(1); }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.waiting_ms[1] = std::nan(""); }));
    EXPECT_TRUE(refused([](RankRecord& wrong) { wrong.compute_ms[0] = -1; }));
}

TEST(Records, CurvesAreWholeOrUnreadable) {
    const CurveRecord curve = test::sample_curve();
    const auto body = encode_curve(curve);
    const auto read = decode_curve(body);
    ASSERT_TRUE(read);
    EXPECT_EQ(encode_curve(*read), body);
    EXPECT_EQ(read->name, curve.name);
    EXPECT_EQ(read->steps, curve.steps);
    for (std::size_t size = 0; size < body.size(); ++size) {
        ASSERT_FALSE(decode_curve(std::span(body).first(size)));
    }
    const auto refused = [&](auto change) {
        CurveRecord wrong = curve;
        change(wrong);
        return !decode_curve(encode_curve(wrong));
    };
    EXPECT_FALSE(refused([](CurveRecord& wrong) { wrong.wall_times.clear(); }));
    EXPECT_FALSE(refused([](CurveRecord& wrong) { wrong.values[1] = std::nan(""); }));
    EXPECT_TRUE(refused([](CurveRecord& wrong) { wrong.wall_times.pop_back(); }));
    EXPECT_TRUE(refused([](CurveRecord& wrong) { wrong.values.push_back(1); }));
    EXPECT_TRUE(refused([](CurveRecord& wrong) { wrong.steps[1] = 1; })) << "does not rise";
    EXPECT_TRUE(refused([](CurveRecord& wrong) { wrong.steps[2] += 1; })) << "a double would be another step";
    EXPECT_TRUE(refused([](CurveRecord& wrong) { wrong.curve = kMostCurves; }));
    CurveRecord hostile = curve;
    hostile.name = "a\n\xFF" + std::string(5000, 'b');
    const auto shown = decode_curve(encode_curve(hostile));
    ASSERT_TRUE(shown);
    EXPECT_LT(shown->name.size(), 300u);
    EXPECT_EQ(shown->name.find('\n'), std::string::npos);
}

TEST(Records, RanksAreAddedUp) {
    const RankRecord one = test::sample_ranks();
    // The second group's: its ranks send nothing to the first one's.
    EXPECT_EQ(one.rows_between(2, 3, 0), 50u);
    EXPECT_EQ(one.rows_between(2, 3), 50u + 130u);
    EXPECT_EQ(one.rows_between(1, 2), 0u);
    EXPECT_EQ(one.rows_between(2, 3, 2), 0u) << "there is no such layer";
    EXPECT_EQ(one.load_of(3), 103u + 107u);
    EXPECT_EQ(one.load_of(3, 1), 107u);
    RankRecord sum = one, later = one;
    later.step = 1236;
    sum.add(later);
    EXPECT_EQ(sum.step, 1236u);
    EXPECT_EQ(sum.steps, 4u);
    EXPECT_EQ(sum.load_of(3), 2 * one.load_of(3));
    EXPECT_EQ(sum.waiting_ms[0], 7.0);
    EXPECT_EQ(sum.memory_bytes, one.memory_bytes);
    later.layers = 1;
    sum.add(later);
    EXPECT_EQ(sum.steps, 4u) << "of another shape";
    RankRecord folded = one;
    folded.fold_layers();
    ASSERT_TRUE(decode_ranks(encode_ranks(folded)));
    EXPECT_EQ(folded.layers, 1u);
    for (std::size_t from = 0; from < 4; ++from) {
        EXPECT_EQ(folded.load_of(from), one.load_of(from));
        for (std::size_t to = 0; to < 4; ++to) {
            EXPECT_EQ(folded.rows_between(from, to), one.rows_between(from, to));
        }
    }
}

TEST(Records, FieldsOfLaterVersionsAreSkipped) {
    for (auto [body, is_step] :
         {std::pair{encode_step(test::sample_step()), true}, std::pair{encode_tokens(test::sample_tokens()), false}}) {
        const auto known = body;
        base::Writer writer(body);
        for (const int form : {1, 2, 3, 4, 5, 6, 7, 8}) {
            const int bytes[] = {0, 1, 2, 4, 8, 4, 8, 4, 8};
            for (const bool array : {false, true}) {
                writer.put(static_cast<std::uint16_t>(9000 + form));
                writer.put(static_cast<std::uint8_t>(form | (array ? 0x80 : 0)));
                if (array) {
                    writer.put(std::uint32_t{3});
                }
                for (int i = 0; i < bytes[form] * (array ? 3 : 1); ++i) {
                    writer.put(std::uint8_t{7});
                }
                body[2] = static_cast<std::byte>(static_cast<int>(body[2]) + 1);
            }
        }
        const auto again =
            is_step ? encode_step(decode_step(body).value()) : encode_tokens(decode_tokens(body).value());
        EXPECT_EQ(again, known);
        body[body.size() - 1 - 3 * 8 - 4] = std::byte{0x89};  // a form that nobody knows cannot be skipped
        EXPECT_FALSE(is_step ? decode_step(body).has_value() : decode_tokens(body).has_value());
    }
}

TEST(Records, TokensRoundTrip) {
    std::mt19937_64 random(4);
    for (int round = 0; round < 100; ++round) {
        TokenBatch batch = test::sample_tokens();
        batch.tokens.resize(random() % 6);
        for (TokenRecord& token : batch.tokens) {
            token.chosen = {static_cast<std::int32_t>(random()), std::string(random() % 20, '\xFF'), -1.25f};
            token.alternatives.assign(random() % 4, {1, std::string("a\0b", 3), -2.0f});
            token.experts.assign(random() % 2 ? 4 : 0, 11);
        }
        const auto body = encode_tokens(batch);
        const auto read = decode_tokens(body);
        ASSERT_TRUE(read);
        EXPECT_EQ(encode_tokens(*read), body);
        ASSERT_EQ(read->tokens.size(), batch.tokens.size());
        for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
            EXPECT_EQ(read->tokens[i].chosen.bytes, batch.tokens[i].chosen.bytes);
            EXPECT_EQ(read->tokens[i].alternatives.size(), batch.tokens[i].alternatives.size());
            EXPECT_EQ(read->tokens[i].experts, batch.tokens[i].experts);
        }
        for (std::size_t size = 0; size < body.size(); ++size) {
            ASSERT_FALSE(decode_tokens(std::span(body).first(size)));
        }
    }
}

TEST(Records, AnnouncedCountsAreNotBelieved) {
    // Every count of an array in turn as large as it gets: the numbers can't be there.
    for (auto [body, is_step] :
         {std::pair{encode_step(test::sample_step()), true}, std::pair{encode_tokens(test::sample_tokens()), false}}) {
        FieldReader reader(body);
        int arrays = 0;
        while (const auto field = reader.next()) {
            if (!field->is_array) {
                continue;
            }
            ++arrays;
            auto damaged = body;
            const auto at = static_cast<std::size_t>(field->data.data() - body.data());
            std::memset(damaged.data() + at - 4, 0xFF, 4);
            EXPECT_FALSE(is_step ? decode_step(damaged).has_value() : decode_tokens(damaged).has_value());
        }
        EXPECT_GE(arrays, 2);
    }
}

TEST(Records, ShapesThatDoNotFitAreRefused) {
    StepRecord step = test::sample_step();
    step.layers = step.experts = 0xFFFF;
    EXPECT_FALSE(decode_step(encode_step(step)));
    step = test::sample_step();
    step.router_entropy.push_back(0.5f);
    EXPECT_FALSE(decode_step(encode_step(step)));
}

TEST(Records, EveryValueStandsInTheDocument) {
    std::ifstream in(moescope::test::test_data() + "/../docs/protocol.md");
    const std::string page{std::istreambuf_iterator<char>(in), {}};
    for (const base::StepValue& row : base::kStepValues) {
        const std::string line = fmt::format("| {} | `{}` | {} | {} |", row.tag, row.key, row.unit, row.meaning);
        EXPECT_NE(page.find(line), std::string::npos) << line;
    }
}

TEST(Records, ChannelsAndNames) {
    EXPECT_EQ(channel_of(RecordType::run_started), Channel::events);
    EXPECT_EQ(channel_of(RecordType::step), Channel::metrics);
    EXPECT_EQ(channel_of(RecordType::tokens), Channel::text);
}

TEST(Json, GuardsDepthSizeAndKind) {
    const auto nested = [](int depth) {
        return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
    };
    EXPECT_TRUE(base::parse_json(bytes_of(nested(16)), 1000));
    EXPECT_FALSE(base::parse_json(bytes_of(nested(17)), 1000));
    EXPECT_FALSE(base::parse_json(bytes_of(std::string(1'000'000, '[')), 1'000'000));
    EXPECT_FALSE(base::parse_json(bytes_of("[1]"), 2));
    EXPECT_FALSE(base::parse_json(bytes_of("{\"a\":1} x"), 100));
    EXPECT_FALSE(base::parse_json(bytes_of("\"\xFF\""), 100));
    EXPECT_FALSE(base::parse_json({}, 100));
    EXPECT_FALSE(decode_json(bytes_of("[1]")));
    EXPECT_FALSE(decode_json(bytes_of("{\"a\":\"" + std::string(kDataBodyLimit, 'x') + "\"}")));
    const json value = {{"a", {1, -2, 3.5, nullptr, true}}, {"b", {{"c", "中"}}}, {"c", json::array()}};
    EXPECT_EQ(decode_json(encode_json(value)), value);
}

TEST(Json, InvalidUtf8IsReplaced) {
    const auto read = decode_json(encode_json({{"text",
                                                "a\xFF"
                                                "b"}}));
    ASSERT_TRUE(read);
    EXPECT_EQ((*read)["text"],
              "a\xEF\xBF\xBD"
              "b");
}

TEST(Hello, RoundTripTruncationAndGrowth) {
    const Hello hello = test::sample_hello();
    auto body = encode_hello(hello);
    EXPECT_EQ(decode_hello(body), hello);
    for (std::size_t size = 0; size < body.size(); ++size) {
        EXPECT_FALSE(decode_hello(std::span(body).first(size)));
    }
    body.push_back(std::byte{1});
    EXPECT_EQ(decode_hello(body), hello) << "a later version may append fields";
    body[0] = std::byte{'X'};
    EXPECT_FALSE(decode_hello(body));
    Hello longest = hello;
    longest.build = std::string(5000, 'b');
    longest.features = std::string(5000, 'f');
    const auto cut = decode_hello(encode_hello(longest));
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->build.size(), 200u);
    EXPECT_EQ(cut->features.size(), 1000u);
}

TEST(Mutation, AHundredThousandDamagedInputsDoNoHarm) {
    std::vector<std::vector<std::byte>> seeds;
    for (const auto& [name, frame] : test::sample_frames()) {
        seeds.push_back(frame.body);
    }
    std::mt19937_64 random(42);
    std::size_t accepted = 0;
    for (int round = 0; round < 100'000; ++round) {
        auto body = seeds[random() % seeds.size()];
        for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
            switch (random() % 4) {
                case 0:
                    if (!body.empty()) {
                        body[random() % body.size()] = static_cast<std::byte>(random());
                    }
                    break;
                case 1:
                    if (!body.empty()) {
                        body[random() % body.size()] ^= static_cast<std::byte>(1 << (random() % 8));
                    }
                    break;
                case 2:
                    body.resize(random() % (body.size() + 8));
                    break;
                default:
                    body.insert(body.begin() + static_cast<std::ptrdiff_t>(random() % (body.size() + 1)),
                                static_cast<std::byte>(random()));
            }
        }
        // The body goes everywhere where bytes from outside may go; checksums are left out, they would hide the
        // parsers.
        accepted += decode_step(body).has_value() + decode_tokens(body).has_value() + decode_json(body).has_value() +
                    decode_hello(body).has_value() + decode_refuse(body).has_value() +
                    decode_subscribe(body).has_value() + decode_credit(body).has_value() +
                    decode_step_head(body).has_value();
        EXPECT_LE(head_of(RecordType::step, body).bytes, body.size());
        FrameReader reader(kControlBodyLimit);
        reader.feed(body);
        while (reader.next()) {
        }
    }
    EXPECT_GT(accepted, 1000u) << "the mutations are too wild to reach anything";
}

}  // namespace
}  // namespace moescope::protocol
