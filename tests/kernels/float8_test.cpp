// Eight-bit floats: every code, every place where rounding changes, and products against plain loops.
#include "kernels/float8.hpp"

#include <array>
#include <limits>

#include "harness.hpp"
#include "kernels/cpu/float8_product.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

/// By the definition of the form: (-1)^sign 2^(exponent - 7) (1 + mantissa / 8), without the 1 below 2^-6.
double defined_value(int code) {
    const int sign = code >> 7, exponent = code >> 3 & 15, mantissa = code & 7;
    if (exponent == 15 && mantissa == 7) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    const double size = exponent == 0 ? std::ldexp(mantissa / 8.0, -6) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
    return sign == 1 ? -size : size;
}

TEST(Float8, EveryCodeIsItsNumberAndComesBack) {
    for (int code = 0; code < 256; ++code) {
        const auto byte = static_cast<std::uint8_t>(code);
        const float value = float8_value(byte);
        const double expected = defined_value(code);
        EXPECT_EQ(std::signbit(value), code >= 128);
        EXPECT_EQ(float8_code(value), byte);
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(value));
            EXPECT_TRUE(std::isnan(float8_rounded(value)));
        } else {
            EXPECT_EQ(static_cast<double>(value), expected) << code;
            EXPECT_EQ(float8_rounded(value), value) << code;
        }
    }
    EXPECT_EQ(float8_value(0x7e), kFloat8Most);
}

// Between neighbours everything below the middle goes down, everything above it up, and the middle to the even code.
TEST(Float8, RoundsToTheNearestAndTiesToEven) {
    for (int code = 0; code < 0x7e; ++code) {
        const float low = static_cast<float>(defined_value(code)), high = static_cast<float>(defined_value(code + 1));
        const float middle = low + (high - low) / 2;
        for (const float sign : {1.0f, -1.0f}) {
            EXPECT_EQ(float8_rounded(sign * middle), sign * (code % 2 == 0 ? low : high)) << code;
            EXPECT_EQ(float8_rounded(sign * std::nextafter(middle, 0.0f)), sign * low) << code;
            EXPECT_EQ(float8_rounded(sign * std::nextafter(middle, 1000.0f)), sign * high) << code;
            EXPECT_EQ(float8_rounded(sign * std::nextafter(high, 0.0f)), sign * high) << code;
        }
        EXPECT_EQ(float8_code(float8_rounded(middle)), code % 2 == 0 ? code : code + 1);
    }
}

TEST(Float8, SaturatesAndKeepsFaultsVisible) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float large : {449.0f, 464.0f, 465.0f, 480.0f, 1e6f, std::numeric_limits<float>::max()}) {
        EXPECT_EQ(float8_rounded(large), 448.0f);
        EXPECT_EQ(float8_rounded(-large), -448.0f);
        EXPECT_EQ(float8_code(float8_rounded(-large)), 0xfe);
    }
    for (const float broken : {infinity, -infinity, std::nanf(""), std::bit_cast<float>(0x7f800001u)}) {
        EXPECT_TRUE(std::isnan(float8_rounded(broken)));
        EXPECT_EQ(float8_code(float8_rounded(broken)) & 0x7f, 0x7f);
        EXPECT_EQ(float8_magnitude(broken), 0.0f);
    }
    const float least = std::numeric_limits<float>::denorm_min();
    EXPECT_EQ(std::bit_cast<std::uint32_t>(float8_rounded(-least)), 0x80000000u);
    EXPECT_EQ(float8_rounded(0x1p-10f), 0.0f);  // half of the smallest: to even
    EXPECT_EQ(float8_rounded(std::nextafter(0x1p-10f, 1.0f)), 0x1p-9f);
}

TEST(Float8, TheScaleTakesTheLargestToTheLargest) {
    EXPECT_EQ(float8_scale(448.0f), 1.0f);
    EXPECT_EQ(float8_scale(0.0f), 0x1p-126f);
    EXPECT_EQ(float8_scale(std::numeric_limits<float>::denorm_min()), 0x1p-126f);
    for (const float most : random_floats(1000, 3, 100.0f)) {
        const float size = std::abs(most), scale = float8_scale(size);
        EXPECT_EQ(float8_rounded(size / scale), 448.0f) << size;
    }
}

