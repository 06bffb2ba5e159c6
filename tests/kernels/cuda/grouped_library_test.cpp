// Grouped products by CUTLASS' kernels: what they are handed, and who computes what. In the kernels' place stand some
// that read as CUTLASS does - row-major, sixteen bytes at a time - and add up in double.
#include "kernels/cuda/grouped_library.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/half_floats.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cuda/emulation.hpp"
#include "kernels/cuda/tiled_products.hpp"
#include "tests/kernels/cuda/plain_device.hpp"
#include "tests/kernels/harness.hpp"

namespace moescope::kernels::cuda {
namespace {

using test::expect_close;
using test::random_floats;

struct Seen {
    bool refuses = false;
    int starts = 0;
    std::vector<GroupedForm> forms;
};

bool aligned(const void* at) {
    return reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
}

class StandIn final : public GroupedKernels {
 public:
    explicit StandIn(Seen& seen) : seen_(seen) {}

    bool start(GroupedForm form, const GroupedArguments& all) override {
        if (seen_.refuses) {
            return false;
        }
        ++seen_.starts;
        seen_.forms.push_back(form);
        for (std::int64_t i = 0; i < all.count; ++i) {
            const GroupSize& size = all.sizes[i];
            if (size.m == 0 || size.n == 0) {
                continue;
            }
            EXPECT_GT(size.k, 0);  // CUTLASS' pipeline has at least one stage
            const bool a_turned = form == GroupedForm::gradients, b_turned = form == GroupedForm::rows_times_turned;
            EXPECT_GE(all.lda[i], a_turned ? size.m : size.k);
            EXPECT_GE(all.ldb[i], b_turned ? size.k : size.n);
            EXPECT_GE(all.ldd[i], size.n);
            if (all.rounded) {
                EXPECT_TRUE(aligned(all.a[i]) && aligned(all.b[i]) && aligned(all.d[i]));
                EXPECT_TRUE(all.lda[i] % 8 == 0 && all.ldb[i] % 8 == 0 && all.ldd[i] % 4 == 0 && size.n % 4 == 0);
                if (form != GroupedForm::gradients) {
                    // CUTLASS begins with what is left of a tile of k: from there on it would read across 16 bytes.
                    EXPECT_EQ(size.k % 8, 0);
                }
            }
            compute(all, i, a_turned, b_turned);
        }
        return true;
    }

 private:
    static double value_of(const GroupedArguments& all, const void* from, std::int64_t at) {
        return all.rounded ? base::bf16_to_float(static_cast<const std::uint16_t*>(from)[at])
                           : static_cast<const float*>(from)[at];
    }
    static void compute(const GroupedArguments& all, std::int64_t i, bool a_turned, bool b_turned) {
        const auto [m, n, k] = all.sizes[i];
        for (std::int64_t row = 0; row < m; ++row) {
            for (std::int64_t column = 0; column < n; ++column) {
                double sum = 0;
                for (std::int64_t term = 0; term < k; ++term) {
                    sum += value_of(all, all.a[i], a_turned ? term * all.lda[i] + row : row * all.lda[i] + term) *
                           value_of(all, all.b[i], b_turned ? column * all.ldb[i] + term : term * all.ldb[i] + column);
                }
                float& out = all.d[i][row * all.ldd[i] + column];
                out = static_cast<float>(all.beta == 0.0f ? sum : sum + all.beta * out);
            }
        }
    }

    Seen& seen_;
};

/// A library of single products and, where it is said so, of groups of bfloat16, as cuBLASLt is.
class Vendor final : public Library {
 public:
    Vendor(int& groups, bool takes_groups) : groups_(groups), takes_groups_(takes_groups) {}
    bool multiply(const LibraryProduct& /*product*/, const void* /*a*/, const void* /*b*/, float* /*d*/) override {
        return false;
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        if (!takes_groups_ || groups.operands != Operands::bf16) {
            return false;
        }
        ++groups_;
        return true;
    }

 private:
    int& groups_;
    bool takes_groups_;
};

constexpr std::int64_t kRoom = 1 << 20;

class GroupedLibraryTest : public testing::Test {
 public:
    std::unique_ptr<Products> products(Operands operands, std::int64_t room = kRoom) {
        std::unique_ptr<Products> made =
            library_products(device_, grouped_library(device_, std::make_unique<StandIn>(seen_)), room);
        scratch_.assign(static_cast<std::size_t>(made->operand_scratch()), 0xffff);  // NaN
        made->place_operands(scratch_.data());
        made->set_operands(operands);
        return made;
    }
    Seen seen_;
    PlainDevice device_;

