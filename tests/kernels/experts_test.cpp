#include "kernels/cpu/experts.hpp"

#include "harness.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

struct Case {
    ExpertShape shape;
    std::vector<std::int32_t> offsets;
    bool bias = false;
    std::int64_t rows() const { return offsets.back(); }
};

/// Every size with both activations, without and with biases.
std::vector<Case> cases() {
    // One row; an expert without rows; all rows on one expert; more rows than one block holds; dense layers (one
    // expert) of one row, some rows and many.
    const std::vector<std::pair<ExpertShape, std::vector<std::int32_t>>> sizes = {
        {{1, 3, 5}, {0, 1}},          {{4, 9, 7}, {0, 3, 3, 10, 11}},
        {{3, 17, 6}, {0, 0, 23, 23}}, {{2, 5, 70}, {0, 131, 400}},
        {{1, 33, 20}, {0, 1}},        {{1, 20, 33}, {0, 19}},
        {{1, 150, 70}, {0, 259}},     {{5, 40, 24}, {0, 16, 33, 33, 81, 97}}};
    std::vector<Case> result;
    for (auto [shape, offsets] : sizes) {
        for (const Activation activation : {Activation::swiglu, Activation::clamped_swiglu}) {
            for (const bool bias : {false, true}) {
                shape.activation = activation;
                result.push_back({shape, offsets, bias});
            }
        }
    }
    return result;
}

struct Buffers {
    explicit Buffers(const Case& c)
        : shape(c.shape),
          offsets(c.offsets),
          x(random_floats(c.rows() * c.shape.D, 1)),
          gate_up(random_floats(c.shape.E * 2 * c.shape.F * c.shape.D, 2, 0.4f)),
          down(random_floats(c.shape.E * c.shape.D * c.shape.F, 3, 0.4f)),
          gate_up_bias(c.bias ? random_floats(c.shape.E * 2 * c.shape.F, 5, 0.5f) : std::vector<float>()),
          down_bias(c.bias ? random_floats(c.shape.E * c.shape.D, 6) : std::vector<float>()),
          dy(random_floats(c.rows() * c.shape.D, 4)),
          gu(static_cast<std::size_t>(c.rows() * 2 * c.shape.F), std::nanf("")),
          h(static_cast<std::size_t>(c.rows() * c.shape.F), std::nanf("")),
          y(x.size()),
          dx(x.size()),
          dgate_up(gate_up.size(), 9.0f),
          ddown(down.size(), 9.0f),
          dgate_up_bias(gate_up_bias.size(), 9.0f),
          ddown_bias(down_bias.size(), 9.0f),
          dgu(gu.size(), std::nanf("")),
          dh(h.size(), std::nanf("")) {}
    static float* or_null(std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }
    ExpertWeights weights() { return {gate_up.data(), down.data(), or_null(gate_up_bias), or_null(down_bias)}; }
    void forward() { experts_forward(y.data(), gu.data(), h.data(), x.data(), weights(), offsets.data(), shape); }
    void backward() {
        experts_backward(dx.data(), {dgate_up.data(), ddown.data(), or_null(dgate_up_bias), or_null(ddown_bias)},
                         dgu.data(), dh.data(), dy.data(), x.data(), gu.data(), h.data(), weights(), offsets.data(),
                         shape);
    }

    ExpertShape shape;
    std::vector<std::int32_t> offsets;
    std::vector<float> x, gate_up, down, gate_up_bias, down_bias, dy, gu, h, y, dx, dgate_up, ddown, dgate_up_bias,
        ddown_bias, dgu, dh;
};

TEST(Experts, ForwardMatchesReference) {
    for (Case c : cases()) {
        c.shape.limit = 1.5f;  // so that many are clamped
        Buffers b(c);
        b.forward();
        std::vector<float> expected(b.y.size());
        reference::experts_forward(expected.data(), b.x.data(), b.weights(), c.offsets.data(), c.shape);
        const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
        expect_close(b.y, expected, 1e-5, 3e-6 * std::max(std::abs(*low), std::abs(*high)), "y");
    }
}