struct Sizes {
    std::int64_t m, n, k;
};
constexpr std::array kSizes{Sizes{1, 1, 1},     Sizes{3, 5, 127},    Sizes{128, 128, 128}, Sizes{129, 130, 257},
                            Sizes{7, 200, 300}, Sizes{140, 3, 2049}, Sizes{2, 2, 4200},    Sizes{64, 257, 129}};

TEST(Float8Product, IsThatOfTheRoundedOperands) {
    for (const auto& [m, n, k] : kSizes) {
        for (const Transpose op_a : {Transpose::no, Transpose::yes}) {
            for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
                for (const Float8Tiles tiles : {Float8Tiles::lines, Float8Tiles::blocks}) {
                    for (const float beta : {0.0f, 1.0f}) {
                        const std::int64_t lda = (op_a == Transpose::yes ? m : k) + 3,
                                           ldb = (op_b == Transpose::yes ? k : n) + 1, ldc = n + 2;
                        std::vector<float> a = random_floats(lda * (op_a == Transpose::yes ? k : m), 1),
                                           b = random_floats(ldb * (op_b == Transpose::yes ? n : k), 2);
                        for (std::size_t i = 0; i < a.size(); i += 37) {
                            a[i] *= 1000.0f;  // tiles with other scales than their neighbours
                        }
                        std::vector<float> c = random_floats(m * ldc, 3), expected = c;
                        if (beta == 0.0f) {
                            std::fill(c.begin(), c.end(), std::nanf(""));
                            expected = c;
                        }
                        float8_gemm(op_a, op_b, m, n, k, a.data(), lda, Float8Tiles::lines, b.data(), ldb, tiles, beta,
                                    c.data(), ldc);
                        reference::float8_gemm(op_a, op_b, m, n, k, a.data(), lda, Float8Tiles::lines, b.data(), ldb,
                                               tiles, beta, expected.data(), ldc);
                        // Each of k terms adds a rounding of a sum that is about 100 sqrt(k) large.
                        const double scale = 300 * std::sqrt(static_cast<double>(k));
                        expect_close(c, expected, 1e-6, 4e-7 * scale * std::sqrt(static_cast<double>(k)), "product");
                    }
                }
            }
        }
    }
}

// What is lost is at most half a step of the mantissa of each operand: 2^-4 of it, or half of the smallest number.
TEST(Float8Product, LosesWhatTheFormLoses) {
    constexpr std::int64_t m = 40, n = 50, k = 384;
    const std::vector<float> a = random_floats(m * k, 1), b = random_floats(n * k, 2);
    std::vector<float> c(m * n), exact(m * n);
    float8_gemm(Transpose::no, Transpose::yes, m, n, k, a.data(), k, Float8Tiles::lines, b.data(), k,
                Float8Tiles::blocks, 0.0f, c.data(), n);
    reference::gemm(Transpose::no, Transpose::yes, m, n, k, a.data(), k, b.data(), k, 0.0f, exact.data(), n);
    double error = 0, size = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
        error += std::pow(static_cast<double>(c[i]) - exact[i], 2);
        size += std::pow(static_cast<double>(exact[i]), 2);
    }
    const double relative = std::sqrt(error / size);
    EXPECT_GT(relative, 0.02);  // two operands of 3 bits: about sqrt(2) x 2^-4 / sqrt(3)
    EXPECT_LT(relative, 0.06);
}

TEST(Float8Product, AFaultSpoilsItsOwnRow) {
    constexpr std::int64_t m = 3, n = 4, k = 200;
    std::vector<float> a = random_floats(m * k, 1), c(m * n);
    const std::vector<float> b = random_floats(n * k, 2);
    for (const float broken : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        a[k + 150] = broken;
        float8_gemm(Transpose::no, Transpose::yes, m, n, k, a.data(), k, Float8Tiles::lines, b.data(), k,
                    Float8Tiles::blocks, 0.0f, c.data(), n);
        for (std::size_t i = 0; i < c.size(); ++i) {
            EXPECT_EQ(std::isnan(c[i]), i / n == 1) << i;
        }
    }
}

}  // namespace
}  // namespace moescope::kernels::test
