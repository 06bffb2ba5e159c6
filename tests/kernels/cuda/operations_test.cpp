// Every operation of the device against the processor's, at odd sizes.
#include "base/half_floats.hpp"
#include "tests/kernels/cuda/device_harness.hpp"

namespace moescope::kernels::test {
namespace {

TEST(DeviceOperations, RmsNorm) {
    for (const auto& [T, D] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 5}, {37, 129}, {70, 200}}) {
        for (const Write write : {Write::assign, Write::add}) {
            expect_same(
                [&, T = T, D = D](Ops& ops) {
                    const Floats x(ops, random_floats(T * D, 1)), w(ops, random_floats(D, 2)),
                        dy(ops, random_floats(T * D, 3)), dx(ops, random_floats(T * D, 4)), y(ops, T * D), rstd(ops, T),
                        dw(ops, D);
                    ops.rms_norm_forward(y.at(), rstd.at(), x.at(), w.at(), T, D, 1e-6);
                    ops.rms_norm_backward(dx.at(), dw.at(), dy.at(), x.at(), rstd.at(), w.at(), T, D, write);
                    Left left;
                    left.add(y);
                    left.add(rstd);
                    left.add(dx);
                    left.add(dw);
                    return left;
                },
                2e-5, 2e-5, "rms norm " + std::to_string(T) + " x " + std::to_string(D));
        }
    }
}

TEST(DeviceOperations, Linear) {
    for (const auto& [T, I, O] : {std::array<std::int64_t, 3>{1, 1, 1}, {5, 33, 7}, {65, 40, 97}}) {
        for (const Write write : {Write::assign, Write::add}) {
            for (const bool own : {false, true}) {
                bool rounded = false;
                const auto given = [&](std::int64_t count, std::uint64_t seed) {
                    std::vector<float> values = random_floats(count, seed);
                    for (float& value : values) {
                        value = rounded ? base::bf16_to_float(base::float_to_bf16(value)) : value;
                    }
                    return values;
                };
                const auto run = [&, T = T, I = I, O = O](Ops& ops) {
                    const Floats x(ops, given(T * I, 1)), w(ops, given(O * I, 2)), b(ops, random_floats(O, 3)),
                        dy(ops, given(T * O, 4)), y(ops, random_floats(T * O, 5)), dx(ops, random_floats(T * I, 6)),
                        dw(ops, random_floats(O * I, 7)), db(ops, random_floats(O, 8));
                    ops.linear_forward(y.at(), x.at(), w.at(), b.at(), T, I, O, write);
                    ops.linear_backward_input(dx.at(), dy.at(), w.at(), T, I, O, write);
                    ops.linear_backward_weight(dw.at(), dy.at(), x.at(), T, I, O, write);
                    ops.linear_backward_bias(db.at(), dy.at(), T, O, write);
                    Left left;
                    left.add(y);
                    left.add(dx);
                    left.add(dw);
                    left.add(db);
                    return left;
                };
                if (!own) {
                    expect_same(run, 3e-5, 3e-5, "linear");
                    continue;
                }
                // The own tiled kernel in the place of a library, in single precision and with rounded operands.
                for (const Operands operands : {Operands::f32, Operands::bf16}) {
                    const std::unique_ptr<Ops> cpu = processor(), device = device_under_test(false);
                    device->set_operands(operands);
                    const Left actual = run(*device);
                    rounded = operands == Operands::bf16;  // the processor rounds large products alone
                    const Left expected = run(*cpu);
                    rounded = false;
                    expect_close(actual, expected, 3, 3e-5, "tiled, of " + std::to_string(T) + ", product");
                }
            }
        }
    }
}

TEST(DeviceOperations, WithoutAFormula) {
    constexpr std::int64_t kRows = 19, kWidth = 37, n = kRows * kWidth;
    expect_same(
        [&](Ops& ops) {
            const Floats a(ops, random_floats(n, 1)), b(ops, random_floats(n, 2)), sum(ops, n), share(ops, n),
                noisy(ops, n), wide(ops, 2 * n);
            const Array<std::uint64_t> seed(ops, std::vector<std::uint64_t>{7});
            const Integers targets(ops, random_tokens(21, 99, 3)), tokens(ops, 21), next(ops, 21);
            ops.add(sum.at(), a.at(), b.at(), n);
            ops.add_share(share.at(), a.at(), 0.25f, true, n);
            ops.add_share(share.at(), b.at(), 0.25f, false, n);
            ops.jitter(noisy.at(), a.at(), n, 0.1, seed.at(), 3, 5);
            ops.copy_columns(wide.at() + kWidth, 2 * kWidth, a.at(), kWidth, kRows, kWidth);
            ops.next_targets(tokens.at(), next.at(), targets.at(), 21, 7);
            Left left;
            left.add(sum);
            left.add(share);
            left.add(noisy);
            left.add(wide);
            left.add_equal(tokens);
            left.add_equal(next);
            return left;
        },
        1e-6, 1e-7, "elementwise");
    const std::unique_ptr<Ops> device = device_under_test();
    std::vector<float> values = random_floats(5001, 5);
    EXPECT_TRUE(device->all_finite(Floats(*device, values).at(), 5001));
    for (const float broken : {INFINITY, -INFINITY, NAN}) {
        values[4999] = broken;
        EXPECT_FALSE(device->all_finite(Floats(*device, values).at(), 5001));
        EXPECT_TRUE(device->all_finite(Floats(*device, values).at(), 4999)) << "it looks no further";
    }
}

TEST(DeviceOperations, Embedding) {
    constexpr std::int64_t T = 300, V = 11, D = 37;  // tokens that come back, also more than a piece later
    expect_same(
        [&](Ops& ops) {
            const Floats table(ops, random_floats(V * D, 1)), x(ops, T * D), dx(ops, random_floats(T * D, 2)),
                dtable(ops, random_floats(V * D, 3));
            const Integers tokens(ops, random_tokens(T, V, 4));
            ops.embedding_forward(x.at(), table.at(), tokens.at(), T, D);
            ops.embedding_backward(dtable.at(), dx.at(), tokens.at(), T, D);
            Left left;
            left.add(x);
            left.add(dtable);
            return left;
        },
        1e-6, 1e-6, "embedding");
}

