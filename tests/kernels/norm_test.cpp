#include <array>

#include "harness.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rope.hpp"

namespace moescope::kernels::test {
namespace {

class Norm : public testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};

TEST_P(Norm, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    const auto [T, D] = GetParam();
    auto x = random_floats(T * D, 1), w = random_floats(D, 2);
    auto dy = random_floats(T * D, 3);
    std::vector<float> y(x.size()), expected(x.size()), rstd(static_cast<std::size_t>(T)), expected_rstd(rstd.size());
    rms_norm_forward(y.data(), rstd.data(), x.data(), w.data(), T, D, 1e-6);
    reference::rms_norm_forward(expected.data(), expected_rstd.data(), x.data(), w.data(), T, D, 1e-6);
    for (std::size_t i = 0; i < dy.size(); ++i) {
        dy[i] += expected[i];  // not at right angles to y, or the second term of the gradient could be wrong unseen
    }
    expect_close(y, expected, 1e-5, 1e-6, "y");
    expect_close(rstd, expected_rstd, 1e-5, 0, "rstd");
    std::vector<float> dx(x.size()), dw(w.size());
    rms_norm_backward(dx.data(), dw.data(), dy.data(), x.data(), rstd.data(), w.data(), T, D, Write::assign);
    auto added = dy;
    rms_norm_backward(added.data(), dw.data(), dy.data(), x.data(), rstd.data(), w.data(), T, D, Write::add);
    for (std::size_t i = 0; i < dx.size(); ++i) {
        EXPECT_NEAR(added[i], dy[i] + dx[i], 1e-5);
    }
    const auto loss = [&, T = T, D = D] {
        rms_norm_forward(y.data(), rstd.data(), x.data(), w.data(), T, D, 1e-6);
        return weighted_sum(y, dy);
    };
    expect_gradient(loss, x, dx, "dx", 3e-3, 2e-3f);
    expect_gradient(loss, w, dw, "dw");
}
INSTANTIATE_TEST_SUITE_P(Sizes, Norm,
                         testing::Values(std::pair<std::int64_t, std::int64_t>{1, 3},
                                         std::pair<std::int64_t, std::int64_t>{1, 192},
                                         std::pair<std::int64_t, std::int64_t>{67, 33}));

constexpr double kTheta = 100.0;

std::int64_t weights_of(const HeadShape& s) {
    return s.norm == QkNorm::none ? 0 : s.norm == QkNorm::head ? s.C : s.N * s.C;
}

struct HeadBuffers {
    explicit HeadBuffers(const HeadShape& s)
        : shape(s),
          x(random_floats(s.B * s.S * s.R, 1)),
          w(random_floats(weights_of(s), 2)),
          dy(random_floats(s.B * s.S * s.N * s.C, 3)),
          cosines(static_cast<std::size_t>(s.S * s.rope / 2)),
          sines(cosines.size()),
          y(dy.size()),
          rstd(s.norm == QkNorm::none ? 0 : static_cast<std::size_t>(s.B * s.S * s.N)),
          dx(x.size(), kUntouched),
          dw(w.size()),
          scratch(static_cast<std::size_t>(qk_norm_scratch(s)), std::nanf("")) {
        rope_tables(cosines.data(), sines.data(), s.S, s.rope, {kTheta});
    }
    void forward() { qk_norm_forward(y.data(), rstd.data(), x.data(), w.data(), cosines.data(), sines.data(), shape); }
    void backward() {
        qk_norm_backward(dx.data(), dw.data(), scratch.data(), dy.data(), x.data(), rstd.data(), w.data(),
                         cosines.data(), sines.data(), shape);
    }

