// The sweep against its definition, written out: both kinds of model.
#include "engine/runner/sweep.hpp"

#include <algorithm>
#include <cmath>

#include "routed_models.hpp"
#include "tests/engine/error_of.hpp"

namespace moescope::engine::test {
namespace {

using Texts = std::vector<std::vector<std::int32_t>>;

struct Effect {
    double kl = 0, loss = 0;
};

/// Softmax of each row, in double.
std::vector<double> shares_of(const std::vector<float>& logits, std::size_t V) {
    std::vector<double> shares;
    for (std::size_t t = 0; t < logits.size() / V; ++t) {
        double sum = 0;
        for (std::size_t v = 0; v < V; ++v) {
            sum += std::exp(static_cast<double>(logits[t * V + v]));
        }
        for (std::size_t v = 0; v < V; ++v) {
            shares.push_back(std::exp(static_cast<double>(logits[t * V + v])) / sum);
        }
    }
    return shares;
}

Effect effect_of(LanguageModel& model, const std::vector<std::int32_t>& text, int layer, int expert) {
    routing::Interventions out;
    out.knocked_out = {{layer, expert}};
    const auto V = static_cast<std::size_t>(model.info().vocabulary);
    const auto p = shares_of(look(model, text).logits, V), q = shares_of(look(model, text, out).logits, V);
    Effect effect;
    for (std::size_t i = 0; i < p.size(); ++i) {
        effect.kl += p[i] * std::log(p[i] / q[i]) / static_cast<double>(text.size());
    }
    for (std::size_t t = 0; t + 1 < text.size(); ++t) {
        const auto at = t * V + static_cast<std::size_t>(text[t + 1]);
        effect.loss += std::log(p[at] / q[at]) / static_cast<double>(text.size() - 1);
    }
    return effect;
}

SweepResult sweep(LanguageModel& model, int layer, const Texts& texts) {
    const std::atomic<bool> cancel = false;
    std::uint64_t last = 0;
    const SweepResult result = sweep_layer(
        model, {layer, texts},
        [&](std::uint64_t done, std::uint64_t total) {
            EXPECT_EQ(done, ++last);
            EXPECT_EQ(total, 6 * texts.size());
        },
        cancel);
    EXPECT_EQ(last, 6 * texts.size());
    return result;
}

TEST(Sweep, IsTheEffectOfEachExpert) {
    for (const std::size_t number : {0u, 6u}) {  // one without groups and one with
        const SmallModel small = small_models()[number];
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 61));
        const auto tokens = random_tokens(50, small.model.vocabulary);
        const Texts texts = {{tokens.begin(), tokens.begin() + 20},
                             {tokens.begin() + 20, tokens.begin() + 45},
                             {tokens.begin() + 45, tokens.end()}};
        for (LanguageModel* one : model.both()) {
            const SweepResult result = sweep(*one, 1, texts);
            EXPECT_TRUE(result.complete);
            EXPECT_EQ(result.texts, 3u);
            EXPECT_EQ(result.tokens, 50u);
            ASSERT_EQ(result.experts.size(), 6u);
            std::vector<std::vector<double>> kl(6), loss(6);
            std::uint64_t uses = 0;
            for (std::size_t e = 0; e < 6; ++e) {
                for (const auto& text : texts) {
                    const Effect effect = effect_of(*one, text, 1, static_cast<int>(e));
                    kl[e].push_back(effect.kl);
                    loss[e].push_back(effect.loss);
                }
                EXPECT_EQ(result.experts[e].expert, static_cast<int>(e));
                uses += result.experts[e].tokens;
            }
            EXPECT_EQ(uses, 100u);
            for (std::size_t e = 0; e < 6; ++e) {
                const ExpertEffect& got = result.experts[e];
                const auto near = [](const base::Interval& a, const base::Interval& b) {
                    EXPECT_NEAR(a.estimate, b.estimate, 1e-6 + 1e-4 * std::abs(b.estimate));
                    EXPECT_NEAR(a.low, b.low, 1e-6 + 1e-4 * std::abs(b.low));
                    EXPECT_NEAR(a.high, b.high, 1e-6 + 1e-4 * std::abs(b.high));
                };
                std::vector<double> control_kl(3), above_kl(3), above_loss(3);
                for (std::size_t n = 0; n < 3; ++n) {
                    double control_loss = 0;
                    for (std::size_t other = 0; other < 6; ++other) {
                        control_kl[n] += other == e ? 0 : kl[other][n] / 5;
                        control_loss += other == e ? 0 : loss[other][n] / 5;
                    }
                    above_kl[n] = kl[e][n] - control_kl[n];
                    above_loss[n] = loss[e][n] - control_loss;
                }
                const auto not_below_zero = [](base::Interval interval) {
                    interval.low = std::max(0.0, interval.low);
                    return interval;
                };
                near(got.kl, not_below_zero(base::of_mean(kl[e])));
                near(got.loss, base::of_mean(loss[e]));
                near(got.control_kl, not_below_zero(base::of_mean(control_kl)));
                near(got.above_kl, base::of_mean(above_kl));
                near(got.above_loss, base::of_mean(above_loss));
            }
            EXPECT_TRUE(std::any_of(result.experts.begin(), result.experts.end(),
                                    [](const ExpertEffect& e) { return e.kl.estimate > 1e-5; }));
        }
    }
}

