// The router against its reference, its gradients against differences, and what each kind promises.
#include "kernels/cpu/router.hpp"

#include <cstring>
#include <random>
#include <set>

#include "kernels/cpu/parallel.hpp"
#include "router_harness.hpp"

namespace moescope::kernels::test {
namespace {

class Router : public testing::TestWithParam<Choice> {};
INSTANTIATE_TEST_SUITE_P(Choices, Router, testing::ValuesIn(kChoices));

// Small ones with every combination, larger ones with every seventh: 7 has no factor with the number of values of any
// setting in common, so that all pairs of settings still meet.
constexpr Sizes kSmall[] = {{1, 5, 2, 0, 5, 2}, {1, 1, 1, 0, 1, 1}, {9, 33, 1, 4, 3, 2}, {20, 6, 3, 7, 3, 2}};
constexpr Sizes kLarge[] = {{67, 12, 3, 20, 4, 2},
                            {64, 16, 2, 16, 8, 3},
                            {130, 6, 6, 64, 3, 1},
                            {17, 257, 8, 17, 1, 1},
                            {20, 1024, 16, 0, 16, 5}};

/// One thread while it lives: a loop over thousands of tiny batches spends its time waking threads.
class OneWorker {
 public:
    OneWorker() { set_workers(1); }
    OneWorker(const OneWorker&) = delete;
    OneWorker& operator=(const OneWorker&) = delete;
    ~OneWorker() { set_workers(before); }

 private:
    int before = workers();
};

void expect_same(Routed& fast, Routed& slow) {
    const RouterLosses a = fast.run(), b = slow.run_reference();
    expect_close(fast.s_TE, slow.s_TE, 2e-6, 1e-37, "s");
    expect_close(fast.lse, slow.lse, 1e-5, 1e-6, "lse");
    ASSERT_EQ(fast.ids, slow.ids);
    EXPECT_EQ(fast.kept, slow.kept);
    expect_close(fast.w, slow.w, 1e-5, 1e-7, "w");
    EXPECT_EQ(fast.counts, slow.counts);
    EXPECT_EQ(fast.choices, slow.choices);
    EXPECT_NEAR(a.balance, b.balance, 1e-5 * std::max(1.0, b.balance));
    EXPECT_NEAR(a.z, b.z, 1e-5 * std::max(1.0, b.z));
    EXPECT_NEAR(a.entropy, b.entropy, 1e-5);
    EXPECT_EQ(a.dropped, b.dropped);
}

TEST_P(Router, MatchesReference) {
    const OneWorker one;
    int variant = 0;
    const auto check = [&](const Sizes& sizes, std::size_t every) {
        const auto shapes = all_shapes(GetParam(), sizes);
        for (std::size_t i = 0; i < shapes.size() && !HasFailure(); i += every) {
            SCOPED_TRACE(describe(shapes[i]) + " variant " + std::to_string(variant));
            Routed fast(shapes[i]), slow(shapes[i]);
            fill_inputs(fast, variant);
            fill_inputs(slow, variant++);
            expect_same(fast, slow);
        }
    };
    for (const Sizes& sizes : kSmall) {
        check(sizes, 1);
    }
    for (const Sizes& sizes : kLarge) {
        check(sizes, sizes.E > 100 ? 35 : 7);
    }
}

/// The loss as a function of z in double, with the choice and the drops left as they were.
class FrozenLoss {
 public:
    FrozenLoss(const Routed& routed, std::vector<float> gradient, double of_balance, double of_z)
        : r(routed), dw(std::move(gradient)), balance_scale(of_balance), z_scale(of_z), dq(r.z.size(), 0.0) {
        const RouterShape& s = r.shape;
        const std::int64_t S = s.balance == Balance::sequence && s.S > 0 ? s.S : s.T, J = s.slots();
        const bool earlier = s.balance == Balance::global && !r.earlier.empty();
        const double sequences = std::ceil(static_cast<double>(s.T) / static_cast<double>(S));
        for (std::int64_t i = 0; i < s.T * s.E && s.balance != Balance::none; ++i) {
            const std::int64_t begin = i / s.E / S * S, end = std::min(begin + S, s.T), e = i % s.E;
            const double tokens = static_cast<double>(end - begin);
            const double choices =
                static_cast<double>(std::count(&r.ids[at(begin * J)], &r.ids[at(end * J - 1)] + 1, e));
            const double f =
                (choices + (earlier ? static_cast<double>(r.earlier[at(e)]) : 0.0)) /
                ((tokens + (earlier ? static_cast<double>(r.earlier_tokens) : 0.0)) * static_cast<double>(s.K));
            dq[at(i)] = static_cast<double>(s.E) * f / (tokens * sequences);
        }
    }
    double operator()() const {
        double loss = 0;
        for (std::int64_t t = 0; t < r.shape.T; ++t) {
            loss += token(t);
        }
        return loss;
    }

