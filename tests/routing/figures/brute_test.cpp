// Every figure against its definition written out as it stands in its comment, on random traces, and by hand.
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "routing/figures/figure_job.hpp"
#include "routing/figures/groups.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/pairs.hpp"
#include "routing/figures/spread.hpp"
#include "routing/figures/vocabulary.hpp"
#include "routing/trace_file.hpp"
#include "tests/files.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::routing {
namespace {

/// A trace in which some decisions are missing and some have fewer experts.
std::vector<TokenDecisions> uneven_trace(const RouterSpec& spec, unsigned seed, int count) {
    auto tokens = RandomTrace(spec, seed).tokens(count);
    for (std::size_t i = 0; i < tokens.size(); i += 7) {
        tokens[i].layers.erase(tokens[i].layers.begin() + static_cast<std::ptrdiff_t>(i % tokens[i].layers.size()));
    }
    for (std::size_t i = 3; i < tokens.size(); i += 5) {
        tokens[i].layers.back().ids.resize(1);
        tokens[i].layers.back().weights.resize(1);
    }
    return tokens;
}

const LayerDecision* decision_of(const TokenDecisions& token, int layer) {
    for (const LayerDecision& decision : token.layers) {
        if (decision.layer == layer) {
            return &decision;
        }
    }
    return nullptr;
}
bool chose(const LayerDecision* decision, int expert) {
    return decision != nullptr && std::count(decision->ids.begin(), decision->ids.end(), expert) > 0;
}

template <class Figure>
Figure over(Figure figure, const RouterSpec& spec, const std::vector<TokenDecisions>& tokens) {
    for (const auto& chunk : chunks_of(spec, tokens, 33)) {
        figure.add(*chunk);
    }
    return figure;
}

class Figures : public testing::TestWithParam<unsigned> {
 protected:
    const RouterSpec spec_ = make_spec(3, 9, 3);
    const Shape shape_ = shape_of(spec_);
    const std::vector<TokenDecisions> tokens_ = uneven_trace(spec_, GetParam(), 220);
};
INSTANTIATE_TEST_SUITE_P(Seeds, Figures, testing::Values(1u, 2u, 3u));

TEST_P(Figures, Load) {
    const Load load = over(Load(shape_), spec_, tokens_);
    for (int layer = 0; layer < 3; ++layer) {
        for (int expert = 0; expert < 9; ++expert) {
            std::uint64_t count = 0;
            for (const auto& token : tokens_) {
                count += chose(decision_of(token, layer), expert) ? 1 : 0;
            }
            EXPECT_EQ(load.counts(static_cast<std::size_t>(layer))[static_cast<std::size_t>(expert)], count);
        }
    }
}

TEST_P(Figures, CoActivationOfAllPairs) {
    for (std::size_t layer = 0; layer < 3; ++layer) {
        const CoActivation pairs = over(CoActivation(shape_, layer), spec_, tokens_);
        for (int i = 0; i < 9; ++i) {
            for (int j = 0; j < 9; ++j) {
                std::uint64_t both = 0, one = 0, other = 0, decisions = 0;
                for (const auto& token : tokens_) {
                    const auto* decision = decision_of(token, static_cast<int>(layer));
                    decisions += decision != nullptr ? 1 : 0;
                    one += chose(decision, i) ? 1 : 0;
                    other += chose(decision, j) ? 1 : 0;
                    both += chose(decision, i) && chose(decision, j) ? 1 : 0;
                }
                const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
                EXPECT_EQ(pairs.together(a, b), both);
                EXPECT_EQ(pairs.count(a), one);
                EXPECT_EQ(pairs.decisions(), decisions);
                EXPECT_DOUBLE_EQ(pairs.conditional(a, b), static_cast<double>(both) / static_cast<double>(one));
                EXPECT_DOUBLE_EQ(pairs.baseline(b), static_cast<double>(other) / static_cast<double>(decisions));
            }
        }
    }
}

TEST_P(Figures, Transitions) {
    for (const auto ranks : {Transitions::Ranks::all, Transitions::Ranks::first, Transitions::Ranks::same}) {
        const Transitions flow = over(Transitions(shape_, 0, 2, ranks), spec_, tokens_);
        std::map<std::pair<int, int>, std::uint64_t> counts;
        std::uint64_t total = 0;
        for (const auto& token : tokens_) {
            const auto *from = decision_of(token, 0), *to = decision_of(token, 2);
            if (from == nullptr || to == nullptr) {
                continue;
            }
            for (std::size_t a = 0; a < from->ids.size(); ++a) {
                for (std::size_t b = 0; b < to->ids.size(); ++b) {
                    if (ranks == Transitions::Ranks::all || (ranks == Transitions::Ranks::same && a == b) ||
                        (ranks == Transitions::Ranks::first && a == 0 && b == 0)) {
                        ++counts[{from->ids[a], to->ids[b]}];
                        ++total;
                    }
                }
            }
        }
        EXPECT_EQ(flow.total(), total);
        for (int a = 0; a < 9; ++a) {
            double leaving = 0;
            for (int b = 0; b < 9; ++b) {
                leaving += static_cast<double>(counts[{a, b}]);
            }
            for (int b = 0; b < 9; ++b) {
                double coming = 0;
                for (int other = 0; other < 9; ++other) {
                    coming += static_cast<double>(counts[{other, b}]);
                }
                const auto from = static_cast<std::size_t>(a), to = static_cast<std::size_t>(b);
                EXPECT_EQ(flow.count(from, to), (counts[{a, b}]));
                if (leaving > 0) {
                    EXPECT_DOUBLE_EQ(flow.share(from, to), static_cast<double>(counts[{a, b}]) / leaving);
                } else {
                    EXPECT_TRUE(std::isnan(flow.share(from, to)));
                }
                EXPECT_DOUBLE_EQ(flow.baseline(to), coming / static_cast<double>(total));
            }
        }
    }
}

TEST_P(Figures, Vocabulary) {
    using By = Vocabulary::By;
    for (const By by : {By::input, By::next, By::predicted}) {
        for (const auto ranks : {Vocabulary::Ranks::all, Vocabulary::Ranks::first}) {
            const Vocabulary figure = over(Vocabulary(shape_, 2, by, ranks), spec_, tokens_);
            std::map<std::int32_t, std::uint64_t> occurrences;
            std::map<std::pair<std::int32_t, int>, std::uint64_t> counts;
            std::map<int, double> chosen;
            double decisions = 0;
            for (const auto& token : tokens_) {
                const auto* decision = decision_of(token, 2);
                const std::int32_t x = by == By::input ? token.token : by == By::next ? token.next : token.predicted;
                if (decision == nullptr || x < 0) {
                    continue;
                }
                ++occurrences[x];
                ++decisions;
                for (std::size_t r = 0; r < (ranks == Vocabulary::Ranks::all ? decision->ids.size() : 1); ++r) {
                    ++counts[{x, decision->ids[r]}];
                    ++chosen[decision->ids[r]];
                }
            }
            for (int expert = 0; expert < 9; ++expert) {
                std::set<std::int32_t> seen;
                double before = 2;
                for (const auto& found : figure.top(static_cast<std::size_t>(expert), 3, 1000)) {
                    EXPECT_EQ(found.count, (counts[{found.token, expert}]));
                    EXPECT_EQ(found.of, occurrences[found.token]);
                    EXPECT_GE(found.of, 3u);
                    EXPECT_DOUBLE_EQ(found.share.estimate, base::wilson(found.count, found.of).estimate);
                    EXPECT_DOUBLE_EQ(found.baseline, chosen[expert] / decisions);
                    EXPECT_LE(found.share.low, before);
                    if (by == By::input) {
                        EXPECT_EQ(found.piece, piece_of_token(found.token));
                    }
                    before = found.share.low;
                    seen.insert(found.token);
                }
                for (const auto& [token, of] : occurrences) {
                    const auto at = counts.find({token, expert});
                    EXPECT_EQ(seen.contains(token), of >= 3 && at != counts.end()) << token;
                }
                EXPECT_LE(figure.top(static_cast<std::size_t>(expert), 1, 4).size(), 4u);
            }
            double sum = 0, tokens = 0;
            for (const auto& [token, of] : occurrences) {
                std::uint64_t best = 0;
                for (int expert = 0; expert < 9; ++expert) {
                    const auto at = counts.find({token, expert});
                    best = std::max(best, at == counts.end() ? 0 : at->second);
                }
                sum += static_cast<double>(best) / static_cast<double>(of);
                ++tokens;
            }
            EXPECT_NEAR(figure.specialisation(1), sum / tokens, 1e-12);
        }
    }
}

TEST_P(Figures, SharesByGroup) {
    const GroupLoad figure = over(GroupLoad(shape_, GroupLoad::By::language), spec_, tokens_);
    ASSERT_EQ(figure.groups(), (std::vector<std::string>{"en", "zh"}));
    for (std::size_t group = 0; group < 2; ++group) {
        for (int layer = 0; layer < 3; ++layer) {
            const auto shares = figure.shares(group, static_cast<std::size_t>(layer));
            for (int expert = 0; expert < 9; ++expert) {
                // By the texts one by one.
                std::map<std::uint32_t, std::pair<double, double>> texts;  // chosen, tokens
                double all = 0, of_all = 0;
                for (const auto& token : tokens_) {
                    const auto* decision = decision_of(token, layer);
                    const double y = chose(decision, expert) ? 1 : 0, n = decision != nullptr ? 1 : 0;
                    all += y;
                    of_all += n;
                    if (token.language == figure.groups()[group]) {
                        texts[token.document].first += y;
                        texts[token.document].second += n;
                    }
                }
                double y = 0, n = 0, squares = 0;
                for (const auto& [document, text] : texts) {
                    y += text.first;
                    n += text.second;
                }
                for (const auto& [document, text] : texts) {
                    squares += std::pow(text.first - y / n * text.second, 2);
                }
                const auto d = static_cast<double>(texts.size());
                const double variance = d / (d - 1) * squares / (n * n), p = y / n;
                const GroupLoad::Share& share = shares[static_cast<std::size_t>(expert)];
                const GroupLoad::Share same =
                    figure.shares_of_all(static_cast<std::size_t>(layer))[group][static_cast<std::size_t>(expert)];
                EXPECT_EQ(same.share.low, share.share.low);
                EXPECT_EQ(same.overall, share.overall);
                EXPECT_EQ(figure.texts(group), texts.size());
                EXPECT_EQ(share.count, static_cast<std::uint64_t>(y));
                EXPECT_EQ(share.of, static_cast<std::uint64_t>(n));
                EXPECT_TRUE(share.by_texts);
                EXPECT_DOUBLE_EQ(share.overall, all / of_all);
                EXPECT_DOUBLE_EQ(share.uniform, 3.0 / 9);
                if (variance > 0) {
                    EXPECT_NEAR(share.effective, std::min(n, p * (1 - p) / variance), 1e-6 * n);
                }
                EXPECT_DOUBLE_EQ(share.share.estimate, p);
                EXPECT_LE(share.share.low, p);
                EXPECT_GE(share.share.high, p);
            }
        }
    }
}

TEST_P(Figures, Spread) {
    const RouterEntropy entropy = over(RouterEntropy(shape_), spec_, tokens_);
    const Margins margins = over(Margins(shape_), spec_, tokens_);
    for (std::size_t layer = 0; layer < 3; ++layer) {
        double sum = 0, count = 0;
        std::vector<double> logs;
        for (const auto& token : tokens_) {
            if (const auto* decision = decision_of(token, static_cast<int>(layer))) {
                sum += decision->entropy;
                ++count;
                logs.push_back(std::log2(decision->margin));
            }
        }
        EXPECT_NEAR(entropy.normalised_mean(layer), sum / count / std::log(9.0), 1e-6);
        std::sort(logs.begin(), logs.end());
        EXPECT_EQ(margins.layer(layer).count(), logs.size());
        EXPECT_NEAR(margins.layer(layer).quantile(0.5), logs[logs.size() / 2], 0.5);
    }
}

RouterSpec two_layers() {
    return make_spec(2, 4, 3);
}
TokenDecisions by_hand(std::vector<std::int32_t> first, std::vector<std::int32_t> second) {
    TokenDecisions token;
    token.layers = {decided(0, std::move(first)), decided(1, std::move(second))};
    return token;
}

TEST(FiguresByHand, AdjacentPairsAreThoseOfTheScript) {
    // Top-3 of one token: the script counts (a, b) and (b, c) in both directions, and not (a, c).
    const std::vector<TokenDecisions> tokens = {by_hand({0, 1, 2}, {0, 1, 2}), by_hand({2, 0, 3}, {0, 1, 2})};
    const auto adjacent =
        over(CoActivation(shape_of(two_layers()), 0, CoActivation::Pairs::adjacent), two_layers(), tokens);
    EXPECT_EQ(adjacent.together(0, 1), 1u);
    EXPECT_EQ(adjacent.together(1, 2), 1u);
    EXPECT_EQ(adjacent.together(0, 2), 1u);  // from the second token alone
    EXPECT_EQ(adjacent.together(2, 0), 1u);
    EXPECT_EQ(adjacent.together(2, 3), 0u);
    EXPECT_DOUBLE_EQ(adjacent.conditional(0, 1), 0.5);
    const auto all = over(CoActivation(shape_of(two_layers()), 0), two_layers(), tokens);
    EXPECT_EQ(all.together(0, 2), 2u);
    EXPECT_EQ(all.together(2, 3), 1u);
}

TEST(FiguresByHand, AllPairsOfATop8AreTwentyEight) {
    const RouterSpec spec = make_spec(1, 8, 8);
    TokenDecisions token;
    token.layers = {decided(0, {7, 3, 1, 0, 2, 6, 5, 4})};
    for (const auto& [pairs, wanted] :
         {std::pair(CoActivation::Pairs::all, 28u), std::pair(CoActivation::Pairs::adjacent, 7u)}) {
        const auto figure = over(CoActivation(shape_of(spec), 0, pairs), spec, {token});
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < 8; ++i) {
            for (std::size_t j = i + 1; j < 8; ++j) {
                sum += figure.together(i, j);
            }
        }
        EXPECT_EQ(sum, wanted);
    }
}

