#include "kernels/cpu/adamw.hpp"

#include <limits>

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

TEST(AdamW, FollowsTheReferenceForManySteps) {
    for (const std::int64_t n : {1, 17, 70001}) {  // the last: more than two blocks, and a tail
        auto p = random_floats(n, 1), expected = p;
        std::vector<float> m(p.size(), 0.0f), v = m, m1 = m, v1 = m;
        AdamWStep step{0.01, 0.9, 0.95, 1e-8, 0.1, 0.5, 1};
        for (; step.update <= 5; ++step.update) {
            const auto gradient = random_floats(n, step.update + 10);
            adamw(p.data(), m.data(), v.data(), gradient.data(), n, step);
            reference::adamw(expected.data(), m1.data(), v1.data(), gradient.data(), n, step);
        }
        expect_close(p, expected, 1e-5, 1e-6, "p");
        expect_close(m, m1, 1e-5, 1e-7, "m");
        expect_close(v, v1, 1e-5, 1e-7, "v");
    }
}

TEST(AdamW, FirstUpdateHasTheSizeOfTheLearningRate) {
    std::vector<float> p = {1.0f, 1.0f}, m(2, 0.0f), v(2, 0.0f);
    const std::vector<float> gradient = {1e-3f, -20.0f};
    adamw(p.data(), m.data(), v.data(), gradient.data(), 2, {0.25, 0.9, 0.95, 1e-12, 0.0, 1.0, 1});
    EXPECT_NEAR(p[0], 0.75, 1e-5);
    EXPECT_NEAR(p[1], 1.25, 1e-5);
}

TEST(SumOfSquares, IsExactEnoughAndShowsNaNAndInf) {
    const std::int64_t n = 100003;
    auto x = random_floats(n, 1);
    std::vector<double> scratch(static_cast<std::size_t>(sum_of_squares_scratch(n)));
    double expected = 0;
    for (const float value : x) {
        expected += static_cast<double>(value) * value;
    }
    EXPECT_NEAR(sum_of_squares(x.data(), n, scratch.data()) / expected, 1.0, 1e-12);
    x[77777] = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(std::isinf(sum_of_squares(x.data(), n, scratch.data())));
    x[5] = std::nanf("");
    EXPECT_TRUE(std::isnan(sum_of_squares(x.data(), n, scratch.data())));
}

}  // namespace
}  // namespace moescope::kernels::test
