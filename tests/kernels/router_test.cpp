#include "kernels/cpu/router.hpp"

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

struct Routed {
    explicit Routed(const RouterShape& s)
        : shape(s),
          p(static_cast<std::size_t>(s.T * s.E)),
          lse(static_cast<std::size_t>(s.T)),
          w(static_cast<std::size_t>(s.T * s.K)),
          ids(w.size()),
          counts(static_cast<std::size_t>(s.E)),
          scratch(static_cast<std::size_t>(router_scratch(s))) {}
    RouterLosses run(std::span<const float> z) {
        return router_forward(p.data(), lse.data(), ids.data(), w.data(), counts.data(), z.data(), scratch.data(),
                              shape);
    }
    RouterLosses run_reference(std::span<const float> z) {
        return reference::router_forward(p.data(), lse.data(), ids.data(), w.data(), counts.data(), z.data(), shape);
    }

    RouterShape shape;
    std::vector<float> p, lse, w;
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> counts;
    std::vector<double> scratch;
};

constexpr RouterShape kShapes[] = {{1, 1, 1, true},    {1, 5, 2, true}, {67, 16, 2, true},
                                   {130, 7, 3, false}, {9, 4, 4, true}, {9, 33, 1, true}};

TEST(Router, MatchesReference) {
    for (const RouterShape& shape : kShapes) {
        const auto z = random_floats(shape.T * shape.E, 1, 2.0f);
        Routed fast(shape), slow(shape);
        const RouterLosses a = fast.run(z), b = slow.run_reference(z);
        expect_close(fast.p, slow.p, 1e-5, 1e-7, "p");
        expect_close(fast.w, slow.w, 1e-5, 1e-7, "w");
        expect_close(fast.lse, slow.lse, 1e-5, 1e-6, "lse");
        EXPECT_EQ(fast.ids, slow.ids);
        EXPECT_EQ(fast.counts, slow.counts);
        EXPECT_NEAR(a.balance, b.balance, 1e-5);
        EXPECT_NEAR(a.z, b.z, 1e-4);
        EXPECT_NEAR(a.entropy, b.entropy, 1e-5);
    }
}

TEST(Router, TieGoesToTheLowerExpert) {
    const std::vector<float> z(6, 0.5f);
    Routed routed({1, 6, 3, true});
    const RouterLosses losses = routed.run(z);
    EXPECT_EQ(routed.ids, (std::vector<std::int32_t>{0, 1, 2}));
    EXPECT_NEAR(routed.w[0], 1.0 / 3, 1e-6);
    EXPECT_NEAR(losses.balance, 1.0, 1e-6);
    EXPECT_NEAR(losses.entropy, std::log(6.0), 1e-6);
}

TEST(Router, NaNStillGivesValidIds) {
    std::vector<float> z(2 * 5, std::nanf(""));
    Routed routed({2, 5, 3, true});
    routed.run(z);
    EXPECT_EQ(routed.ids, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
    EXPECT_TRUE(std::isnan(routed.w[0]));
}

TEST(Router, AllTokensOnOneExpertIsTheWorstBalance) {
    std::vector<float> z(20 * 4, 0.0f);
    for (std::size_t t = 0; t < 20; ++t) {
        z[t * 4 + 2] = 50.0f;
    }
    Routed routed({20, 4, 1, true});
    EXPECT_NEAR(routed.run(z).balance, 4.0, 1e-5);
    EXPECT_EQ(routed.counts, (std::vector<std::uint32_t>{0, 0, 20, 0}));
}

TEST(Router, GradientsMatchDifferences) {
    for (const RouterShape& shape : kShapes) {
        auto z = random_floats(shape.T * shape.E, 5, 2.0f);
        const auto dw = random_floats(shape.T * shape.K, 6);
        Routed routed(shape);
        routed.run(z);
        const auto ids = routed.ids;
        constexpr double kBalance = 3.0, kZ = 0.7;
        std::vector<float> dz(z.size());
        router_backward(dz.data(), dw.data(), routed.p.data(), routed.lse.data(), routed.ids.data(), routed.w.data(),
                        routed.counts.data(), kBalance, kZ, shape);
        const auto loss = [&] {
            const RouterLosses losses = routed.run(z);
            EXPECT_EQ(routed.ids, ids) << "the step of the difference is too large for this seed";
            return weighted_sum(routed.w, dw) + kBalance * losses.balance + kZ * losses.z;
        };
        expect_gradient(loss, z, dz, "dz", 3e-3, 1e-3f);
    }
}

}  // namespace
}  // namespace moescope::kernels::test
