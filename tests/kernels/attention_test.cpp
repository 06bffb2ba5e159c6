#include "kernels/cpu/attention.hpp"

#include "harness.hpp"
#include "kernels/cpu/cached_attention.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::test {
namespace {

struct Buffers {
    Buffers(const AttentionShape& s, bool with_sinks)
        : shape(s),
          q(random_floats(s.B * s.H * s.S * s.C, 1)),
          k(random_floats(s.B * s.G * s.S * s.C, 2)),
          v(random_floats(s.B * s.S * s.R, 3)),
          sinks(with_sinks ? random_floats(s.H, 4) : std::vector<float>()),
          o(static_cast<std::size_t>(s.B * s.S * s.H * s.Cv)),
          lse(static_cast<std::size_t>(s.B * s.H * s.S)),
          dout(random_floats(s.B * s.S * s.H * s.Cv, 5)),
          dq(q.size()),
          dk(k.size()),
          dv(v.size(), kUntouched),
          dsinks(sinks.size()),
          sink_partial(static_cast<std::size_t>(s.B * s.H), std::nanf("")),
          scratch(static_cast<std::size_t>(attention_scratch(s.S) * std::max(8, workers())), std::nanf("")) {}
    const float* sink_data() const { return sinks.empty() ? nullptr : sinks.data(); }
    void forward() {
        attention_forward(o.data(), lse.data(), q.data(), k.data(), v.data(), sink_data(), scratch.data(), shape);
    }
    void backward() {
        attention_backward(dq.data(), dk.data(), dv.data(), dsinks.data(), sink_partial.data(), dout.data(), q.data(),
                           k.data(), v.data(), sink_data(), lse.data(), scratch.data(), shape);
    }
    /// Whether an element of v belongs to a head; the others are somebody else's.
    bool is_value(std::size_t i) const {
        const auto column = static_cast<std::int64_t>(i) % shape.R;
        return column / shape.stride < shape.G && column % shape.stride < shape.Cv;
    }

