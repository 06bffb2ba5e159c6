// Traces and sets of changes in the records: whatever is missing, damaged, comes twice or before its run.
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/history/session.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;
using protocol::RecordType;

const routing::RouterSpec kSpec = routing::make_spec(2, 8, 2);

/// Pieces of a trace, ten tokens each.
std::vector<std::shared_ptr<const routing::Chunk>> pieces(int count) {
    return routing::chunks_of(kSpec, routing::RandomTrace(kSpec, 3).tokens(10 * count), 10);
}

std::vector<std::byte> body_of(std::uint32_t run, const routing::Chunk& chunk) {
    return protocol::encode_routing({run, chunk.first, routing::pack(chunk)});
}

json started(std::uint32_t run, json more = json::object()) {
    json body = {{"run", run},
                 {"router", routing::router_to_json(kSpec)},
                 {"interventions", json::array()},
                 {"set", ""},
                 {"detail", "weights"}};
    body.update(more);
    return body;
}

class Routing : public testing::Test {
 protected:
    std::uint32_t put(RecordType type, const std::vector<std::byte>& body) {
        return session.apply({type, {1, ++sequence}, 1, body});
    }
    std::uint32_t put(RecordType type, const json& body) { return put(type, protocol::encode_json(body)); }
    std::uint32_t piece(std::uint32_t run, const routing::Chunk& chunk) {
        return put(RecordType::routing_chunk, body_of(run, chunk));
    }
    const RunRouting& of(std::uint32_t run) const { return session.routing().at(run).value; }

    Session session;
    std::uint64_t sequence = 0;
};

TEST_F(Routing, ComesBeforeItsRunAndBelongsToAnyKind) {
    const auto chunks = pieces(3);
    EXPECT_EQ(put(RecordType::routing_started,
                  started(4, {{"interventions", {{{"kind", "knock_out"}, {"layer", 1}, {"expert", 5}}}},
                              {"set", "quiet"},
                              {"detail", "ids"}})),
              4u);
    for (const auto& chunk : chunks) {
        EXPECT_EQ(piece(4, *chunk), 4u);
    }
    EXPECT_TRUE(session.runs().empty());
    EXPECT_EQ(of(4).tokens, 30u);
    EXPECT_EQ(of(4).lost, 0u);
    EXPECT_EQ(of(4).set, "quiet");
    EXPECT_EQ(of(4).detail, routing::Detail::ids);
    EXPECT_EQ(of(4).interventions.size(), 1u);
    put(RecordType::run_started, json{{"run", 4}, {"kind", "generate"}, {"name", "m"}, {"manifest", json::object()}});
    EXPECT_EQ(session.runs().at(4)->kind, RunKind::generate);
    EXPECT_EQ(of(4).trace->chunk(1, routing::kIds)->ids, chunks[1]->ids);
}

TEST_F(Routing, OfARouteRunItsResultMayComeFirst) {
    put(RecordType::routing_result, json{{"run", 2}, {"result", {{"tokens", 7}}}});
    EXPECT_TRUE(session.runs().empty());
    put(RecordType::run_started, json{{"run", 2},
                                      {"kind", "route"},
                                      {"name", "a text"},
                                      {"manifest", {{"what", "effect"}, {"model", "m|quiet"}, {"group", "g"}}}});
    const RouteRun& run = session.routes().at(2).value;
    EXPECT_EQ(run.what, RouteRun::What::effect);
    EXPECT_EQ(run.model, "m|quiet");
    EXPECT_EQ(run.group, "g");
    EXPECT_EQ(run.state, RunState::running);
    EXPECT_EQ(run.result["tokens"], 7);
    put(RecordType::run_ended, json{{"run", 2}, {"state", "interrupted"}, {"message", "the node stopped"}});
    EXPECT_EQ(run.state, RunState::interrupted);
    EXPECT_EQ(run.message.english(), "the node stopped");
}

