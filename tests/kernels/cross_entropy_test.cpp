#include "kernels/cpu/cross_entropy.hpp"

#include <array>
#include <limits>

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

class CrossEntropy : public testing::TestWithParam<std::array<std::int64_t, 3>> {};

TEST_P(CrossEntropy, MatchesReferenceAndGradientsMatchDifferences) {
    const auto [T, D, V] = GetParam();
    auto x = random_floats(T * D, 1), w = random_floats(V * D, 2, 0.5f);
    std::vector<std::int32_t> targets(static_cast<std::size_t>(T));
    for (std::size_t t = 0; t < targets.size(); ++t) {
        targets[t] = static_cast<std::int32_t>((t * 31 + 7) % static_cast<std::size_t>(V));
    }
    std::vector<float> losses(targets.size()), dx(x.size()), dw(w.size());
    std::vector<float> logits(static_cast<std::size_t>(cross_entropy_rows(T) * V));
    const double expected = reference::cross_entropy(x.data(), w.data(), targets.data(), T, D, V);
    const auto forward = [&, T = T, D = D, V = V] {
        return cross_entropy_forward(losses.data(), x.data(), w.data(), targets.data(), logits.data(), T, D, V);
    };
    EXPECT_NEAR(forward(), expected, 1e-5 * expected + 1e-6);
    const double both = cross_entropy_forward_backward(losses.data(), dx.data(), dw.data(), x.data(), w.data(),
                                                       targets.data(), logits.data(), T, D, V);
    EXPECT_EQ(both, forward());
    // The mean over many tokens makes single elements small: compare the sum instead.
    for (float& g : dx) {
        g *= static_cast<float>(T);
    }
    for (float& g : dw) {
        g *= static_cast<float>(T);
    }
    const auto sum = [&, T = T] { return forward() * static_cast<double>(T); };
    expect_gradient(sum, x, dx, "dx");
    expect_gradient(sum, w, dw, "dw");
}
INSTANTIATE_TEST_SUITE_P(Sizes, CrossEntropy,
                         testing::Values(std::array<std::int64_t, 3>{1, 3, 5}, std::array<std::int64_t, 3>{7, 19, 33},
                                         std::array<std::int64_t, 3>{300, 5, 11},
                                         std::array<std::int64_t, 3>{17, 8, 1030},
                                         std::array<std::int64_t, 3>{1101, 3, 7}));  // more than two chunks

TEST(CrossEntropyLimits, HugeLogitsStayFiniteAndNaNIsSeen) {
    std::vector<float> x = {1000.0f}, w = {1.0f, -1.0f}, losses(1), logits(2), dx(1), dw(2);
    const std::int32_t right = 0, wrong = 1;
    EXPECT_NEAR(cross_entropy_forward(losses.data(), x.data(), w.data(), &right, logits.data(), 1, 1, 2), 0.0, 1e-6);
    EXPECT_NEAR(cross_entropy_forward(losses.data(), x.data(), w.data(), &wrong, logits.data(), 1, 1, 2), 2000.0, 1e-2);
    w[1] = std::nanf("");
    EXPECT_TRUE(std::isnan(cross_entropy_forward(losses.data(), x.data(), w.data(), &right, logits.data(), 1, 1, 2)));
    w[1] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(
        std::isfinite(cross_entropy_forward(losses.data(), x.data(), w.data(), &right, logits.data(), 1, 1, 2)));
}

}  // namespace
}  // namespace moescope::kernels::test
