#include "kernels/cpu/linear.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/half_floats.hpp"
#include "harness.hpp"
#include "kernels/cpu/bfloat16.hpp"
#include "kernels/cpu/few_rows.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

TEST(Gemm, MatchesReferenceInEveryTransposition) {
    for (const auto [m, n, k] :
         {std::array{1, 1, 1}, std::array{5, 7, 3}, std::array{33, 17, 65}, std::array{3, 4, 0}}) {
        for (const Transpose op_a : {Transpose::no, Transpose::yes}) {
            for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
                for (const float beta : {0.0f, 1.0f}) {
                    const auto a = random_floats(m * k + 1, 1), b = random_floats(k * n + 1, 2);
                    auto c = random_floats(m * n, 3), expected = c;
                    const int lda = op_a == Transpose::no ? std::max(k, 1) : m,
                              ldb = op_b == Transpose::no ? n : std::max(k, 1);
                    gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, beta, c.data(), n);
                    reference::gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, beta, expected.data(), n);
                    expect_close(c, expected, 1e-5, 1e-5, "gemm");
                }
            }
        }
    }
}

TEST(Bfloat16, RoundsToNearestAndTiesToEven) {
    std::vector<float> values;
    for (std::uint32_t upper = 0; upper < 0x10000; upper += 7) {
        for (const std::uint32_t lower : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
            values.push_back(std::bit_cast<float>(upper << 16 | lower));
        }
    }
    std::vector<std::uint16_t> rounded(values.size());
    to_bfloat16(rounded.data(), values.data(), static_cast<std::int64_t>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const float got = base::bf16_to_float(rounded[i]);
        if (std::isnan(values[i])) {
            ASSERT_TRUE(std::isnan(got)) << i;
            continue;
        }
        if (std::fabs(values[i]) < std::numeric_limits<float>::min()) {
            ASSERT_LE(std::fabs(got), 2 * std::numeric_limits<float>::min()) << i;  // denormals may become 0
            continue;
        }
        ASSERT_EQ(rounded[i], base::float_to_bf16(values[i])) << values[i];
        if (std::isfinite(got)) {  // 8 bits of mantissa: half a step is 2^-9 of the value
            ASSERT_LE(std::fabs(got - values[i]), std::ldexp(std::fabs(values[i]), -8)) << values[i];
        }
    }
    EXPECT_EQ(base::float_to_bf16(1.00390625f), 0x3f80);  // 1 + 2^-8, a tie: even is below
    EXPECT_EQ(base::float_to_bf16(1.01171875f), 0x3f82);  // 1 + 3 * 2^-8, a tie: even is above
}

// The product of rounded operands: equal to the reference on rounded copies up to the sums' rounding, in every thread.
TEST(Gemm, RoundsItsOperandsWhereTheCallerAsksForIt) {
    for (const auto [m, n, k] : {std::array{16, 16, 1}, std::array{33, 47, 65}, std::array{130, 64, 300}}) {
        for (const Transpose op_a : {Transpose::no, Transpose::yes}) {
            for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
                auto a = random_floats(m * k, 1), b = random_floats(k * n, 2);
                auto c = random_floats(m * n, 3), expected = c;
                const int lda = op_a == Transpose::no ? k : m, ldb = op_b == Transpose::no ? n : k;
                {
                    const OperandsScope scope(Operands::bf16);
                    parallel_for(2, [&](std::int64_t index, int) {
                        if (index == 1) {
                            gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, 1.0f, c.data(), n);
                        }
                    });
                }
                for (auto* matrix : {&a, &b}) {
                    for (float& x : *matrix) {
                        x = base::bf16_to_float(base::float_to_bf16(x));
                    }
                }
                reference::gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, 1.0f, expected.data(), n);
                expect_close(c, expected, 1e-5, 1e-5, "gemm");
                EXPECT_EQ(operands(), Operands::f32);
            }
        }
    }
}

// Products whose rounded copies do not fit the room are cut along the sum, the columns and the rows. Nothing is written
// behind the worker's room, and in the worker's own room nothing is taken from the heap.
TEST(Gemm, RoundedOperandsThatDoNotFitAreCut) {
    using enum Transpose;
    struct Case {
        std::int64_t m, n, k;
        Transpose op_a, op_b;
    };
    for (const auto& [m, n, k, op_a, op_b] : {Case{40, 50, 12001, no, yes}, Case{40, 50, 12001, yes, no},
                                              Case{700, 16, 1500, no, no}, Case{530, 520, 1030, yes, yes}}) {
        auto a = random_floats(m * k, 1), b = random_floats(k * n, 2);
        auto c = random_floats(m * n, 3), expected = c;
        const std::int64_t lda = op_a == no ? k : m, ldb = op_b == no ? n : k;
        std::vector<std::uint16_t> room(static_cast<std::size_t>(kOperandRoom + 32), 0xabcd);
        {
            const OperandsScope scope(Operands::bf16, room.data());
            gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, 1.0f, c.data(), n);
        }
        EXPECT_NE(room.front(), 0xabcd);
        EXPECT_EQ(std::count(room.end() - 32, room.end(), 0xabcd), 32);
        for (auto* matrix : {&a, &b}) {
            for (float& x : *matrix) {
                x = base::bf16_to_float(base::float_to_bf16(x));
            }
        }
        reference::gemm(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, 1.0f, expected.data(), n);
        expect_close(c, expected, 1e-5, 1e-6 * static_cast<double>(k), "gemm");
    }
}