TEST_F(Routing, WhatIsMissingOrDamagedIsCountedOnce) {
    const auto chunks = pieces(8);
    put(RecordType::routing_started, started(1));
    piece(1, *chunks[0]);
    piece(1, *chunks[2]);  // one did not come
    EXPECT_EQ(of(1).lost, 1u);
    auto damaged = body_of(1, *chunks[3]);
    damaged[20] ^= std::byte{1};
    EXPECT_EQ(put(RecordType::routing_chunk, damaged), 1u);
    EXPECT_EQ(of(1).lost, 2u);
    piece(1, *chunks[4]);
    EXPECT_EQ(of(1).lost, 2u) << "the hole is the damaged one";
    piece(1, *chunks[4]);  // twice
    EXPECT_EQ(of(1).lost, 3u);
    piece(1, *chunks[7]);  // two did not come; how many nobody knows
    EXPECT_EQ(of(1).lost, 3u) << "behind one that was refused";
    EXPECT_EQ(of(1).tokens, 80u);
    EXPECT_EQ(of(1).trace->chunks(), 4u);
    EXPECT_EQ(put(RecordType::routing_scores, body_of(1, *chunks[0])), 1u);
    EXPECT_EQ(of(1).lost, 4u) << "no scores";
    EXPECT_EQ(put(RecordType::routing_chunk, std::vector<std::byte>(5)), 0u);
    EXPECT_EQ(put(RecordType::routing_chunk, body_of(0, *chunks[0])), 0u) << "there is no run 0";
    piece(9, *chunks[0]);
    EXPECT_FALSE(session.routing().contains(9)) << "its beginning did not come";
    EXPECT_EQ(session.log().size(), 2u);
}

TEST_F(Routing, ATraceThatBeginsAgainLeavesTheOldOneToWhoHasIt) {
    const auto chunks = pieces(3);
    put(RecordType::routing_started, started(1));
    piece(1, *chunks[0]);
    piece(1, *chunks[1]);
    const auto before = of(1).trace;
    put(RecordType::routing_started, started(1, {{"detail", "scores"}}));
    EXPECT_EQ(of(1).tokens, 0u);
    EXPECT_EQ(of(1).detail, routing::Detail::scores);
    piece(1, *chunks[0]);
    EXPECT_EQ(of(1).tokens, 10u);
    EXPECT_EQ(of(1).lost, 0u);
    EXPECT_EQ(before->tokens(), 20u);
    EXPECT_NE(of(1).trace, before);
    // One that can't be read takes nothing of what is there, and its pieces are not put to it.
    put(RecordType::routing_started, started(1, {{"router", {{"layers", -1}}}}));
    piece(1, *chunks[1]);
    EXPECT_EQ(of(1).tokens, 10u);
    put(RecordType::routing_started, started(2, {{"router", 5}}));
    EXPECT_FALSE(session.routing().contains(2));
    ASSERT_EQ(session.log().size(), 2u);
    EXPECT_NE(session.log()[1].text.english().find("the routing of run 2 can't be shown"), std::string::npos);
}

TEST_F(Routing, ChangesOfALaterVersionAreADoubt) {
    put(RecordType::routing_started, started(1, {{"interventions", {{{"kind", "swap"}}}}}));
    EXPECT_TRUE(of(1).interventions.empty());
    ASSERT_EQ(of(1).trace->spec().doubts.size(), 1u);
    EXPECT_NE(of(1).trace->spec().doubts[0].english().find("'swap'"), std::string::npos);
}