TEST(FiguresByHand, OneTextGivesAPlainInterval) {
    std::vector<TokenDecisions> tokens(10, by_hand({0, 1, 2}, {1, 2, 3}));
    tokens[0] = by_hand({1, 2, 3}, {1, 2, 3});
    const auto figure = over(GroupLoad(shape_of(two_layers()), GroupLoad::By::group), two_layers(), tokens);
    const auto shares = figure.shares(0, 0);
    EXPECT_FALSE(shares[0].by_texts);
    EXPECT_EQ(shares[0].share.low, base::wilson(9, 10).low);
    EXPECT_EQ(shares[0].share.high, base::wilson(9, 10).high);
}

TEST(FiguresByHand, TextsThatDifferMakeTheIntervalWide) {
    // Expert 0 in all 50 tokens of one text and in none of the other's: the tokens say 0.5 to within 0.1, the texts
    // say nothing.
    std::vector<TokenDecisions> tokens;
    for (std::uint32_t document = 0; document < 2; ++document) {
        for (int i = 0; i < 50; ++i) {
            tokens.push_back(document == 0 ? by_hand({0, 1, 2}, {0, 1, 2}) : by_hand({3, 1, 2}, {0, 1, 2}));
            tokens.back().document = document;
        }
    }
    const auto figure = over(GroupLoad(shape_of(two_layers()), GroupLoad::By::language), two_layers(), tokens);
    const auto shares = figure.shares(0, 0);
    EXPECT_LT(shares[0].share.low, 0.15);
    EXPECT_GT(shares[0].share.high, 0.85);
    // Expert 1 is in every token: its own variance is none, the layer's is not.
    EXPECT_LT(shares[1].share.low, 0.9);
    EXPECT_EQ(shares[1].share.high, 1);
}

