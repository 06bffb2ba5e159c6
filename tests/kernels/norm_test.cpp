#include "harness.hpp"
#include "kernels/cpu/combine.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/head_norm.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rope.hpp"

namespace moescope::kernels::test {
namespace {

class Norm : public testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};

TEST_P(Norm, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    const auto [T, D] = GetParam();
    auto x = random_floats(T * D, 1), w = random_floats(D, 2);
    auto dy = random_floats(T * D, 3);
    std::vector<float> y(x.size()), expected(x.size()), rstd(static_cast<std::size_t>(T)), expected_rstd(rstd.size());
    rms_norm_forward(y.data(), rstd.data(), x.data(), w.data(), T, D, 1e-6);
    reference::rms_norm_forward(expected.data(), expected_rstd.data(), x.data(), w.data(), T, D, 1e-6);
    for (std::size_t i = 0; i < dy.size(); ++i) {
        dy[i] += expected[i];  // not at right angles to y, or the second term of the gradient could be wrong unseen
    }
    expect_close(y, expected, 1e-5, 1e-6, "y");
    expect_close(rstd, expected_rstd, 1e-5, 0, "rstd");
    std::vector<float> dx(x.size()), dw(w.size());
    rms_norm_backward(dx.data(), dw.data(), dy.data(), x.data(), rstd.data(), w.data(), T, D, Write::assign);
    auto added = dy;
    rms_norm_backward(added.data(), dw.data(), dy.data(), x.data(), rstd.data(), w.data(), T, D, Write::add);
    for (std::size_t i = 0; i < dx.size(); ++i) {
        EXPECT_NEAR(added[i], dy[i] + dx[i], 1e-5);
    }
    const auto loss = [&, T = T, D = D] {
        rms_norm_forward(y.data(), rstd.data(), x.data(), w.data(), T, D, 1e-6);
        return weighted_sum(y, dy);
    };
    expect_gradient(loss, x, dx, "dx", 3e-3, 2e-3f);
    expect_gradient(loss, w, dw, "dw");
}
INSTANTIATE_TEST_SUITE_P(Sizes, Norm,
                         testing::Values(std::pair<std::int64_t, std::int64_t>{1, 3},
                                         std::pair<std::int64_t, std::int64_t>{1, 192},
                                         std::pair<std::int64_t, std::int64_t>{67, 33}));

TEST(HeadNorm, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    for (const HeadShape shape :
         {HeadShape{1, 1, 1, 2, 2, 1e-6}, HeadShape{2, 5, 3, 8, 31, 1e-6}, HeadShape{1, 9, 2, 34, 68, 1e-6}}) {
        const std::int64_t T = shape.B * shape.S, out = T * shape.N * shape.C;
        auto x = random_floats(T * shape.R, 1), w = random_floats(shape.C, 2);
        auto dy = random_floats(out, 3);
        std::vector<float> cosines(static_cast<std::size_t>(shape.S * shape.C / 2)), sines(cosines.size());
        rope_tables(cosines.data(), sines.data(), shape.S, shape.C, 100.0);
        std::vector<float> y(static_cast<std::size_t>(out)), expected(y.size()),
            rstd(static_cast<std::size_t>(T * shape.N)), unused(rstd.size());
        head_norm_forward(y.data(), rstd.data(), x.data(), w.data(), cosines.data(), sines.data(), shape);
        reference::head_norm_forward(expected.data(), unused.data(), x.data(), w.data(), 100.0, shape);
        expect_close(y, expected, 1e-5, 1e-5, "y");
        for (std::size_t i = 0; i < dy.size(); ++i) {
            dy[i] += expected[i];
        }
        std::vector<float> dx(x.size(), 0.0f), dw(w.size()),
            partial(static_cast<std::size_t>(shape.B * shape.N * shape.C));
        head_norm_backward(dx.data(), dw.data(), partial.data(), dy.data(), x.data(), rstd.data(), w.data(),
                           cosines.data(), sines.data(), shape);
        const auto loss = [&] {
            head_norm_forward(y.data(), rstd.data(), x.data(), w.data(), cosines.data(), sines.data(), shape);
            return weighted_sum(y, dy);
        };
        expect_gradient(loss, x, dx, "dx", 3e-3, 2e-3f);
        expect_gradient(loss, w, dw, "dw");
    }
}

TEST(Embedding, GathersAndAddsRepeatedTokens) {
    const auto table = random_floats(5 * 3, 1), dx = random_floats(4 * 3, 2);
    const std::vector<std::int32_t> tokens = {4, 0, 4, 4};
    std::vector<float> x(12), dtable(15, 1.0f);
    embedding_forward(x.data(), table.data(), tokens.data(), 4, 3);
    embedding_backward(dtable.data(), dx.data(), tokens.data(), 4, 3);
    for (std::size_t d = 0; d < 3; ++d) {
        EXPECT_EQ(x[d], table[12 + d]);
        EXPECT_EQ(x[3 + d], table[d]);
        EXPECT_NEAR(dtable[12 + d], 1.0f + dx[d] + dx[6 + d] + dx[9 + d], 1e-5);
        EXPECT_EQ(dtable[3 + d], 1.0f);
    }
}

TEST(Dispatch, SortsByExpertAndKeepsTheOrderOfTokens) {
    constexpr std::int64_t T = 50, E = 7, K = 3, D = 5;
    std::mt19937 engine(3);
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> counts(E, 0);
    for (std::int64_t t = 0; t < T; ++t) {
        std::vector<std::int32_t> experts = {0, 1, 2, 3, 5, 6};  // expert 4 gets nothing
        std::shuffle(experts.begin(), experts.end(), engine);
        for (std::size_t k = 0; k < K; ++k) {
            ids.push_back(experts[k]);
            ++counts[static_cast<std::size_t>(experts[k])];
        }
    }
    std::vector<std::int32_t> offsets(E + 1), row_of(T * K), token_of(T * K, -1);
    dispatch_plan(offsets.data(), row_of.data(), token_of.data(), ids.data(), counts.data(), T, E, K);
    EXPECT_EQ(offsets[0], 0);
    EXPECT_EQ(offsets[E], T * K);
    EXPECT_EQ(offsets[4], offsets[5]);
    for (std::size_t slot = 0; slot < T * K; ++slot) {
        const std::int32_t row = row_of[slot];
        const auto expert = static_cast<std::size_t>(ids[slot]);
        EXPECT_TRUE(row >= offsets[expert] && row < offsets[expert + 1]);
        EXPECT_EQ(token_of[static_cast<std::size_t>(row)], static_cast<std::int32_t>(slot / K));
        EXPECT_TRUE(row == offsets[expert] ||
                    token_of[static_cast<std::size_t>(row)] > token_of[static_cast<std::size_t>(row - 1)]);
    }
    // gather_backward is the transpose of gather_forward: <gather(x), dy> = <x, gather_backward(dy)>.
    const auto x = random_floats(T * D, 1), dy = random_floats(T * K * D, 2);
    std::vector<float> y(T * K * D), dx(T * D);
    gather_forward(y.data(), x.data(), token_of.data(), T * K, D);
    gather_backward(dx.data(), dy.data(), row_of.data(), T, K, D);
    EXPECT_NEAR(weighted_sum(y, dy), weighted_sum(x, dx), 1e-3);
    // Combine with weights 1 and residual 0 is gather_backward of the rows.
    const std::vector<float> zero(T * D, 0.0f), ones(T * K, 1.0f);
    std::vector<float> combined(T * D);
    combine_forward(combined.data(), zero.data(), dy.data(), ones.data(), row_of.data(), T, K, D);
    expect_close(combined, dx, 1e-6, 1e-6, "combine");
}

TEST(Combine, GradientsMatchDifferences) {
    constexpr std::int64_t T = 9, K = 2, D = 19;
    std::vector<std::int32_t> row_of(T * K);
    for (std::size_t i = 0; i < row_of.size(); ++i) {
        row_of[i] = static_cast<std::int32_t>((i * 5 + 2) % row_of.size());
    }
    auto y = random_floats(T * K * D, 1), w = random_floats(T * K, 2);
    const auto residual = random_floats(T * D, 3), dout = random_floats(T * D, 4);
    std::vector<float> out(T * D), dy(y.size()), dw(w.size());
    combine_backward(dy.data(), dw.data(), dout.data(), y.data(), w.data(), row_of.data(), T, K, D);
    const auto loss = [&] {
        combine_forward(out.data(), residual.data(), y.data(), w.data(), row_of.data(), T, K, D);
        return weighted_sum(out, dout);
    };
    expect_gradient(loss, y, dy, "dy");
    expect_gradient(loss, w, dw, "dw");
}

}  // namespace
}  // namespace moescope::kernels::test
