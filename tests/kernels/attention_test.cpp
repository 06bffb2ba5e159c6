#include "kernels/cpu/attention.hpp"

#include "harness.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

struct Buffers {
    explicit Buffers(const AttentionShape& s)
        : shape(s),
          q(random_floats(s.B * s.H * s.S * s.C, 1)),
          k(random_floats(s.B * s.G * s.S * s.C, 2)),
          v(random_floats(s.B * s.S * s.R, 3)),
          o(static_cast<std::size_t>(s.B * s.S * s.H * s.C)),
          lse(static_cast<std::size_t>(s.B * s.H * s.S)),
          scratch(static_cast<std::size_t>(attention_scratch(s.S) * workers())) {}
    void forward() { attention_forward(o.data(), lse.data(), q.data(), k.data(), v.data(), scratch.data(), shape); }

    AttentionShape shape;
    std::vector<float> q, k, v, o, lse, scratch;
};

constexpr AttentionShape kShapes[] = {
    {1, 1, 1, 1, 2, 2}, {2, 5, 4, 2, 6, 17}, {1, 67, 3, 1, 8, 8}, {1, 130, 2, 2, 4, 9}};

TEST(Attention, ForwardMatchesReference) {
    for (const AttentionShape& shape : kShapes) {
        Buffers b(shape);
        b.forward();
        std::vector<float> expected(b.o.size()), lse(b.lse.size());
        reference::attention_forward(expected.data(), lse.data(), b.q.data(), b.k.data(), b.v.data(), shape);
        expect_close(b.o, expected, 1e-5, 1e-5, "o");
        expect_close(b.lse, lse, 1e-5, 1e-5, "lse");
    }
}

TEST(Attention, GradientsMatchDifferences) {
    for (const AttentionShape& shape : kShapes) {
        Buffers b(shape);
        b.forward();
        const auto dout = random_floats(static_cast<std::int64_t>(b.o.size()), 4);
        std::vector<float> dq(b.q.size()), dk(b.k.size()), dv(b.v.size(), 0.0f);
        attention_backward(dq.data(), dk.data(), dv.data(), dout.data(), b.q.data(), b.k.data(), b.v.data(),
                           b.lse.data(), b.scratch.data(), shape);
        const auto loss = [&] {
            b.forward();
            return weighted_sum(b.o, dout);
        };
        expect_gradient(loss, b.q, dq, "dq");
        expect_gradient(loss, b.k, dk, "dk");
        expect_gradient(loss, b.v, dv, "dv");
    }
}

TEST(Attention, LaterTokensDoNotChangeEarlierOutputs) {
    const AttentionShape shape{1, 70, 2, 1, 4, 4};
    Buffers b(shape);
    b.forward();
    const auto before = b.o;
    for (std::size_t i = 0; i < 4; ++i) {
        b.k[69 * 4 + i] = 100.0f;
        b.v[69 * 4 + i] = 100.0f;
    }
    b.forward();
    const std::size_t early = 69 * 8;
    expect_close(std::span(b.o).first(early), std::span(before).first(early), 0, 0, "o before the change");
    EXPECT_NE(b.o[early], before[early]);
}

}  // namespace
}  // namespace moescope::kernels::test
