// Two traces of the same tokens: against flips counted one by one, by hand, and what is refused.
#include "routing/figures/comparison.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "routing/load_metrics.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

class Chunks final : public TraceStream {
 public:
    Chunks(RouterSpec spec, const std::vector<TokenDecisions>& tokens, std::size_t tokens_of_chunk)
        : spec_(std::move(spec)), chunks_(chunks_of(spec_, tokens, tokens_of_chunk)) {}
    const RouterSpec& spec() const override { return spec_; }
    const nlohmann::json& interventions() const override { return nothing_; }
    std::shared_ptr<const Chunk> next() override { return at_ < chunks_.size() ? chunks_[at_++] : nullptr; }
    std::vector<Sentence> problems() const override { return problems_; }
    void lose(std::size_t chunk) {
        chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(chunk));
        problems_.push_back(Sentence::verbatim("damaged"));
    }

 private:
    const RouterSpec spec_;
    std::vector<std::shared_ptr<const Chunk>> chunks_;
    const nlohmann::json nothing_;
    std::vector<Sentence> problems_;
    std::size_t at_ = 0;
};

Comparison compared(const RouterSpec& spec, const std::vector<TokenDecisions>& first,
                    const std::vector<TokenDecisions>& second) {
    Chunks a(spec, first, 30), b(spec, second, 47);
    return compare_traces(a, b);
}

/// The same tokens, other decisions.
std::vector<TokenDecisions> rerouted(std::vector<TokenDecisions> tokens, const RouterSpec& spec, unsigned seed) {
    const auto other = RandomTrace(spec, seed).tokens(static_cast<int>(tokens.size()));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (i % 3 != 0) {
            tokens[i].layers = other[i].layers;
            tokens[i].log_probability = other[i].log_probability;
        }
    }
    return tokens;
}

TEST(Comparisons, CountEveryFlip) {
    const RouterSpec spec = make_spec(2, 7, 3);
    const auto first = RandomTrace(spec, 1).tokens(200), second = rerouted(first, spec, 2);
    const Comparison comparison = compared(spec, first, second);
    std::map<int, Flips> layers, ranks, classes, octaves;
    std::map<int, double> overlap, best;
    std::map<int, std::vector<double>> load_first, load_second;
    double log_first = 0, log_second = 0, with_log = 0;
    std::string before;
    for (std::size_t i = 0; i < first.size(); ++i) {
        before = i % 16 == 0 ? "" : before;  // texts of the random trace
        const int kind = static_cast<int>(token_class(first[i].bytes, before));
        before = first[i].bytes;
        for (int layer = 0; layer < 2; ++layer) {
            const auto place = static_cast<std::size_t>(layer);
            const auto &was = first[i].layers[place].ids, &is = second[i].layers[place].ids;
            load_first[layer].resize(7);
            load_second[layer].resize(7);
            const std::set<std::int32_t> chosen(is.begin(), is.end());
            double same = 0;
            for (std::size_t rank = 0; rank < was.size(); ++rank) {
                ++load_first[layer][static_cast<std::size_t>(was[rank])];
                ++load_second[layer][static_cast<std::size_t>(is[rank])];
                const bool flipped = !chosen.contains(was[rank]), moved = !flipped && was[rank] != is[rank];
                same += flipped ? 0 : 1;
                const int octave = static_cast<int>(std::floor(std::log2(first[i].layers[place].margin)));
                for (Flips* flips : {&layers[layer], &ranks[static_cast<int>(rank)], &classes[kind],
                                     &octaves[std::clamp(octave, -16, 3)]}) {
                    ++flips->slots;
                    flips->flipped += flipped ? 1 : 0;
                    flips->moved += moved ? 1 : 0;
                }
            }
            overlap[layer] += same / 3 / 200;
            best[layer] += was[0] == is[0] ? 1.0 / 200 : 0;
        }
        if (first[i].log_probability && second[i].log_probability) {
            log_first += *first[i].log_probability;
            log_second += *second[i].log_probability;
            ++with_log;
        }
    }
    const auto expect = [](const Flips& found, const Flips& wanted) {
        EXPECT_EQ(found.slots, wanted.slots);
        EXPECT_EQ(found.flipped, wanted.flipped);
        EXPECT_EQ(found.moved, wanted.moved);
    };
    EXPECT_EQ(comparison.tokens(), 200u);
    const auto found = comparison.layers();
    for (int layer = 0; layer < 2; ++layer) {
        const auto& row = found[static_cast<std::size_t>(layer)];
        expect(row.flips, layers[layer]);
        EXPECT_NEAR(row.saturation, overlap[layer], 1e-12);
        EXPECT_NEAR(row.saturation, 1 - row.flips.rate(), 1e-12);
        EXPECT_NEAR(row.saturation_of_best, best[layer], 1e-12);
        double distance = 0;
        for (std::size_t expert = 0; expert < 7; ++expert) {
            distance += std::abs(load_first[layer][expert] - load_second[layer][expert]) / 600 / 2;
        }
        EXPECT_NEAR(row.load_distance, distance, 1e-12);
        EXPECT_NEAR(row.violation_first, max_violation(load_first[layer]), 1e-12);
        EXPECT_NEAR(row.violation_second, max_violation(load_second[layer]), 1e-12);
        const auto changed = static_cast<std::size_t>(row.changed_expert);
        EXPECT_NEAR(row.changed_by, (load_second[layer][changed] - load_first[layer][changed]) / 600, 1e-12);
    }
    for (std::size_t rank = 0; rank < 3; ++rank) {
        expect(comparison.ranks()[rank], ranks[static_cast<int>(rank)]);
    }
    for (const TokenClass kind : kTokenClasses) {
        expect(comparison.classes()[static_cast<std::size_t>(kind)], classes[static_cast<int>(kind)]);
    }
    for (const auto& bin : comparison.margins()) {
        const int octave = bin.from == 0 ? Comparison::kLeastOctave : static_cast<int>(std::log2(bin.from));
        expect(bin.flips, octaves[octave]);
        EXPECT_EQ(bin.decisions * 3, bin.flips.slots);
        EXPECT_LE(bin.changed, bin.flips.flipped);
    }
    EXPECT_NEAR(comparison.perplexity().first, std::exp(-log_first / with_log), 1e-6);
    EXPECT_NEAR(comparison.perplexity().second, std::exp(-log_second / with_log), 1e-6);
    EXPECT_NEAR(comparison.perplexity().difference.estimate, (log_second - log_first) / with_log, 1e-6);
}

