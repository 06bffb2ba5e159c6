// Pieces that fit a record: none is longer, none is lost, their numbers follow each other.
#include "routing/piece_maker.hpp"

#include <gtest/gtest.h>

#include "routing/packed_trace.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

TEST(PieceMaker, GivesEveryTokenInPiecesThatAreShortEnough) {
    const RouterSpec spec = make_spec(6, 64, 8);
    const auto tokens = RandomTrace(spec, 4).tokens(400);
    for (const std::size_t longest : {std::size_t{700}, std::size_t{3000}, kLongestPackedPiece}) {
        PackedTrace trace(spec);
        std::size_t pieces = 0;
        PieceMaker maker(
            spec, 0,
            [&](std::uint64_t first, std::vector<std::byte> packed) {
                EXPECT_LE(packed.size(), longest);
                EXPECT_EQ(first, trace.tokens());
                EXPECT_TRUE(trace.append(std::move(packed)));
                ++pieces;
            },
            longest);
        EXPECT_TRUE(maker.empty());
        for (const TokenDecisions& token : tokens) {
            maker.add(token);
        }
        EXPECT_FALSE(maker.empty());
        maker.flush();
        EXPECT_TRUE(maker.empty());
        maker.flush();  // nothing is no piece
        EXPECT_EQ(trace.tokens(), 400u);
        EXPECT_EQ(trace.chunks(), pieces);
        EXPECT_EQ(pieces == 1, longest == kLongestPackedPiece);
        std::size_t number = 0;
        for (std::size_t i = 0; i < pieces; ++i) {
            const auto chunk = trace.chunk(i, kAllColumns);
            ASSERT_TRUE(chunk);
            for (std::size_t at = 0; at < chunk->tokens; ++at, ++number) {
                const TokenDecisions read = decisions_at(*chunk, at, spec);
                EXPECT_EQ(read.token, tokens[number].token);
                EXPECT_EQ(read.bytes, tokens[number].bytes);
                EXPECT_EQ(read.group, tokens[number].group);
                ASSERT_EQ(read.layers.size(), 6u);
                EXPECT_EQ(read.layers[5].ids, tokens[number].layers[5].ids);
            }
        }
    }
}

TEST(PieceMaker, BeginsWhereItIsToldAndGivesALargeTraceBeforeItsEnd) {
    const RouterSpec spec = make_spec(48, 128, 8);
    RandomTrace trace(spec, 5);
    std::vector<std::uint64_t> firsts;
    PieceMaker maker(spec, 1000, [&](std::uint64_t first, std::vector<std::byte> packed) {
        EXPECT_LE(packed.size(), kLongestPackedPiece);
        firsts.push_back(first);
    });
    for (int i = 0; i < 1200; ++i) {
        maker.add(trace.token(i));
    }
    ASSERT_GE(firsts.size(), 1u) << "it does not wait for the end";
    EXPECT_EQ(firsts.front(), 1000u);
}

TEST(PieceMaker, CutsSamplesOfTheLoadTooAndRefusesWhatCannotBeCut) {
    const RouterSpec spec = make_spec(2, 64, 2);
    std::mt19937_64 random(1);
    PackedTrace trace(spec);
    const auto take = [&](std::uint64_t, std::vector<std::byte> packed) {
        EXPECT_LE(packed.size(), 1200u);
        EXPECT_TRUE(trace.append(std::move(packed)));
    };
    PieceMaker maker(spec, 0, take, 1200);
    for (int step = 0; step < 9; ++step) {
        LoadSample sample{step, {}};
        for (int i = 0; i < 128; ++i) {
            sample.counts.push_back(random() >> 8);  // nothing packs these
        }
        maker.add(std::move(sample));
    }
    maker.flush();
    std::vector<std::int64_t> steps;
    for (std::size_t i = 0; i < trace.chunks(); ++i) {
        const auto chunk = trace.chunk(i, kLoads);
        for (const LoadSample& sample : chunk->loads) {
            steps.push_back(sample.step);
        }
    }
    EXPECT_EQ(steps, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));

    PieceMaker narrow(spec, 0, take, 100);
    narrow.add(RandomTrace(spec, 2).token(0));
    EXPECT_NE(sentence_of([&] { narrow.flush(); }).find("the routing of one token takes"), std::string::npos);
}

}  // namespace
}  // namespace moescope::routing