TEST(DeviceOperations, QueriesAndKeys) {
    for (const QkNorm norm : {QkNorm::none, QkNorm::head, QkNorm::full}) {
        for (const RopeOrder order : {RopeOrder::half, RopeOrder::interleaved}) {
            HeadShape shape;
            shape.B = 2;
            shape.S = 21;
            shape.N = 3;
            shape.C = 10;
            shape.R = 47;
            shape.rope = 6;
            shape.norm = norm;
            shape.order = order;
            const std::int64_t T = shape.B * shape.S, all = T * shape.N * shape.C, W = shape.N * shape.C;
            expect_same(
                [&](Ops& ops) {
                    RopeSpec spec;
                    spec.factor = 4;
                    spec.original_context = 8;
                    const Floats cosines(ops, shape.S * 3), sines(ops, shape.S * 3);
                    ops.rope_tables(cosines.at(), sines.at(), shape.S, shape.rope, spec);
                    const Floats x(ops, random_floats(T * shape.R, 1)), w(ops, random_floats(W, 2)),
                        dy(ops, random_floats(all, 3)), y(ops, all), rstd(ops, std::vector<float>(T * shape.N, 0.0f)),
                        dx(ops, std::vector<float>(T * shape.R, 0.0f)), dw(ops, std::vector<float>(W, 0.0f)),
                        scratch(ops, std::max<std::int64_t>(1, ops.qk_norm_scratch(shape)));
                    ops.qk_norm_forward(y.at(), rstd.at(), x.at(), w.at(), cosines.at(), sines.at(), shape);
                    ops.qk_norm_backward(dx.at(), dw.at(), scratch.at(), dy.at(), x.at(), rstd.at(), w.at(),
                                         cosines.at(), sines.at(), shape);
                    Left left;
                    left.add(y);
                    left.add(rstd);
                    left.add(dx);
                    left.add(dw);
                    return left;
                },
                3e-5, 3e-5, "queries and keys, norm " + std::to_string(static_cast<int>(norm)));
        }
    }
}

TEST(DeviceOperations, LatentKeys) {
    LatentKeyShape shape;
    shape.B = 2;
    shape.S = 9;
    shape.N = 3;
    shape.nope = 5;
    shape.rope = 4;
    shape.stride = 12;
    shape.R = 36;
    shape.R_rope = 11;
    const std::int64_t T = shape.B * shape.S, all = T * shape.N * 9;
    expect_same(
        [&](Ops& ops) {
            const Floats cosines(ops, shape.S * 2), sines(ops, shape.S * 2);
            ops.rope_tables(cosines.at(), sines.at(), shape.S, shape.rope, {});
            const Floats own(ops, random_floats(T * shape.R, 1)), shared(ops, random_floats(T * shape.R_rope, 2)),
                k(ops, all), dk(ops, random_floats(all, 3)), down(ops, std::vector<float>(T * shape.R, 0.0f)),
                dshared(ops, std::vector<float>(T * shape.R_rope, 0.0f));
            ops.latent_key_forward(k.at(), own.at(), shared.at(), cosines.at(), sines.at(), shape);
            ops.latent_key_backward(down.at(), dshared.at(), dk.at(), cosines.at(), sines.at(), shape);
            Left left;
            left.add(k);
            left.add(down);
            left.add(dshared);
            return left;
        },
        2e-6, 2e-6, "latent keys");
}

TEST(DeviceOperations, Attention) {
    for (const std::int64_t window : {0, 7}) {
        for (const bool sinks : {false, true}) {
            for (const std::int64_t S : {1, 31, 70}) {
                AttentionShape shape;
                shape.B = 2;
                shape.S = S;
                shape.H = 4;
                shape.G = 2;
                shape.C = 10;
                shape.Cv = 35;
                shape.R = 83;
                shape.stride = 36;
                shape.scale = 0.3;
                shape.window = window;
                const std::int64_t T = shape.B * S;
                expect_same(
                    [&](Ops& ops) {
                        const Floats q(ops, random_floats(T * 4 * 10, 1)), k(ops, random_floats(T * 2 * 10, 2)),
                            v(ops, random_floats(T * shape.R, 3)), given(ops, random_floats(4, 4)),
                            dout(ops, random_floats(T * 4 * 35, 5)), o(ops, T * 4 * 35), lse(ops, T * 4),
                            dq(ops, T * 4 * 10), dk(ops, T * 2 * 10), dv(ops, std::vector<float>(T * shape.R, 0.0f)),
                            dsinks(ops, std::vector<float>(4, 0.0f)), partial(ops, 8),
                            scratch(ops, ops.attention_scratch(shape));
                        const float* given_or_none = sinks ? given.at() : nullptr;
                        ops.attention_forward(o.at(), lse.at(), q.at(), k.at(), v.at(), given_or_none, scratch.at(),
                                              shape);
                        ops.attention_backward(dq.at(), dk.at(), dv.at(), sinks ? dsinks.at() : nullptr, partial.at(),
                                               dout.at(), o.at(), q.at(), k.at(), v.at(), given_or_none, lse.at(),
                                               scratch.at(), shape);
                        Left left;
                        for (const Floats* array : {&o, &lse, &dq, &dk, &dv, &dsinks}) {
                            left.add(*array);
                        }
                        return left;
                    },
                    1e-4, 1e-4, "attention over " + std::to_string(S) + ", window " + std::to_string(window));
            }
        }
    }
}

/// Queries, keys and values in their projections, with random numbers.
AttentionShape rounded_shape(std::int64_t S, std::int64_t C, std::int64_t Cv, std::int64_t window) {
    AttentionShape shape;
    shape.B = 2;
    shape.S = S;
    shape.H = 4;
    shape.G = 2;
    shape.C = C;
    shape.Cv = Cv;
    shape.stride = Cv + 1;
    shape.R = 2 * shape.stride + 13;
    shape.scale = 0.3;
    shape.window = window;
    shape.rounded = true;
    return shape;
}