TEST(Comparisons, ByHand) {
    const RouterSpec spec = make_spec(1, 4, 2);
    TokenDecisions token;
    token.token = 5;
    token.bytes = " the";
    token.log_probability = -1.0f;
    token.layers = {decided(0, {0, 1}, {0.6f, 0.4f})};
    TokenDecisions same = token, moved = token, flipped = token;
    moved.layers[0].ids = {1, 0};
    flipped.layers[0].ids = {0, 3};
    flipped.log_probability = -2.0f;
    const auto nothing = compared(spec, {token}, {same});
    EXPECT_EQ(nothing.all().flipped, 0u);
    EXPECT_EQ(nothing.layers()[0].saturation, 1);
    EXPECT_EQ(nothing.layers()[0].changed_expert, -1);
    const auto turned = compared(spec, {token}, {moved});
    EXPECT_EQ(turned.all().flipped, 0u);
    EXPECT_EQ(turned.all().moved, 2u);
    EXPECT_EQ(turned.layers()[0].saturation_of_best, 0);
    const auto one = compared(spec, {token}, {flipped});
    EXPECT_EQ(one.all().rate(), 0.5);
    EXPECT_EQ(one.ranks()[0].flipped, 0u);
    EXPECT_EQ(one.ranks()[1].flipped, 1u);
    EXPECT_EQ(one.classes()[static_cast<std::size_t>(TokenClass::word_start)].flipped, 1u);
    EXPECT_EQ(one.layers()[0].load_distance, 0.5);
    EXPECT_NEAR(one.perplexity().first, std::exp(1), 1e-6);
    EXPECT_NEAR(one.perplexity().second, std::exp(2), 1e-6);
    EXPECT_TRUE(std::isnan(one.perplexity().difference.low));
    const nlohmann::json json = to_json(one);
    EXPECT_EQ(json["flips"]["rate"], 0.5);
    EXPECT_EQ(json["layers"][0]["changed_by"].get<double>(), -0.5);
    EXPECT_TRUE(json["perplexity"]["low"].is_null());
}

