#include "kernels/cpu/experts.hpp"

#include "harness.hpp"

namespace moescope::kernels::test {
namespace {

struct Case {
    ExpertShape shape;
    std::vector<std::int32_t> offsets;
    std::int64_t rows() const { return offsets.back(); }
};

// One row; an expert without rows; all rows on one expert; more rows than one block holds.
const Case kCases[] = {
    {{1, 3, 5}, {0, 1}}, {{4, 9, 7}, {0, 3, 3, 10, 11}}, {{3, 17, 6}, {0, 0, 23, 23}}, {{2, 5, 70}, {0, 131, 400}}};

struct Buffers {
    explicit Buffers(const Case& c)
        : x(random_floats(c.rows() * c.shape.D, 1)),
          gate_up(random_floats(c.shape.E * 2 * c.shape.F * c.shape.D, 2, 0.4f)),
          down(random_floats(c.shape.E * c.shape.D * c.shape.F, 3, 0.4f)),
          gu(static_cast<std::size_t>(c.rows() * 2 * c.shape.F)),
          h(static_cast<std::size_t>(c.rows() * c.shape.F)),
          y(x.size()) {}
    void forward(const Case& c) {
        experts_forward(y.data(), gu.data(), h.data(), x.data(), gate_up.data(), down.data(), c.offsets.data(),
                        c.shape);
    }
    std::vector<float> x, gate_up, down, gu, h, y;
};

TEST(Experts, ForwardMatchesReference) {
    for (const Case& c : kCases) {
        Buffers b(c);
        b.forward(c);
        std::vector<float> expected(b.y.size());
        reference::experts_forward(expected.data(), b.x.data(), b.gate_up.data(), b.down.data(), c.offsets.data(),
                                   c.shape);
        expect_close(b.y, expected, 1e-4, 1e-5, "y");
    }
}

TEST(Experts, GradientsMatchDifferences) {
    for (const Case& c : kCases) {
        Buffers b(c);
        b.forward(c);
        const auto dy = random_floats(static_cast<std::int64_t>(b.y.size()), 4);
        std::vector<float> dx(b.x.size()), dgate_up(b.gate_up.size(), 9.0f), ddown(b.down.size(), 9.0f),
            dgu(b.gu.size()), dh(b.h.size());
        experts_backward(dx.data(), dgate_up.data(), ddown.data(), dgu.data(), dh.data(), dy.data(), b.x.data(),
                         b.gu.data(), b.h.data(), b.gate_up.data(), b.down.data(), c.offsets.data(), c.shape);
        const auto loss = [&] {
            b.forward(c);
            return weighted_sum(b.y, dy);
        };
        expect_gradient(loss, b.x, dx, "dx");
        expect_gradient(loss, b.gate_up, dgate_up, "dgate_up");
        expect_gradient(loss, b.down, ddown, "ddown");
        for (std::size_t e = 0; e + 1 < c.offsets.size(); ++e) {
            if (c.offsets[e] == c.offsets[e + 1]) {
                const auto n = static_cast<std::size_t>(c.shape.D * c.shape.F);
                expect_close(std::span(ddown).subspan(e * n, n), std::vector<float>(n, 0.0f), 0, 0,
                             "expert without rows");
            }
        }
    }
}

}  // namespace
}  // namespace moescope::kernels::test
