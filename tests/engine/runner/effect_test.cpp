// The effect of a change against its definition, written out, with logits of separate readings: both kinds of model.
#include "engine/runner/effect.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "routed_models.hpp"
#include "routing/random_controls.hpp"
#include "tests/engine/error_of.hpp"

namespace moescope::engine::test {
namespace {

using routing::Interventions;

/// log softmax of each row, in double.
std::vector<double> log_shares(const std::vector<float>& logits, std::size_t V) {
    std::vector<double> shares;
    for (std::size_t t = 0; t < logits.size() / V; ++t) {
        double sum = 0;
        for (std::size_t v = 0; v < V; ++v) {
            sum += std::exp(static_cast<double>(logits[t * V + v]));
        }
        for (std::size_t v = 0; v < V; ++v) {
            shares.push_back(static_cast<double>(logits[t * V + v]) - std::log(sum));
        }
    }
    return shares;
}

struct Expected {
    std::vector<double> kl, log_probability, shift;
};

Expected expected(LanguageModel& model, const std::vector<std::int32_t>& text, const Interventions& changes) {
    const auto V = static_cast<std::size_t>(model.info().vocabulary);
    const Seen before = look(model, text), after = look(model, text, changes);
    const auto p = log_shares(before.logits, V), q = log_shares(after.logits, V);
    Expected result;
    for (std::size_t t = 0; t < text.size(); ++t) {
        double kl = 0;
        for (std::size_t v = 0; v < V; ++v) {
            kl += std::exp(p[t * V + v]) * (p[t * V + v] - q[t * V + v]);
        }
        result.kl.push_back(kl);
        if (t + 1 < text.size()) {
            const auto at = t * V + static_cast<std::size_t>(text[t + 1]);
            result.log_probability.push_back(q[at] - p[at]);
        }
    }
    for (std::size_t layer = 0; layer < before.tokens[0].layers.size(); ++layer) {
        double slots = 0, flipped = 0;
        for (std::size_t t = 0; t < text.size(); ++t) {
            const auto& left = after.tokens[t].layers[layer].ids;
            for (const std::int32_t id : before.tokens[t].layers[layer].ids) {
                slots += 1;
                flipped += std::count(left.begin(), left.end(), id) == 0 ? 1 : 0;
            }
        }
        result.shift.push_back(flipped / slots);
    }
    return result;
}

double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) {
        sum += value / static_cast<double>(values.size());
    }
    return sum;
}

