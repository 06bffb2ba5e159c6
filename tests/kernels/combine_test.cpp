#include "kernels/cpu/combine.hpp"

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

constexpr std::int64_t T = 71, J = 3, D = 19;

/// Rows in a scattered order; every fifth slot, and all slots of token 4, have none.
std::vector<std::int32_t> scattered_rows(std::int64_t& R) {
    std::vector<std::int32_t> row_of(T * J, -1);
    std::vector<std::size_t> used;
    for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
        if (slot % 5 != 3 && slot / J != 4) {
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
    std::int64_t R = 0;
    const auto row_of = scattered_rows(R);
    const auto y = random_floats(R * D, 1), w = random_floats(T * J, 2), residual = random_floats(T * D, 3);
    std::vector<float> expected = residual, out(T * D), in_place = residual, alone(T * D, 9.0f);
    for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
        for (std::size_t d = 0; row_of[slot] >= 0 && d < D; ++d) {
            expected[slot / J * D + d] += w[slot] * y[static_cast<std::size_t>(row_of[slot]) * D + d];
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
    for (std::size_t d = 0; d < D; ++d) {
        EXPECT_EQ(out[4 * D + d], residual[4 * D + d]) << "a token without rows keeps its residual";
    }
}

TEST(Combine, GradientsMatchDifferences) {
    std::int64_t R = 0;
    const auto row_of = scattered_rows(R);
    auto y = random_floats(R * D, 1), w = random_floats(T * J, 2);
    const auto residual = random_floats(T * D, 3), dout = random_floats(T * D, 4);
    std::vector<float> out(T * D), dy(y.size()), dw(w.size(), 5.0f);
    combine_backward(dy.data(), dw.data(), dout.data(), y.data(), w.data(), row_of.data(), T, J, D);
    for (std::size_t slot = 0; slot < row_of.size(); ++slot) {
        EXPECT_TRUE(row_of[slot] >= 0 || dw[slot] == 0.0f);
    }
    const auto loss = [&] {
        combine_forward(out.data(), residual.data(), y.data(), w.data(), row_of.data(), T, J, D);
        return weighted_sum(out, dout);
    };
    expect_gradient(loss, y, dy, "dy");
    expect_gradient(loss, w, dw, "dw");
}

}  // namespace
}  // namespace moescope::kernels::test