    static constexpr float kUntouched = 7.0f;
    HeadShape shape;
    std::vector<float> x, w, dy, cosines, sines, y, rstd, dx, dw, scratch;
};

/// One token; rows with a gap; more positions and tokens than one task takes; with all, some and no elements turned.
std::vector<HeadShape> head_shapes() {
    std::vector<HeadShape> shapes;
    for (const QkNorm norm : {QkNorm::none, QkNorm::head, QkNorm::full}) {
        for (const RopeOrder order : {RopeOrder::half, RopeOrder::interleaved}) {
            shapes.push_back({1, 1, 1, 2, 2, 1e-6, 2, norm, order});
            shapes.push_back({2, 5, 3, 8, 31, 1e-6, 8, norm, order});
            shapes.push_back({1, 9, 2, 34, 68, 1e-6, 6, norm, order});
            shapes.push_back({2, 131, 2, 5, 11, 1e-6, 4, norm, order});
            shapes.push_back({1, 130, 1, 17, 20, 1e-6, 0, norm, order});
        }
    }
    return shapes;
}

TEST(QkNorm, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    for (const HeadShape& shape : head_shapes()) {
        HeadBuffers b(shape);
        b.forward();
        std::vector<float> expected(b.y.size()), rstd(b.rstd.size());
        reference::qk_norm_forward(expected.data(), rstd.data(), b.x.data(), b.w.data(), kTheta, shape);
        expect_close(b.y, expected, 1e-5, 1e-5, "y");
        expect_close(b.rstd, rstd, 1e-5, 0, "rstd");
        for (std::size_t i = 0; i < b.dy.size(); ++i) {
            b.dy[i] += expected[i];
        }
        b.backward();
        for (std::size_t i = 0; i < b.dx.size(); ++i) {
            if (static_cast<std::int64_t>(i) % shape.R >= shape.N * shape.C) {
                ASSERT_EQ(b.dx[i], HeadBuffers::kUntouched) << i;
                b.dx[i] = 0;
            }
        }
        const auto loss = [&] {
            b.forward();
            return weighted_sum(b.y, b.dy);
        };
        expect_gradient(loss, b.x, b.dx, "dx", 3e-3, 2e-3f);
        expect_gradient(loss, b.w, b.dw, "dw");
    }
}

TEST(QkNorm, SameBitsWithAnyNumberOfThreads) {
    for (const HeadShape& shape : head_shapes()) {
        HeadBuffers one(shape), many(shape);
        set_workers(1);
        one.forward();
        one.backward();
        set_workers(3);
        many.forward();
        many.backward();
        EXPECT_EQ(one.y, many.y);
        EXPECT_EQ(one.dx, many.dx);
        EXPECT_EQ(one.dw, many.dw);
    }
    set_workers(hardware_workers());
}

struct LatentBuffers {
    explicit LatentBuffers(const LatentKeyShape& s)
        : shape(s),
          C(s.nope + s.rope),
          nope(random_floats(s.B * s.S * s.R, 1)),
          rope(random_floats(s.B * s.S * s.R_rope, 2)),
          dk(random_floats(s.B * s.N * s.S * C, 3)),
          cosines(static_cast<std::size_t>(s.S * s.rope / 2)),
          sines(cosines.size()),
          k(dk.size()),
          dnope(nope.size(), 0.0f),
          drope(rope.size(), 0.0f) {
        rope_tables(cosines.data(), sines.data(), s.S, s.rope, {kTheta});
    }
    void forward() { latent_key_forward(k.data(), nope.data(), rope.data(), cosines.data(), sines.data(), shape); }
    void backward() { latent_key_backward(dnope.data(), drope.data(), dk.data(), cosines.data(), sines.data(), shape); }