/// o, lse, dq, dk, dv, dsinks of attention with operands of bfloat16.
/// `already`: the operands are rounded before.
Left rounded_attention(Ops& ops, AttentionShape shape, bool sinks, bool already = false) {
    const std::int64_t T = shape.B * shape.S, H = shape.H, G = shape.G;
    shape.sinks = sinks;
    const auto numbers = [already](std::int64_t count, std::uint64_t seed) {
        std::vector<float> values = random_floats(count, seed);
        for (float& value : values) {
            value = already ? base::bf16_to_float(base::float_to_bf16(value)) : value;
        }
        return values;
    };
    const Floats q(ops, numbers(T * H * shape.C, 1)), k(ops, numbers(T * G * shape.C, 2)),
        v(ops, numbers(T * shape.R, 3)), given(ops, random_floats(H, 4)), dout(ops, numbers(T * H * shape.Cv, 5)),
        o(ops, T * H * shape.Cv), lse(ops, T * H), dq(ops, T * H * shape.C), dk(ops, T * G * shape.C),
        dv(ops, T * shape.R), dsinks(ops, H), partial(ops, shape.B * H), scratch(ops, ops.attention_scratch(shape));
    const float* given_or_none = sinks ? given.at() : nullptr;
    ops.attention_forward(o.at(), lse.at(), q.at(), k.at(), v.at(), given_or_none, scratch.at(), shape);
    ops.attention_backward(dq.at(), dk.at(), dv.at(), sinks ? dsinks.at() : nullptr, partial.at(), dout.at(), o.at(),
                           q.at(), k.at(), v.at(), given_or_none, lse.at(), scratch.at(), shape);
    Left left;
    for (const Floats* array : {&o, &lse, &dq, &dk, &dv, &dsinks}) {
        left.add(*array);
    }
    return left;
}

/// How far two computations of it may be apart, absolutely: both round what they give by half of 2^-8 of it, and each
/// may have rounded probabilities and gradients of scores by half of 2^-8 too, where products of those are added up.
/// Random numbers here are in [-1, 1): a probability's error meets values of 1 at most, and those of a query add up to
/// 1; a key's of the H / G S queries that see it to H / G (1 + ln S) where attention is even. Gradients of
/// probabilities are sums of Cv products, sqrt(Cv) in size.
std::array<double, 6> rounded_tolerances(const AttentionShape& n) {
    const double unit = 0x1p-8, of_key = static_cast<double>(n.H / n.G) * (1 + std::log(static_cast<double>(n.S))),
                 gradient = std::sqrt(static_cast<double>(n.Cv));
    return {2 * unit,
            1e-4,
            2 * unit * n.scale * gradient,
            2 * unit * n.scale * gradient * of_key,
            2 * unit * of_key,
            2 * unit * gradient * static_cast<double>(n.B) * of_key};
}

TEST(DeviceOperations, RoundedAttention) {
    for (const std::int64_t window : {0, 7}) {
        for (const bool sinks : {false, true}) {
            for (const auto& [S, C, Cv] :  // a library's; too short, too odd and too wide for one
                 {std::array<std::int64_t, 3>{31, 16, 24}, {70, 24, 8}, {1, 16, 16}, {31, 10, 35}, {33, 16, 72}}) {
                const AttentionShape shape = rounded_shape(S, C, Cv, window);
                const std::string what = "rounded attention over " + std::to_string(S) + ", widths " +
                                         std::to_string(C) + " and " + std::to_string(Cv) + ", window " +
                                         std::to_string(window) + (sinks ? ", sinks" : "");
                const std::unique_ptr<Ops> cpu = processor();
                const Left expected = rounded_attention(*cpu, shape, sinks);
                const std::array<double, 6> tolerances = rounded_tolerances(shape);
                for (const bool library : {true, false}) {
                    const std::unique_ptr<Ops> device = device_under_test(library);
                    simt::set_seed(1);
                    const Left first = rounded_attention(*device, shape, sinks);
                    simt::set_seed(2);
                    const Left second = rounded_attention(*device, shape, sinks);
                    for (std::size_t i = 0; i < tolerances.size(); ++i) {
                        expect_close(first.close[i], expected.close[i], 0x1p-7, tolerances[i],
                                     what + (library ? ", result " : ", own kernels, result ") + std::to_string(i));
                        EXPECT_EQ(std::memcmp(first.close[i].data(), second.close[i].data(),
                                              first.close[i].size() * sizeof(float)),
                                  0)
                            << what << ": result " << i << " is not the same again";
                    }
                }
            }
        }
    }
}

/// A library's attention beside the own kernels' on the same rounded numbers, on the same device: cuDNN's on a GPU.
TEST(DeviceOperations, RoundedAttentionIsTheOwnKernelsOfRoundedNumbers) {
    const bool gpu = std::getenv("MOESCOPE_TEST_DEVICE") != nullptr;
    std::vector<AttentionShape> shapes{rounded_shape(31, 16, 24, 7)};
    if (gpu) {
        shapes = {rounded_shape(300, 64, 64, 0), rounded_shape(300, 64, 64, 128), rounded_shape(129, 128, 128, 0),
                  rounded_shape(200, 128, 64, 0)};
    }
    const std::unique_ptr<Ops> device = device_under_test();
    for (const AttentionShape& shape : shapes) {
        for (const bool sinks : {false, true}) {
            const std::string what = std::to_string(shape.S) + " tokens, widths " + std::to_string(shape.C) + " and " +
                                     std::to_string(shape.Cv) + ", window " + std::to_string(shape.window) +
                                     (sinks ? ", sinks" : "");
            const Left library = rounded_attention(*device, shape, sinks),
                       again = rounded_attention(*device, shape, sinks);
            AttentionShape plain = shape;
            plain.rounded = false;
            const Left own = rounded_attention(*device, plain, sinks, true);
            const std::array<double, 6> tolerances = rounded_tolerances(shape);
            for (std::size_t i = 0; i < tolerances.size(); ++i) {
                expect_close(library.close[i], own.close[i], 0x1p-7, tolerances[i],
                             what + ", result " + std::to_string(i));
                EXPECT_EQ(library.close[i], again.close[i]) << what << ", result " << i << " is not the same again";
            }
        }
    }
    if (gpu && device->attention_by().find("own kernels") != std::string::npos) {
        GTEST_SKIP() << "cuDNN did not compute all of it: " << device->attention_by();
    }
}