TEST(Gemm, BetaZeroNeverReadsTheOldValues) {
    std::vector<float> c(4, std::nanf("")), a(4, 1.0f);
    gemm(Transpose::no, Transpose::no, 2, 2, 2, a.data(), 2, a.data(), 2, 0.0f, c.data(), 2);
    expect_close(c, std::vector<float>(4, 2.0f), 0, 0, "c");
}

// Sizes around every tile and pass. Rows are longer than used and there are more of them than used; nobody may touch
// the rest. With beta 0 the old values, NaN here, are never read.
TEST(FewRows, MatchesReference) {
    for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 9, 17, 32, 33, 40, 41}) {
        for (const std::int64_t n : {1, 7, 8, 17, 131}) {
            for (const std::int64_t k : {0, 1, 65, 300}) {
                for (const Transpose op : {Transpose::no, Transpose::yes}) {
                    for (const float beta : {0.0f, 1.0f}) {
                        const std::int64_t lda = k + 2, ldb = (op == Transpose::no ? n : k) + 3, ldc = n + 1;
                        const auto a = random_floats(m * lda, 1), b = random_floats(std::max(k, n) * ldb, 2);
                        auto c = random_floats((m + 16) * ldc, 3);
                        for (std::size_t i = 0; beta == 0.0f && i < c.size(); ++i) {
                            c[i] = static_cast<std::int64_t>(i) % ldc < n ? std::nanf("") : 5.0f;
                        }
                        auto expected = c;
                        few_rows_gemm(op, m, n, k, a.data(), lda, b.data(), ldb, beta, c.data(), ldc);
                        reference::gemm(Transpose::no, op, m, n, k, a.data(), lda, b.data(), ldb, beta, expected.data(),
                                        ldc);
                        expect_close(c, expected, 1e-5, 1e-5 * std::sqrt(static_cast<double>(k + 1)),
                                     "m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k));
                    }
                }
            }
        }
    }
}

class Linear : public testing::TestWithParam<std::array<std::int64_t, 3>> {};

TEST_P(Linear, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    const auto [T, I, O] = GetParam();
    auto x = random_floats(T * I, 1), w = random_floats(O * I, 2, 0.3f);
    const auto dy = random_floats(T * O, 3);
    std::vector<float> y(static_cast<std::size_t>(T * O)), expected = y;
    linear_forward(y.data(), x.data(), w.data(), T, I, O, Write::assign);
    reference::linear_forward(expected.data(), x.data(), w.data(), T, I, O, Write::assign);
    expect_close(y, expected, 1e-5, 1e-5, "y");
    linear_forward(y.data(), x.data(), w.data(), T, I, O, Write::add);
    reference::linear_forward(expected.data(), x.data(), w.data(), T, I, O, Write::add);
    expect_close(y, expected, 1e-5, 1e-5, "y added");
    std::vector<float> dx(x.size()), dw(w.size());
    linear_backward_input(dx.data(), dy.data(), w.data(), T, I, O, Write::assign);
    linear_backward_weight(dw.data(), dy.data(), x.data(), T, I, O, Write::assign);
    const auto loss = [&, T = T, I = I, O = O] {
        linear_forward(y.data(), x.data(), w.data(), T, I, O, Write::assign);
        return weighted_sum(y, dy);
    };
    expect_gradient(loss, x, dx, "dx");
    expect_gradient(loss, w, dw, "dw");
    auto twice = dw;
    linear_backward_weight(twice.data(), dy.data(), x.data(), T, I, O, Write::add);
    for (float& value : dw) {
        value *= 2;
    }
    expect_close(twice, dw, 1e-5, 1e-5, "dw added");
}
INSTANTIATE_TEST_SUITE_P(Sizes, Linear,
                         testing::Values(std::array<std::int64_t, 3>{1, 1, 1}, std::array<std::int64_t, 3>{1, 33, 17},
                                         std::array<std::int64_t, 3>{5, 7, 3},
                                         std::array<std::int64_t, 3>{131, 19, 67}));