TEST(Effect, IsTheDifferenceOfTwoReadings) {
    for (const std::size_t number : {0u, 6u}) {  // one without groups and one with
        const SmallModel small = small_models()[number];
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 71));
        const auto text = random_tokens(40, small.model.vocabulary);
        for (LanguageModel* one : model.both()) {
            const Seen before = look(*one, text);
            EffectRequest request;
            request.tokens = text;
            request.changed.interventions.knocked_out = {
                {one->router_spec().routed_layers.front(), before.tokens[0].layers.front().ids[0]}};
            request.changed.detail = routing::Detail::scores;
            request.controls = 5;
            request.seed = 3;
            std::vector<routing::TokenDecisions> untouched, changed;
            std::uint64_t last = 0;
            const std::atomic<bool> cancel = false;
            const EffectResult result =
                measure_effect(*one, request,
                               {[&](const routing::TokenDecisions& token) { untouched.push_back(token); },
                                [&](const routing::TokenDecisions& token) { changed.push_back(token); },
                                [&](std::uint64_t done, std::uint64_t total) {
                                    EXPECT_EQ(done, ++last);
                                    EXPECT_EQ(total, 7u * 40);
                                }},
                               cancel);
            ASSERT_TRUE(result.complete);
            EXPECT_EQ(last, 7u * 40) << "two readings and five controls";
            const Expected wanted = expected(*one, text, request.changed.interventions);
            ASSERT_EQ(result.kl.size(), 40u);
            ASSERT_EQ(result.log_probability.size(), 39u);
            double largest = 0;
            for (std::size_t t = 0; t < 40; ++t) {
                EXPECT_NEAR(result.kl[t], wanted.kl[t], 1e-6 + 1e-4 * wanted.kl[t]);
                largest = std::max(largest, wanted.kl[t]);
                if (t < 39) {
                    EXPECT_NEAR(result.log_probability[t], wanted.log_probability[t], 1e-5);
                }
            }
            EXPECT_GT(largest, 1e-5) << "there is something to measure";
            EXPECT_NEAR(result.mean_kl.estimate, mean(wanted.kl), 1e-6);
            EXPECT_NEAR(result.mean_loss.estimate, -mean(wanted.log_probability), 1e-5);
            EXPECT_LE(result.mean_loss.low, result.mean_loss.estimate);
            ASSERT_EQ(result.shift.size(), wanted.shift.size());
            for (std::size_t i = 0; i < wanted.shift.size(); ++i) {
                EXPECT_EQ(result.shift[i].layer, one->router_spec().routed_layers[i]);
                EXPECT_NEAR(result.shift[i].changed, wanted.shift[i], 1e-12);
            }
            EXPECT_GT(result.shift[0].changed, 0);
            // What is told on the way is what route() tells.
            ASSERT_EQ(untouched.size(), 40u);
            ASSERT_EQ(changed.size(), 40u);
            const Seen after = look(*one, text, request.changed.interventions);
            for (std::size_t t = 0; t < 40; ++t) {
                EXPECT_EQ(untouched[t].layers.back().ids, before.tokens[t].layers.back().ids);
                EXPECT_EQ(changed[t].layers.back().ids, after.tokens[t].layers.back().ids);
                EXPECT_EQ(untouched[t].next, before.tokens[t].next);
                EXPECT_EQ(changed[t].layers.back().scores.size(), 6u);
            }
            std::uint64_t altered = 0;
            for (std::size_t t = 0; t < 40; ++t) {
                for (std::size_t i = 0; i < before.tokens[t].layers.size(); ++i) {
                    const auto &one_way = untouched[t].layers[i].ids, &other = changed[t].layers[i].ids;
                    altered += std::is_permutation(one_way.begin(), one_way.end(), other.begin(), other.end()) ? 0 : 1;
                }
            }
            EXPECT_EQ(result.decisions, 40 * one->router_spec().routed_layers.size());
            EXPECT_EQ(result.altered, altered);
            EXPECT_GT(altered, 0u);
        }
    }
}

TEST(Effect, ItsControlsAreMeasuredTheSameWayWithHoweverManyThreads) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 72));
    const auto text = random_tokens(30, small.model.vocabulary);
    for (LanguageModel* one : model.both()) {
        EffectRequest request;
        request.tokens = text;
        request.changed.interventions.knocked_out = {{0, 1}};
        request.changed.interventions.zeroed = {{1, 2}};
        request.controls = 6;
        request.seed = 11;
        const auto measure = [&](std::uint64_t seed) {
            request.seed = seed;
            const std::atomic<bool> cancel = false;
            return measure_effect(*one, request, {}, cancel);
        };
        const EffectResult result = measure(11);
        std::vector<Interventions> controls;  // in the order in which they are drawn, each once
        for (Interventions& drawn :
             routing::random_controls(request.changed.interventions, one->router_spec(), 100, 11)) {
            if (std::find(controls.begin(), controls.end(), drawn) == controls.end()) {
                controls.push_back(std::move(drawn));
            }
        }
        ASSERT_GE(controls.size(), 6u);
        ASSERT_EQ(result.controls.size(), 6u);
        std::vector<double> kl, loss;
        for (std::size_t i = 0; i < 6; ++i) {
            const EffectResult::Control& control = result.controls[i];
            EXPECT_EQ(control.changes, controls[i]);
            ASSERT_EQ(control.changes.knocked_out.size(), 1u);
            EXPECT_NE(control.changes.knocked_out[0].expert, 1);
            EXPECT_EQ(control.changes.knocked_out[0].layer, 0);
            ASSERT_EQ(control.changes.zeroed.size(), 1u);
            const Expected wanted = expected(*one, text, control.changes);
            EXPECT_NEAR(control.mean_kl, mean(wanted.kl), 1e-6);
            EXPECT_NEAR(control.mean_loss, -mean(wanted.log_probability), 1e-5);
            kl.push_back(control.mean_kl);
            loss.push_back(control.mean_loss);
        }
        EXPECT_EQ(result.control_kl.estimate, base::of_mean(kl).estimate);
        EXPECT_EQ(result.control_loss.high, base::of_mean(loss).high);
        EXPECT_EQ(result.rank, 1 + static_cast<std::size_t>(std::count_if(
                                       kl.begin(), kl.end(), [&](double x) { return x >= result.mean_kl.estimate; })));
        one->set_threads(3);
        const EffectResult together = measure(11);
        for (std::size_t i = 0; i < 6; ++i) {
            EXPECT_NEAR(together.controls[i].mean_kl, result.controls[i].mean_kl, 1e-9);
        }
        EXPECT_NE(measure(12).controls[0].changes, result.controls[0].changes) << "another seed, other experts";
    }
}

