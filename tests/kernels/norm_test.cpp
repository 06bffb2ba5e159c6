#include "harness.hpp"
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

}  // namespace
}  // namespace moescope::kernels::test