    LatentKeyShape shape;
    std::int64_t C;
    std::vector<float> nope, rope, dk, cosines, sines, k, dnope, drope;
};

// B S N nope rope, row stride and head stride of the own parts, row stride of the shared part.
constexpr LatentKeyShape kLatentShapes[] = {{1, 1, 1, 1, 2, 1, 1, 2, RopeOrder::interleaved},
                                            {2, 5, 3, 4, 6, 31, 9, 13, RopeOrder::interleaved},
                                            {1, 131, 2, 7, 4, 14, 7, 4, RopeOrder::half}};

// The same keys, put together by hand and turned by the reference of queries.
TEST(LatentKey, ForwardMatchesReferenceAndGradientsMatchDifferences) {
    for (const LatentKeyShape& shape : kLatentShapes) {
        LatentBuffers b(shape);
        b.forward();
        std::vector<float> plain, expected(b.k.size());
        for (std::int64_t t = 0; t < shape.B * shape.S; ++t) {
            for (std::int64_t n = 0; n < shape.N; ++n) {
                const auto own = b.nope.begin() + t * shape.R + n * shape.stride;
                const auto shared = b.rope.begin() + t * shape.R_rope;
                plain.insert(plain.end(), own, own + shape.nope);
                plain.insert(plain.end(), shared, shared + shape.rope);
            }
        }
        reference::qk_norm_forward(
            expected.data(), nullptr, plain.data(), nullptr, kTheta,
            {shape.B, shape.S, shape.N, b.C, shape.N * b.C, 0.0, shape.rope, QkNorm::none, shape.order});
        expect_close(b.k, expected, 1e-5, 1e-6, "k");
        b.backward();
        const auto loss = [&] {
            b.forward();
            return weighted_sum(b.k, b.dk);
        };
        expect_gradient(loss, b.nope, b.dnope, "dnope");
        expect_gradient(loss, b.rope, b.drope, "drope");
    }
}

TEST(LatentKey, SameBitsWithAnyNumberOfThreads) {
    LatentBuffers one(kLatentShapes[2]), many(kLatentShapes[2]);
    set_workers(1);
    one.forward();
    one.backward();
    set_workers(3);
    many.forward();
    many.backward();
    EXPECT_EQ(one.k, many.k);
    EXPECT_EQ(one.dnope, many.dnope);
    EXPECT_EQ(one.drope, many.drope);
    set_workers(hardware_workers());
}

TEST(Embedding, GathersAndAddsRepeatedTokens) {
    const auto table = random_floats(5 * 3, 1), dx = random_floats(4 * 3, 2);
    const std::vector<std::int32_t> tokens = {4, 0, 4, 4};
    std::vector<float> x(12), dtable(15, 1.0f);
    embedding_forward(x.data(), table.data(), tokens.data(), 4, 3);
    embedding_backward(dtable.data(), dx.data(), tokens.data(), 4, 3);
    for (std::size_t d = 0; d < 3; ++d) {
        EXPECT_EQ(x[d], table[12 + d]);
        EXPECT_EQ(x[3 + d], table[d]);
        EXPECT_NEAR(dtable[12 + d], 1.0f + dx[d] + dx[6 + d] + dx[9 + d], 1e-5);
        EXPECT_EQ(dtable[3 + d], 1.0f);
    }
}

// Linear in the table, so the gradient is right when <gather(table), dx> = <table, gradient> for every table: one
// token, all tokens the same, more tokens and columns than one task takes.
TEST(Embedding, BackwardIsTheTransposeOfForward) {
    for (const auto [T, D, V] :
         {std::array{1, 1, 1}, std::array{1, 67, 5}, std::array{131, 3, 1}, std::array{131, 130, 9}}) {
        const auto table = random_floats(V * D, 1), dx = random_floats(T * D, 2);
        std::vector<std::int32_t> tokens(static_cast<std::size_t>(T));
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            tokens[t] = static_cast<std::int32_t>(t * t % static_cast<std::size_t>(V));
        }
        std::vector<float> x(dx.size()), dtable(table.size(), 0.0f), expected(dx.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const auto d = static_cast<std::size_t>(D);
            expected[i] = table[static_cast<std::size_t>(tokens[i / d]) * d + i % d];
        }
        embedding_forward(x.data(), table.data(), tokens.data(), T, D);
        embedding_backward(dtable.data(), dx.data(), tokens.data(), T, D);
        EXPECT_EQ(x, expected);
        EXPECT_NEAR(weighted_sum(x, dx), weighted_sum(table, dtable), 1e-4 * std::sqrt(static_cast<double>(T * D)));
    }
}

}  // namespace
}  // namespace moescope::kernels::test
