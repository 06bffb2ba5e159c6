// Whole training steps on a GPU's kernels, run on the CPU, against the processor's.
#include <gmock/gmock.h>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/train/fork.hpp"
#include "engine/train/memory_check.hpp"
#include "engine/train/plan.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "tests/engine/comm/threads_comm.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/presets.hpp"
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

/// The presets that people get, as they are but for the depth, the vocabulary and the batch.
class EmulatedPreset : public testing::TestWithParam<const char*> {};

TEST_P(EmulatedPreset, TrainsAndAnswersAsTheProcessorDoes) {
    RunConfig config = small_preset(GetParam());
    const auto data = byte_dataset();
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    const StepStats expected = cpu.step(), actual = device.step();
    ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
    EXPECT_NEAR(actual.cross_entropy / expected.cross_entropy, 1.0, 1e-5);
    EXPECT_NEAR(actual.gradient_norm / expected.gradient_norm, 1.0, 1e-3);
    EXPECT_EQ(actual.counts, expected.counts);
    const TemporaryFolder folder;
    cpu.save(folder.path());
    const std::shared_ptr<const LoadedModel> model = load_model(folder.path());
    OwnedDecoder says(model, 1), on_device(model, 1, config.model.context, kernels::test::device_under_test());
    for (const std::int32_t token : {84, 104, 228, 184}) {
        const std::span<const float> told = says->decode(token), same = on_device->decode(token);
        ASSERT_EQ(told.size(), same.size());
        for (std::size_t v = 0; v < told.size(); ++v) {
            ASSERT_NEAR(told[v], same[v], 1e-4 * (1 + std::abs(told[v]))) << v;
        }
    }
}
INSTANTIATE_TEST_SUITE_P(All, EmulatedPreset, testing::ValuesIn(kPresets), preset_test_name);

TEST(EmulatedDevice, TwentyStepsAreTheProcessors) {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.train.batch = 1;
    const auto data = byte_dataset();
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    for (int step = 0; step < 20; ++step) {
        const StepStats expected = cpu.step(), actual = device.step();
        ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
        // Sums in another order part by some units in the last place; the optimizer's square roots enlarge that where a
        // gradient is next to nothing, and a router's near tie may fall the other way.
        ASSERT_NEAR(actual.cross_entropy / expected.cross_entropy, 1.0, 2e-3) << step;
    }
}

RunConfig eight_bits() {
    RunConfig config = tiny_config();
    config.train.precision = Precision::fp8;
    config.train.threads = 1;
    config.train.batch = 1;
    config.train.evaluate_every = 5;
    return config;
}

// As above, and with more that parts them: of products of few rows the device rounds the operands to bfloat16 and the
// processor does not (kernels/cpu/gemm.cpp), which is 2^-9 of a number; that takes one in some thirty of the experts'
// inputs to a neighbour among eight-bit floats, 2^-4 of it away at most, and moves a loss by far less than the
// roundings themselves do (0.2 % in bfloat16 alone, see TrainsAsTheProcessorDoes for single precision).
TEST(EmulatedDevice, TwentyStepsInEightBitsAreTheProcessors) {
    const RunConfig config = eight_bits();
    const auto data = byte_dataset();
    Trainer cpu(config, data), device(config, data, {}, kernels::test::device_under_test());
    RunConfig rounded = config;
    rounded.train.precision = Precision::bf16;
    Trainer other(rounded, data);
    double apart = 0;
    for (int step = 0; step < 20; ++step) {
        const StepStats expected = cpu.step(), actual = device.step();
        ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
        ASSERT_NEAR(actual.cross_entropy / expected.cross_entropy, 1.0, 2e-3) << step;
        apart = std::max(apart, std::abs(other.step().cross_entropy / expected.cross_entropy - 1));
        ASSERT_EQ(actual.expert_errors.size(), expected.expert_errors.size());
        EXPECT_EQ(actual.expert_errors.empty(), step != 0 && step % 5 != 4) << step;
        for (std::size_t i = 0; i < expected.expert_errors.size(); ++i) {
            EXPECT_GT(expected.expert_errors[i], 1.0f) << "percent";
            EXPECT_LT(expected.expert_errors[i], 12.0f);
            // An error is a sum over some 40 rows. Later the two are at other parameters besides: what a gradient next
            // to nothing moves by is the learning rate.
            EXPECT_NEAR(actual.expert_errors[i] / expected.expert_errors[i], 1.0f, step == 0 ? 0.06f : 0.3f)
                << step << " " << i;
        }
        EXPECT_EQ(std::isnan(expected.expert_output_error), expected.expert_errors.empty());
        EXPECT_EQ(std::isnan(actual.expert_weight_gradient_error), expected.expert_errors.empty());
    }
    EXPECT_GT(apart, 1e-5) << "bfloat16 gives other losses";
}

