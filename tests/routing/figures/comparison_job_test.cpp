// Comparisons on a thread of their own, and the tokens that flipped most, against all of them sorted.
#include "routing/figures/comparison_job.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <thread>

#include "routing/source_stream.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

std::shared_ptr<const TraceSource> trace_of(const RouterSpec& spec, const std::vector<TokenDecisions>& tokens,
                                            std::size_t tokens_of_chunk = 40) {
    return std::make_shared<MemoryTrace>(spec, chunks_of(spec, tokens, tokens_of_chunk));
}

std::vector<TokenDecisions> rerouted(std::vector<TokenDecisions> tokens, const RouterSpec& spec, unsigned seed) {
    const auto other = RandomTrace(spec, seed).tokens(static_cast<int>(tokens.size()));
    for (std::size_t i = 0; i < tokens.size(); i += 2) {
        tokens[i].layers = other[i].layers;
        tokens[i].log_probability = -0.5f;
    }
    return tokens;
}

std::shared_ptr<const ComparisonJob::State> finished(const ComparisonJob& job) {
    while (!job.latest()->finished) {
        std::this_thread::yield();
    }
    return job.latest();
}

TEST(ComparisonJobs, GiveWhatCompareTracesGives) {
    const RouterSpec spec = make_spec(3, 8, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(300), other = rerouted(tokens, spec, 2);
    const ComparisonJob job(trace_of(spec, tokens), {trace_of(spec, other, 33), trace_of(spec, tokens)});
    const auto state = finished(job);
    SourceStream a(trace_of(spec, tokens)), b(trace_of(spec, other));
    const Comparison wanted = compare_traces(a, b);
    ASSERT_TRUE(state->results[0] && state->results[1]);
    EXPECT_EQ(state->results[0]->comparison.all().flipped, wanted.all().flipped);
    EXPECT_GT(wanted.all().flipped, 0u);
    EXPECT_EQ(state->results[0]->comparison.layers()[2].saturation, wanted.layers()[2].saturation);
    EXPECT_EQ(state->results[1]->comparison.all().flipped, 0u);
    EXPECT_TRUE(state->results[1]->flipped.empty());
    EXPECT_EQ(state->done, state->of);
    EXPECT_TRUE(state->failed[0].empty() && state->failed[1].empty());
}

TEST(ComparisonJobs, SayWhatCannotBeComparedAndGoOn) {
    const RouterSpec spec = make_spec(3, 8, 2), other_shape = make_spec(3, 9, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(60);
    auto other_text = tokens;
    other_text[7].token = 99;
    const ComparisonJob job(trace_of(spec, tokens),
                            {trace_of(other_shape, RandomTrace(other_shape, 1).tokens(60)), trace_of(spec, other_text),
                             trace_of(spec, {tokens.begin(), tokens.end() - 1}), trace_of(spec, tokens)});
    const auto state = finished(job);
    EXPECT_NE(state->failed[0].english().find("8 experts in a layer and the second has 9"), std::string::npos);
    EXPECT_NE(state->failed[1].english().find("different tokens: at position 7"), std::string::npos);
    EXPECT_NE(state->failed[2].english().find("goes on where the second ends, after 59 tokens"), std::string::npos);
    EXPECT_TRUE(state->failed[3].empty());
    EXPECT_FALSE(state->results[0] || state->results[1] || state->results[2]);
    EXPECT_TRUE(state->results[3] != nullptr);
}

TEST(ComparisonJobs, SayWhatIsDamaged) {
    const RouterSpec spec = make_spec(1, 8, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(120);
    auto chunks = chunks_of(spec, tokens, 40);
    chunks[1] = nullptr;
    const ComparisonJob job(trace_of(spec, tokens), {std::make_shared<MemoryTrace>(spec, chunks)});
    const auto state = finished(job);
    ASSERT_TRUE(state->results[0] != nullptr);
    EXPECT_EQ(state->results[0]->comparison.tokens(), 80u);
    ASSERT_EQ(state->results[0]->problems.size(), 1u);
}

/// The same piece for ever, as one text after the other.
class Endless final : public TraceSource {
 public:
    Endless(RouterSpec spec, std::shared_ptr<const Chunk> chunk) : spec_(std::move(spec)), chunk_(std::move(chunk)) {}
    const RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override { return std::size_t{1} << 40; }
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned /*wanted*/) const override {
        auto next = std::make_shared<Chunk>(*chunk_);
        std::fill(next->document.begin(), next->document.end(), static_cast<std::uint32_t>(number));
        return next;
    }

 private:
    const RouterSpec spec_;
    const std::shared_ptr<const Chunk> chunk_;
};

TEST(ComparisonJobs, StopWhenNobodyWaits) {
    const RouterSpec spec = make_spec(1, 8, 2);
    const auto chunk = chunks_of(spec, RandomTrace(spec, 1).tokens(20)).front();
    const auto trace = std::make_shared<Endless>(spec, chunk);
    const ComparisonJob job(trace, {trace});
    while (job.latest()->done < 3) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(job.latest()->finished);
}

TEST(FlippedTokens, AreTheFirstOfAllSorted) {
    const RouterSpec spec = make_spec(4, 8, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(200), other = rerouted(tokens, spec, 9);
    const auto first = chunks_of(spec, tokens, 200)[0], second = chunks_of(spec, other, 200)[0];
    Comparison comparison(spec, spec);
    FlippedTokens top(25);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> all;  // flips of a token, written out; its number
    for (std::size_t at = 0; at < 200; ++at) {
        const Flips flips = comparison.add(*first, at, *second, at);
        top.add(flips, *first, at, *second, at);
        std::uint64_t flipped = 0;
        for (std::size_t layer = 0; layer < 4; ++layer) {
            const auto &was = tokens[at].layers[layer].ids, &is = other[at].layers[layer].ids;
            flipped += static_cast<std::uint64_t>(std::count_if(
                was.begin(), was.end(), [&](std::int32_t id) { return std::count(is.begin(), is.end(), id) == 0; }));
        }
        EXPECT_EQ(flips.flipped, flipped);
        EXPECT_EQ(flips.slots, 8u);
        if (flipped > 0) {
            all.emplace_back(flipped, at);
        }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    const auto found = top.top();
    ASSERT_EQ(found.size(), 25u);
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].number, all[i].second);
        EXPECT_EQ(found[i].flips.flipped, all[i].first);
        EXPECT_EQ(found[i].piece, tokens[found[i].number].bytes);
        EXPECT_EQ(found[i].document, tokens[found[i].number].document);
        EXPECT_EQ(found[i].second, -0.5);
    }
    EXPECT_TRUE(FlippedTokens(0).top().empty());
}

TEST(Comparisons, LoadsAreThoseOfTheComparedDecisions) {
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(100), other = rerouted(tokens, spec, 5);
    SourceStream a(trace_of(spec, tokens)), b(trace_of(spec, other));
    const Comparison comparison = compare_traces(a, b);
    for (const bool second : {false, true}) {
        std::vector<double> counts(8);
        for (const TokenDecisions& token : second ? other : tokens) {
            for (const std::int32_t id : token.layers[1].ids) {
                ++counts[static_cast<std::size_t>(id)];
            }
        }
        EXPECT_EQ(comparison.load(second ? 1 : 0, 1), counts);
    }
}

}  // namespace
}  // namespace moescope::routing