TEST(Sweep, SeveralThreadsFindTheSame) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 64));
    const auto tokens = random_tokens(40, small.model.vocabulary);
    const Texts texts = {{tokens.begin(), tokens.begin() + 25}, {tokens.begin() + 25, tokens.end()}};
    for (LanguageModel* one : model.both()) {
        const SweepResult alone = sweep(*one, 1, texts);
        one->set_threads(3);
        EXPECT_EQ(one->routed_copies(6, 30).size(), 3u);
        EXPECT_EQ(one->routed_copies(2, 30).size(), 2u);
        const SweepResult together = sweep(*one, 1, texts);
        for (std::size_t e = 0; e < 6; ++e) {
            EXPECT_EQ(together.experts[e].kl.estimate, alone.experts[e].kl.estimate);
            EXPECT_EQ(together.experts[e].loss.low, alone.experts[e].loss.low);
        }
    }
}

TEST(Sweep, NobodyMissesAnExpertThatWasNotChosen) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 62));
    const SweepResult result = sweep(*model.own, 0, {{3, 3}});
    for (const ExpertEffect& one : result.experts) {
        EXPECT_EQ(one.kl.estimate > 0, one.tokens > 0) << one.expert;
        EXPECT_TRUE(std::isnan(one.kl.low)) << "one text has no interval";
    }
    EXPECT_TRUE(
        std::any_of(result.experts.begin(), result.experts.end(), [](const ExpertEffect& e) { return e.tokens == 0; }));
}

TEST(Sweep, IsStoppedAndRefused) {
    const SmallModel small = small_models()[3];  // layer 0 is dense
    const Twice model(small.model, fill(small.model, 63));
    std::atomic<bool> cancel = false;
    const auto stopped = sweep_layer(
        *model.own, {1, {{1, 2, 3}, {4, 5}}}, [&](std::uint64_t done, std::uint64_t) { cancel = done == 3; }, cancel);
    EXPECT_FALSE(stopped.complete);
    EXPECT_TRUE(stopped.experts.empty());
    const auto said = [&](const SweepRequest& request) {
        const std::atomic<bool> go = false;
        return error_of([&] {
            sweep_layer(
                *model.own, request, [](std::uint64_t, std::uint64_t) {}, go);
        });
    };
    EXPECT_NE(said({0, {{1, 2}}}).find("layer 0 of"), std::string::npos);
    EXPECT_NE(said({1, {}}).find("no text"), std::string::npos);
    EXPECT_NE(said({1, {{1, 2}, {3}}}).find("text 2 has 1 tokens; it takes 2 to 64"), std::string::npos);
    EXPECT_NE(said({1, {{1, 99}}}).find("token 99"), std::string::npos);
}

}  // namespace
}  // namespace moescope::engine::test