/// Grouped heads of a width that a library takes, sinks, and a window in every other layer.
RunConfig sixteen_bit_attention() {
    RunConfig config = tiny_config();
    config.model.heads = 4;
    config.model.kv_heads = 2;
    config.model.head_width = 8;
    config.model.context = 24;
    config.model.attention_sinks = true;
    config.model.sliding_layers = SlidingLayers::even;
    config.model.sliding_window = 5;
    config.train.precision = Precision::bf16;
    config.train.attention_precision = Precision::bf16;
    config.train.threads = 1;
    config.train.batch = 2;
    return config;
}

TEST(EmulatedDevice, SixStepsWithSixteenBitAttentionAreTheProcessors) {
    const RunConfig config = sixteen_bit_attention();
    RunConfig plain = config;
    plain.train.attention_precision = Precision::f32;
    const auto data = byte_dataset();
    Trainer cpu(config, data), other(plain, data);
    std::vector<double> expected;
    double apart = 0;
    for (int step = 0; step < 6; ++step) {
        expected.push_back(cpu.step().cross_entropy);
        apart = std::max(apart, std::abs(other.step().cross_entropy / expected.back() - 1));
    }
    EXPECT_GT(apart, 1e-6) << "attention with rounded operands gives other losses";
    EXPECT_LT(apart, 2e-2);
    for (const bool library : {true, false}) {
        Trainer device(config, data, {}, kernels::test::device_under_test(library));
        for (int step = 0; step < 6; ++step) {
            const StepStats& actual = device.step();
            ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
            // As in eight bits: what parts them are the roundings of the products around it.
            ASSERT_NEAR(actual.cross_entropy / expected[static_cast<std::size_t>(step)], 1.0, 2e-3) << step;
        }
        if (std::getenv("MOESCOPE_TEST_DEVICE") == nullptr) {
            EXPECT_EQ(device.attention_by(),
                      library ? "the emulated library" : "own kernels (the emulated device has no library)");
        }
        EXPECT_EQ(cpu.attention_by(), "");
    }
}

TEST(EmulatedDevice, SixteenBitAttentionTakesNoMemoryAfterTheFirstStepAndIsRecorded) {
    const RunConfig config = sixteen_bit_attention();
    const auto data = byte_dataset();
    kernels::cuda::EmulatedUse use;
    Trainer first(config, data, {}, kernels::cuda::emulated_ops({.use = &use})),
        again(config, data, {}, kernels::cuda::emulated_ops());
    first.step();
    const kernels::cuda::EmulatedUse before = use;
    for (int step = 1; step < 4; ++step) {
        first.step();
    }
    EXPECT_EQ(use.allocations, before.allocations);
    EXPECT_GT(use.starts, before.starts) << "recorded operations are started";
    EXPECT_EQ(first.why_not_recorded(), "");
    for (int step = 0; step < 4; ++step) {
        again.step();
    }
    EXPECT_EQ(first.parameters_sha256(), again.parameters_sha256());
}

TEST(EmulatedDevice, SixteenBitAttentionNeedsSixteenBitProducts) {
    RunConfig config = sixteen_bit_attention();
    config.train.precision = Precision::f32;
    EXPECT_THAT(error_of([&] { const Trainer trainer(config, byte_dataset()); }),
                testing::EndsWith("train.attention_precision bf16 goes with train.precision bf16 or fp8, not f32"));
}

TEST(EmulatedDevice, WithoutEightBitFloatsRefusesThemInASentence) {
    const std::string error = error_of([] {
        const Trainer trainer(eight_bits(), byte_dataset(), {}, kernels::cuda::emulated_ops({.float8 = false}));
    });
    EXPECT_EQ(error,
              "cuda-emulated has no eight-bit floats, which need a GPU of compute capability 9.0 or later: choose bf16 "
              "for train.precision, or the processor");
    RunConfig rounded = eight_bits();
    rounded.train.precision = Precision::bf16;
    EXPECT_NO_THROW(Trainer(rounded, byte_dataset(), {}, kernels::cuda::emulated_ops({.float8 = false})));
}

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

