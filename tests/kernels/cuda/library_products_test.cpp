// Products by a library: how they are cut, rounded, described and handed over. In the library's place stands one that
// reads what it is given as cuBLASLt would, column by column, and adds up in double.
#include "kernels/cuda/library_products.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>

#include "base/half_floats.hpp"
#include "kernels/cpu/gemm.hpp"
#include "tests/kernels/cuda/plain_device.hpp"
#include "tests/kernels/harness.hpp"

namespace moescope::kernels::cuda {
namespace {

using test::expect_close;
using test::random_floats;

/// What a test asks of the library, and what it saw.
struct Behaviour {
    bool refuses = false;
    int products = 0, groups = 0;
};

class StandIn final : public Library {
 public:
    explicit StandIn(Behaviour& behaviour) : behaviour_(behaviour) {}

    bool multiply(const LibraryProduct& p, const void* a, const void* b, float* d) override {
        if (behaviour_.refuses) {
            return false;
        }
        ++behaviour_.products;
        EXPECT_GE(p.lda, p.transpose_a ? p.depth : p.rows);
        EXPECT_GE(p.ldb, p.transpose_b ? p.columns : p.depth);
        EXPECT_GE(p.ldd, p.rows);
        if (p.rounded) {
            expect_aligned(a, p.lda);
            expect_aligned(b, p.ldb);
        }
        compute(p, a, b, d);
        return true;
    }

    bool multiply_groups(const LibraryGroups& groups) override {
        if (behaviour_.refuses) {
            return false;
        }
        ++behaviour_.groups;
        for (std::int64_t i = 0; i < groups.count; ++i) {
            LibraryProduct p;
            p.rounded = groups.operands != Operands::f32;
            p.transpose_a = groups.transpose_a;
            p.transpose_b = groups.transpose_b;
            p.rows = groups.rows[i];
            p.columns = groups.columns[i];
            p.depth = groups.depths[i];
            p.lda = groups.ldas[i];
            p.ldb = groups.ldbs[i];
            p.ldd = groups.ldds[i];
            p.beta = groups.beta;
            if (p.rounded) {
                expect_aligned(groups.a[i], p.lda);
                expect_aligned(groups.b[i], p.ldb);
                EXPECT_EQ(reinterpret_cast<std::uintptr_t>(groups.d[i]) % 16, 0u);
                EXPECT_EQ(p.ldd % 4, 0);
            }
            EXPECT_TRUE(!groups.even_depths || p.depth % 8 == 0);
            if (p.depth > 0) {  // otherwise it leaves D, which it may
                compute(p, groups.a[i], groups.b[i], groups.d[i]);
            }
        }
        return true;
    }

 private:
    static void expect_aligned(const void* at, std::int64_t stride) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % 16, 0u);
        EXPECT_EQ(stride % 8, 0);
    }
    static double value_of(const LibraryProduct& p, const void* from, std::int64_t at) {
        return p.rounded ? base::bf16_to_float(static_cast<const std::uint16_t*>(from)[at])
                         : static_cast<const float*>(from)[at];
    }
    static void compute(const LibraryProduct& p, const void* a, const void* b, float* d) {
        for (std::int64_t column = 0; column < p.columns; ++column) {
            for (std::int64_t row = 0; row < p.rows; ++row) {
                double sum = 0;
                for (std::int64_t k = 0; k < p.depth; ++k) {
                    sum += value_of(p, a, p.transpose_a ? row * p.lda + k : k * p.lda + row) *
                           value_of(p, b, p.transpose_b ? k * p.ldb + column : column * p.ldb + k);
                }
                float& out = d[column * p.ldd + row];
                out = static_cast<float>(p.beta == 0.0f ? sum : sum + p.beta * out);
            }
        }
    }

    Behaviour& behaviour_;
};

class LibraryProductsTest : public testing::Test {
 public:
    std::unique_ptr<Products> products(std::int64_t room, Operands operands) {
        std::unique_ptr<Products> made = library_products(device_, std::make_unique<StandIn>(seen_), room);
        scratch_.assign(static_cast<std::size_t>(made->operand_scratch()), 0xffff);  // NaN
        made->place_operands(scratch_.data());
        made->set_operands(operands);
        return made;
    }
    Behaviour seen_;

 private:
    PlainDevice device_;
    std::vector<std::uint16_t> scratch_;
};

std::vector<float> rounded(std::vector<float> values) {
    for (float& value : values) {
        value = base::bf16_to_float(base::float_to_bf16(value));
    }
    return values;
}

constexpr std::int64_t kWhole = 1 << 20, kCut = 4096;
constexpr std::array kBoth{Transpose::no, Transpose::yes};