/// The very numbers: what is rounded, and what isn't, on the processor, by a library and by the own kernels.
TEST(DeviceOperations, RoundedAttentionRoundsOperandsAndResults) {
    const AttentionShape shape = rounded_shape(31, 16, 24, 7);
    for (const int which : {0, 1, 2}) {
        const std::unique_ptr<Ops> ops = which == 0 ? processor() : device_under_test(which == 1);
        const Left left = rounded_attention(*ops, shape, true), again = rounded_attention(*ops, shape, true, true);
        for (std::size_t i = 0; i < left.close.size(); ++i) {
            EXPECT_EQ(left.close[i], again.close[i]) << which << ": result " << i << " is of operands not all rounded";
        }
        std::int64_t untouched = 0;  // columns between the values', which are nobody's
        for (const std::size_t i : {0, 2, 3, 4}) {
            for (const float value : left.close[i]) {
                ASSERT_EQ(value, base::bf16_to_float(base::float_to_bf16(value))) << which << ": result " << i;
                untouched += i == 4 && value == -7.0f ? 1 : 0;
            }
        }
        EXPECT_EQ(untouched, shape.B * shape.S * (shape.R - shape.G * shape.Cv)) << which;
        AttentionShape plain = shape;
        plain.rounded = false;
        const Left exact = rounded_attention(*ops, plain, true);
        EXPECT_NE(exact.close[0], left.close[0]);
        EXPECT_NE(exact.close[1], left.close[1]);
        expect_close(left.close[0], exact.close[0], 0x1p-6, 0x1p-6, "rounded beside exact");
    }
}

/// Who computed it: said once something was.
TEST(DeviceOperations, RoundedAttentionSaysByWhom) {
    const auto by = [](bool library, std::initializer_list<AttentionShape> shapes) {
        const std::unique_ptr<Ops> device = device_under_test(library);
        for (const AttentionShape& shape : shapes) {
            rounded_attention(*device, shape, false);
        }
        return device->attention_by();
    };
    if (std::getenv("MOESCOPE_TEST_DEVICE") != nullptr) {
        GTEST_SKIP() << "these are the emulated library's words";
    }
    const AttentionShape taken = rounded_shape(9, 8, 16, 0), odd = rounded_shape(9, 10, 16, 0),
                         wide = rounded_shape(9, 72, 16, 0), one = rounded_shape(1, 8, 8, 0);
    EXPECT_EQ(by(true, {}), "");
    EXPECT_EQ(by(true, {taken}), "the emulated library");
    EXPECT_EQ(by(true, {odd, wide}),
              "own kernels (the emulated library takes heads whose widths are multiples of 8, not 10 and 16)");
    EXPECT_EQ(by(true, {wide}), "own kernels (the emulated library: heads are at most 64 wide here)");
    EXPECT_EQ(by(true, {taken, one}),
              "the emulated library, and in some layers own kernels (sequences of one token are not for the emulated "
              "library)");
    EXPECT_EQ(by(false, {taken}), "own kernels (the emulated device has no library)");
}

TEST(DeviceOperations, DispatchExpertsAndCombine) {
    constexpr std::int64_t T = 41, E = 5, J = 3, D = 18, F = 7;
    std::vector<std::int32_t> ids = random_tokens(T * J, E, 1);
    std::vector<std::uint8_t> kept(ids.size(), 1);
    std::vector<std::uint32_t> counts(E, 0);
    for (std::size_t slot = 0; slot < ids.size(); ++slot) {
        ids[slot] = ids[slot] == 2 ? 3 : ids[slot];  // an expert without rows
        kept[slot] = slot % 7 != 3 ? 1 : 0;
        counts[static_cast<std::size_t>(ids[slot])] += kept[slot];
    }
    const std::int64_t R = std::count(kept.begin(), kept.end(), 1);
    for (const Activation activation : {Activation::swiglu, Activation::clamped_swiglu}) {
        for (const bool grouped : {true, false}) {
            ExpertShape shape;
            shape.E = grouped ? E : 1;
            shape.D = D;
            shape.F = F;
            shape.activation = activation;
            shape.limit = 1.0f;
            const auto run = [&](Ops& ops) {
                const Integers ids_TJ(ops, ids), offsets(ops, E + 1), row_of(ops, T * J),
                    token_of(ops, std::vector<std::int32_t>(T * J, 0));
                const Array<std::uint8_t> kept_TJ(ops, kept);
                const Array<std::uint32_t> counts_E(ops, counts);
                ops.dispatch_plan(offsets.at(), row_of.at(), token_of.at(), ids_TJ.at(), kept_TJ.at(), counts_E.at(), T,
                                  E, J);
                const std::vector<float> none(static_cast<std::size_t>(T * J * D), 0.0f);
                const Floats x(ops, random_floats(T * D, 2)), rows_x(ops, none), y(ops, none), dy(ops, none),
                    drows(ops, none), dx(ops, T * D), out(ops, T * D), weights(ops, random_floats(T * J, 3)),
                    dweights(ops, T * J), dout(ops, random_floats(T * D, 4)), gu(ops, T * J * 2 * F), h(ops, T * J * F),
                    dgu(ops, T * J * 2 * F), dh(ops, T * J * F);
                const Floats up(ops, random_floats(E * 2 * F * D, 5, 0.5f)), down(ops, random_floats(E * D * F, 6)),
                    up_bias(ops, random_floats(E * 2 * F, 7)), down_bias(ops, random_floats(E * D, 8)),
                    g_up(ops, std::vector<float>(E * 2 * F * D, 0.0f)),
                    g_down(ops, std::vector<float>(E * D * F, 0.0f)),
                    g_up_bias(ops, std::vector<float>(E * 2 * F, 0.0f)),
                    g_down_bias(ops, std::vector<float>(E * D, 0.0f));
                ExpertRows rows;
                rows.offsets_E1 = grouped ? offsets.at() : nullptr;
                rows.most = grouped ? T * J : R;
                ops.gather_forward(rows_x.at(), x.at(), token_of.at(), {offsets.at(), T * J}, E, D);
                const ExpertWeights w{up.at(), down.at(), up_bias.at(), down_bias.at()};
                ops.experts_forward(y.at(), gu.at(), h.at(), rows_x.at(), w, rows, shape);
                ops.combine_forward(out.at(), x.at(), y.at(), weights.at(), row_of.at(), T, J, D);
                ops.combine_backward(dy.at(), dweights.at(), dout.at(), y.at(), weights.at(), row_of.at(), T, J, D);
                ops.experts_backward(drows.at(), {g_up.at(), g_down.at(), g_up_bias.at(), g_down_bias.at()}, dgu.at(),
                                     dh.at(), dy.at(), rows_x.at(), gu.at(), h.at(), w, rows, shape);
                ops.gather_backward(dx.at(), drows.at(), row_of.at(), T, J, D, false);
                Left left;
                for (const Floats* array :
                     {&rows_x, &y, &out, &dy, &dweights, &drows, &dx, &g_up, &g_down, &g_up_bias, &g_down_bias}) {
                    left.add(*array);
                }
                left.add_equal(offsets);
                left.add_equal(row_of);
                left.add_equal(token_of);
                return left;
            };
            expect_same(run, 5e-5, 5e-5, grouped ? "experts" : "one expert");
            const std::unique_ptr<Ops> cpu = processor(), tiled = device_under_test(false);
            const Left expected = run(*cpu), actual = run(*tiled);
            expect_close(actual, expected, expected.close.size(), 5e-5, "tiled experts");
        }
    }
}

