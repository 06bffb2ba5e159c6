// Steps whose operations a device has recorded (Ops::repeat) leave the bytes that they leave when each operation is
// started anew. The emulated device keeps arguments by value, as a CUDA graph does: one that should have changed shows.
#include <gmock/gmock.h>

#include "engine/train/plan.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "kernels/cuda/emulation.hpp"
#include "tests/engine/comm/threads_comm.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/presets.hpp"
#include "tests/engine/train/variants.hpp"

namespace moescope::engine::test {
namespace {

RunConfig small_config() {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.train.batch = 1;
    config.train.warmup_steps = 2;
    config.model.context = 9;
    return config;
}

/// A device that records and one that refuses to, and what each was asked for.
struct Pair {
    explicit Pair(const RunConfig& config, std::shared_ptr<const Dataset> text = byte_dataset())
        : data(std::move(text)),
          recorded(config, data, {}, kernels::cuda::emulated_ops({.use = &use})),
          plain(config, data, {}, kernels::cuda::emulated_ops({.captures = false, .use = &plain_use})) {}

    /// A step of both.
    void step() {
        const kernels::cuda::EmulatedUse before = use;
        std::uint64_t begin = simt::submitted();
        const StepStats& told = recorded.step();
        started = simt::submitted() - begin;
        taken = {use.allocations - before.allocations, use.waits - before.waits, use.captures - before.captures,
                 use.starts - before.starts};
        begin = simt::submitted();
        const StepStats& expected = plain.step();
        started_plain = simt::submitted() - begin;
        EXPECT_TRUE(told.fault.empty()) << told.fault;
        EXPECT_EQ(told.loss, expected.loss);
        EXPECT_EQ(told.gradient_norm, expected.gradient_norm);
        EXPECT_EQ(told.counts, expected.counts);
        EXPECT_THAT(told.router_entropy_mean, testing::NanSensitiveDoubleEq(expected.router_entropy_mean));
        EXPECT_EQ(told.expert_errors, expected.expert_errors);
        EXPECT_EQ(recorded.parameters_sha256(), plain.parameters_sha256()) << "step " << told.step;
        EXPECT_EQ(plain_use.starts, 0u);
    }

