// Stretches of operations that a device records (Ops::repeat): the emulated one keeps each with its arguments by value,
// as a CUDA graph does.
#include <gtest/gtest.h>

#include "kernels/cuda/emulated_ops.hpp"
#include "kernels/cuda/emulation.hpp"
#include "tests/kernels/cuda/device_harness.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"

namespace moescope::kernels::test {
namespace {

StretchKey key_of(float value) {
    StretchKey key;
    key.start("share");
    key.add(value);
    return key;
}

/// sum = share x.
struct Sum {
    explicit Sum(Ops& device) : ops(device), x(ops, std::vector<float>{1, 2, 4}), sum(ops, 3) {}
    void operator()(float share) const { ops.add_share(sum.at(), x.at(), share, true, 3); }

    Ops& ops;
    const Floats x, sum;
};

TEST(DeviceStretches, AreDoneEachTimeAndWithWhatStandsInMemory) {
    const std::unique_ptr<Ops> ops = device_under_test();
    const Sum work(*ops);
    for (const float x : {1.0f, 3.0f, 5.0f}) {
        ops->upload(work.x.at(), &x, sizeof x);
        for (const float share : {0.5f, 0.25f}) {
            ops->repeat(key_of(share), [&] { work(share); });
            EXPECT_EQ(work.sum.read(), (std::vector<float>{share * x, share * 2, share * 4}));
        }
    }
    EXPECT_EQ(ops->why_not_recorded(), "");
}

// What tests of whole steps stand on: a value that the key lacks is the old one, as on a GPU.
TEST(DeviceStretches, KeepAValueThatTheKeyLacks) {
    const std::unique_ptr<Ops> ops = device_under_test();
    const Sum work(*ops);
    for (const float share : {0.5f, 0.25f}) {
        ops->repeat(key_of(0), [&] { work(share); });
    }
    EXPECT_EQ(work.sum.read(), (std::vector<float>{0.5f, 1, 2})) << "0.25 was not recorded";
}

TEST(DeviceStretches, AreTheProcessorsNeverRecorded) {
    const std::unique_ptr<Ops> ops = processor();
    const Sum work(*ops);
    for (const float share : {0.5f, 0.25f}) {
        ops->repeat(key_of(0), [&] { work(share); });
        EXPECT_EQ(work.sum.read()[2], 4 * share);
    }
}

TEST(DeviceStretches, HaveProductsRoundedAsTheyWereWhenTheyBegan) {
    constexpr std::int64_t kSide = 3;
    for (const bool library : {true, false}) {
        const std::unique_ptr<Ops> ops = device_under_test(library);
        const std::vector<float> values = {1.001f, 0, 0, 0, 1.001f, 0, 0, 0, 1.001f};
        const Floats x(*ops, values), w(*ops, values), y(*ops, kSide * kSide), once(*ops, kSide * kSide);
        const auto product = [&](const Floats& into) {
            ops->linear_forward(into.at(), x.at(), w.at(), nullptr, kSide, kSide, kSide, Write::assign);
        };
        for (int time = 0; time < 2; ++time) {
            for (const Operands operands : {Operands::f32, Operands::bf16}) {
                const OpsOperands scope(*ops, operands);
                product(once);
                ops->repeat(key_of(0), [&] { product(y); });
                EXPECT_EQ(y.read(), once.read()) << time;
            }
        }
    }
}

TEST(DeviceStretches, ThatWaitForTheHostAreNotRecorded) {
    const std::unique_ptr<Ops> ops = device_under_test();
    const Sum work(*ops);
    for (const float share : {0.5f, 0.25f, 0.125f}) {
        float told = 0;
        ops->repeat(key_of(0), [&] {
            work(share);
            ops->download(&told, work.sum.at(), sizeof told);
        });
        EXPECT_EQ(told, share) << "they are done all the same";
    }
    EXPECT_NE(ops->why_not_recorded().find("waits for the host"), std::string::npos) << ops->why_not_recorded();
}

TEST(DeviceStretches, ThatFailDoSo) {
    const std::unique_ptr<Ops> ops = device_under_test();
    const Sum work(*ops);
    EXPECT_THROW(ops->repeat(key_of(1), [] { throw std::runtime_error("of its own"); }), std::runtime_error);
    ops->repeat(key_of(1), [&] { work(1); });
    EXPECT_EQ(work.sum.read()[1], 2) << "nothing was kept of it";
    EXPECT_EQ(ops->why_not_recorded(), "");
}

/// A device with a count of what it was asked for.
struct Counted {
    cuda::EmulatedUse use;
    std::unique_ptr<Ops> ops;
    explicit Counted(bool captures = true) : ops(cuda::emulated_ops({.captures = captures, .use = &use})) {}
};

TEST(EmulatedStretches, AreStartedAtOnce) {
    Counted device;
    const Sum work(*device.ops);
    const std::uint64_t before = simt::submitted();
    for (int time = 0; time < 5; ++time) {
        device.ops->repeat(key_of(1), [&] {
            work(1);
            work(1);
        });
    }
    EXPECT_EQ(simt::submitted() - before, 2u) << "one by one the first time only";
    EXPECT_EQ(device.use.captures, 1u);
    EXPECT_EQ(device.use.starts, 4u);
}

TEST(EmulatedStretches, OfADeviceThatRefusesAreDoneOneByOne) {
    Counted device(false);
    const Sum work(*device.ops);
    for (const float share : {0.5f, 0.25f}) {
        device.ops->repeat(key_of(share), [&] { work(share); });
        EXPECT_EQ(work.sum.read()[0], share);
    }
    EXPECT_EQ(device.use.starts, 0u);
    EXPECT_EQ(device.ops->why_not_recorded(), "cudaErrorStreamCaptureUnsupported");
}

TEST(EmulatedStretches, OnlySoManyAreKept) {
    Counted device;
    const Sum work(*device.ops);
    for (int value = 0; value < 40; ++value) {
        device.ops->repeat(key_of(static_cast<float>(value)), [&] { work(1); });
        device.ops->repeat(key_of(0), [&] { work(1); });
    }
    EXPECT_EQ(device.use.captures, 40u) << "the one in use stays";
    device.ops->repeat(key_of(39), [&] { work(1); });
    EXPECT_EQ(device.use.captures, 40u);
    device.ops->repeat(key_of(1), [&] { work(1); });
    EXPECT_EQ(device.use.captures, 41u) << "old ones go";
}

// Memory of the operations' own that moves takes the records along that name it.
TEST(EmulatedStretches, AreRecordedAnewWhenMemoryMoves) {
    Counted device;
    Ops& ops = *device.ops;
    constexpr std::int64_t E = 3, kMany = 100;
    std::vector<float> scores(kMany * E);
    for (std::size_t i = 0; i < scores.size(); ++i) {
        scores[i] = static_cast<float>(i % E);
    }
    const Floats s(ops, scores);
    const Integers ids(ops, std::vector<std::int32_t>(kMany, 2));
    const Array<std::uint8_t> disabled(ops, std::vector<std::uint8_t>(E));
    const Array<MarginSums> sums(ops, std::vector<MarginSums>(1));
    const auto margins = [&](std::int64_t T) {
        StretchKey key;
        key.start("margins");
        key.add(T);
        ops.repeat(key, [&] {
            ops.add_margins(sums.at(), {s.at(), nullptr, disabled.at(), ids.at(), T, E, 1, false});
        });
    };
    margins(2);
    margins(2);
    margins(kMany);  // wants more
    margins(2);
    margins(2);
    EXPECT_EQ(device.use.captures, 3u);
    EXPECT_EQ(sums.read()[0].tokens, 4u * 2 + kMany);
    EXPECT_EQ(ops.why_not_recorded(), "");
}

TEST(StretchKey, IsItsNameAndItsValues) {
    struct Padded {
        char small = 1;
        double large = 2;
    };
    StretchKey a = key_of(1), b = key_of(1);
    EXPECT_EQ(a, b);
    EXPECT_FALSE(a == key_of(2));
    a.add(Padded());
    Padded other;
    std::memset(static_cast<void*>(&other), 0x5a, sizeof other);
    other.small = 1;
    other.large = 2;
    b.add(other);
    EXPECT_EQ(a, b) << "what stands between values does not count";
    a.start("other");
    b.start("share");
    EXPECT_FALSE(a == b);
}

}  // namespace
}  // namespace moescope::kernels::test