/// Relative Frobenius distance.
double apart(const std::vector<float>& actual, const std::vector<float>& expected) {
    double error = 0, size = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        error += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
        size += std::pow(static_cast<double>(expected[i]), 2);
    }
    return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
}

/// What computes grouped products on the device under test, by name (grouped_library.hpp); the emulated one has no
/// choice.
std::vector<std::string> grouped_products() {
    return std::getenv("MOESCOPE_TEST_DEVICE") == nullptr
               ? std::vector<std::string>{""}
               : std::vector<std::string>{"", "cublaslt", "cutlass", "tiled"};
}

std::vector<float> bfloat16_floats(std::int64_t count, std::uint64_t seed, float scale = 1.0f) {
    std::vector<float> values = random_floats(count, seed, scale);
    for (float& value : values) {
        value = base::bf16_to_float(base::float_to_bf16(value));
    }
    return values;
}

// Sizes that libraries take and such that they don't, several tiles, experts without rows, all rows to one expert, one
// expert alone. All numbers are of bfloat16, so that the first product has no rounding; operands of later ones are
// rounded by the device, and not by the processor, which does so with large products alone.
TEST(DeviceOperations, ExpertsByEachThatComputesGroups) {
    struct Case {
        std::vector<std::int32_t> offsets;
        std::int64_t D, F;
    };
    const std::vector<Case> cases = {
        {{0, 0, 131, 132, 140, 140}, 136, 20}, {{0, 9, 9}, 33, 6}, {{0, 0, 40, 40}, 24, 40}, {{0, 37}, 16, 8}};
    for (const std::string& by : grouped_products()) {
        ::setenv("MOESCOPE_GROUPED_PRODUCTS", by.c_str(), 1);
        const std::unique_ptr<Ops> cpu = processor(), device = device_under_test();
        ::unsetenv("MOESCOPE_GROUPED_PRODUCTS");
        for (const Case& c : cases) {
            ExpertShape shape;
            shape.E = static_cast<std::int64_t>(c.offsets.size()) - 1;
            shape.D = c.D;
            shape.F = c.F;
            const std::int64_t E = shape.E, D = c.D, F = c.F, most = c.offsets.back() + 3;
            for (const Operands operands : {Operands::f32, Operands::bf16}) {
                const auto run = [&](Ops& ops, Operands rounding) {
                    const Integers offsets(ops, c.offsets);
                    const std::vector<float> none(static_cast<std::size_t>(most * D), 0.0f),
                        empty(static_cast<std::size_t>(most * 2 * F), 0.0f);
                    const Floats x(ops, bfloat16_floats(most * D, 1)), dy(ops, bfloat16_floats(most * D, 2)),
                        up(ops, bfloat16_floats(E * 2 * F * D, 3, 0.2f)),
                        down(ops, bfloat16_floats(E * D * F, 4, 0.2f)), y(ops, none), dx(ops, none), gu(ops, empty),
                        h(ops, most * F), dgu(ops, empty), dh(ops, most * F), g_up(ops, E * 2 * F * D),
                        g_down(ops, E * D * F);
                    const Array<std::uint16_t> scratch(ops, ops.operand_scratch());
                    ops.place_operands(scratch.at());
                    const ExpertRows rows{offsets.at(), most};
                    const ExpertWeights w{up.at(), down.at(), nullptr, nullptr};
                    const OpsOperands scope(ops, rounding);
                    ops.experts_forward(y.at(), gu.at(), h.at(), x.at(), w, rows, shape);
                    ops.experts_backward(dx.at(), {g_up.at(), g_down.at(), nullptr, nullptr}, dgu.at(), dh.at(),
                                         dy.at(), x.at(), gu.at(), h.at(), w, rows, shape);
                    Left left;
                    for (const Floats* array : {&gu, &y, &dx, &g_up, &g_down}) {
                        left.add(*array);
                    }
                    ops.place_operands(nullptr);
                    return left;
                };
                const Left expected = run(*cpu, Operands::f32), actual = run(*device, operands),
                           again = run(*device, operands);
                const std::string what =
                    "'" + by + "' D " + std::to_string(D) + (operands == Operands::f32 ? " f32" : " bf16") + " experts";
                EXPECT_EQ(actual.close, again.close) << what;
                expect_close(actual, expected, 1, 5e-5, what);
                const double most_apart = operands == Operands::f32 ? 1e-5 : 5e-3;
                for (std::size_t i = 0; i < expected.close.size(); ++i) {
                    EXPECT_LE(apart(actual.close[i], expected.close[i]), most_apart) << what << " " << i;
                }
            }
        }
    }
}