TEST_F(Routing, MemoryIsBoundedAndTheOldestRunGoesFirst) {
    const auto chunks = pieces(4);
    std::uint64_t all = 0;
    for (const auto& chunk : chunks) {
        all += routing::pack(*chunk).size();
    }
    session = Session(Keep{.routing_bytes = 2 * all + all / 2});
    for (std::uint32_t run = 1; run <= 3; ++run) {
        put(RecordType::routing_started, started(run));
        for (const auto& chunk : chunks) {
            piece(run, *chunk);
        }
    }
    EXPECT_EQ(of(1).tokens, 0u);
    EXPECT_EQ(of(1).lost, 4u);
    EXPECT_EQ(of(1).trace->chunks(), 0u);
    EXPECT_EQ(of(1).trace->spec().experts, 8) << "its router stays";
    EXPECT_EQ(of(2).tokens, 40u);
    EXPECT_EQ(of(3).tokens, 40u);
    EXPECT_EQ(of(2).lost + of(3).lost, 0u);
    // Of a run alone that has no room what comes last is left out.
    session = Session(Keep{.routing_bytes = all / 2});
    put(RecordType::routing_started, started(1));
    for (const auto& chunk : chunks) {
        piece(1, *chunk);
    }
    EXPECT_GT(of(1).tokens, 0u);
    EXPECT_GT(of(1).lost, 0u);
    EXPECT_EQ(of(1).trace->chunks() + of(1).lost, 4u);
    EXPECT_LE(of(1).trace->bytes(), all / 2);
}

TEST_F(Routing, SetsAreSavedReplacedAndRemoved) {
    const json items = {{{"kind", "zero"}, {"layer", 0}, {"expert", 1}}},
               other = {{{"kind", "limit_k"}, {"experts", 1}}};
    const auto set = [&](const json& name, const json& value) {
        return put(RecordType::intervention_set, json{{"name", name}, {"items", value}});
    };
    EXPECT_EQ(set("quiet", items), 0u);
    set("loud", items);
    set("loud", other);
    EXPECT_EQ(session.intervention_sets().at("quiet"), items);
    EXPECT_EQ(session.intervention_sets().at("loud"), other);
    set("quiet", nullptr);
    EXPECT_EQ(session.intervention_sets().size(), 1u);
    set("a|b", items);
    set("", items);
    set(7, items);
    set("two\nlines", items);
    EXPECT_EQ(session.intervention_sets().size(), 1u);
    EXPECT_EQ(session.log().size(), 0u);
    set("loud", {{{"kind", "swap"}}});
    EXPECT_TRUE(session.intervention_sets().empty()) << "what it was before counts no more";
    EXPECT_EQ(session.log().size(), 1u);
}

TEST(RoutingOfAJournal, IsReadByWhoWantsIt) {
    const test::TemporaryFolder folder;
    const auto opened = sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
    const auto put = [&](RecordType type, const std::vector<std::byte>& body) {
        opened->journal().append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(channel_of(type)), 1,
                                 body);
    };
    const auto chunks = pieces(3);
    for (std::uint32_t run = 1; run <= 2; ++run) {
        put(RecordType::run_started,
            protocol::encode_json({{"run", run}, {"kind", "route"}, {"name", "t"}, {"manifest", {{"what", "read"}}}}));
        put(RecordType::routing_started, protocol::encode_json(started(run)));
        for (const auto& chunk : chunks) {
            put(RecordType::routing_chunk, body_of(run, *chunk));
        }
    }
    std::size_t bulk = 0;
    ReadOptions options;
    options.seen = [&](const sessions::Record& record, std::uint32_t) {
        bulk += record.channel == static_cast<std::uint8_t>(protocol::Channel::bulk) ? 1 : 0;
    };
    EXPECT_TRUE(read_session(opened->journal(), options).routing().empty());
    EXPECT_EQ(bulk, 0u) << "a report, a start of the node and a replay read no traces";
    EXPECT_TRUE(read_run(*opened, 2).routing().empty());
    const Session history = read_routing(opened->journal(), 2);
    ASSERT_EQ(history.routing().size(), 1u);
    EXPECT_EQ(history.routing().at(2).value.tokens, 30u);
    EXPECT_EQ(history.routes().at(2).value.what, RouteRun::What::read);
}

}  // namespace
}  // namespace moescope::history