TEST(Effect, NoControlCountsTwice) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 75));
    const auto experts = static_cast<std::size_t>(model.own->router_spec().experts);
    ASSERT_GT(experts, 3u);
    EffectRequest request;
    request.tokens = random_tokens(10, small.model.vocabulary);
    request.changed.interventions.knocked_out = {{0, 1}};
    request.controls = 64;
    const std::atomic<bool> cancel = false;
    const EffectResult result = measure_effect(*model.own, request, {}, cancel);
    std::set<int> drawn;
    for (const EffectResult::Control& control : result.controls) {
        drawn.insert(control.changes.knocked_out.at(0).expert);
    }
    EXPECT_EQ(result.controls.size(), experts - 1) << "as many as there are";
    EXPECT_EQ(drawn.size(), experts - 1);
    EXPECT_FALSE(drawn.contains(1));
    EXPECT_LE(result.rank, experts);
    // Two experts of a layer are the same pair in either order, and fewer are the first of more.
    request.changed.interventions.knocked_out = {{0, 0}, {0, 1}};
    const auto pairs_of = [&](int controls) {
        request.controls = controls;
        std::vector<std::set<int>> pairs;
        for (const EffectResult::Control& control : measure_effect(*model.own, request, {}, cancel).controls) {
            pairs.push_back({control.changes.knocked_out.at(0).expert, control.changes.knocked_out.at(1).expert});
        }
        return pairs;
    };
    const auto all = pairs_of(64), three = pairs_of(3);
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), all.size());
    ASSERT_GE(all.size(), three.size());
    EXPECT_TRUE(std::equal(three.begin(), three.end(), all.begin()));
}

TEST(Effect, OfAnExpertThatNoTokenGoesToIsNothingAndRanksLast) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 76));
    EffectRequest request;
    request.tokens = random_tokens(2, small.model.vocabulary);  // they go to four of the six experts at most
    request.controls = 64;
    const Seen before = look(*model.own, request.tokens);
    const int layer = model.own->router_spec().routed_layers.front();
    std::set<int> met;
    for (const routing::TokenDecisions& token : before.tokens) {
        met.insert(token.layers.front().ids.begin(), token.layers.front().ids.end());
    }
    int unmet = 0;
    while (met.contains(unmet)) {
        ++unmet;
    }
    ASSERT_LT(unmet, model.own->router_spec().experts);
    request.changed.interventions.knocked_out = {{layer, unmet}};
    const std::atomic<bool> cancel = false;
    const EffectResult result = measure_effect(*model.own, request, {}, cancel);
    EXPECT_EQ(result.mean_kl.estimate, 0);
    EXPECT_EQ(result.decisions, 2 * model.own->router_spec().routed_layers.size());
    EXPECT_EQ(result.altered, 0u);
    const auto nothing = static_cast<std::size_t>(std::count_if(result.controls.begin(), result.controls.end(),
                                                                [](const auto& one) { return one.mean_kl == 0; }));
    EXPECT_EQ(nothing, result.controls.size() - met.size()) << "no token goes to the others either";
    EXPECT_GE(nothing, 1u);
    EXPECT_EQ(result.ties, nothing);
    EXPECT_EQ(result.rank, result.controls.size() + 1);
    // A weight that is set to zero alters a decision that keeps its experts.
    request.changed.interventions = {};
    request.changed.interventions.zeroed = {
        {model.own->router_spec().routed_layers.back(), before.tokens[0].layers.back().ids[0]}};
    const EffectResult zeroed = measure_effect(*model.own, request, {}, cancel);
    EXPECT_GT(zeroed.mean_kl.estimate, 0);
    EXPECT_GE(zeroed.altered, 1u);
    EXPECT_LE(zeroed.altered, 2u) << "in the last layer alone";
    EXPECT_EQ(zeroed.shift.back().changed, 0);
}

