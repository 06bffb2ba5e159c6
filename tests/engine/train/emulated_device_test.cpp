// Whole training steps on a GPU's kernels, run on the CPU, against the processor's.
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/variants.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"

namespace moescope::engine::test {
namespace {

/// Largest difference between two sets of parameters, and how far the first moved from its start.
double difference(std::span<const float> a, std::span<const float> b) {
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
    }
    return most;
}

class EmulatedDevice : public testing::TestWithParam<Variant> {};

TEST_P(EmulatedDevice, TrainsAsTheProcessorDoes) {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.model.context = 12;
    config.train.batch = 2;
    GetParam().change(config);
    const auto data = byte_dataset();
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    EXPECT_EQ(cpu.parameters_sha256(), device.parameters_sha256()) << "both start from the same parameters";
    for (int step = 0; step < 2; ++step) {
        const StepStats expected = cpu.step(), actual = device.step();
        ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
        EXPECT_NEAR(actual.cross_entropy / expected.cross_entropy, 1.0, 2e-4) << step;
        EXPECT_NEAR(actual.gradient_norm / expected.gradient_norm, 1.0, 5e-3) << step;
        if (step == 0) {  // later a choice may fall the other way
            EXPECT_EQ(actual.counts, expected.counts);
            if (!std::isnan(expected.balance_loss)) {
                EXPECT_NEAR(actual.balance_loss, expected.balance_loss, 1e-4);
            }
            EXPECT_EQ(std::isnan(actual.dropped), std::isnan(expected.dropped));
        }
    }
    EXPECT_LT(difference(device.parameters(), cpu.parameters()), 2.0 * config.train.learning_rate)
        << "as far as the optimizer goes in a step where a gradient is next to nothing";
}
INSTANTIATE_TEST_SUITE_P(All, EmulatedDevice, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST(EmulatedDevice, EvaluatesAsTheProcessorDoes) {
    RunConfig config = tiny_config();
    config.train.batch = 1;
    auto data = byte_dataset();
    for (auto& text : data->held_out) {
        text.resize(100);
    }
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    const HeldOutLoss expected = cpu.evaluate(), actual = device.evaluate();
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_NEAR(actual.loss[0], expected.loss[0], 1e-5);
    EXPECT_NEAR(actual.loss[1], expected.loss[1], 1e-5);
}

TEST(EmulatedDevice, IsBitEqualWhenRepeatedAndAfterABreak) {
    const RunConfig config = tiny_config();
    const auto data = byte_dataset();
    const TemporaryFolder folder;
    Trainer whole(config, data, {}, kernels::test::device_under_test()),
        again(config, data, {}, kernels::test::device_under_test());
    for (int step = 0; step < 2; ++step) {
        whole.step();
        again.step();
    }
    EXPECT_EQ(whole.parameters_sha256(), again.parameters_sha256());
    again.save(folder.path());
    const auto resumed = Trainer::load(folder.path(), data, nullptr, {}, kernels::test::device_under_test());
    whole.step();
    resumed->step();
    EXPECT_EQ(whole.parameters_sha256(), resumed->parameters_sha256());
}

}  // namespace
}  // namespace moescope::engine::test