TEST(Comparisons, RefuseWhatCannotBeCompared) {
    const RouterSpec spec = make_spec(2, 4, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(20);
    const auto problem = [&](const RouterSpec& other, const std::vector<TokenDecisions>& second) {
        return sentence_of([&] {
            Chunks a(spec, tokens, 10), b(other, second, 10);
            compare_traces(a, b);
        });
    };
    EXPECT_EQ(problem(spec, tokens), "");
    const auto of = [&](int layers, int experts, int per_token) {
        const RouterSpec other = make_spec(layers, experts, per_token);
        return problem(other, RandomTrace(other, 1).tokens(20));
    };
    EXPECT_NE(of(3, 4, 2).find("2 layers with a router and the second has 3"), std::string::npos);
    EXPECT_NE(of(2, 8, 2).find("4 experts in a layer and the second has 8"), std::string::npos);
    EXPECT_NE(of(2, 4, 1).find("chooses 2 experts per token and that of the second 1"), std::string::npos);
    auto others = tokens;
    others[11].token += 1;
    EXPECT_NE(problem(spec, others).find("different tokens: at position 11"), std::string::npos);
    others = tokens;
    others.pop_back();
    EXPECT_NE(problem(spec, others).find("first trace goes on where the second ends, after 19 tokens"),
              std::string::npos);
    others = tokens;
    others.push_back(tokens.back());
    ++others.back().position;
    EXPECT_NE(problem(spec, others).find("second trace goes on where the first ends, after 20 tokens"),
              std::string::npos);
    others = tokens;
    others[5].position = 4;
    EXPECT_EQ(problem(spec, others), "the second trace has position 4 of text 1 a second time");
    EXPECT_NE(problem(spec, {}), "");
    // What one of them does not know is not another.
    others = tokens;
    for (auto& token : others) {
        token.token = -1;
        token.bytes.clear();
    }
    EXPECT_EQ(problem(spec, others), "");
}

TEST(Comparisons, DamagedPiecesAreLeftOut) {
    const RouterSpec spec = make_spec(2, 4, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(40);
    Chunks a(spec, tokens, 10), b(spec, tokens, 8);
    a.lose(1);
    b.lose(4);
    const Comparison comparison = compare_traces(a, b);
    EXPECT_EQ(comparison.tokens(), 40u - 10 - 8);
    EXPECT_EQ(comparison.missing(), (Comparison::Missing{10, 8}));
}

/// Tokens are of one place by their text and their position, whatever their numbers are.
TEST(Comparisons, PairWhatStandsAtOnePosition) {
    const RouterSpec spec = make_spec(2, 4, 2);
    const auto tokens = RandomTrace(spec, 1).tokens(40);
    auto first = tokens, second = tokens;
    first.erase(first.begin() + 1);
    second.erase(second.begin() + 18, second.begin() + 20);
    second.erase(second.begin() + 2);
    const Comparison comparison = compared(spec, first, second);
    EXPECT_EQ(comparison.tokens(), 36u);
    EXPECT_EQ(comparison.missing(), (Comparison::Missing{1, 3}));
    EXPECT_EQ(comparison.all().flipped + comparison.all().moved, 0u) << "each is compared with itself";
    EXPECT_EQ(comparison.perplexity().first, comparison.perplexity().second);
    EXPECT_EQ(to_json(comparison)["missing"], (nlohmann::json{1, 3}));
    // Where they differ, the place is one that both have.
    second[3].token += 1;  // position 4, as position 2 is missing
    Chunks a(spec, first, 30), b(spec, second, 47);
    EXPECT_NE(sentence_of([&] { compare_traces(a, b); }).find("different tokens: at position 4 "), std::string::npos);
}

/// Where something is missing between two tokens, the first is not what stands before the second.
TEST(Comparisons, AWordGoesOnOnlyBehindItsBeginning) {
    const RouterSpec spec = make_spec(1, 4, 2);
    TokenDecisions begin, end;
    begin.token = 1;
    begin.bytes = " rout";
    begin.layers = {decided(0, {0, 1})};
    end = begin;
    end.token = 2;
    end.position = 1;
    end.bytes = "er";
    const auto inside = [&] {
        const auto classes = compared(spec, {begin, end}, {begin, end}).classes();
        return classes[static_cast<std::size_t>(token_class("er", " rout"))].slots;
    };
    ASSERT_NE(token_class("er", " rout"), token_class("er", ""));
    const std::uint64_t near = inside();
    end.position = 5;
    EXPECT_LT(inside(), near);
}

}  // namespace
}  // namespace moescope::routing