 private:
    std::vector<std::uint16_t> scratch_;
};

std::vector<float> entering(std::vector<float> values, Operands operands) {
    if (operands == Operands::bf16) {
        for (float& value : values) {
            value = base::bf16_to_float(base::float_to_bf16(value));
        }
    }
    return values;
}

struct Case {
    std::string what;
    std::vector<std::int32_t> offsets;
    std::int64_t n, k;
    /// Whether CUTLASS takes it in bfloat16: rows times matrices, and gradients. Single precision it always takes.
    bool rows, gradients;
};
std::vector<Case> cases() {
    std::vector<std::int32_t> many(130);  // more experts than a warp has threads, most without rows
    for (std::size_t e = 0; e < many.size(); ++e) {
        many[e] = static_cast<std::int32_t>(e / 7);
    }
    return {{"some without rows", {0, 3, 3, 10, 10}, 8, 16, true, true},
            {"no rows at all", {0, 0, 0, 0}, 4, 8, true, true},
            {"one expert", {0, 17}, 12, 24, true, true},
            {"all to one of several", {0, 0, 0, 29, 29}, 20, 40, true, true},
            {"terms that end inside 16 bytes", {0, 5, 9}, 12, 33, false, true},
            {"columns that no library stores", {0, 5, 9}, 7, 16, false, false},
            {"everything odd", {0, 1, 4, 4}, 5, 13, false, false},
            {"130 offsets", many, 4, 8, true, true}};
}

TEST_F(GroupedLibraryTest, RowsTimesMatrices) {
    for (const Case& one : cases()) {
        for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
            for (const Operands operands : {Operands::f32, Operands::bf16}) {
                const auto E = static_cast<std::int64_t>(one.offsets.size()) - 1;
                const std::int64_t n = one.n, k = one.k, end = one.offsets.back(), most = end + 3;
                std::vector<float> a = random_floats(most * k, 1), c = random_floats(most * n, 3), expected = c;
                const std::vector<float> b = random_floats(E * n * k, 2);
                std::fill(a.begin() + end * k, a.end(), std::numeric_limits<float>::quiet_NaN());
                const std::vector<float> a_in = entering(a, operands), b_in = entering(b, operands);
                for (std::int64_t e = 0; e < E; ++e) {
                    const std::int64_t first = one.offsets[e];
                    reference::gemm(Transpose::no, op_b, one.offsets[e + 1] - first, n, k, a_in.data() + first * k, k,
                                    b_in.data() + e * n * k, op_b == Transpose::yes ? k : n, 0.0f,
                                    expected.data() + first * n, n);
                }
                seen_ = {};
                products(operands)->rows_times({one.offsets.data(), E, most}, op_b, n, k, a.data(), b.data(), c.data());
                expect_close(c, expected, 2e-5, 2e-5, one.what);
                const bool taken = operands == Operands::f32 || one.rows;
                EXPECT_EQ(seen_.starts, taken ? 1 : 0) << one.what;
                if (taken) {
                    EXPECT_EQ(seen_.forms[0],
                              op_b == Transpose::yes ? GroupedForm::rows_times_turned : GroupedForm::rows_times);
                }
            }
        }
    }
}

TEST_F(GroupedLibraryTest, Gradients) {
    for (const Case& one : cases()) {
        for (const Operands operands : {Operands::f32, Operands::bf16}) {
            const auto E = static_cast<std::int64_t>(one.offsets.size()) - 1;
            const std::int64_t n = one.n, m = one.k, end = one.offsets.back(), most = end + 3;
            std::vector<float> a = random_floats(most * m, 1), b = random_floats(most * n, 2),
                               c = random_floats(E * m * n, 3), expected = c;
            std::fill(a.begin() + end * m, a.end(), std::numeric_limits<float>::quiet_NaN());
            std::fill(b.begin() + end * n, b.end(), std::numeric_limits<float>::quiet_NaN());
            const std::vector<float> a_in = entering(a, operands), b_in = entering(b, operands);
            for (std::int64_t e = 0; e < E; ++e) {
                const std::int64_t first = one.offsets[e];
                reference::gemm(Transpose::yes, Transpose::no, m, n, one.offsets[e + 1] - first,
                                a_in.data() + first * m, m, b_in.data() + first * n, n, 0.0f,
                                expected.data() + e * m * n, n);
            }
            seen_ = {};
            products(operands)->gradients({one.offsets.data(), E, most}, m, n, a.data(), b.data(), c.data());
            expect_close(c, expected, 2e-5, 2e-5, one.what);
            EXPECT_EQ(seen_.starts, operands == Operands::f32 || one.gradients ? 1 : 0) << one.what;
        }
    }
}

TEST_F(GroupedLibraryTest, PiecesAddUp) {
    constexpr std::int64_t kRows = 10, kN = 8, kK = 192, kE = 2, kSmall = 4096;
    const std::vector<std::int32_t> offsets{0, 4, 10};
    const std::vector<float> a = random_floats(kRows * kK, 1), b = random_floats(kE * kN * kK, 2);
    std::vector<float> c(kRows * kN), expected(kRows * kN);
    const std::vector<float> a_in = entering(a, Operands::bf16), b_in = entering(b, Operands::bf16);
    for (std::int64_t e = 0; e < kE; ++e) {
        const std::int64_t first = offsets[static_cast<std::size_t>(e)];
        reference::gemm(Transpose::no, Transpose::yes, offsets[static_cast<std::size_t>(e) + 1] - first, kN, kK,
                        a_in.data() + first * kK, kK, b_in.data() + e * kN * kK, kK, 0.0f, expected.data() + first * kN,
                        kN);
    }
    products(Operands::bf16, kSmall)
        ->rows_times({offsets.data(), kE, kRows}, Transpose::yes, kN, kK, a.data(), b.data(), c.data());
    expect_close(c, expected, 2e-5, 2e-5, "pieces");
    EXPECT_GT(seen_.starts, 1);
}

TEST_F(GroupedLibraryTest, OfADeviceWithoutRoomForItsBlocksTheTiledKernelComputes) {
    const std::vector<std::int32_t> offsets{0, 4, 10};
    const std::vector<float> a = random_floats(10 * 16, 1), b = random_floats(2 * 8 * 16, 2);
    std::vector<float> c(10 * 8), tiled(10 * 8);
    seen_.refuses = true;
    const GroupedRows rows{offsets.data(), 2, 10};
    products(Operands::bf16)->rows_times(rows, Transpose::yes, 8, 16, a.data(), b.data(), c.data());
    const std::unique_ptr<Products> own = tiled_products({});
    own->set_operands(Operands::bf16);
    own->rows_times(rows, Transpose::yes, 8, 16, a.data(), b.data(), tiled.data());
    EXPECT_EQ(c, tiled);
    EXPECT_EQ(seen_.starts, 0);
}

TEST_F(GroupedLibraryTest, WhatItDoesNotTake) {
    const std::unique_ptr<Library> library = grouped_library(device_, std::make_unique<StandIn>(seen_));
    const std::vector<std::int32_t> zero{0};
    LibraryGroups groups;
    groups.count = 1;
    groups.rows = groups.columns = groups.depths = groups.ldas = groups.ldbs = groups.ldds = zero.data();
    groups.even_depths = true;
    EXPECT_TRUE(library->multiply_groups(groups));
    groups.transpose_a = groups.transpose_b = true;
    EXPECT_FALSE(library->multiply_groups(groups));
    groups.transpose_b = false;
    groups.operands = Operands::fp8;
    EXPECT_FALSE(library->multiply_groups(groups));
    groups.operands = Operands::f32;
    groups.even_depths = false;
    EXPECT_TRUE(library->multiply_groups(groups));
    groups.operands = Operands::bf16;
    EXPECT_FALSE(library->multiply_groups(groups));
    float any = 0;
    EXPECT_FALSE(library->multiply({}, &any, &any, &any));
}

TEST_F(GroupedLibraryTest, TheChoiceDecidesWhoIsAsked) {
    struct Asked {
        GroupedBy by;
        bool vendor_takes;
        Operands operands;
        int vendor, cutlass;
    };
    for (const Asked& asked :
         {Asked{GroupedBy::either, true, Operands::bf16, 1, 0}, Asked{GroupedBy::either, false, Operands::bf16, 0, 1},
          Asked{GroupedBy::either, true, Operands::f32, 0, 1}, Asked{GroupedBy::cublaslt, true, Operands::bf16, 1, 0},
          Asked{GroupedBy::cublaslt, false, Operands::bf16, 0, 0},
          Asked{GroupedBy::cutlass, true, Operands::bf16, 0, 1}, Asked{GroupedBy::tiled, true, Operands::bf16, 0, 0},
          Asked{GroupedBy::tiled, true, Operands::f32, 0, 0}}) {
        int vendor = 0;
        seen_ = {};
        const std::unique_ptr<Library> library =
            chosen_library(asked.by, std::make_unique<Vendor>(vendor, asked.vendor_takes),
                           grouped_library(device_, std::make_unique<StandIn>(seen_)));
        const std::vector<std::int32_t> zero{0};
        LibraryGroups groups;
        groups.operands = asked.operands;
        groups.count = 1;
        groups.even_depths = true;
        groups.rows = groups.columns = groups.depths = groups.ldas = groups.ldbs = groups.ldds = zero.data();
        EXPECT_EQ(library->multiply_groups(groups), asked.vendor + asked.cutlass > 0);
        EXPECT_EQ(vendor, asked.vendor);
        EXPECT_EQ(seen_.starts, asked.cutlass);
    }
}

TEST(GroupedBy, IsNamedByTheEnvironment) {
    EXPECT_EQ(grouped_by(nullptr), GroupedBy::either);
    EXPECT_EQ(grouped_by(""), GroupedBy::either);
    EXPECT_EQ(grouped_by("cublaslt"), GroupedBy::cublaslt);
    EXPECT_EQ(grouped_by("cutlass"), GroupedBy::cutlass);
    EXPECT_EQ(grouped_by("tiled"), GroupedBy::tiled);
    try {
        static_cast<void>(grouped_by("cublas"));
        FAIL() << "taken";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "MOESCOPE_GROUPED_PRODUCTS is 'cublas'; choose cublaslt, cutlass or tiled");
    }
}

}  // namespace
}  // namespace moescope::kernels::cuda
