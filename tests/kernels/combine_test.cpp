#include "kernels/cpu/combine.hpp"

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

struct Sizes {
    std::int64_t T, J, D;
};
// More tokens than one task takes; one token; one slot for each of them.
constexpr Sizes kSizes[] = {{71, 3, 19}, {1, 1, 1}, {1, 4, 33}, {130, 1, 5}};

/// Rows in a scattered order; every fifth slot, and all slots of token 4, have none.
std::vector<std::int32_t> scattered_rows(const Sizes& sizes, std::int64_t& R) {
    std::vector<std::int32_t> row_of(static_cast<std::size_t>(sizes.T * sizes.J), -1);
    std::vector<std::size_t> used;
    for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
        if (slot % 5 != 3 && slot / static_cast<std::size_t>(sizes.J) != 4) {
            used.push_back(slot);
        }
    }
    std::shuffle(used.begin(), used.end(), std::mt19937(5));
    for (std::size_t row = 0; row < used.size(); ++row) {
        row_of[used[row]] = static_cast<std::int32_t>(row);
    }
    R = static_cast<std::int64_t>(used.size());
    return row_of;
}

TEST(Combine, AddsWeightedRowsInRankOrderOverTheResidual) {
    for (const Sizes& sizes : kSizes) {
        const auto [T, J, D] = sizes;
        std::int64_t R = 0;
        const auto row_of = scattered_rows(sizes, R);
        const auto y = random_floats(R * D, 1), w = random_floats(T * J, 2), residual = random_floats(T * D, 3);
        std::vector<float> expected = residual, out(residual.size()), in_place = residual, alone(out.size(), 9.0f);
        const auto width = static_cast<std::size_t>(D), slots = static_cast<std::size_t>(J);
        for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
            for (std::size_t d = 0; row_of[slot] >= 0 && d < width; ++d) {
                expected[slot / slots * width + d] += w[slot] * y[static_cast<std::size_t>(row_of[slot]) * width + d];
            }
        }
        combine_forward(out.data(), residual.data(), y.data(), w.data(), row_of.data(), T, J, D);
        combine_forward(in_place.data(), in_place.data(), y.data(), w.data(), row_of.data(), T, J, D);
        combine_forward(alone.data(), nullptr, y.data(), w.data(), row_of.data(), T, J, D);
        expect_close(out, expected, 1e-6, 1e-6, "out");
        EXPECT_EQ(in_place, out);
        for (std::size_t i = 0; i < alone.size(); ++i) {
            ASSERT_NEAR(alone[i] + residual[i], out[i], 1e-5);
        }
        for (std::size_t d = 0; T > 4 && d < width; ++d) {
            EXPECT_EQ(out[4 * width + d], residual[4 * width + d]) << "a token without rows keeps its residual";
        }
    }
}

TEST(Combine, GradientsMatchDifferences) {
    for (const Sizes& sizes : kSizes) {
        const auto [T, J, D] = sizes;
        std::int64_t R = 0;
        const auto row_of = scattered_rows(sizes, R);
        auto y = random_floats(R * D, 1), w = random_floats(T * J, 2);
        const auto residual = random_floats(T * D, 3), dout = random_floats(T * D, 4);
        std::vector<float> out(residual.size()), dy(y.size()), dw(w.size(), 5.0f);
        combine_backward(dy.data(), dw.data(), dout.data(), y.data(), w.data(), row_of.data(), T, J, D);
        for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
            EXPECT_TRUE(row_of[slot] >= 0 || dw[slot] == 0.0f);
        }
        const auto loss = [&, T = T, J = J, D = D] {
            combine_forward(out.data(), residual.data(), y.data(), w.data(), row_of.data(), T, J, D);
            return weighted_sum(out, dout);
        };
        expect_gradient(loss, y, dy, "dy");
        expect_gradient(loss, w, dw, "dw");
    }
}

}  // namespace
}  // namespace moescope::kernels::test