TEST(FiguresByHand, CountsAreLoadToo) {
    ChunkBuilder builder(two_layers());
    builder.add(LoadSample{1, {1, 2, 3, 4, 0, 0, 0, 9}});
    builder.add(LoadSample{2, {1, 0, 0, 0, 0, 0, 0, 1}});
    Load load(shape_of(two_layers()));
    load.add(*builder.take());
    EXPECT_EQ(load.load(0), (std::vector<double>{2, 2, 3, 4}));
    EXPECT_EQ(load.load(1), (std::vector<double>{0, 0, 0, 10}));
}

TEST(FiguresByHand, TooLargeOrNotThere) {
    const Shape large{1, 60000, 2};
    EXPECT_NE(sentence_of([&] { CoActivation figure(large, 0); }).find("at most"), std::string::npos);
    EXPECT_NE(sentence_of([&] { CoActivation figure(shape_of(two_layers()), 2); }), "");
    EXPECT_NE(sentence_of([&] { Transitions figure(shape_of(two_layers()), 1, 2); }), "");
    EXPECT_NE(sentence_of([&] { Vocabulary figure(shape_of(two_layers()), 2, Vocabulary::By::input); }), "");
}

TEST(FigureJobs, GiveTheSameAsAllAtOnce) {
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto tokens = RandomTrace(spec, 4).tokens(500);
    const auto trace = std::make_shared<MemoryTrace>(spec, chunks_of(spec, tokens));
    const FigureJob<Load> job(trace, Load(shape_of(spec)));
    while (!job.latest()->finished) {
        std::this_thread::yield();
    }
    const auto state = job.latest();
    EXPECT_EQ(state->done, 10u);
    EXPECT_EQ(state->of, 10u);
    const Load wanted = over(Load(shape_of(spec)), spec, tokens);
    EXPECT_TRUE(std::ranges::equal(state->figure.counts(1), wanted.counts(1)));
}

