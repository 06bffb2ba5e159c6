// The load of experts along a trace: bins of equal width against counts written out, however long the trace becomes.
#include "routing/figures/load_over_time.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "routing/figures/load.hpp"
#include "routing/figures/together.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

std::vector<TokenDecisions> uneven_trace(const RouterSpec& spec, unsigned seed, int count) {
    auto tokens = RandomTrace(spec, seed).tokens(count);
    for (std::size_t i = 0; i < tokens.size(); i += 7) {
        tokens[i].layers.pop_back();
    }
    return tokens;
}

void expect_counts(const LoadOverTime& figure, const std::vector<TokenDecisions>& tokens, int layer, int expert) {
    std::uint64_t end = 0;
    for (const LoadOverTime::Bin& bin : figure.bins(static_cast<std::size_t>(expert))) {
        EXPECT_EQ(bin.from, end);
        EXPECT_EQ(bin.from % figure.width(), 0u);
        end = bin.to;
        std::uint64_t chosen = 0, decisions = 0;
        for (std::uint64_t i = bin.from; i < bin.to; ++i) {
            for (const LayerDecision& decision : tokens[i].layers) {
                if (decision.layer == layer) {
                    ++decisions;
                    chosen += static_cast<std::uint64_t>(std::count(decision.ids.begin(), decision.ids.end(), expert));
                }
            }
        }
        EXPECT_EQ(bin.chosen, chosen);
        EXPECT_EQ(bin.decisions, decisions);
    }
    EXPECT_EQ(end, tokens.size());
}

TEST(LoadOverTimes, CountInBins) {
    const RouterSpec spec = make_spec(2, 6, 2);
    for (const int count : {1, 255, 256, 257, 1000, 3001}) {
        const auto tokens = uneven_trace(spec, 3, count);
        LoadOverTime figure(shape_of(spec), 1);
        for (const auto& chunk : chunks_of(spec, tokens, 33)) {
            figure.add(*chunk);
        }
        EXPECT_LE(figure.bins(0).size(), LoadOverTime::kMostBins);
        EXPECT_GT(figure.bins(0).size(), count > 256 ? LoadOverTime::kMostBins / 2 : 0);
        for (int expert = 0; expert < 6; ++expert) {
            expect_counts(figure, tokens, 1, expert);
        }
    }
}

TEST(LoadOverTimes, LeaveOutWhatIsMissing) {
    const RouterSpec spec = make_spec(1, 4, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 1).tokens(150));
    LoadOverTime figure(shape_of(spec), 0);
    figure.add(*chunks[0]);
    figure.add(*chunks[2]);
    const auto bins = figure.bins(2);
    ASSERT_EQ(bins.size(), 150u);
    EXPECT_EQ(bins[49].decisions, 1u);
    EXPECT_EQ(bins[50].decisions, 0u);
    EXPECT_EQ(bins[99].chosen, 0u);
    EXPECT_EQ(bins[100].decisions, 1u);
}

TEST(LoadOverTimes, AreBoundedAndRefuseLayersThatAreNotThere) {
    const RouterSpec spec = make_spec(1, 60000, 1);
    LoadOverTime figure(shape_of(spec), 0);
    TokenDecisions token;
    token.layers = {decided(0, {59999})};
    ChunkBuilder builder(spec);
    for (int i = 0; i < 40; ++i) {
        builder.add(token);
    }
    figure.add(*builder.take());
    EXPECT_EQ(figure.bins(59999).size(), 10u);  // 16 bins at most
    EXPECT_EQ(figure.bins(59999)[3].chosen, 4u);
    EXPECT_EQ(sentence_of([&] { LoadOverTime(shape_of(spec), 1); }), "there is no layer with number 1 among 1");
}

TEST(Together, IsEachFigureByItself) {
    const RouterSpec spec = make_spec(2, 6, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 5).tokens(90));
    Together<Load, LoadOverTime> both(Load(shape_of(spec)), LoadOverTime(shape_of(spec), 1));
    static_assert(decltype(both)::kWanted == (kIds | kLoads));
    Load load(shape_of(spec));
    for (const auto& chunk : chunks) {
        both.add(*chunk);
        load.add(*chunk);
    }
    both.settle();
    EXPECT_TRUE(std::ranges::equal(both.get<Load>().counts(1), load.counts(1)));
    std::uint64_t chosen = 0;
    for (const auto& bin : both.get<LoadOverTime>().bins(3)) {
        chosen += bin.chosen;
    }
    EXPECT_EQ(chosen, load.counts(1)[3]);
}

}  // namespace
}  // namespace moescope::routing
