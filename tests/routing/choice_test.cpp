// The choice by scores against a brute-force one, by hand, and against the golden routers.
#include "routing/choice.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::routing {
namespace {

using Ids = std::vector<std::int32_t>;

/// Takes the best of what may be chosen again and again; the slow way, without sorting.
Ids brute_force(const std::vector<float>& selection, const ChoiceRule& rule, const LayerChange& change) {
    const auto E = static_cast<int>(selection.size()), width = E / rule.groups;
    const auto may = [&](int e) { return !change.is_out(static_cast<std::size_t>(e)); };
    const auto at = [&](int e) { return selection[static_cast<std::size_t>(e)]; };
    const int wanted = change.experts > 0 ? change.experts : rule.experts_per_token;
    std::vector<bool> open(static_cast<std::size_t>(rule.groups), rule.groups == 1);
    for (int kept = 0, held = 0; rule.groups > 1 && (kept < rule.groups_kept || held < wanted); ++kept) {
        int best_group = -1, members = 0;
        float best = 0;
        for (int g = 0; g < rule.groups; ++g) {
            float one = -std::numeric_limits<float>::infinity(), two = one;
            int count = 0;
            for (int e = g * width; e < (g + 1) * width; ++e) {
                if (may(e)) {
                    ++count;
                    two = std::max(two, std::min(one, at(e)));
                    one = std::max(one, at(e));
                }
            }
            const float score = rule.group_max || count < 2 ? one : one + two;
            if (count > 0 && !open[static_cast<std::size_t>(g)] && (best_group < 0 || score > best)) {
                best_group = g;
                best = score;
                members = count;
            }
        }
        if (best_group < 0) {
            break;
        }
        open[static_cast<std::size_t>(best_group)] = true;
        held += members;
    }
    Ids ids = change.forced;
    while (static_cast<int>(ids.size()) < wanted) {
        int best = -1;
        for (int e = 0; e < E; ++e) {
            if (may(e) && open[static_cast<std::size_t>(e / width)] &&
                std::find(ids.begin(), ids.end(), e) == ids.end() && (best < 0 || at(e) > at(best))) {
                best = e;
            }
        }
        if (best < 0) {
            break;
        }
        ids.push_back(best);
    }
    std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) { return at(a) != at(b) ? at(a) > at(b) : a < b; });
    return ids;
}

TEST(Choice, IsTheBruteForceOne) {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        const int groups = std::vector<int>{1, 2, 4}[random() % 3];
        const int E = groups * (2 + static_cast<int>(random() % 5));
        ChoiceRule rule{1 + static_cast<int>(random() % 3), groups, 1 + static_cast<int>(random() % groups),
                        random() % 2 == 0};
        rule.experts_per_token = std::min(rule.experts_per_token, E / 2);
        std::vector<float> selection(static_cast<std::size_t>(E));
        for (float& one : selection) {
            one = static_cast<float>(random() % 16) / 8.0f - 1.0f;  // with ties
        }
        LayerChange change;
        if (random() % 2 == 0) {
            change.knocked_out.assign(selection.size(), 0);
            for (int i = 0; i < E / 2; ++i) {
                change.knocked_out[random() % selection.size()] = 1;
            }
        }
        if (const auto id = static_cast<std::int32_t>(random() % selection.size());
            random() % 3 == 0 && !change.is_out(static_cast<std::size_t>(id))) {
            change.forced = {id};
        }
        if (random() % 4 == 0) {
            change.experts = 1;
        }
        EXPECT_EQ(choose(selection, rule, &change).ids, brute_force(selection, rule, change)) << round;
        EXPECT_EQ(choose(selection, rule).ids, brute_force(selection, rule, {})) << round;
    }
}