TEST(FigureJobs, FollowATraceThatGrows) {
    const test::TemporaryFolder folder;
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto chunks = chunks_of(spec, RandomTrace(spec, 4).tokens(100));
    TraceWriter writer(folder / "t", spec);
    const FigureJob<Load> job(std::make_shared<const TraceFile>(folder / "t"), Load(shape_of(spec)), true);
    for (std::size_t done = 1; done <= chunks.size(); ++done) {
        writer.append(*chunks[done - 1]);
        while (job.latest()->done < done) {
            std::this_thread::yield();
        }
    }
    EXPECT_FALSE(job.latest()->finished);
    EXPECT_EQ(job.latest()->of, chunks.size());
}

class Endless final : public TraceSource {
 public:
    explicit Endless(std::shared_ptr<const Chunk> chunk, RouterSpec spec)
        : chunk_(std::move(chunk)), spec_(std::move(spec)) {}
    const RouterSpec& spec() const override { return spec_; }
    std::size_t chunks() const override { return 1u << 30; }
    std::shared_ptr<const Chunk> chunk(std::size_t number, unsigned) const override {
        if (number == 3) {
            return nullptr;
        }
        return chunk_;
    }

 private:
    const std::shared_ptr<const Chunk> chunk_;
    const RouterSpec spec_;
};

TEST(FigureJobs, ShowWhatTheyHaveAndStop) {
    const RouterSpec spec = make_spec(2, 8, 2);
    const auto chunk = chunks_of(spec, RandomTrace(spec, 4).tokens(50)).front();
    const FigureJob<Load> job(std::make_shared<Endless>(chunk, spec), Load(shape_of(spec)));
    while (job.latest()->done < 5) {
        std::this_thread::yield();
    }
    const auto state = job.latest();
    EXPECT_FALSE(state->finished);
    EXPECT_EQ(state->damaged, 1u);
    EXPECT_EQ(state->figure.counts(0).size(), 8u);
}

}  // namespace
}  // namespace moescope::routing