// The limit is out of reach here: differences across the kink would say nothing.
TEST(Experts, GradientsMatchDifferences) {
    for (Case c : cases()) {
        c.shape.limit = 100.0f;
        Buffers b(c);
        b.forward();
        b.backward();
        const auto loss = [&] {
            b.forward();
            return weighted_sum(b.y, b.dy);
        };
        expect_gradient(loss, b.x, b.dx, "dx");
        expect_gradient(loss, b.gate_up, b.dgate_up, "dgate_up");
        expect_gradient(loss, b.down, b.ddown, "ddown");
        expect_gradient(loss, b.gate_up_bias, b.dgate_up_bias, "dgate_up_bias");
        expect_gradient(loss, b.down_bias, b.ddown_bias, "ddown_bias");
        const auto zero = [&](const std::vector<float>& gradient, std::size_t e) {
            const std::size_t n = gradient.size() / static_cast<std::size_t>(c.shape.E);
            expect_close(std::span(gradient).subspan(e * n, n), std::vector<float>(n, 0.0f), 0, 0,
                         "expert without rows");
        };
        for (std::size_t e = 0; e + 1 < c.offsets.size(); ++e) {
            if (c.offsets[e] == c.offsets[e + 1]) {
                zero(b.dgate_up, e);
                zero(b.ddown, e);
                zero(b.dgate_up_bias, e);
                zero(b.ddown_bias, e);
            }
        }
    }
}

// With D = F = 1 and all weights 1 except the down projection, gate = x + bias and up = x + bias: every place around
// the limits can be set exactly.
TEST(Experts, ClampedGradientPassesUpToTheLimitAndStopsBeyond) {
    constexpr float limit = 2.0f, alpha = 1.5f;
    for (const float gate : {-9.0f, -2.0f, 0.5f, 2.0f, 2.25f}) {
        for (const float up : {-2.25f, -2.0f, 0.5f, 2.0f, 2.25f}) {
            Buffers b({{1, 1, 1, Activation::clamped_swiglu, alpha, limit}, {0, 1}, true});
            b.x = {0.0f};
            b.gate_up = {1.0f, 1.0f};
            b.gate_up_bias = {gate, up};
            b.down = {1.0f};
            b.down_bias = {0.0f};
            b.dy = {1.0f};
            b.forward();
            b.backward();
            const double g = std::min(gate, limit), u = std::clamp(up, -limit, limit);
            const double s = 1.0 / (1.0 + std::exp(-alpha * g));
            EXPECT_NEAR(b.y[0], g * s * (u + 1), 1e-5) << gate << " " << up;
            const double dgate = gate > limit ? 0.0 : (u + 1) * (s + g * alpha * s * (1 - s));
            const double dup = std::abs(up) > limit ? 0.0 : g * s;
            EXPECT_NEAR(b.dgate_up_bias[0], dgate, 1e-5) << gate << " " << up;
            EXPECT_NEAR(b.dgate_up_bias[1], dup, 1e-5) << gate << " " << up;
            EXPECT_NEAR(b.dx[0], dgate + dup, 1e-5) << gate << " " << up;
        }
    }
}

TEST(Experts, SameBitsWithAnyNumberOfThreads) {
    auto all = cases();
    all.push_back({{1, 256, 384}, {0, 100}, true});
    all.push_back({{1, 256, 384}, {0, 300}, true});
    all.push_back({{3, 256, 384}, {0, 16, 80, 300}, true});
    for (const Case& c : all) {
        Buffers one(c);
        set_workers(1);
        one.forward();
        one.backward();
        for (const int threads : {2, 3}) {
            Buffers many(c);
            set_workers(threads);
            many.forward();
            many.backward();
            EXPECT_EQ(one.y, many.y);
            EXPECT_EQ(one.dx, many.dx);
            EXPECT_EQ(one.dgate_up, many.dgate_up);
            EXPECT_EQ(one.ddown, many.ddown);
            EXPECT_EQ(one.dgate_up_bias, many.dgate_up_bias);
            EXPECT_EQ(one.ddown_bias, many.ddown_bias);
        }
    }
    set_workers(hardware_workers());
}

TEST(Experts, ANaNStaysVisible) {
    for (const Activation activation : {Activation::swiglu, Activation::clamped_swiglu}) {
        const std::vector<float> gu = {std::nanf(""), 1.0f, 1.0f, std::nanf("")};
        std::vector<float> h(2);
        activate_row(h.data(), gu.data(), {1, 1, 2, activation});
        EXPECT_TRUE(std::isnan(h[0]));
        EXPECT_TRUE(std::isnan(h[1]));
    }
}

}  // namespace
}  // namespace moescope::kernels::test