TEST(Choice, SaysGroupsAndMargin) {
    // Groups of two: sums 1.25, 1.0, 0.25 and maxima 0.75, 1.0, 0.25.
    const std::vector<float> selection = {0.75f, 0.5f, 1.0f, 0.0f, 0.25f, 0.0f};
    const Choice top2 = choose(selection, {2, 3, 2, false});
    EXPECT_EQ(top2.ids, (Ids{2, 0}));
    EXPECT_EQ(top2.group_scores, (std::vector<float>{1.25f, 1.0f, 0.25f}));
    EXPECT_EQ(top2.groups_kept, (Ids{0, 1}));
    EXPECT_EQ(top2.margin, 0.25f) << "0 before 1, the best that is left of groups 0 and 1";
    const Choice most = choose(selection, {2, 3, 1, true});
    EXPECT_EQ(most.groups_kept, (Ids{1}));
    EXPECT_EQ(most.ids, (Ids{2, 3}));
    EXPECT_TRUE(std::isnan(most.margin)) << "nobody was left over";
    LayerChange out;
    out.knocked_out = {0, 0, 0, 1, 0, 0};
    EXPECT_EQ(choose(selection, {2, 3, 1, true}, &out).groups_kept, (Ids{1, 0})) << "a second group for two experts";
    const Choice plain = choose(selection, {2, 1, 1, false});
    EXPECT_TRUE(plain.group_scores.empty());
    EXPECT_EQ(plain.margin, 0.25f);
    LayerChange forced;
    forced.forced = {5};
    EXPECT_EQ(choose(selection, {2, 1, 1, false}, &forced).ids, (Ids{2, 5}));
    EXPECT_TRUE(std::isnan(choose(selection, {2, 1, 1, false}, &forced).margin));
}

/// One layer with a router of six experts.
RouterSpec six_experts() {
    RouterSpec spec;
    spec.model = "six";
    spec.layers = 1;
    spec.experts = 6;
    spec.experts_per_token = 2;
    spec.routed_layers = {0};
    return spec;
}

TEST(Choice, OfAReplayTheNextBestTakesTheFreePlace) {
    const std::vector<float> selection = {0.1f, 0.2f, 0.5f, 0.9f, 1.0f, 0.3f};
    const ChoiceRule rule{2, 1, 1, false};
    Interventions wanted;
    wanted.replay.ids = {{{0, 0}, {4, 1}}, {{1, 0}, {3, 5}}, {{2, 0}, {4}}};
    wanted.knocked_out = {{0, 4}};
    const InterventionPlan plan(wanted, six_experts());
    EXPECT_EQ(take_replayed(plan, 0, 0, selection, rule), (Ids{1, 3})) << "4 is better, and knocked out";
    EXPECT_EQ(take_replayed(plan, 0, 0, {}, rule), (Ids{1})) << "nobody has a score";
    EXPECT_EQ(take_replayed(plan, 1, 0, selection, rule), (Ids{3, 5})) << "as it was recorded";
    EXPECT_TRUE(take_replayed(plan, 2, 0, selection, rule).empty()) << "nothing of it is left: it is chosen";
    EXPECT_TRUE(take_replayed(plan, 3, 0, selection, rule).empty());
    // Groups of two, of which one stays: 2 and 3, and there the best.
    const std::vector<float> grouped = {0.1f, 0.2f, 0.5f, 0.4f, 1.0f, 0.3f};
    EXPECT_EQ(take_replayed(plan, 0, 0, grouped, {2, 3, 1, false}), (Ids{1, 2}));
    wanted.limits = {{0, 1}};
    EXPECT_EQ(take_replayed(InterventionPlan(wanted, six_experts()), 0, 0, selection, rule), (Ids{1}));
}

TEST(Choice, ABiasThatAllHaveChangesNothingHoweverNearScoresAre) {
    const std::vector<float> near = {0.5f, 0.5000001f, 0.4999999f, 0.50000006f, 0.3f, 0.49999997f};
    Interventions wanted;
    wanted.biases = {{{kEvery, kEvery}, 100}};
    const InterventionPlan plan(wanted, six_experts());
    std::vector<float> biased = near;
    add_bias(biased, plan.layer(0));
    EXPECT_EQ(biased, near);
    EXPECT_EQ(choose(biased, {2, 1, 1, false}, plan.layer(0)).ids, (Ids{1, 3}));
    // Whatever is added to one of them, it stands before or behind all others.
    for (const float bias : {-100.0f, 100.0f}) {
        wanted.biases = {{{0, 4}, bias}};
        const InterventionPlan one(wanted, six_experts());
        biased = near;
        add_bias(biased, one.layer(0));
        EXPECT_EQ(choose(biased, {2, 1, 1, false}, one.layer(0)).ids, bias > 0 ? (Ids{4, 1}) : (Ids{1, 3}));
    }
}