 private:
    static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
    double token(std::int64_t t) const {
        const RouterShape& shape = r.shape;
        const std::int64_t E = shape.E, J = shape.slots();
        double sum = 0, s_sum = 0, chosen = 0, loss = 0, balance = 0;
        for (std::int64_t e = 0; e < E; ++e) {
            sum += std::exp(static_cast<double>(r.z[at(t * E + e)]));
        }
        std::vector<double> s;
        for (std::int64_t e = 0; e < E; ++e) {
            s.push_back(formulas_of(shape.scoring).reference(r.z[at(t * E + e)], std::log(sum)));
            s_sum += s.back();
            balance += s.back() * dq[at(t * E + e)];
        }
        for (std::int64_t slot = t * J; slot < (t + 1) * J; ++slot) {
            chosen += r.ids[at(slot)] >= 0 ? s[at(r.ids[at(slot)])] : 0.0;
            loss += r.kept[at(slot)] != 0 ? dw[at(slot)] * shape.scale * s[at(r.ids[at(slot)])] : 0.0;
        }
        const bool after = formulas_of(shape.scoring).of_logits;
        const bool divide = shape.choice != Choice::expert && (after || shape.normalise);
        return loss / (divide ? chosen : 1.0) + balance_scale * balance / s_sum +
               z_scale * std::log(sum) * std::log(sum) / static_cast<double>(shape.T);
    }

