// A trace that can be read at any place, read as a stream: the same pieces in order, damaged ones left out and told.
#include "routing/source_stream.hpp"

#include <gtest/gtest.h>

#include "routing/figures/comparison.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

TEST(SourceStreams, GiveThePiecesInOrder) {
    const RouterSpec spec = make_spec(2, 6, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 1).tokens(130));
    SourceStream stream(std::make_shared<MemoryTrace>(spec, chunks), {{"x", 1}});
    EXPECT_EQ(stream.spec().experts, 6);
    EXPECT_EQ(stream.interventions().at("x"), 1);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        EXPECT_EQ(stream.next(), chunks[i]);
        EXPECT_EQ(stream.done(), i + 1);
    }
    EXPECT_EQ(stream.next(), nullptr);
    EXPECT_EQ(stream.of(), 3u);
    EXPECT_TRUE(stream.problems().empty());
}

TEST(SourceStreams, LeaveOutWhatIsDamaged) {
    const RouterSpec spec = make_spec(2, 6, 2);
    auto chunks = chunks_of(spec, RandomTrace(spec, 1).tokens(130));
    const auto kept = chunks;
    chunks[1] = nullptr;
    SourceStream stream(std::make_shared<MemoryTrace>(spec, chunks));
    EXPECT_EQ(stream.next(), kept[0]);
    EXPECT_EQ(stream.next(), kept[2]);
    EXPECT_EQ(stream.next(), nullptr);
    ASSERT_EQ(stream.problems().size(), 1u);
    EXPECT_EQ(stream.problems()[0].english(), "1 of 3 pieces of the trace are damaged and left out");
}

/// Grows by what is appended to it, as a trace that is being recorded does.
class Growing final : public TraceSource {
 public:
    explicit Growing(RouterSpec spec) : spec_(std::move(spec)) {}
    const RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override { return chunks_.size(); }
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned /*wanted*/) const override {
        return chunks_[number];
    }
    std::vector<std::shared_ptr<const Chunk>> chunks_;

 private:
    const RouterSpec spec_;
};

TEST(SourceStreams, EndWhereTheTraceEndedWhenTheyBegan) {
    const RouterSpec spec = make_spec(1, 4, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 1).tokens(100));
    const auto trace = std::make_shared<Growing>(spec);
    trace->chunks_ = {chunks[0]};
    SourceStream stream(trace);
    trace->chunks_.push_back(chunks[1]);
    EXPECT_EQ(stream.next(), chunks[0]);
    EXPECT_EQ(stream.next(), nullptr);
}

TEST(SourceStreams, AreComparedAsFilesAre) {
    const RouterSpec spec = make_spec(2, 6, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(130);
    const auto trace = [&](std::size_t tokens_of_chunk) {
        return std::make_shared<MemoryTrace>(spec, chunks_of(spec, tokens, tokens_of_chunk));
    };
    SourceStream first(trace(50)), second(trace(37));
    const Comparison comparison = compare_traces(first, second);
    EXPECT_EQ(comparison.tokens(), 130u);
    EXPECT_EQ(comparison.all().flipped, 0u);
    EXPECT_EQ(comparison.all().slots, 130u * 2 * 2);
}

}  // namespace
}  // namespace moescope::routing