// Odd sizes and multiples of a tile, an expert without rows, one of a single row. Numbers that enter the second product
// differ in their last places between devices, so one of them in a million rounds to the neighbour, which is 2^-3 of it
// away: a few of those are within the tolerance, another scale or another tile is far beyond it.
TEST(DeviceOperations, ExpertsInEightBits) {
    struct Case {
        std::vector<std::int32_t> offsets;
        std::int64_t D, F;
    };
    const std::vector<Case> cases = {{{0, 1, 1, 9, 40}, 20, 7}, {{0, 130, 131, 131}, 132, 12}, {{0, 5, 8}, 128, 64}};
    for (const Case& c : cases) {
        ExpertShape shape;
        shape.E = static_cast<std::int64_t>(c.offsets.size()) - 1;
        shape.D = c.D;
        shape.F = c.F;
        const std::int64_t E = shape.E, D = c.D, F = c.F, end = c.offsets.back(), most = end + 3;
        std::vector<float> x_in = random_floats(most * D, 1), dy_in = random_floats(most * D, 2);
        std::fill(x_in.begin() + end * D, x_in.end(), std::nanf(""));
        std::fill(dy_in.begin() + end * D, dy_in.end(), std::nanf(""));
        const auto run = [&](Ops& ops) {
            const Integers offsets(ops, c.offsets);
            const Floats x(ops, x_in), dy(ops, dy_in), up(ops, random_floats(E * 2 * F * D, 3, 0.2f)),
                down(ops, random_floats(E * D * F, 4, 0.2f)), up_bias(ops, random_floats(E * 2 * F, 5)),
                down_bias(ops, random_floats(E * D, 6)), none(ops, std::vector<float>(x_in.size(), 0.0f));
            const Floats y(ops, std::vector<float>(x_in.size(), 0.0f)), dx(ops, std::vector<float>(x_in.size(), 0.0f)),
                gu(ops, most * 2 * F), h(ops, most * F), dgu(ops, most * 2 * F), dh(ops, most * F),
                g_up(ops, E * 2 * F * D), g_down(ops, E * D * F);
            const ExpertRows rows{offsets.at(), most};
            const ExpertWeights w{up.at(), down.at(), up_bias.at(), down_bias.at()};
            Left left;
            {
                const OpsOperands scope(ops, Operands::fp8);
                ops.experts_forward(y.at(), gu.at(), h.at(), x.at(), w, rows, shape);
                ops.experts_backward(dx.at(), {g_up.at(), g_down.at(), nullptr, nullptr}, dgu.at(), dh.at(), dy.at(),
                                     x.at(), gu.at(), h.at(), w, rows, shape);
            }
            for (const Floats* array : {&y, &dx, &g_up, &g_down}) {
                left.add(*array);
            }
            const Floats exact(ops, std::vector<float>(x_in.size(), 0.0f));
            ops.experts_forward(exact.at(), gu.at(), h.at(), x.at(), w, rows, shape);
            const Array<double> sums(ops, std::vector<double>{1.0, 2.0}), scratch(ops, ops.row_errors_scratch(most));
            ops.add_row_errors(sums.at(), y.at(), exact.at(), rows, E, D, scratch.at());
            const std::vector<double> told = sums.read();
            left.close.push_back({static_cast<float>(told[0] - 1.0), static_cast<float>(told[1] - 2.0)});
            return left;
        };
        const std::unique_ptr<Ops> cpu = processor();
        const Left expected = run(*cpu);
        const float error = std::sqrt(expected.close.back()[0] / expected.close.back()[1]);
        EXPECT_GT(error, 0.01f);
        EXPECT_LT(error, 0.1f);
        for (const bool library : {true, false}) {
            const std::unique_ptr<Ops> device = device_under_test(library);
            simt::set_seed(1);
            const Left actual = run(*device);
            simt::set_seed(7);
            const Left again = run(*device);
            for (std::size_t i = 0; i < expected.close.size(); ++i) {
                EXPECT_LT(apart(actual.close[i], expected.close[i]), 3e-3) << "D " << D << ", result " << i;
                EXPECT_EQ(std::memcmp(actual.close[i].data(), again.close[i].data(), actual.close[i].size() * 4), 0)
                    << "depends on the order of threads: " << i;
            }
        }
    }
}

/// Offsets of experts are added up across warps.
TEST(DeviceOperations, DispatchToMoreExpertsThanAWarpHas) {
    constexpr std::int64_t T = 90, E = 70, J = 2;
    const std::vector<std::int32_t> ids = random_tokens(T * J, E, 1);
    std::vector<std::uint32_t> counts(E, 0);
    for (const std::int32_t id : ids) {
        ++counts[static_cast<std::size_t>(id)];
    }
    expect_same(
        [&](Ops& ops) {
            const Integers ids_TJ(ops, ids), offsets(ops, E + 1), row_of(ops, T * J), token_of(ops, T * J);
            const Array<std::uint8_t> kept(ops, std::vector<std::uint8_t>(ids.size(), 1));
            const Array<std::uint32_t> counts_E(ops, counts);
            ops.dispatch_plan(offsets.at(), row_of.at(), token_of.at(), ids_TJ.at(), kept.at(), counts_E.at(), T, E, J);
            Left left;
            left.add_equal(offsets);
            left.add_equal(row_of);
            left.add_equal(token_of);
            return left;
        },
        0, 0, "dispatch to 70 experts");
}

TEST(DeviceOperations, CrossEntropy) {
    constexpr std::int64_t T = 23, D = 9, V = 301;
    for (const Write write : {Write::assign, Write::add}) {
        for (const bool any : {true, false}) {
            expect_same(
                [&](Ops& ops) {
                    std::vector<std::int32_t> wanted = random_tokens(T, V, 1);
                    for (std::size_t t = 0; t < wanted.size(); ++t) {
                        wanted[t] = !any || t % 5 == 2 ? -1 : wanted[t];
                    }
                    const Integers targets(ops, wanted);
                    const Floats x(ops, random_floats(T * D, 2)), w(ops, random_floats(V * D, 3)), losses(ops, T),
                        dx(ops, T * D), dw(ops, random_floats(V * D, 4)), logits(ops, ops.cross_entropy_rows(T) * V);
                    const Array<double> loss(ops, 2);
                    ops.cross_entropy_forward(loss.at(), losses.at(), x.at(), w.at(), targets.at(), logits.at(), T, D,
                                              V);
                    ops.cross_entropy_forward_backward(loss.at() + 1, losses.at(), dx.at(), dw.at(), x.at(), w.at(),
                                                       targets.at(), logits.at(), T, D, V, 0.5, write);
                    Left left;
                    left.add(losses);
                    left.add(dx);
                    left.add(dw);
                    const std::vector<double> means = loss.read();
                    left.close.emplace_back(means.begin(), means.end());
                    return left;
                },
                3e-5, 3e-6, "cross entropy");
        }
    }
}

