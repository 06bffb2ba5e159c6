// Routing to be given to a model again: whole, of one text, of the same router, or not at all.
#include "routing/replay.hpp"

#include <gtest/gtest.h>

#include "routing/intervention_plan.hpp"
#include "routing/trace_file.hpp"
#include "routing/trace_lines.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

using test::read_text;
using test::TemporaryFolder;
using test::write_text;

class Replays : public testing::Test {
 protected:
    /// In columns, 15 tokens a chunk; the first 16 tokens are one text.
    std::string write(const RouterSpec& spec, const std::vector<TokenDecisions>& tokens) {
        TraceWriter writer(folder_ / "t", spec);
        for (const auto& chunk : chunks_of(spec, tokens, 15)) {
            writer.append(*chunk);
        }
        return read_text(folder_ / "t");
    }
    std::string refusal() {
        return sentence_of([&] { read_replay(folder_ / "t"); });
    }
    const RouterSpec spec_ = make_spec(2, 8, 2);
    const std::vector<TokenDecisions> tokens_ = RandomTrace(spec_, 4).tokens(40);
    const TemporaryFolder folder_;
};

TEST_F(Replays, HoldTheFirstText) {
    write(spec_, tokens_);
    const Replay replay = read_replay(folder_ / "t");
    EXPECT_EQ(replay.source, "t");
    EXPECT_EQ(replay.ids.size(), 32u);
    for (int position = 0; position < 16; ++position) {
        const auto& layers = tokens_[static_cast<std::size_t>(position)].layers;
        EXPECT_EQ(replay.ids.at({position, 1}), layers[1].ids);
    }
    EXPECT_EQ(replay.router.experts, 8);
    EXPECT_EQ(replay.router.experts_per_token, 2);
    EXPECT_EQ(replay.router.layers, spec_.routed_layers);
    EXPECT_FALSE(replay.router.imported);
}

/// Wherever the damage is: what is left would be another experiment.
TEST_F(Replays, DamagedOnesAreRefused) {
    const std::string good = write(spec_, tokens_);
    const std::size_t first = good.find("MTCK"), second = good.find("MTCK", first + 4);
    for (const std::size_t at : {first + 8, second - 3, second + 8, good.size() - 3}) {
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 4);
        write_text(folder_ / "t", bytes);
        EXPECT_NE(refusal().find("another experiment"), std::string::npos) << at << ": " << refusal();
        EXPECT_NE(refusal().find((folder_ / "t").string()), std::string::npos) << at;
    }
    write_text(folder_ / "t", good.substr(0, good.size() - 1));
    EXPECT_NE(refusal().find("no whole piece"), std::string::npos) << refusal();
    write_text(folder_ / "t", good);
    EXPECT_EQ(refusal(), "");
}

TEST_F(Replays, AreRefusedWhenTheTextHasAGap) {
    auto lacking = tokens_;
    lacking.erase(lacking.begin() + 4, lacking.begin() + 7);
    write(spec_, lacking);
    EXPECT_NE(refusal().find("3 tokens are missing within texts"), std::string::npos) << refusal();
}

TEST_F(Replays, AreRefusedWhenOnePlaceHasTwoDecisions) {
    auto twice = tokens_;
    twice[3].position = 2;
    write(spec_, twice);
    EXPECT_NE(refusal().find("position 2 of text 1 a second time"), std::string::npos) << refusal();
    write_text(folder_ / "t", trace_line(twice[2], &spec_) + "\n" + trace_line(twice[3]) + "\n");
    EXPECT_NE(refusal().find("line 2 of"), std::string::npos) << refusal();
    twice[3].position = -5;
    write(spec_, twice);
    EXPECT_NE(refusal().find("the position -5"), std::string::npos) << refusal();
}

TEST_F(Replays, AreForTheRouterThatMadeThem) {
    write(spec_, {tokens_.begin(), tokens_.begin() + 4});
    const auto problem = [&](const RouterSpec& model, const Replay& replay) {
        Interventions changes;
        changes.replay = replay;
        return sentence_of([&] { InterventionPlan(changes, model); });
    };
    const Replay replay = read_replay(folder_ / "t");
    EXPECT_EQ(problem(spec_, replay), "");
    for (const RouterSpec& other : {make_spec(2, 9, 2), make_spec(2, 8, 3), make_spec(3, 8, 2)}) {
        EXPECT_NE(problem(other, replay).find("is of a router"), std::string::npos)
            << "its numbers fit: " << problem(other, replay);
    }
    // The recording of another program may lack experts and layers that were never chosen.
    Replay imported = replay;
    imported.router.imported = true;
    EXPECT_EQ(problem(make_spec(3, 9, 2), imported), "");
    EXPECT_NE(problem(make_spec(1, 9, 2), imported), "");
    EXPECT_NE(problem(make_spec(2, 7, 2), imported), "");
}

TEST_F(Replays, ThatFindTheirPlaceAreCounted) {
    write(spec_, {tokens_.begin(), tokens_.begin() + 4});
    Interventions changes;
    changes.replay = read_replay(folder_ / "t");
    const InterventionPlan plan(changes, spec_);
    const auto counted = [](const InterventionPlan& by, const TokenDecisions& token) {
        ReplayCount count;
        count_replayed(count, by, token);
        return count;
    };
    EXPECT_EQ(counted(plan, tokens_[3]), (ReplayCount{2, 0}));
    EXPECT_EQ(counted(plan, tokens_[4]), (ReplayCount{0, 0}));
    EXPECT_EQ(counted(InterventionPlan(), tokens_[3]), (ReplayCount{0, 0}));
}

}  // namespace
}  // namespace moescope::routing