    static constexpr float kUntouched = 7.0f;
    AttentionShape shape;
    std::vector<float> q, k, v, sinks, o, lse, dout, dq, dk, dv, dsinks, sink_partial, scratch;
};

// B S H G C Cv R stride scale window: one token; values narrower, wider and with gaps; one key-value head for all and
// one each; windows of one, inside a block, over several blocks, beyond the sequence.
constexpr AttentionShape kShapes[] = {{1, 1, 1, 1, 2, 2, 2, 2, 0.7, 0},      {1, 1, 2, 1, 4, 3, 5, 4, 0.5, 3},
                                      {2, 5, 4, 2, 6, 3, 17, 7, 0.4, 0},     {1, 67, 3, 1, 8, 8, 8, 8, 0.35, 1},
                                      {1, 130, 2, 2, 4, 5, 11, 6, 0.5, 9},   {2, 133, 2, 1, 5, 6, 6, 6, 0.45, 70},
                                      {1, 70, 4, 4, 4, 3, 12, 3, 0.5, 64},   {1, 20, 2, 2, 4, 4, 8, 4, 0.5, 1000},
                                      {1, 129, 3, 3, 16, 4, 14, 5, 0.25, 0}, {1, 65, 1, 1, 3, 2, 2, 2, 0.6, 2}};

TEST(Attention, ForwardMatchesReference) {
    for (const AttentionShape& shape : kShapes) {
        for (const bool sinks : {false, true}) {
            Buffers b(shape, sinks);
            b.forward();
            std::vector<float> expected(b.o.size()), lse(b.lse.size());
            reference::attention_forward(expected.data(), lse.data(), b.q.data(), b.k.data(), b.v.data(), b.sink_data(),
                                         shape);
            expect_close(b.o, expected, 1e-5, 1e-5, "o");
            expect_close(b.lse, lse, 1e-5, 1e-5, "lse");
        }
    }
}

TEST(Attention, GradientsMatchDifferences) {
    for (const AttentionShape& shape : kShapes) {
        for (const bool sinks : {false, true}) {
            Buffers b(shape, sinks);
            b.forward();
            for (std::size_t i = 0; i < b.dout.size(); ++i) {
                b.dout[i] += b.o[i];  // not at right angles to o, or the sinks' gradient could be wrong unseen
            }
            b.backward();
            for (std::size_t i = 0; i < b.v.size(); ++i) {
                if (!b.is_value(i)) {
                    ASSERT_EQ(b.dv[i], Buffers::kUntouched) << i;
                    b.dv[i] = 0;
                }
            }
            const auto loss = [&] {
                b.forward();
                return weighted_sum(b.o, b.dout);
            };
            const std::string what = " S " + std::to_string(shape.S) + " window " + std::to_string(shape.window);
            if (shape.window == 1 && !sinks) {  // one score has probability 1 whatever it is
                expect_close(b.dq, std::vector<float>(b.dq.size(), 0.0f), 0, 1e-5, "dq" + what);
                expect_close(b.dk, std::vector<float>(b.dk.size(), 0.0f), 0, 1e-5, "dk" + what);
            } else {
                expect_gradient(loss, b.q, b.dq, "dq" + what);
                expect_gradient(loss, b.k, b.dk, "dk" + what);
            }
            expect_gradient(loss, b.v, b.dv, "dv" + what);
            expect_gradient(loss, b.sinks, b.dsinks, "dsinks" + what);
        }
    }
}

TEST(Attention, LaterTokensDoNotChangeEarlierOutputs) {
    Buffers b({1, 70, 2, 1, 4, 4, 4, 4, 0.5, 0}, false);
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

// Keys and values outside the window of a whole block are not even read: NaN there changes nothing. That is also why
// the cost falls with the window.
TEST(Attention, KeysOutsideTheWindowAreNotRead) {
    Buffers b({1, 256, 2, 1, 4, 4, 4, 4, 0.5, 9}, true);
    b.forward();
    b.backward();
    const auto o = b.o, dq = b.dq;
    std::fill_n(b.k.begin(), (192 - 8) * 4, std::nanf(""));
    std::fill_n(b.v.begin(), (192 - 8) * 4, std::nanf(""));
    b.forward();
    b.backward();
    const std::size_t late = 192 * 8;
    expect_close(std::span(b.o).subspan(late), std::span(o).subspan(late), 0, 0, "o in the last block");
    for (const std::size_t head : {0u, 1u}) {
        const std::size_t from = (head * 256 + 192) * 4, n = 64 * 4;
        expect_close(std::span(b.dq).subspan(from, n), std::span(dq).subspan(from, n), 0, 0, "dq in the last block");
    }
    EXPECT_TRUE(std::isnan(b.o[0]));
}

TEST(Attention, AStrongSinkTakesEverythingAndAWeakOneNothing) {
    const AttentionShape shape{1, 66, 2, 2, 4, 4, 8, 4, 0.5, 0};
    Buffers b(shape, true), without(shape, false);
    b.sinks = {200.0f, -200.0f};
    b.forward();
    without.forward();
    for (std::size_t i = 0; i < b.o.size(); ++i) {
        EXPECT_NEAR(b.o[i], i / 4 % 2 == 0 ? 0.0f : without.o[i], 1e-6) << i;
    }
    for (std::size_t s = 0; s < 66; ++s) {
        EXPECT_FLOAT_EQ(b.lse[s], 200.0f);
        EXPECT_FLOAT_EQ(b.lse[66 + s], without.lse[66 + s]);
    }
}

TEST(Attention, SameBitsWithAnyNumberOfThreads) {
    // The last shapes are big enough for the matrix library to share a product among threads if it were let.
    std::vector<AttentionShape> shapes(std::begin(kShapes), std::end(kShapes));
    shapes.push_back({1, 300, 1, 1, 64, 64, 64, 64, 0.1, 0});
    shapes.push_back({2, 300, 4, 2, 64, 32, 64, 32, 0.1, 100});
    for (const AttentionShape& shape : shapes) {
        Buffers one(shape, true);
        set_workers(1);
        one.forward();
        one.backward();
        for (const int threads : {2, 3}) {
            Buffers many(shape, true);
            set_workers(threads);
            many.forward();
            many.backward();
            EXPECT_EQ(one.o, many.o);
            EXPECT_EQ(one.lse, many.lse);
            EXPECT_EQ(one.dq, many.dq);
            EXPECT_EQ(one.dk, many.dk);
            EXPECT_EQ(one.dv, many.dv);
            EXPECT_EQ(one.dsinks, many.dsinks);
        }
    }
    set_workers(hardware_workers());
}

TEST(Attention, ANaNStaysVisible) {
    Buffers b({1, 5, 2, 1, 4, 4, 4, 4, 0.5, 0}, true);
    b.q[0] = std::nanf("");
    b.forward();
    EXPECT_TRUE(std::isnan(b.o[0]));
    EXPECT_TRUE(std::isnan(b.lse[0]));
    EXPECT_FALSE(std::isnan(b.o[8]));
}

// One query over a cache is the last row of the whole attention. Widths that fill the lanes, do not, and do in part.
TEST(CachedAttention, IsTheLastRowOfTheWhole) {
    for (const std::int64_t C : {1, 5, 16, 23, 64, 80, 130}) {
        for (const std::int64_t S : {1, 2, 17, 70}) {
            for (const bool with_sink : {false, true}) {
                const AttentionShape shape{1, S, 1, 1, C, C, C, C, 0.3, 0};
                const Buffers b(shape, with_sink);
                std::vector<float> expected(b.o.size()), lse(b.lse.size());
                reference::attention_forward(expected.data(), lse.data(), b.q.data(), b.k.data(), b.v.data(),
                                             b.sink_data(), shape);
                std::vector<float> scores(static_cast<std::size_t>(S), 0.5f), out(static_cast<std::size_t>(C), 9.0f);
                const float* q = b.q.data() + (S - 1) * C;
                query_scores(scores.data(), q, b.k.data(), S, C, Write::add);
                for (float& score : scores) {
                    score -= 0.5f;
                }
                query_softmax(scores.data(), S, shape.scale, b.sink_data());
                weighted_rows(out.data(), scores.data(), b.v.data(), S, C);
                expect_close(out, std::vector<float>(expected.end() - C, expected.end()), 1e-5, 1e-5, "o");
                query_scores(scores.data(), q, b.k.data(), S, C, Write::assign);
                query_softmax(scores.data(), S, shape.scale, b.sink_data());
                weighted_rows(out.data(), scores.data(), b.v.data(), S, C);
                expect_close(out, std::vector<float>(expected.end() - C, expected.end()), 1e-5, 1e-5, "o");
            }
        }
    }
}

}  // namespace
}  // namespace moescope::kernels::test