TEST(Choice, NotANumberIsLeast) {
    const float none = std::nanf("");
    EXPECT_EQ(choose(std::vector<float>{none, -1, none, -2}, {3, 1, 1, false}).ids, (Ids{1, 3, 0}));
    EXPECT_TRUE(choose({}, {2, 1, 1, false}).ids.empty());
    EXPECT_EQ(choose(std::vector<float>{1, 2}, {5, 1, 1, false}).ids, (Ids{1, 0})) << "no more than there are";
}

TEST(Choice, EntropyIsOfTheSharesOfTheScores) {
    EXPECT_FLOAT_EQ(entropy_of(std::vector<float>{1, 1, 1, 1}), std::log(4.0f));
    EXPECT_FLOAT_EQ(entropy_of(std::vector<float>{3, 1}), -(0.75f * std::log(0.75f) + 0.25f * std::log(0.25f)));
    EXPECT_EQ(entropy_of(std::vector<float>{0, 2}), 0.0f);
    EXPECT_TRUE(std::isnan(entropy_of({})));
    EXPECT_TRUE(std::isnan(entropy_of(std::vector<float>{0, 0})));
    EXPECT_TRUE(std::isnan(entropy_of(std::vector<float>{3, -1}))) << "raw logits are no shares";
}

TEST(Choice, AgreementCountsLayersThatWereChosenByScores) {
    RouterSpec spec;
    spec.model = "m";
    spec.layers = 3;
    spec.experts = 3;
    spec.experts_per_token = 2;
    spec.routed_layers = {0, 1, 2};
    spec.hash_layers = 1;
    TokenDecisions token;
    token.layers.resize(3);
    for (int i = 0; i < 3; ++i) {
        token.layers[static_cast<std::size_t>(i)].layer = i;
        token.layers[static_cast<std::size_t>(i)].selection = {0.1f, 0.5f, 0.4f};
        token.layers[static_cast<std::size_t>(i)].ids = {2, 1};
    }
    token.layers[2].ids = {1, 0};
    Agreement agreement;
    count_agreement(agreement, token, spec);
    EXPECT_EQ(agreement, (Agreement{2, 1}));
    Interventions out;
    out.knocked_out = {{2, 2}};
    agreement = {};
    count_agreement(agreement, token, spec, InterventionPlan(out, spec));
    EXPECT_EQ(agreement, (Agreement{2, 2}));
}

/// Ids of the routers that an independent program computed (tests/oracle/routers), from the scores written here.
TEST(Choice, IsThatOfTheGoldenRouters) {
    const auto golden = nlohmann::json::parse(
        moescope::test::read_text(std::filesystem::path(moescope::test::test_data()) / "oracle/routers/golden.json"));
    int compared = 0;
    for (const auto& router : golden.at("routers")) {
        const std::string name = router.at("name"), scoring = router.at("scoring");
        if (router.value("choice", "token") != "token" || router.contains("capacity_factor")) {
            continue;
        }
        const std::size_t T = router.at("T"), E = router.at("E"), K = router.at("K");
        const auto z = router.at("z_thousandths").get<std::vector<double>>();
        const auto ids = router.at("ids").get<Ids>();
        const auto bias = router.value("bias", std::vector<double>(E, 0.0));
        const ChoiceRule rule{static_cast<int>(K), router.value("groups", 1), router.value("groups_kept", 1),
                              router.value("group_score", "") == "max"};
        for (std::size_t t = 0; t < T; ++t) {
            double sum = 0;
            for (std::size_t e = 0; e < E; ++e) {
                sum += std::exp(z[t * E + e] / 1000);
            }
            std::vector<float> selection;
            for (std::size_t e = 0; e < E; ++e) {
                const double logit = z[t * E + e] / 1000;
                const double score = scoring == "softmax"         ? std::exp(logit) / sum
                                     : scoring == "sigmoid"       ? 1 / (1 + std::exp(-logit))
                                     : scoring == "sqrt_softplus" ? std::sqrt(std::log1p(std::exp(logit)))
                                                                  : logit;  // softmax_after_top_k
                selection.push_back(static_cast<float>(score + bias[e]));
            }
            EXPECT_EQ(choose(selection, rule).ids, Ids(ids.begin() + static_cast<std::ptrdiff_t>(t * K),
                                                       ids.begin() + static_cast<std::ptrdiff_t>((t + 1) * K)))
                << name << " token " << t;
        }
        ++compared;
    }
    EXPECT_GE(compared, 5);
}

}  // namespace
}  // namespace moescope::routing
