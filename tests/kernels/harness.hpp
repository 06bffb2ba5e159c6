// What every kernel test needs: random inputs, one comparison, one gradient check.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace moescope::kernels::test {

inline std::vector<float> random_floats(std::int64_t count, std::uint64_t seed, float scale = 1.0f) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> values(static_cast<std::size_t>(count));
    std::generate(values.begin(), values.end(), [&] { return normal(engine); });
    return values;
}

/// The same places are NaN, and everywhere |a - b| <= absolute + relative |b|. Names the worst place.
inline void expect_close(std::span<const float> actual, std::span<const float> expected, double relative,
                         double absolute, const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    std::size_t worst = 0;
    double most = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        ASSERT_EQ(std::isnan(actual[i]), std::isnan(expected[i])) << what << " at " << i;
        if (std::isnan(actual[i]) || actual[i] == expected[i]) {
            continue;
        }
        const double excess =
            std::abs(static_cast<double>(actual[i]) - expected[i]) / (absolute + relative * std::abs(expected[i]));
        if (!(excess <= most)) {
            most = excess;
            worst = i;
        }
    }
    EXPECT_LE(most, 1.0) << what << ": worst at " << worst << ", " << (actual.empty() ? 0 : actual[worst])
                         << " instead of " << (expected.empty() ? 0 : expected[worst]);
}

/// sum of weights x outputs, in double: the scalar whose gradient with respect to the outputs is `weights`.
inline double weighted_sum(std::span<const float> outputs, std::span<const float> weights) {
    double sum = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        sum += static_cast<double>(outputs[i]) * weights[i];
    }
    return sum;
}

/// Central differences of `loss` in single elements of `x` (all of them up to 48, else 48 spread ones) against
/// `gradient`. The tolerance is relative to the largest gradient element, because single precision noise is common to
/// all elements.
inline void expect_gradient(const std::function<double()>& loss, std::span<float> x, std::span<const float> gradient,
                            const std::string& what, double tolerance = 3e-3, float step = 1e-2f) {
    ASSERT_EQ(x.size(), gradient.size()) << what;
    double largest = 1e-6;
    for (const float g : gradient) {
        ASSERT_TRUE(std::isfinite(g)) << what;
        largest = std::max(largest, std::abs(static_cast<double>(g)));
    }
    const std::size_t stride = std::max<std::size_t>(1, x.size() / 48);
    for (std::size_t i = 0; i < x.size(); i += stride) {
        const float before = x[i];
        x[i] = before + step;
        const double above = loss(), high = x[i];
        x[i] = before - step;
        const double below = loss(), low = x[i];
        x[i] = before;
        const double numeric = (above - below) / (high - low);
        EXPECT_NEAR(gradient[i], numeric, tolerance * largest) << what << " at " << i << " of " << x.size();
    }
}

}  // namespace moescope::kernels::test
