// Grouped products of eight bits: what the kernels hand to a library, which checks it (emulated_library.hpp), and what
// the own kernel makes of the same codes, against the processor's products.
#include "kernels/cuda/float8_products.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "kernels/cpu/float8_product.hpp"
#include "kernels/cuda/emulated_library.hpp"
#include "tests/kernels/cuda/plain_device.hpp"
#include "tests/kernels/harness.hpp"

namespace moescope::kernels::cuda {
namespace {

using test::expect_close;
using test::random_floats;

/// Counts what it is asked for.
class Counting final : public Library {
 public:
    Counting(int& groups, bool refuses) : groups_(groups), refuses_(refuses) {}
    bool multiply(const LibraryProduct& product, const void* a, const void* b, float* d) override {
        return library_->multiply(product, a, b, d);
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        if (refuses_) {
            return false;
        }
        ++groups_;
        return library_->multiply_groups(groups);
    }

 private:
    std::unique_ptr<Library> library_ = emulated_library();
    int& groups_;
    bool refuses_;
};

struct Grouped {
    std::vector<std::int32_t> offsets;
    std::int64_t n, k;
    bool taken;  ///< in sizes that a library takes
};
const std::vector<Grouped>& cases() {
    static const std::vector<Grouped> all{
        {{0, 3, 3, 10, 10}, 8, 128, true}, {{0, 0, 0}, 4, 64, true},    {{0, 1}, 4, 300, true},
        {{0, 5, 6, 20}, 132, 129, true},   {{0, 17}, 7, 33, false},     {{0, 131, 140, 400}, 12, 20, true},
        {{0, 128, 256}, 20, 260, true},    {{0, 9, 260}, 130, 5, false}};
    return all;
}

constexpr std::int64_t kWhole = std::int64_t{1} << 20;

class Float8ProductsTest : public testing::Test {
 public:
    /// The room is filled with rubbish, and its end is watched.
    std::unique_ptr<Float8Products> products(std::int64_t bytes, bool refuses) {
        groups_ = 0;
        library_ = std::make_unique<Counting>(groups_, refuses);
        room_.assign(static_cast<std::size_t>(bytes + kWatched), std::byte{0x7f});  // NaN
        auto made = std::make_unique<Float8Products>(device_, library_.get());
        made->place(room_.data(), bytes);
        return made;
    }
    void expect_within(std::int64_t bytes) const {
        for (auto at = static_cast<std::size_t>(bytes); at < room_.size(); ++at) {
            ASSERT_EQ(room_[at], std::byte{0x7f}) << "written behind the room";
        }
    }
    int groups_ = 0;