TEST_F(LibraryProductsTest, SingleProductsAreTheProcessors) {
    for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1}, {5, 33, 7}, {65, 40, 97}, {3, 130, 200}}) {
        for (const Transpose op_a : kBoth) {
            for (const Transpose op_b : kBoth) {
                for (const float beta : {0.0f, 1.0f}) {
                    for (const Operands operands : {Operands::f32, Operands::bf16}) {
                        for (const bool refuses : {false, true}) {
                            for (const std::int64_t room : {kWhole, kCut}) {
                                if (refuses && room == kCut) {
                                    continue;  // the kernel is slow here
                                }
                                const std::int64_t lda = (op_a == Transpose::yes ? m : k) + 3;
                                const std::int64_t ldb = (op_b == Transpose::yes ? k : n) + 1, ldc = n + 2;
                                const std::vector<float> a = random_floats(lda * (op_a == Transpose::yes ? k : m), 1),
                                                         b = random_floats(ldb * (op_b == Transpose::yes ? n : k), 2);
                                std::vector<float> c = random_floats(m * ldc, 3), expected = c;
                                const bool rounds = operands == Operands::bf16;
                                reference::gemm(op_a, op_b, m, n, k, (rounds ? rounded(a) : a).data(), lda,
                                                (rounds ? rounded(b) : b).data(), ldb, beta, expected.data(), ldc);
                                seen_ = {refuses};
                                products(room, operands)
                                    ->multiply(op_a, op_b, m, n, k, a.data(), lda, b.data(), ldb, beta, c.data(), ldc);
                                expect_close(c, expected, 2e-5, 2e-5, "product");
                                EXPECT_EQ(seen_.products > 0, !refuses);
                                if (rounds && room == kCut && m == 65 && !refuses) {
                                    EXPECT_GT(seen_.products, 2);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

TEST_F(LibraryProductsTest, AProductWithoutTermsScalesWhatWasThere) {
    std::vector<float> c{1, 2, 3, 4};
    const float any = 5;
    products(kWhole, Operands::f32)
        ->multiply(Transpose::no, Transpose::no, 2, 2, 0, &any, 1, &any, 2, 1.0f, c.data(), 2);
    EXPECT_EQ(c, (std::vector<float>{1, 2, 3, 4}));
    products(kWhole, Operands::bf16)
        ->multiply(Transpose::no, Transpose::no, 2, 2, 0, &any, 1, &any, 2, 0.0f, c.data(), 2);
    EXPECT_EQ(c, (std::vector<float>{0, 0, 0, 0}));
}

TEST_F(LibraryProductsTest, RoundingIsThatOfTheProcessor) {
    const float inf = std::numeric_limits<float>::infinity();
    const auto bits = [](std::uint32_t value) { return std::bit_cast<float>(value); };
    // Ties to both sides, the largest number, what rounds to infinity, NaN whose kept bits are 0, subnormals.
    std::vector<float> values{0.0f,
                              -0.0f,
                              1.0f,
                              bits(0x3f808000),
                              bits(0x3f818000),
                              bits(0x3f808001),
                              bits(0x7f7f7fff),
                              bits(0x7f7fffff),
                              inf,
                              -inf,
                              bits(0x7f800001),
                              bits(0x00000001),
                              bits(0x80018000)};
    for (const float value : values) {
        float product = 0;
        const float one = 1;
        products(kWhole, Operands::bf16)
            ->multiply(Transpose::no, Transpose::no, 1, 1, 1, &value, 1, &one, 1, 0.0f, &product, 1);
        const float expected = base::bf16_to_float(base::float_to_bf16(value));
        EXPECT_EQ(std::isnan(product), std::isnan(value));
        if (!std::isnan(value)) {
            EXPECT_EQ(product, expected) << value;
        }
    }
}

struct Grouped {
    std::vector<std::int32_t> offsets;
    std::int64_t n, k;
    bool taken = true;  ///< in the sizes that a library takes
    /// Calls in the small room: to multiply rows, for gradients. 0: what would be left of a piece isn't worth it.
    int rows_calls = 1, gradient_calls = 1;
};
const std::vector<Grouped>& grouped_cases() {
    static const std::vector<Grouped> cases{
        {{0, 3, 3, 10, 10}, 8, 128, true, 2, 1}, {{0, 0, 0}, 4, 64}, {{0, 5, 6, 20}, 128, 64, true, 0, 2},
        {{0, 30}, 8, 192, true, 3, 2},           {{0, 17}, 12, 33},  {{0, 3, 7}, 6, 64, false, 0, 0},
    };
    return cases;
}

TEST_F(LibraryProductsTest, EachRowWithItsExpertsMatrix) {
    for (const Grouped& wanted : grouped_cases()) {
        for (const Transpose op_b : kBoth) {
            for (const Operands operands : {Operands::f32, Operands::bf16}) {
                for (const bool refuses : {false, true}) {
                    for (const std::int64_t room : {kWhole, kCut}) {
                        const auto E = static_cast<std::int64_t>(wanted.offsets.size()) - 1;
                        const std::int64_t n = wanted.n, k = wanted.k, end = wanted.offsets.back(), most = end + 5;
                        std::vector<float> a = random_floats(most * k, 1), c = random_floats(most * n, 3), expected = c;
                        const std::vector<float> b = random_floats(E * n * k, 2);
                        std::fill(a.begin() + end * k, a.end(), std::numeric_limits<float>::quiet_NaN());
                        const bool rounds = operands == Operands::bf16;
                        const std::vector<float> a_in = rounds ? rounded(a) : a, b_in = rounds ? rounded(b) : b;
                        for (std::int64_t e = 0; e < E; ++e) {
                            const std::int64_t first = wanted.offsets[e];
                            reference::gemm(Transpose::no, op_b, wanted.offsets[e + 1] - first, n, k,
                                            a_in.data() + first * k, k, b_in.data() + e * n * k,
                                            op_b == Transpose::yes ? k : n, 0.0f, expected.data() + first * n, n);
                        }
                        seen_ = {refuses};
                        products(room, operands)
                            ->rows_times({wanted.offsets.data(), E, most}, op_b, n, k, a.data(), b.data(), c.data());
                        expect_close(c, expected, 2e-5, 2e-5, "rows of experts");
                        const int calls = !rounds ? 1 : room == kWhole ? (wanted.taken ? 1 : 0) : wanted.rows_calls;
                        EXPECT_EQ(seen_.groups, refuses ? 0 : calls);
                    }
                }
            }
        }
    }
}

TEST_F(LibraryProductsTest, EachExpertsGradient) {
    for (const Grouped& wanted : grouped_cases()) {
        for (const Operands operands : {Operands::f32, Operands::bf16}) {
            for (const bool refuses : {false, true}) {
                for (const std::int64_t room : {kWhole, kCut}) {
                    const auto E = static_cast<std::int64_t>(wanted.offsets.size()) - 1;
                    const std::int64_t n = wanted.n, m = wanted.k, end = wanted.offsets.back(), most = end + 5;
                    std::vector<float> a = random_floats(most * m, 1), b = random_floats(most * n, 2),
                                       c = random_floats(E * m * n, 3), expected = c;
                    std::fill(a.begin() + end * m, a.end(), std::numeric_limits<float>::quiet_NaN());
                    std::fill(b.begin() + end * n, b.end(), std::numeric_limits<float>::quiet_NaN());
                    const bool rounds = operands == Operands::bf16;
                    const std::vector<float> a_in = rounds ? rounded(a) : a, b_in = rounds ? rounded(b) : b;
                    for (std::int64_t e = 0; e < E; ++e) {
                        const std::int64_t first = wanted.offsets[e];
                        reference::gemm(Transpose::yes, Transpose::no, m, n, wanted.offsets[e + 1] - first,
                                        a_in.data() + first * m, m, b_in.data() + first * n, n, 0.0f,
                                        expected.data() + e * m * n, n);
                    }
                    seen_ = {refuses};
                    products(room, operands)
                        ->gradients({wanted.offsets.data(), E, most}, m, n, a.data(), b.data(), c.data());
                    expect_close(c, expected, 2e-5, 2e-5, "gradients of experts");
                    const int calls = !rounds ? 1 : room == kWhole ? (wanted.taken ? 1 : 0) : wanted.gradient_calls;
                    EXPECT_EQ(seen_.groups, refuses ? 0 : calls);
                }
            }
        }
    }
}

TEST_F(LibraryProductsTest, WithoutRoomTheKernelRoundsByItself) {
    const std::vector<float> a = random_floats(6 * 8, 1), b = random_floats(8 * 4, 2);
    std::vector<float> c(6 * 4), expected(6 * 4);
    PlainDevice device;
    const std::unique_ptr<Products> products = library_products(device, std::make_unique<StandIn>(seen_), kWhole);
    products->set_operands(Operands::bf16);
    products->multiply(Transpose::no, Transpose::no, 6, 4, 8, a.data(), 8, b.data(), 4, 0.0f, c.data(), 4);
    reference::gemm(Transpose::no, Transpose::no, 6, 4, 8, rounded(a).data(), 8, rounded(b).data(), 4, 0.0f,
                    expected.data(), 4);
    expect_close(c, expected, 1e-5, 1e-5, "product");
    EXPECT_EQ(seen_.products, 0);
}

}  // namespace
}  // namespace moescope::kernels::cuda