/// Each rank has a device of its own; what they tell each other goes over the host.
TEST(EmulatedDevice, OfSeveralRanksTrainsAsOneDoes) {
    struct Shape {
        int ranks, expert_ranks;
        bool own_sequences;
    };
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.model.context = 12;
    config.train.batch = 2;
    config.train.adam_epsilon = 1e-3;  // as in ranks_test.cpp
    config.model.selection_bias = true;
    const auto data = byte_dataset();
    for (const Optimizer optimizer : {Optimizer::adamw, Optimizer::muon}) {
        config.train.optimizer = optimizer;
        Trainer alone(config, data, {}, kernels::test::device_under_test());
        const StepStats first = alone.step(), second = alone.step();
        const TemporaryFolder folder;
        for (const Shape shape : {Shape{2, 1, false}, Shape{2, 2, false}, Shape{2, 2, true}}) {
            SCOPED_TRACE(testing::Message()
                         << "experts shared by " << shape.expert_ranks << ", own sequences " << shape.own_sequences);
            const auto saved = folder.path() / fmt::format("{}{}", shape.expert_ranks, shape.own_sequences);
            std::filesystem::create_directory(saved);
            const auto problems = comm::test::run_ranks(shape.ranks, [&](const std::shared_ptr<comm::Comm>& world) {
                const TrainingRanks ranks{world, shape.expert_ranks, shape.own_sequences, 1, "cuda:3"};
                Trainer trainer(config, data, {}, kernels::test::device_under_test(), ranks);
                EXPECT_EQ(trainer.config().train.device, "cuda:3") << "as the run has it";
                if (world->rank() > 0) {
                    trainer.follow();
                    return;
                }
                for (const StepStats* expected : {&first, &second}) {
                    const StepStats& actual = trainer.step();
                    ASSERT_TRUE(actual.fault.empty()) << actual.fault.english();
                    EXPECT_NEAR(actual.cross_entropy / expected->cross_entropy, 1.0, 1e-4);
                    EXPECT_NEAR(actual.gradient_norm / expected->gradient_norm, 1.0, 1e-3);
                }
                EXPECT_LT(difference(trainer.parameters(), alone.parameters()), 0.05 * config.train.learning_rate);
                trainer.save(saved);
            });
            EXPECT_THAT(problems, testing::Each(""));
            // Parts of the optimizer's state come from each device, and all of it goes back into one.
            const auto again = Trainer::load(saved, data, nullptr, {}, kernels::test::device_under_test());
            const auto copy = folder.path() / "copy";
            std::filesystem::create_directory(copy);
            again->save(copy);
            EXPECT_EQ(file_bytes(copy / "optimizer.safetensors"), file_bytes(saved / "optimizer.safetensors"));
            std::filesystem::remove_all(copy);
        }
    }
}

TEST(EmulatedDevice, StandsInTheConfigurationOfWhatItTrained) {
    RunConfig config = tiny_config();
    config.train.device = "cuda:5";  // that is what was asked for, and not what computes
    const auto data = byte_dataset();
    const TemporaryFolder folder;
    Trainer device(config, data, {}, kernels::cuda::emulated_ops());
    EXPECT_EQ(device.config().train.device, "cuda-emulated");
    EXPECT_EQ(Trainer(config, data).config().train.device, "cpu");
    device.save(folder.path());
    EXPECT_EQ(checkpoint_settings(folder.path()).train.device, "cuda-emulated");
    EXPECT_EQ(Trainer::load(folder.path(), data)->config().train.device, "cpu");
}

// What is said to fit into the memory of a device does fit, and the next larger value does not.
TEST(EmulatedDevice, ARunThatDoesNotFitIsToldWhatWould) {
    RunConfig config = tiny_config();
    config.train.batch = 9;
    const auto large = kernels::cuda::emulated_ops();
    const std::uint64_t needed = plan_run(config, *large).memory_bytes, host = plan_run(config, *large).host_bytes;
    EXPECT_LT(host, plan_run(config, *large).memory_bytes);
    const std::uint64_t available = needed * 3 / 4;
    const auto small = [&] { return kernels::cuda::emulated_ops({.memory = available}); };
    EXPECT_NO_THROW(check_memory(config, *kernels::cuda::emulated_ops({.memory = needed}), host));
    const std::string error = error_of([&] { check_memory(config, *small(), host); });
    EXPECT_NE(error.find(memory_text(needed) + " of memory on cuda-emulated, and " + memory_text(available)),
              std::string::npos)
        << error;
    const std::size_t at = error.find("train.batch ");
    ASSERT_NE(at, std::string::npos) << error;
    RunConfig fitting = config;
    fitting.train.batch = std::stoi(error.substr(at + 12));
    EXPECT_NO_THROW(check_memory(fitting, *small(), host));
    EXPECT_NO_THROW(Trainer(fitting, byte_dataset(), {}, small())) << "and what was planned is all that is taken";
    fitting.train.batch += 1;
    EXPECT_NE(error_of([&] { check_memory(fitting, *small(), host); }), "");
    EXPECT_NE(error_of([&] { Trainer(fitting, byte_dataset(), {}, small()); }), "");
    const std::string of_host = error_of([&] { check_memory(config, *large, host - 1); });
    EXPECT_EQ(of_host.find("cuda-emulated"), std::string::npos) << of_host;
    EXPECT_NE(of_host.find("the run needs " + memory_text(host) + " of memory"), std::string::npos) << of_host;
}