    std::shared_ptr<const Dataset> data;
    kernels::cuda::EmulatedUse use, plain_use;
    Trainer recorded, plain;
    kernels::cuda::EmulatedUse taken;  ///< by the recorded step
    std::uint64_t started = 0, started_plain = 0;
};

/// Three steps, after the first of which everything is recorded: the micro-batches, the norms and the update.
void expect_recorded(const RunConfig& config, std::uint64_t different_micro_batches = 1) {
    Pair pair(config);
    for (int step = 0; step < 3; ++step) {
        SCOPED_TRACE(step);
        pair.step();
        EXPECT_EQ(pair.taken.captures, step == 0 ? different_micro_batches + 2 : 0u);
        if (step > 0) {
            EXPECT_EQ(pair.taken.starts, static_cast<std::uint64_t>(config.train.accumulation) + 2);
            EXPECT_EQ(pair.taken.allocations, 0u);
            EXPECT_EQ(pair.taken.waits, 1u);
            EXPECT_LE(pair.started,
                      3u + static_cast<std::uint64_t>(config.train.accumulation > 1 ? config.train.accumulation : 0))
                << "what starts a step, and the sums over micro-batches";
            EXPECT_GT(pair.started_plain, 10 * pair.started);
        }
    }
    EXPECT_EQ(pair.recorded.why_not_recorded(), "");
    EXPECT_NE(pair.plain.why_not_recorded(), "");
}

class RecordedSteps : public testing::TestWithParam<Variant> {};

TEST_P(RecordedSteps, AreThoseOfOperationsOneByOne) {
    RunConfig config = small_config();
    GetParam().change(config);
    expect_recorded(config);
}
INSTANTIATE_TEST_SUITE_P(All, RecordedSteps, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

const Variant kTrainings[] = {
    {"bf16", [](RunConfig& c) { c.train.precision = Precision::bf16; }},
    {"muon", [](RunConfig& c) { c.train.optimizer = Optimizer::muon; }},
    {"clipped_and_decaying",
     [](RunConfig& c) {
         c.train.gradient_clip = 0.05;
         c.train.schedule = Schedule::warmup_stable_decay;
         c.train.steps = 3;
     }},
    {"micro_batches_with_jitter",
     [](RunConfig& c) {
         c.train.accumulation = 3;
         c.model.router_jitter = 0.3;
         c.model.selection_bias = true;
     }},
};
INSTANTIATE_TEST_SUITE_P(Training, RecordedSteps, testing::ValuesIn(kTrainings),
                         [](const auto& variant) { return std::string(variant.param.name); });

class RecordedPreset : public testing::TestWithParam<const char*> {};

TEST_P(RecordedPreset, HasTheBytesOfOperationsOneByOne) {
    RunConfig config = small_preset(GetParam());
    config.train.accumulation = 1;
    expect_recorded(config);
}
INSTANTIATE_TEST_SUITE_P(All, RecordedPreset, testing::ValuesIn(kPresets), preset_test_name);

// Some steps of eight-bit experts do their products again to see the errors: they are recorded beside the others.
TEST(RecordedSteps, KnowThoseThatCompareEightBits) {
    RunConfig config = small_config();
    config.train.precision = Precision::fp8;
    config.train.evaluate_every = 3;
    Pair pair(config);
    for (const std::uint64_t captures : {3u, 1u, 0u, 0u, 0u, 0u}) {
        pair.step();
        EXPECT_EQ(pair.taken.captures, captures);
    }
    EXPECT_EQ(pair.taken.allocations, 0u);
    EXPECT_EQ(pair.recorded.why_not_recorded(), "");
}

// The choices of earlier micro-batches count in the balance loss: each micro-batch of a step is another one.
TEST(RecordedSteps, KnowTheMicroBatchesOfAGlobalBalance) {
    RunConfig config = small_config();
    config.train.balance = kernels::Balance::global;
    config.train.balance_coefficient = 0.5;
    config.train.accumulation = 3;
    expect_recorded(config, 3);
    config.train.accumulation = 9;  // too many to keep each: their operations are started one by one
    Pair pair(config);
    pair.step();
    pair.step();
    EXPECT_EQ(pair.taken.captures, 0u);
    EXPECT_EQ(pair.taken.starts, 2u) << "norms and update";
}

double other_value(double value) {
    return value == 0 ? 0.25 : value / 2;
}

// Every knob that there is, each in a run that has it.
TEST(RecordedSteps, FollowEveryKnob) {
    RunConfig config = small_config();
    config.model.selection_bias = true;
    config.model.prediction_depth = 1;
    config.model.capacity_factor = 1.5;
    config.train.balance_coefficient = 0.1;
    config.train.z_coefficient = 0.1;
    config.model.vocabulary = 320;
    Pair pair(config, dataset_with_tokenizer(320));  // for samples
    pair.step();
    pair.step();
    int turned = 0;
    for (const ConfigField& field : config_fields()) {
        if (field.live == Live::no) {
            continue;
        }
        SCOPED_TRACE(field.key);
        const double value = field.type == "integer" ? 1 : other_value(live_value(pair.recorded.config(), field.key));
        const std::string before = pair.plain.parameters_sha256();
        pair.recorded.set(field.key, value);
        pair.plain.set(field.key, value);
        pair.step();
        EXPECT_EQ(pair.taken.captures, field.key == "learning_rate" ? 0u : 1u)
            << "what stands in memory is no other stretch";
        pair.step();
        EXPECT_EQ(pair.taken.captures, 0u);
        EXPECT_NE(pair.plain.parameters_sha256(), before);
        ++turned;
    }
    EXPECT_EQ(turned, 7) << "a knob that is new";
    const auto both = [&](const auto& act, std::uint64_t captures) {
        act(pair.recorded);
        act(pair.plain);
        pair.step();
        EXPECT_EQ(pair.taken.captures, captures);
        pair.step();
        EXPECT_EQ(pair.taken.captures, 0u);
    };
    both([](Trainer& trainer) { trainer.set_expert_disabled(0, 1, true); }, 0);
    both([](Trainer& trainer) { trainer.set_expert_frozen(1, 2, true); }, 1);
    both([](Trainer& trainer) { trainer.reset_expert(1, 0); }, 0);
    both([](Trainer& trainer) { trainer.set_expert_disabled(0, 1, false); }, 0);
    both([](Trainer& trainer) { trainer.set_expert_frozen(1, 2, false); }, 0);
    both([](Trainer& trainer) { trainer.evaluate(); }, 0);
    both([](Trainer& trainer) { trainer.sample("the router", 3); }, 0);
    EXPECT_EQ(pair.recorded.why_not_recorded(), "");
}

TEST(RecordedSteps, GoOnFromACheckpointWithTheSameBytes) {
    RunConfig config = small_config();
    config.train.accumulation = 2;
    config.model.router_jitter = 0.1;
    Pair pair(config);
    const TemporaryFolder folder;
    pair.step();
    pair.step();
    pair.recorded.save(folder.path());
    const auto resumed = Trainer::load(folder.path(), pair.data, nullptr, {}, kernels::cuda::emulated_ops());
    for (int step = 0; step < 2; ++step) {
        pair.step();
        resumed->step();
        EXPECT_EQ(resumed->parameters_sha256(), pair.plain.parameters_sha256());
    }
}

// Ranks talk within a micro-batch; norms and update are recorded.
TEST(RecordedSteps, OfSeveralRanksAreTheSame) {
    RunConfig config = small_config();
    config.train.batch = 2;
    config.model.selection_bias = true;
    const auto data = byte_dataset();
    std::string hashes[2];
    for (const bool captures : {false, true}) {
        const auto problems = comm::test::run_ranks(2, [&](const std::shared_ptr<comm::Comm>& world) {
            kernels::cuda::EmulatedUse use;
            Trainer trainer(config, data, {}, kernels::cuda::emulated_ops({.captures = captures, .use = &use}),
                            {world, 2, false, 1});
            if (world->rank() > 0) {
                trainer.follow();
                return;
            }
            for (int step = 0; step < 3; ++step) {
                EXPECT_TRUE(trainer.step().fault.empty());
            }
            EXPECT_EQ(use.captures, captures ? 2u : 0u);
            EXPECT_EQ(use.starts, captures ? 4u : 0u);
            hashes[captures ? 1 : 0] = trainer.parameters_sha256();
        });
        EXPECT_THAT(problems, testing::Each(""));
    }
    EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace moescope::engine::test