TEST(DeviceOperations, Optimizers) {
    constexpr std::int64_t n = 33001;
    expect_same(
        [&](Ops& ops) {
            const Floats p(ops, random_floats(n, 1)), m(ops, random_floats(n, 2, 0.1f)), g(ops, random_floats(n, 4));
            std::vector<float> squares = random_floats(n, 3);
            std::transform(squares.begin(), squares.end(), squares.begin(), [](float v) { return v * v; });
            const Floats v(ops, squares);
            AdamWStep step;
            step.learning_rate = 0.01;
            step.weight_decay = 0.1;
            step.gradient_scale = 0.3;
            step.update = 3;
            const Array<AdamWFactors> factors(ops, std::vector<AdamWFactors>{AdamWFactors(step)});
            ops.adamw(p.at(), m.at(), v.at(), g.at(), n, factors.at());
            const Array<double> sum(ops, 1), scratch(ops, ops.sum_of_squares_scratch(n));
            ops.sum_of_squares(sum.at(), g.at(), n, scratch.at());
            Left left;
            left.add(p);
            left.add(m);
            left.add(v);
            left.close.push_back({static_cast<float>(sum.read()[0])});
            return left;
        },
        4e-6, 1e-6, "adamw");
    for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{7, 19}, {19, 7}, {12, 12}}) {
        expect_same(
            [&, rows = rows, columns = columns](Ops& ops) {
                const std::int64_t all = 3 * rows * columns;
                const Floats p(ops, random_floats(all, 1)), m(ops, random_floats(all, 2)),
                    g(ops, random_floats(all, 3)), scratch(ops, ops.muon_scratch(rows, columns));
                MuonStep step;
                step.learning_rate = 0.1;
                step.weight_decay = 0.1;
                step.gradient_scale = 0.5;
                const Array<MuonFactors> factors(ops, std::vector<MuonFactors>{MuonFactors(step)});
                ops.muon(p.at(), m.at(), g.at(), 3, rows, columns, scratch.at(), factors.at());
                Left left;
                left.add(p);
                left.add(m);
                return left;
            },
            2e-4, 2e-4, "muon");
    }
}

TEST(DeviceOperations, Counts) {
    constexpr std::int64_t T = 150, E = 7, K = 3;
    for (const bool of_logits : {false, true}) {
        for (const bool more : {false, true}) {
            expect_same(
                [&](Ops& ops) {
                    std::vector<float> scores = random_floats(T * E, 1);
                    std::transform(scores.begin(), scores.end(), scores.begin(), [](float s) { return std::exp(s); });
                    std::vector<std::int32_t> ids(T * K);
                    std::vector<std::uint8_t> kept(ids.size()), groups(T), disabled(E, 0);
                    disabled[1] = 1;
                    for (std::size_t slot = 0; slot < ids.size(); ++slot) {
                        ids[slot] = slot % 31 == 30 ? -1 : static_cast<std::int32_t>((slot + slot / K) % (E - 1));
                        ids[slot] += ids[slot] >= 1 ? 1 : 0;  // expert 1 is disabled
                        kept[slot] = ids[slot] >= 0 && slot % 5 != 0 ? 1 : 0;
                        groups[slot / K] = static_cast<std::uint8_t>(slot / K % 2);
                    }
                    const Floats s(ops, scores), bias(ops, random_floats(E, 2));
                    const Integers ids_TK(ops, ids);
                    const Array<std::uint8_t> kept_TK(ops, kept), groups_T(ops, groups), disabled_E(ops, disabled);
                    const Array<std::uint32_t> counts(ops, std::vector<std::uint32_t>(2 * E + 3, 5)),
                        choices(ops, std::vector<std::uint32_t>(E, 4));
                    const Array<std::uint64_t> sums(ops, std::vector<std::uint64_t>(E, 10));
                    const Array<double> margins(ops, std::vector<double>(2, 0.0));
                    SlotCounts slots;
                    slots.ids_TJ = ids_TK.at();
                    slots.kept_TJ = kept_TK.at();
                    slots.groups_T = groups_T.at();
                    slots.T = T;
                    slots.J = K;
                    slots.E = E;
                    slots.G = 2;
                    slots.stride = E + 3;
                    ops.count_slots(counts.at(), slots);
                    ops.add_choices(sums.at(), choices.at(), E);
                    ChosenScores chosen{
                        s.at(),   more ? bias.at() : nullptr, more ? disabled_E.at() : nullptr, ids_TK.at(), T, E, K,
                        of_logits};
                    ops.add_margins(reinterpret_cast<MarginSums*>(margins.at()), chosen);
                    Left left;
                    left.add_equal(counts);
                    left.add_equal(sums);
                    left.close.push_back({static_cast<float>(margins.read()[0])});
                    left.equal.push_back({std::bit_cast<std::int64_t>(margins.read()[1])});
                    return left;
                },
                1e-5, 1e-5, "counts");
        }
    }
}

/// Rows of a prompt, then of several texts at once, over a cache that they leave behind.
std::vector<std::vector<CachePlace>> decoding_calls(std::int64_t S) {
    std::vector<std::vector<CachePlace>> calls(3);
    const auto last = static_cast<std::int32_t>(S) - 1;
    for (std::int32_t position = 0; position < last; ++position) {
        calls[0].push_back({1, position});
    }
    calls[1] = {{2, 0}, {0, 0}};
    calls[2] = {{0, 1}, {1, last}, {2, 1}};
    return calls;
}