TEST_P(Linear, BiasIsAddedAndItsGradientSumsTheTokens) {
    const auto [T, I, O] = GetParam();
    auto x = random_floats(T * I, 1), w = random_floats(O * I, 2, 0.3f), b = random_floats(O, 4);
    const auto dy = random_floats(T * O, 3), before = random_floats(T * O, 5);
    std::vector<float> y(before.size()), expected = before, db(b.size());
    reference::linear_forward(expected.data(), x.data(), w.data(), T, I, O, Write::add);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] += b[i % b.size()];
    }
    y = before;
    linear_forward(y.data(), x.data(), w.data(), b.data(), T, I, O, Write::add);
    expect_close(y, expected, 1e-5, 1e-5, "y added");
    const auto loss = [&, T = T, I = I, O = O] {
        linear_forward(y.data(), x.data(), w.data(), b.data(), T, I, O, Write::assign);
        return weighted_sum(y, dy);
    };
    linear_backward_bias(db.data(), dy.data(), T, O, Write::assign);
    expect_gradient(loss, b, db, "db");
    auto twice = db;
    linear_backward_bias(twice.data(), dy.data(), T, O, Write::add);
    for (std::size_t i = 0; i < db.size(); ++i) {
        EXPECT_EQ(twice[i], 2 * db[i]);
    }
    std::vector<float> plain(y.size());
    linear_forward(y.data(), x.data(), w.data(), nullptr, T, I, O, Write::assign);
    linear_forward(plain.data(), x.data(), w.data(), T, I, O, Write::assign);
    EXPECT_EQ(y, plain);
    linear_backward_bias(nullptr, dy.data(), T, O, Write::assign);
}

TEST(Linear, SameBitsWithAnyNumberOfThreads) {
    for (const auto& [T, I, O] :
         {std::array<std::int64_t, 3>{3, 40, 1100}, std::array<std::int64_t, 3>{100, 300, 200},
          std::array<std::int64_t, 3>{300, 130, 50}, std::array<std::int64_t, 3>{1000, 70, 8}}) {
        const auto x = random_floats(T * I, 1), w = random_floats(O * I, 2), b = random_floats(O, 3);
        const auto dy = random_floats(T * O, 4);
        std::vector<std::vector<float>> results;
        for (const int threads : {1, 2, 3}) {
            set_workers(threads);
            std::vector<float> y(dy.size()), dx(x.size()), dw(w.size()), db(b.size());
            linear_forward(y.data(), x.data(), w.data(), b.data(), T, I, O, Write::assign);
            linear_backward_input(dx.data(), dy.data(), w.data(), T, I, O, Write::assign);
            linear_backward_weight(dw.data(), dy.data(), x.data(), T, I, O, Write::assign);
            linear_backward_bias(db.data(), dy.data(), T, O, Write::assign);
            results.insert(results.end(), {y, dx, dw, db});
        }
        for (std::size_t i = 4; i < results.size(); ++i) {
            EXPECT_EQ(results[i], results[i % 4]) << T << " " << I << " " << O << " result " << i;
        }
    }
    set_workers(hardware_workers());
}

TEST(Linear, ColumnSumsStayAccurateOverManyRows) {
    const std::vector<float> x(100'000, 0.1f);
    float sum = 0;
    column_sums(&sum, x.data(), 100'000, 1, 1, Write::assign);
    EXPECT_NEAR(sum, 10'000.0, 0.1);  // one running sum is off by 1.4
}

TEST(Lanes, ExponentialIsAccurateAndKeepsNaN) {
    for (double x = -87.0; x < 88.0; x += 0.0137) {
        const float in = static_cast<float>(x);
        EXPECT_NEAR(lanes::exponential(in) / std::exp(static_cast<double>(in)), 1.0, 4e-7) << x;
    }
    EXPECT_TRUE(std::isnan(lanes::exponential(std::nanf(""))));
    EXPECT_LT(lanes::exponential(-1000.0f), 1e-37f);
    EXPECT_EQ(lanes::exponential(0.0f), 1.0f);
}

TEST(Parallel, EveryIndexOnceWithAnyNumberOfThreads) {
    for (const int threads : {1, 2, 5}) {
        set_workers(threads);
        std::vector<int> seen(1000, 0);
        parallel_blocks(1000, 7, [&](std::int64_t begin, std::int64_t end, int worker) {
            EXPECT_LT(worker, workers());
            for (std::int64_t i = begin; i < end; ++i) {
                ++seen[static_cast<std::size_t>(i)];
            }
        });
        EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 1000);
    }
    set_workers(hardware_workers());
}

}  // namespace
}  // namespace moescope::kernels::test