TEST(EmulatedDevice, ThatIsLostEndsTheStepWithItsOwnWords) {
    Trainer device(tiny_config(), byte_dataset(), {}, kernels::cuda::emulated_ops({.lost_after = 10}));
    EXPECT_THROW(
        {
            for (int step = 0; step < 20; ++step) {
                device.step();
            }
        },
        std::runtime_error);
    EXPECT_LT(device.steps_done(), 20u);
}

/// What `work` did to the device.
template <class Work>
kernels::cuda::EmulatedUse use_of(const kernels::cuda::EmulatedUse& counted, const Work& work) {
    const kernels::cuda::EmulatedUse before = counted;
    work();
    return {counted.allocations - before.allocations, counted.waits - before.waits};
}

class DeviceUse : public testing::TestWithParam<Variant> {};

TEST_P(DeviceUse, AfterTheFirstStepNothingIsTakenAndTheHostWaitsOnce) {
    RunConfig config = tiny_config();
    config.train.batch = 1;
    config.train.accumulation = 2;
    GetParam().change(config);
    kernels::cuda::EmulatedUse counted;
    Trainer device(config, byte_dataset(), {}, kernels::cuda::emulated_ops({.use = &counted}));
    Trainer cpu(config, byte_dataset());
    for (int step = 0; step < 3; ++step) {
        StepStats told;
        const auto used = use_of(counted, [&] { told = device.step(); });
        const StepStats& expected = cpu.step();
        EXPECT_TRUE(told.fault.empty()) << told.fault;
        EXPECT_EQ(told.tokens, expected.tokens);
        EXPECT_NEAR(told.cross_entropy, expected.cross_entropy, 2e-2);
        EXPECT_EQ(std::isnan(told.balance_loss), std::isnan(expected.balance_loss));
        EXPECT_EQ(std::isnan(told.router_margin), std::isnan(expected.router_margin));
        if (step > 0) {
            EXPECT_EQ(used.allocations, 0u);
            EXPECT_EQ(used.waits, 1u) << "counts, losses and norms come together";
        }
    }
}
INSTANTIATE_TEST_SUITE_P(All, DeviceUse, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

/// Looks at everything and changes nothing.
class Watching final : public RouterTap {
 public:
    bool choose(const RoutedRow& row) override {
        rows += row.ids_K.empty() || row.z_E.empty() ? 0 : 1;
        return false;
    }
    void weighed(const RoutedRow& /*row*/) override {}
    int rows = 0;
};

TEST(DeviceUse, OfATokenIsOneWaitAndNoMemory) {
    const RunConfig config = tiny_config();
    const TemporaryFolder folder;
    Trainer(config, byte_dataset()).save(folder.path());
    const auto model = load_model(folder.path());
    kernels::cuda::EmulatedUse counted;
    OwnedDecoder decoder(model, 2, 12, kernels::cuda::emulated_ops({.use = &counted}));
    decoder->decode(84);
    const auto decoding = use_of(counted, [&] {
        for (const std::int32_t token : {104, 101, 32}) {
            decoder->decode(token);
        }
    });
    EXPECT_EQ(decoding.allocations, 0u);
    EXPECT_EQ(decoding.waits, 3u) << "for the logits of each token";
    Watching tap;
    decoder->set_tap(&tap);
    decoder->decode(84);
    const auto watched = use_of(counted, [&] { decoder->decode(104); });
    EXPECT_EQ(tap.rows, 2 * config.model.layers);
    EXPECT_EQ(watched.allocations, 0u);
    EXPECT_EQ(watched.waits, static_cast<std::uint64_t>(config.model.layers) + 1)
        << "what a router decided is looked at before the next layer, and comes at once";
}

}  // namespace
}  // namespace moescope::engine::test
