#include "kernels/cpu/dispatch.hpp"

#include "harness.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

/// Random choices: every token names J different experts of E but never the last one, and one slot in `drop_every` is
/// not kept (0: all are); slots not kept have id -1 or a real one in turn.
struct Choices {
    Choices(std::int64_t tokens, std::int64_t experts, std::int64_t per_token, int drop_every)
        : T(tokens), E(experts), J(per_token), counts(static_cast<std::size_t>(E), 0) {
        std::mt19937 engine(3);
        std::vector<std::int32_t> some(static_cast<std::size_t>(E > 1 ? E - 1 : 1));
        for (std::size_t e = 0; e < some.size(); ++e) {
            some[e] = static_cast<std::int32_t>(e);
        }
        for (std::int64_t t = 0; t < T; ++t) {
            std::shuffle(some.begin(), some.end(), engine);
            for (std::size_t j = 0; j < static_cast<std::size_t>(J); ++j) {
                const bool keep = drop_every == 0 || engine() % static_cast<unsigned>(drop_every) != 0;
                kept.push_back(keep ? 1 : 0);
                ids.push_back(keep || ids.size() % 2 == 0 ? some[j] : -1);
                counts[static_cast<std::size_t>(some[j])] += keep ? 1u : 0u;
            }
        }
        offsets.resize(static_cast<std::size_t>(E + 1));
        row_of.resize(ids.size());
        token_of.resize(ids.size());
        R = dispatch_plan(offsets.data(), row_of.data(), token_of.data(), ids.data(), kept.data(), counts.data(), T, E,
                          J);
    }

    std::int64_t T, E, J, R = 0;
    std::vector<std::int32_t> ids, offsets, row_of, token_of;
    std::vector<std::uint8_t> kept;
    std::vector<std::uint32_t> counts;
};

// One token; experts without tokens (the last); all tokens on one of two experts; drops, all dropped; many experts.
const Choices kCases[] = {{1, 1, 1, 0},  {1, 5, 3, 0},   {131, 2, 1, 0}, {50, 7, 3, 0},
                          {50, 7, 3, 3}, {130, 4, 2, 2}, {9, 3, 2, 1},   {65, 257, 8, 5}};

TEST(Dispatch, SortsKeptSlotsByExpertAndKeepsTheOrderOfTokens) {
    for (const Choices& c : kCases) {
        EXPECT_EQ(c.offsets.front(), 0);
        EXPECT_EQ(c.offsets.back(), c.R);
        EXPECT_EQ(c.R, std::count(c.kept.begin(), c.kept.end(), 1));
        std::vector<int> seen(static_cast<std::size_t>(c.R), 0);
        for (std::size_t slot = 0; slot < c.ids.size(); ++slot) {
            const std::int32_t row = c.row_of[slot];
            if (c.kept[slot] == 0) {
                EXPECT_EQ(row, -1);
                continue;
            }
            const auto expert = static_cast<std::size_t>(c.ids[slot]);
            ASSERT_TRUE(row >= c.offsets[expert] && row < c.offsets[expert + 1]);
            const auto place = static_cast<std::size_t>(row);
            ++seen[place];
            EXPECT_EQ(c.token_of[place], static_cast<std::int32_t>(slot) / static_cast<std::int32_t>(c.J));
            EXPECT_TRUE(row == c.offsets[expert] || c.token_of[place] > c.token_of[place - 1]);
        }
        EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), c.R) << "each row has one slot";
    }
}

// <gather(x), dy> = <x, gather_backward(dy)>, and `add` adds the same to what was there.
TEST(Dispatch, GatherBackwardIsTheTransposeOfGather) {
    constexpr std::int64_t D = 5;
    for (const Choices& c : kCases) {
        const auto x = random_floats(c.T * D, 1), dy = random_floats(c.R * D, 2), before = random_floats(c.T * D, 3);
        std::vector<float> y(dy.size()), dx(x.size(), 7.0f), added = before;
        gather_forward(y.data(), x.data(), c.token_of.data(), c.R, D);
        gather_backward(dx.data(), dy.data(), c.row_of.data(), c.T, c.J, D, false);
        EXPECT_NEAR(weighted_sum(y, dy), weighted_sum(x, dx), 1e-3);
        gather_backward(added.data(), dy.data(), c.row_of.data(), c.T, c.J, D, true);
        for (std::size_t i = 0; i < dx.size(); ++i) {
            ASSERT_NEAR(added[i], before[i] + dx[i], 1e-5);
        }
    }
}

}  // namespace
}  // namespace moescope::kernels::test