std::vector<std::int32_t> flat(const std::vector<CachePlace>& rows) {
    std::vector<std::int32_t> values;
    for (const CachePlace& row : rows) {
        values.push_back(row.sequence);
        values.push_back(row.position);
    }
    return values;
}

TEST(DeviceOperations, GroupedDecoding) {
    struct Case {
        std::int64_t H, G, C, S, window;
        QkNorm norm;
        RopeOrder order;
        bool sinks;
    };
    // One head and several of a group, fewer and more than a warp takes at once; one piece of a text and several.
    for (const Case& n : {Case{1, 1, 2, 3, 0, QkNorm::none, RopeOrder::half, false},
                          Case{6, 2, 10, 150, 0, QkNorm::head, RopeOrder::half, true},
                          Case{5, 1, 34, 70, 9, QkNorm::full, RopeOrder::interleaved, true},
                          Case{2, 2, 130, 20, 64, QkNorm::none, RopeOrder::interleaved, false},
                          Case{1, 1, 512, 5, 0, QkNorm::head, RopeOrder::half, false}}) {
        constexpr std::int64_t N = 3;
        expect_same(
            [&](Ops& ops) {
                GroupedCache shape;
                shape.H = n.H;
                shape.G = n.G;
                shape.C = shape.rope = n.C;
                shape.S = n.S;
                shape.window = n.window;
                shape.scale = 1.0 / std::sqrt(static_cast<double>(n.C));
                shape.norm = n.norm;
                shape.order = n.order;
                shape.R = std::max<std::int64_t>(n.S, 3);  // the most rows of a call
                const std::int64_t width = (n.H + 2 * n.G) * n.C, norms = n.norm == QkNorm::full ? n.H * n.C : n.C;
                const Floats cosines(ops, n.S * n.C), sines(ops, n.S * n.C), keys(ops, N * n.G * n.S * n.C),
                    values(ops, N * n.G * n.S * n.C), q_norm(ops, random_floats(norms, 3)),
                    k_norm(ops, random_floats(norms, 4)), sinks(ops, random_floats(n.H, 5)),
                    scratch(ops, ops.grouped_decoding_scratch(shape));
                ops.rope_tables(cosines.at(), sines.at(), n.S, n.C, {});
                Left left;
                std::uint64_t seed = 10;
                for (const std::vector<CachePlace>& rows : decoding_calls(n.S)) {
                    shape.R = static_cast<std::int64_t>(rows.size());
                    const Floats x(ops, random_floats(shape.R * width, seed++)), q(ops, shape.R * n.H * n.C),
                        o(ops, shape.R * n.H * n.C);
                    const Integers places(ops, flat(rows));
                    const auto* at = reinterpret_cast<const CachePlace*>(places.at());
                    ops.cache_grouped(q.at(), keys.at(), values.at(), scratch.at(), x.at(), q_norm.at(), k_norm.at(),
                                      cosines.at(), sines.at(), at, shape);
                    ops.attend_grouped(o.at(), q.at(), keys.at(), values.at(), n.sinks ? sinks.at() : nullptr,
                                       scratch.at(), at, shape);
                    left.add(o);
                }
                left.add(keys);
                left.add(values);
                return left;
            },
            3e-5, 3e-5, "decoding " + std::to_string(n.H) + " heads of " + std::to_string(n.C));
    }
}

TEST(DeviceOperations, LatentDecoding) {
    struct Case {
        std::int64_t H, nope, rope, rank, Cv, S, window;
    };
    // The last two are too wide for registers: by the value, and by the key alone.
    for (const Case& n : {Case{1, 1, 2, 1, 1, 2, 0}, Case{5, 7, 6, 40, 9, 140, 0}, Case{4, 16, 8, 64, 20, 70, 30},
                          Case{2, 3, 4, 600, 5, 9, 0}, Case{1, 3, 70, 510, 5, 66, 0}}) {
        constexpr std::int64_t N = 3;
        expect_same(
            [&](Ops& ops) {
                LatentCache shape;
                shape.H = n.H;
                shape.nope = n.nope;
                shape.rope = n.rope;
                shape.rank = n.rank;
                shape.Cv = n.Cv;
                shape.S = n.S;
                shape.window = n.window;
                shape.scale = 1.0 / std::sqrt(static_cast<double>(n.nope + n.rope));
                shape.R = std::max<std::int64_t>(n.S, 3);  // the most rows of a call
                const std::int64_t C = n.nope + n.rope;
                const Floats cosines(ops, n.S * n.rope), sines(ops, n.S * n.rope), latents(ops, N * n.S * n.rank),
                    turned(ops, N * n.S * n.rope), norm(ops, random_floats(n.rank, 3)),
                    up(ops, random_floats(n.H * (n.nope + n.Cv) * n.rank, 4)),
                    scratch(ops, ops.latent_decoding_scratch(shape));
                ops.rope_tables(cosines.at(), sines.at(), n.S, n.rope, {});
                Left left;
                std::uint64_t seed = 10;
                for (const std::vector<CachePlace>& rows : decoding_calls(n.S)) {
                    shape.R = static_cast<std::int64_t>(rows.size());
                    const Floats x(ops, random_floats(shape.R * n.H * C, seed++)),
                        down(ops, random_floats(shape.R * (n.rank + n.rope), seed++)), q(ops, shape.R * n.H * C),
                        o(ops, shape.R * n.H * n.Cv);
                    const Integers places(ops, flat(rows));
                    const auto* at = reinterpret_cast<const CachePlace*>(places.at());
                    ops.turn_latent_queries(q.at(), scratch.at(), x.at(), cosines.at(), sines.at(), at, shape);
                    ops.cache_latent(latents.at(), turned.at(), scratch.at(), down.at(), norm.at(), cosines.at(),
                                     sines.at(), at, shape);
                    ops.attend_latent(o.at(), q.at(), latents.at(), turned.at(), up.at(), scratch.at(), at, shape);
                    left.add(o);
                }
                left.add(latents);
                left.add(turned);
                return left;
            },
            1e-4, 1e-4, "latent decoding of rank " + std::to_string(n.rank));
    }
}

}  // namespace
}  // namespace moescope::kernels::test
