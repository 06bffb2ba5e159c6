// One operation on two devices: the same function runs with the processor's operations and with the device's.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/cuda/emulation.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"
#include "tests/kernels/harness.hpp"

namespace moescope::kernels::test {

/// An array in a device's memory, exactly as large as it says. Starts as rubbish unless it is given values.
template <class Value>
class Array {
 public:
    Array(Ops& ops, std::int64_t count)
        : Array(ops, std::vector<Value>(static_cast<std::size_t>(count), static_cast<Value>(-7))) {}
    Array(Ops& ops, const std::vector<Value>& values)
        : ops_(&ops), count_(values.size()), memory_(ops.allocate(values.size() * sizeof(Value), {})) {
        ops.upload(at(), values.data(), values.size() * sizeof(Value));
    }
    Value* at() const { return reinterpret_cast<Value*>(memory_.get()); }
    std::vector<Value> read() const {
        std::vector<Value> values(count_);
        ops_->download(values.data(), at(), values.size() * sizeof(Value));
        return values;
    }

 private:
    Ops* ops_;
    std::size_t count_;
    DeviceMemory memory_;
};
using Floats = Array<float>;
using Integers = Array<std::int32_t>;

/// The processor's operations, for this thread.
inline std::unique_ptr<Ops> processor() {
    std::unique_ptr<Ops> ops = cpu_ops(1);
    ops->enter();
    return ops;
}

inline std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t below, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
    for (std::int32_t& token : tokens) {
        token = static_cast<std::int32_t>(engine() % static_cast<std::uint64_t>(below));
    }
    return tokens;
}

/// What an operation left: numbers to compare within a tolerance, and numbers that are the same or wrong.
struct Left {
    std::vector<std::vector<float>> close;
    std::vector<std::vector<std::int64_t>> equal;

    void add(const Floats& array) { close.push_back(array.read()); }
    template <class Value>
    void add_equal(const Array<Value>& array) {
        const std::vector<Value> values = array.read();
        equal.emplace_back(values.begin(), values.end());
    }
};

/// The first `count` results are close.
inline void expect_close(const Left& actual, const Left& expected, std::size_t count, double tolerance,
                         const std::string& what) {
    ASSERT_LE(count, expected.close.size());
    ASSERT_EQ(actual.close.size(), expected.close.size());
    for (std::size_t i = 0; i < count; ++i) {
        expect_close(actual.close[i], expected.close[i], tolerance, tolerance, what + " " + std::to_string(i));
    }
}

/// The device's numbers are those of the processor, and bit-equal whatever order its blocks and threads run in.
inline void expect_same(const std::function<Left(Ops&)>& run, double relative, double absolute,
                        const std::string& what) {
    const std::unique_ptr<Ops> cpu = processor(), device = device_under_test();
    const Left expected = run(*cpu);
    simt::set_seed(1);
    const Left first = run(*device);
    simt::set_seed(20 + first.close.size());
    const Left second = run(*device);
    ASSERT_EQ(first.close.size(), expected.close.size());
    for (std::size_t i = 0; i < expected.close.size(); ++i) {
        const std::string which = what + ", result " + std::to_string(i);
        expect_close(first.close[i], expected.close[i], relative, absolute, which);
        ASSERT_EQ(first.close[i].size(), second.close[i].size());
        EXPECT_EQ(std::memcmp(first.close[i].data(), second.close[i].data(), first.close[i].size() * sizeof(float)), 0)
            << which << " depends on the order of threads";
    }
    EXPECT_EQ(first.equal, expected.equal) << what;
    EXPECT_EQ(first.equal, second.equal) << what;
}

}  // namespace moescope::kernels::test