    const Routed& r;
    std::vector<float> dw;
    double balance_scale, z_scale;
    std::vector<double> dq;  ///< gradient of the balance loss by q, which the choice alone gives
};

TEST_P(Router, GradientsMatchDifferences) {
    const OneWorker one;
    int variant = 0;
    for (const Sizes& sizes : {Sizes{1, 1, 1, 0, 1, 1}, Sizes{10, 6, 3, 4, 3, 2}, Sizes{5, 17, 2, 0, 1, 1}}) {
        for (const RouterShape& shape : all_shapes(GetParam(), sizes)) {
            SCOPED_TRACE(describe(shape));
            Routed r(shape);
            fill_inputs(r, variant++);
            const RouterLosses losses = r.run();
            const auto dw = random_floats(shape.T * shape.slots(), 6);
            constexpr double kBalance = 3.0, kZ = 0.7;
            double kept = 0;
            for (std::size_t i = 0; i < dw.size(); ++i) {
                kept += static_cast<double>(dw[i]) * r.w[i];
            }
            const double whole = kept + kBalance * losses.balance + kZ * losses.z;
            const FrozenLoss loss(r, dw, kBalance, kZ);
            EXPECT_NEAR(loss(), whole, 1e-5 * std::max(1.0, std::abs(whole)));
            const auto dz = r.backward(dw, kBalance, kZ);
            expect_gradient([&] { return loss(); }, r.z, dz, "dz", 2e-4, 2e-3f);
        }
    }
}

TEST_P(Router, BackwardMayOverwriteTheLogits) {
    const OneWorker one;
    for (const RouterShape& shape : all_shapes(GetParam(), {70, 12, 3, 20, 4, 2})) {
        Routed r(shape);
        fill_inputs(r, 0);
        r.run();
        const auto dw = random_floats(shape.T * shape.slots(), 6);
        const auto dz = r.backward(dw, 3.0, 0.7);
        std::fill(r.scratch.begin(), r.scratch.end(), -9.0);
        router_backward(r.z.data(), dw.data(), r.output(), r.input(), r.scratch.data(), 3.0, 0.7, shape);
        ASSERT_EQ(r.z, dz) << describe(shape);
    }
}

TEST_P(Router, ScratchIsEnoughForEverySettingOfTheSameSizes) {
    RouterShape plain{70, 12, 3, true, 20};
    plain.choice = GetParam();
    plain.balance = Balance::none;
    const std::int64_t enough = router_scratch(plain);
    for (const Choice choice : {GetParam(), Choice::token, Choice::hash}) {
        for (const RouterShape& shape : all_shapes(choice, {70, 12, 3, 20, 4, 2})) {
            ASSERT_LE(router_scratch(shape), enough) << describe(shape);
        }
    }
}

TEST_P(Router, SameBitsForAnyNumberOfThreads) {
    const OneWorker restores;
    const auto shapes = all_shapes(GetParam(), {331, 12, 3, 100, 4, 2});
    for (std::size_t i = 0; i < shapes.size(); i += 7) {
        const RouterShape& shape = shapes[i];
        const auto dw = random_floats(shape.T * shape.slots(), 6);
        std::optional<Routed> first;
        std::vector<float> first_dz;
        RouterLosses first_losses;
        for (const int threads : {1, 3}) {
            set_workers(threads);
            Routed r(shape);
            fill_inputs(r, 2);
            const RouterLosses losses = r.run();
            const auto dz = r.backward(dw, 3.0, 0.7);
            if (threads == 1) {
                first = r;
                first_dz = dz;
                first_losses = losses;
                continue;
            }
            EXPECT_TRUE(r.s_TE == first->s_TE && r.ids == first->ids && r.kept == first->kept && r.w == first->w &&
                        r.counts == first->counts && dz == first_dz)
                << describe(shape);
            EXPECT_EQ(losses.balance, first_losses.balance);
            EXPECT_EQ(losses.z, first_losses.z);
            EXPECT_EQ(losses.entropy, first_losses.entropy);
        }
    }
}

void expect_valid_ids(const Routed& r) {
    const std::int64_t E = r.shape.E, J = r.shape.slots();
    std::vector<std::uint32_t> kept(r.counts.size(), 0);
    for (std::size_t slot = 0; slot < r.ids.size(); ++slot) {
        ASSERT_TRUE(r.ids[slot] >= -1 && r.ids[slot] < E);
        ASSERT_TRUE(r.kept[slot] == 0 || (r.kept[slot] == 1 && r.ids[slot] >= 0));
        if (r.kept[slot] == 1) {
            ++kept[static_cast<std::size_t>(r.ids[slot])];
        }
    }
    EXPECT_EQ(kept, r.counts);
    for (auto token = r.ids.begin(); token != r.ids.end(); token += J) {
        std::set<std::int32_t> different(token, token + J);
        const auto unused = std::count(token, token + J, -1);
        EXPECT_EQ(static_cast<std::int64_t>(different.size()) + std::max<std::int64_t>(0, unused - 1), J);
        EXPECT_TRUE(r.shape.choice == Choice::expert || unused == 0);
    }
}

TEST_P(Router, NaNStillGivesValidIds) {
    const OneWorker one;
    for (const RouterShape& shape : all_shapes(GetParam(), {70, 12, 3, 20, 4, 2})) {
        for (const std::size_t every : {1u, 5u}) {
            Routed r(shape);
            fill_inputs(r, 0);
            for (std::size_t i = 0; i < r.z.size(); i += every) {
                r.z[i] = std::nanf("");
            }
            r.run();
            SCOPED_TRACE(describe(shape));
            expect_valid_ids(r);
            EXPECT_TRUE(every > 1 || std::any_of(r.w.begin(), r.w.end(), [](float w) { return std::isnan(w); }));
        }
    }
}

TEST_P(Router, AllTokensOnOneExpert) {
    const OneWorker one;
    for (const RouterShape& shape : all_shapes(GetParam(), {20, 4, 1, 7, 2, 1})) {
        if (shape.choice == Choice::hash || shape.scoring == Scoring::sqrt_softplus) {
            continue;
        }
        Routed fast(shape), slow(shape);
        for (std::size_t i = 0; i < fast.z.size(); ++i) {
            // Not quite equal, or sinkhorn and quantile would be a matter of rounding.
            fast.z[i] = slow.z[i] = i % 4 == 2 ? 12.0f + 0.1f * fast.z[i] : fast.z[i];
        }
        SCOPED_TRACE(describe(shape));
        expect_same(fast, slow);
        if (shape.choice == Choice::token && shape.groups == 1) {
            EXPECT_EQ(fast.choices, (std::vector<std::uint32_t>{0, 0, 20, 0}));
        }
    }
}

TEST(RouterChoice, TieGoesToTheLowerExpert) {
    Routed r({1, 6, 3, true});
    std::fill(r.z.begin(), r.z.end(), 0.5f);
    const RouterLosses losses = r.run();
    EXPECT_EQ(r.ids, (std::vector<std::int32_t>{0, 1, 2}));
    EXPECT_NEAR(r.w[0], 1.0 / 3, 1e-6);
    EXPECT_NEAR(losses.balance, 1.0, 1e-6);
    EXPECT_NEAR(losses.entropy, std::log(6.0), 1e-6);
}

TEST(RouterChoice, ScoresStayGoodFarFromZero) {
    for (const Scoring scoring : kScorings) {
        RouterShape shape{1, 6, 2};
        shape.scoring = scoring;
        Routed fast(shape), slow(shape);
        fast.z = slow.z = {-40.0f, 13.0f, 11.0f, -9.0f, 0.0f, 12.0f};
        const RouterLosses a = fast.run(), b = slow.run_reference();
        expect_close(fast.s_TE, slow.s_TE, 1e-5, 1e-37, "s");
        EXPECT_EQ(fast.ids, slow.ids);
        EXPECT_NEAR(a.entropy, b.entropy, 1e-5);
        for (const float dz : fast.backward(random_floats(2, 1), 1.0, 1.0)) {
            EXPECT_TRUE(std::isfinite(dz));
        }
    }
}

TEST(RouterChoice, BiasChoosesAndDoesNotWeigh) {
    RouterShape shape{1, 4, 2};
    shape.scoring = Scoring::sigmoid;
    Routed r(shape);
    r.z = {1.0f, 0.0f, -1.0f, -2.0f};
    r.bias = {0.0f, 0.0f, 0.0f, 5.0f};
    r.run();
    EXPECT_EQ(r.ids, (std::vector<std::int32_t>{3, 0}));
    const double low = 1 / (1 + std::exp(2.0)), high = 1 / (1 + std::exp(-1.0));
    EXPECT_NEAR(r.w[0], low / (low + high), 1e-6);
}

TEST(RouterChoice, GroupsLimitTheExperts) {
    for (const GroupScore score : {GroupScore::max, GroupScore::top2}) {
        RouterShape shape{200, 24, 3};
        shape.groups = 6;
        shape.groups_kept = 2;
        shape.group_score = score;
        Routed r(shape);
        r.run();
        for (std::size_t t = 0; t < 200; ++t) {
            std::set<std::int32_t> groups;
            for (std::size_t k = 0; k < 3; ++k) {
                groups.insert(r.ids[t * 3 + k] / 4);
            }
            EXPECT_LE(groups.size(), 2u);
        }
    }
    // {9, 0} has the largest expert, {8, 7} the largest sum.
    RouterShape shape{1, 4, 1, true};
    shape.scoring = Scoring::softmax_after_top_k;
    shape.groups = 2;
    Routed r(shape);
    r.z = {9.0f, 0.0f, 8.0f, 7.0f};
    r.run();
    EXPECT_EQ(r.ids[0], 2);
    r.shape.group_score = GroupScore::max;
    r.run();
    EXPECT_EQ(r.ids[0], 0);
}

TEST(RouterChoice, DisabledExpertsAreNeverChosenEvenIfMoreGroupsMustStay) {
    for (const Choice choice : kChoices) {
        RouterShape shape{50, 8, 3};
        shape.choice = choice;
        shape.capacity_factor = choice == Choice::expert ? 1.0 : 0.0;
        shape.groups = 4;
        shape.groups_kept = 1;
        Routed r(shape);
        fill_inputs(r, 0);
        r.disabled = {0, 1, 1, 0, 0, 1, 1, 1};
        r.run();
        for (std::size_t slot = 0; slot < r.ids.size(); ++slot) {
            const std::int32_t id = r.ids[slot];
            EXPECT_TRUE(id == 0 || id == 3 || id == 4 || (id == -1 && r.kept[slot] == 0 && r.w[slot] == 0.0f));
            EXPECT_TRUE(id >= 0 || choice == Choice::expert || choice == Choice::hash);
        }
    }
}

/// Whichever experts are disabled, as long as K stay: groups of which none, one or all are left among them.
TEST_P(Router, AnyDisabledExpertsAreLeftOut) {
    const OneWorker one;
    std::mt19937 random(17);
    constexpr Sizes kSizes[] = {{12, 8, 3, 5, 4, 2}, {12, 12, 2, 0, 6, 1}, {12, 64, 8, 0, 8, 4}};
    for (const Sizes& sizes : kSizes) {
        for (const RouterShape& shape : all_shapes(GetParam(), sizes)) {
            std::vector<std::uint8_t> disabled(static_cast<std::size_t>(shape.E), 0);
            const auto most = static_cast<std::size_t>(shape.E - shape.K);
            std::fill_n(disabled.begin(), 1 + random() % most, std::uint8_t{1});
            std::shuffle(disabled.begin(), disabled.end(), random);
            SCOPED_TRACE(describe(shape) + " disabled " + testing::PrintToString(disabled));
            Routed fast(shape), slow(shape);
            for (Routed* routed : {&fast, &slow}) {
                fill_inputs(*routed, 3);  // with a selection bias
                routed->disabled = disabled;
            }
            expect_same(fast, slow);
            for (const std::int32_t id : fast.ids) {
                ASSERT_TRUE(id < 0 || disabled[static_cast<std::size_t>(id)] == 0) << id;
                ASSERT_TRUE(id >= 0 || shape.choice == Choice::expert || shape.choice == Choice::hash);
            }
        }
    }
}

TEST(RouterCapacity, FollowsTheFormula) {
    RouterShape shape{1000, 10, 1};
    EXPECT_EQ(expert_capacity(shape), 1000);
    const std::pair<double, std::int64_t> cases[] = {{1.0, 100},   {1.1, 110},    {1.001, 101}, {0.001, 1},
                                                     {50.0, 1000}, {1e300, 1000}, {1e-300, 1}};
    for (const auto& [factor, capacity] : cases) {
        shape.capacity_factor = factor;
        EXPECT_EQ(expert_capacity(shape), capacity) << factor;
    }
}

TEST(RouterCapacity, FullExpertsLoseTheLeastOrTheLatest) {
    for (const Drop drop : {Drop::probability, Drop::position}) {
        RouterShape shape{300, 8, 2};
        shape.capacity_factor = 0.8;
        shape.drop = drop;
        Routed r(shape), dropless({300, 8, 2});
        for (std::size_t i = 0; i < r.z.size(); i += 8) {
            r.z[i] = dropless.z[i] += 2.0f;  // expert 0 is liked
        }
        const RouterLosses losses = r.run();
        dropless.run();
        EXPECT_EQ(r.ids, dropless.ids);
        EXPECT_GT(losses.dropped, 0u);
        EXPECT_EQ(losses.dropped, static_cast<std::uint64_t>(std::count(r.kept.begin(), r.kept.end(), 0)));
        for (std::int32_t e = 0; e < 8; ++e) {
            EXPECT_LE(r.counts[static_cast<std::size_t>(e)], 60u);
            double least_kept = 1e9, most_dropped = -1e9;
            for (std::size_t slot = 0; slot < r.ids.size(); ++slot) {
                if (r.ids[slot] == e) {
                    const double worth = drop == Drop::position ? -static_cast<double>(slot) : dropless.w[slot];
                    (r.kept[slot] != 0 ? least_kept : most_dropped) =
                        r.kept[slot] != 0 ? std::min(least_kept, worth) : std::max(most_dropped, worth);
                    EXPECT_EQ(r.w[slot], r.kept[slot] != 0 ? dropless.w[slot] : 0.0f);
                }
            }
            EXPECT_GE(least_kept, most_dropped);
        }
    }
}

TEST(RouterCapacity, ExpertChoiceLoadsAreEqual) {
    RouterShape shape{300, 8, 2};
    shape.choice = Choice::expert;
    shape.capacity_factor = 1.0;
    Routed r(shape);
    r.run();
    EXPECT_EQ(r.counts, std::vector<std::uint32_t>(8, 75));
    for (std::size_t t = 0; t < 300; ++t) {
        for (std::size_t j = 1; j < 8; ++j) {
            EXPECT_GE(r.w[t * 8 + j - 1], r.w[t * 8 + j]) << "best first";
        }
    }
}

/// (largest load - mean) / mean.
double violation(const Routed& r) {
    const double mean = static_cast<double>(r.shape.T * r.shape.K) / static_cast<double>(r.shape.E);
    return *std::max_element(r.choices.begin(), r.choices.end()) / mean - 1.0;
}

TEST(RouterBalance, SinkhornAndQuantileSpreadTheLoad) {
    const OneWorker one;
    for (const std::int64_t K : {1, 2, 4}) {
        double plain = 0;
        for (const Choice choice : {Choice::token, Choice::sinkhorn, Choice::quantile}) {
            RouterShape shape{512, 16, K};
            shape.choice = choice;
            Routed r(shape);
            for (std::size_t i = 0; i < r.z.size(); ++i) {
                r.z[i] = 0.6f * r.z[i] + 0.15f * static_cast<float>(i % 16);  // later experts are liked
            }
            r.run();
            if (choice == Choice::token) {
                plain = violation(r);
                EXPECT_GT(plain, 1.0);
            } else {
                EXPECT_LT(violation(r), choice == Choice::quantile ? 0.1 : 0.4 * plain) << K;
            }
        }
    }
}

TEST(RouterBalance, OneTokenAloneIsChosenPlainly) {
    Routed plain({1, 9, 3});
    plain.run();
    for (const Choice choice : {Choice::sinkhorn, Choice::quantile}) {
        RouterShape shape{1, 9, 3};
        shape.choice = choice;
        Routed r(shape);
        r.run();
        EXPECT_EQ(r.ids, plain.ids);
        EXPECT_EQ(r.w, plain.w);
    }
}

TEST(RouterBalance, GlobalCountsTheEarlierMicroBatches) {
    RouterShape shape{40, 5, 2};
    shape.balance = Balance::global;
    Routed first(shape), second(shape), both({80, 5, 2});
    second.z = random_floats(40 * 5, 9, 2.0f);
    std::copy(first.z.begin(), first.z.end(), both.z.begin());
    std::copy(second.z.begin(), second.z.end(), both.z.begin() + 40 * 5);
    first.run();
    both.run();
    second.earlier.assign(first.choices.begin(), first.choices.end());
    second.earlier_tokens = 40;
    double expected = 0;
    for (std::size_t e = 0; e < 5; ++e) {
        double mean = 0;
        for (std::size_t t = 40; t < 80; ++t) {
            mean += both.s_TE[t * 5 + e] / 40.0;
        }
        expected += 5.0 * both.choices[e] / 160.0 * mean;
    }
    EXPECT_NEAR(second.run().balance, expected, 1e-5);
}

TEST(RouterBalance, SelectionBiasEvensTheLoads) {
    const OneWorker one;
    RouterShape shape{512, 8, 2};
    shape.scoring = Scoring::sigmoid;
    Routed r(shape);
    r.bias.assign(8, 0.0f);
    for (std::size_t i = 0; i < r.z.size(); ++i) {
        r.z[i] += 0.3f * static_cast<float>(i % 8);
    }
    r.run();
    const double before = violation(r);
    for (int step = 0; step < 400; ++step) {
        const std::vector<std::uint64_t> loads(r.choices.begin(), r.choices.end());
        update_selection_bias(r.bias.data(), loads.data(), nullptr, 8, 0.001);
        r.run();
    }
    EXPECT_GT(before, 0.3);
    EXPECT_LT(violation(r), 0.05);
}

TEST(RouterBalance, ADisabledExpertKeepsItsBias) {
    std::vector<float> bias = {0.5f, 0.5f, 0.5f, 0.5f};
    const std::vector<std::uint64_t> loads = {0, 30, 40, 50};
    const std::vector<std::uint8_t> disabled = {1, 0, 0, 0};
    update_selection_bias(bias.data(), loads.data(), disabled.data(), 4, 0.25);
    EXPECT_EQ(bias, (std::vector<float>{0.5f, 0.75f, 0.5f, 0.25f}));  // 40 is the mean of those that are enabled
}

TEST(RouterHash, DifferentExpertsSpreadOverAllAndFixed) {
    constexpr std::int64_t T = 6000, E = 12, K = 3;
    std::vector<std::int32_t> tokens(T), ids(T * K), other(T * K);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        tokens[t] = static_cast<std::int32_t>(t);
    }
    hash_choice(ids.data(), tokens.data(), T, E, K, 1);
    hash_choice(other.data(), tokens.data(), T, E, K, 2);
    EXPECT_NE(ids, other);
    std::vector<double> loads(E * K, 0.0);
    for (std::size_t t = 0; t < T; ++t) {
        const std::set<std::int32_t> different(&ids[t * K], &ids[t * K] + K);
        ASSERT_EQ(different.size(), static_cast<std::size_t>(K));
        for (std::size_t k = 0; k < K; ++k) {
            ASSERT_TRUE(ids[t * K + k] >= 0 && ids[t * K + k] < E);
            loads[static_cast<std::size_t>(ids[t * K + k]) * K + k] += 1;
        }
    }
    for (const double load : loads) {
        EXPECT_NEAR(load, static_cast<double>(T) / E, 5 * std::sqrt(static_cast<double>(T) / E)) << "each rank is even";
    }
}

}  // namespace
}  // namespace moescope::kernels::test