 private:
    static constexpr std::int64_t kWatched = 4096;
    PlainDevice device_;
    std::unique_ptr<Library> library_;
    std::vector<std::byte> room_;
};

TEST_F(Float8ProductsTest, EachRowWithItsExpertsMatrix) {
    for (const Grouped& wanted : cases()) {
        const auto E = static_cast<std::int64_t>(wanted.offsets.size()) - 1;
        const std::int64_t n = wanted.n, k = wanted.k, end = wanted.offsets.back(), most = end + 5;
        std::vector<float> a = random_floats(most * k, 1);
        const std::vector<float> b = random_floats(E * n * k, 2);
        std::fill(a.begin() + end * k, a.end(), std::numeric_limits<float>::quiet_NaN());
        for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
            std::vector<float> before = random_floats(most * n, 3), expected = before;
            for (std::int64_t e = 0; e < E; ++e) {
                const std::int64_t first = wanted.offsets[static_cast<std::size_t>(e)],
                                   rows = wanted.offsets[static_cast<std::size_t>(e + 1)] - first;
                reference::float8_gemm(Transpose::no, op_b, rows, n, k, a.data() + first * k, k, Float8Tiles::lines,
                                       b.data() + e * n * k, op_b == Transpose::yes ? k : n, Float8Tiles::blocks, 0.0f,
                                       expected.data() + first * n, n);
            }
            for (const bool refuses : {false, true}) {
                // Enough for one tile of the sum at a time, and for all.
                const std::int64_t tile =
                    128 * (most + E * n) + 4 * (most + 4 + 4 * E) + 16 * E * ((n + 127) / 128) + 80;
                for (const std::int64_t bytes : {kWhole, tile}) {
                    std::vector<float> c = before;
                    products(bytes, refuses)
                        ->rows_times({wanted.offsets.data(), E, most}, op_b, n, k, a.data(), b.data(), c.data());
                    // f32 sums of k products of a size about 1 each, in another order.
                    expect_close(c, expected, 1e-5, 3e-7 * static_cast<double>(k) + 1e-6, "rows of experts");
                    expect_within(bytes);
                    const int pieces = bytes == kWhole ? 1 : static_cast<int>((k + 127) / 128);
                    EXPECT_EQ(groups_, wanted.taken && !refuses ? pieces : 0) << n << " " << k;
                }
            }
        }
    }
}

TEST_F(Float8ProductsTest, EachExpertsGradient) {
    for (const Grouped& wanted : cases()) {
        const auto E = static_cast<std::int64_t>(wanted.offsets.size()) - 1;
        const std::int64_t n = wanted.n, m = wanted.k, end = wanted.offsets.back(), most = end + 5;
        std::vector<float> a = random_floats(most * m, 1), b = random_floats(most * n, 2);
        std::fill(a.begin() + end * m, a.end(), std::numeric_limits<float>::quiet_NaN());
        std::fill(b.begin() + end * n, b.end(), std::numeric_limits<float>::quiet_NaN());
        std::vector<float> expected(static_cast<std::size_t>(E * m * n));
        for (std::int64_t e = 0; e < E; ++e) {
            const std::int64_t first = wanted.offsets[static_cast<std::size_t>(e)],
                               rows = wanted.offsets[static_cast<std::size_t>(e + 1)] - first;
            reference::float8_gemm(Transpose::yes, Transpose::no, m, n, rows, a.data() + first * m, m,
                                   Float8Tiles::lines, b.data() + first * n, n, Float8Tiles::lines, 0.0f,
                                   expected.data() + e * m * n, n);
        }
        for (const bool refuses : {false, true}) {
            const std::int64_t tiles = most / 128 + E, piece = 2 * (132 * tiles * 8 + 64);
            for (const std::int64_t bytes : {kWhole, piece}) {
                std::vector<float> c(expected.size(), std::nanf(""));
                products(bytes, refuses)
                    ->gradients({wanted.offsets.data(), E, most}, m, n, a.data(), b.data(), c.data());
                expect_close(c, expected, 1e-5, 3e-7 * static_cast<double>(most) + 1e-6, "gradients of experts");
                expect_within(bytes);
                if (bytes == kWhole) {
                    EXPECT_EQ(groups_, wanted.taken && m % 4 == 0 && !refuses ? 1 : 0) << n << " " << m;
                }
            }
        }
    }
}

TEST_F(Float8ProductsTest, AFaultStaysInItsRow) {
    const std::vector<std::int32_t> offsets{0, 6, 11};
    constexpr std::int64_t n = 8, k = 140, most = 11;
    for (const float broken : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        std::vector<float> a = random_floats(most * k, 1), c(most * n);
        const std::vector<float> b = random_floats(2 * n * k, 2);
        a[7 * k + 3] = broken;
        for (const bool refuses : {false, true}) {
            products(kWhole, refuses)
                ->rows_times({offsets.data(), 2, most}, Transpose::yes, n, k, a.data(), b.data(), c.data());
            for (std::size_t i = 0; i < c.size(); ++i) {
                EXPECT_EQ(std::isnan(c[i]), i / n == 7) << i;
            }
        }
    }
}

TEST_F(Float8ProductsTest, SaysWhenNotEvenAPieceFindsRoom) {
    const std::vector<std::int32_t> offsets{0, 6};
    const std::vector<float> a = random_floats(6 * 128, 1), b = random_floats(4 * 128, 2);
    std::vector<float> c(6 * 128);
    EXPECT_THROW(
        products(600, false)->rows_times({offsets.data(), 1, 6}, Transpose::yes, 4, 128, a.data(), b.data(), c.data()),
        std::runtime_error);
    EXPECT_THROW(products(600, false)->gradients({offsets.data(), 1, 6}, 4, 4, a.data(), b.data(), c.data()),
                 std::runtime_error);
}

}  // namespace
}  // namespace moescope::kernels::cuda