TEST(Effect, OfAChangeThatNamesNoExpertHasNoControls) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 73));
    EffectRequest request;
    request.tokens = random_tokens(10, small.model.vocabulary);
    request.changed.interventions.limits = {{routing::kEvery, 1}};
    const std::atomic<bool> cancel = false;
    const EffectResult result = measure_effect(*model.own, request, {}, cancel);
    EXPECT_TRUE(result.complete);
    EXPECT_GT(result.mean_kl.estimate, 0);
    EXPECT_NEAR(result.shift[0].changed, 0.5, 1e-12) << "one of two";
    EXPECT_TRUE(result.controls.empty());
    EXPECT_TRUE(std::isnan(result.control_kl.estimate));
    EXPECT_EQ(result.rank, 0u);
}

TEST(Effect, OfTextsThatFillTheContextScoresTheTokenBehindThem) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 75));
    const auto measure = [](LanguageModel& one, std::vector<std::int32_t> text, std::optional<std::int32_t> next) {
        EffectRequest request;
        request.tokens = std::move(text);
        request.changed.interventions.knocked_out = {{0, 1}};
        request.changed.next = next;
        request.controls = 1;
        const std::atomic<bool> cancel = false;
        return measure_effect(one, request, {}, cancel);
    };
    for (LanguageModel* one : model.both()) {
        const auto context = static_cast<std::size_t>(one->info().context);
        std::vector<std::int32_t> text = random_tokens(static_cast<int>(context) + 1, small.model.vocabulary);
        EXPECT_NE(error_of([&] { measure(*one, text, {}); }).find("the context of this model holds"),
                  std::string::npos);
        const std::int32_t last = text.back();
        text.pop_back();
        const EffectResult whole = measure(*one, text, last);
        ASSERT_TRUE(whole.complete);
        EXPECT_EQ(whole.kl.size(), context);
        ASSERT_EQ(whole.log_probability.size(), context) << "what follows the last token that is read is scored";
        // Of a shorter text, the same as when the token is read after all.
        text.resize(20);
        const EffectResult read = measure(*one, text, {});
        const std::int32_t behind = text.back();
        text.pop_back();
        const EffectResult scored = measure(*one, text, behind);
        ASSERT_EQ(scored.kl.size(), 19u);
        ASSERT_EQ(scored.log_probability.size(), read.log_probability.size());
        EXPECT_NEAR(scored.log_probability.back(), read.log_probability.back(), 1e-5);
        EXPECT_NEAR(scored.mean_loss.estimate, read.mean_loss.estimate, 1e-5);
        EXPECT_NE(error_of([&] { measure(*one, text, small.model.vocabulary); }).find("not in this model's vocabulary"),
                  std::string::npos);
    }
}

TEST(Effect, IsStoppedAndRefused) {
    const SmallModel small = small_models()[3];  // layer 0 is dense
    const Twice model(small.model, fill(small.model, 74));
    EffectRequest request;
    request.tokens = random_tokens(20, small.model.vocabulary);
    request.changed.interventions.knocked_out = {{1, 2}};
    for (const std::uint64_t stop : {3u, 25u, 50u}) {  // in each kind of reading
        std::atomic<bool> cancel = false;
        const EffectResult stopped = measure_effect(
            *model.own, request, {{}, {}, [&](std::uint64_t done, std::uint64_t) { cancel = done >= stop; }}, cancel);
        EXPECT_FALSE(stopped.complete) << stop;
        EXPECT_TRUE(stopped.kl.empty()) << stop;
    }
    const auto said = [&](const EffectRequest& one) {
        const std::atomic<bool> go = false;
        return error_of([&] { measure_effect(*model.own, one, {}, go); });
    };
    EffectRequest wrong = request;
    wrong.changed.interventions = {};
    EXPECT_NE(said(wrong).find("nothing is changed"), std::string::npos);
    wrong = request;
    wrong.changed.interventions.knocked_out = {{0, 2}};
    EXPECT_NE(said(wrong).find("layer 0 of"), std::string::npos);
    wrong = request;
    wrong.tokens = {1};
    EXPECT_NE(said(wrong).find("one token"), std::string::npos);
    wrong.tokens = {1, 99};
    EXPECT_NE(said(wrong).find("token 99"), std::string::npos);
}

}  // namespace
}  // namespace moescope::engine::test
