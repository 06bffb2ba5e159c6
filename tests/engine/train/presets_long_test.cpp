// Every preset at length: the same bytes after 200 steps, twice, after a break and with one thread; memory as planned.
#include <cstdio>

#include "memory.hpp"

namespace moescope::engine::test {
namespace {

constexpr int kSteps = 200, kSaved = 90, kKilled = 101;

struct Case {
    const char* preset;
    Precision precision;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
    std::string name = std::string(info.param.preset) + (info.param.precision == Precision::f32 ? "_f32" : "_bf16");
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/// The preset on a smaller batch of shorter sequences: several blocks of tokens, windows shorter than a sequence.
RunConfig small_batch(const Case& c, int threads) {
    RunConfig config = preset_in(c.preset, c.precision);
    config.model.context = 48;
    config.train.batch = 2;
    config.train.steps = kSteps;
    config.train.threads = threads;
    return config;
}

void step_to(Trainer& trainer, int step) {
    while (trainer.steps_done() < static_cast<std::uint64_t>(step)) {
        ASSERT_EQ(trainer.step().fault.english(), "") << "step " << trainer.steps_done();
    }
}

std::string whole_run(const Case& c, int threads) {
    Trainer trainer(small_batch(c, threads), byte_dataset());
    step_to(trainer, kSteps);
    return trainer.parameters_sha256();
}

/// A checkpoint at step 90, killed at step 101, gone on with from the checkpoint.
std::string broken_run(const Case& c) {
    const TemporaryFolder folder;
    {
        Trainer trainer(small_batch(c, 2), byte_dataset());
        step_to(trainer, kSaved);
        trainer.save(folder.path());
        step_to(trainer, kKilled);
    }
    const auto trainer = Trainer::load(folder.path(), byte_dataset());
    step_to(*trainer, kSteps);
    return trainer->parameters_sha256();
}

class Presets : public testing::TestWithParam<Case> {};

TEST_P(Presets, GiveTheSameBytesAfterTwoHundredSteps) {
    const std::string first = whole_run(GetParam(), 2);
    std::printf("parameters %s\n", first.c_str());
    EXPECT_EQ(whole_run(GetParam(), 2), first) << "the second time";
    EXPECT_EQ(broken_run(GetParam()), first) << "after a break";
    EXPECT_EQ(whole_run(GetParam(), 1), first) << "with one thread";
}

TEST_P(Presets, TakeTheMemoryThatWasPlanned) {
    if (!peak_can_be_measured()) {
        GTEST_SKIP() << "the peak of memory cannot be measured here";
    }
    expect_as_planned(preset_in(GetParam().preset, GetParam().precision), name_of({GetParam(), 0}));
}

INSTANTIATE_TEST_SUITE_P(All, Presets,
                         testing::Values(Case{"qwen3-mini", Precision::f32}, Case{"qwen3-mini", Precision::bf16},
                                         Case{"deepseek-v3-mini", Precision::f32},
                                         Case{"deepseek-v3-mini", Precision::bf16},
                                         Case{"gpt-oss-mini", Precision::f32}, Case{"gpt-oss-mini", Precision::bf16},
                                         Case{"mixtral-mini", Precision::f32}, Case{"mixtral-mini", Precision::bf16},
                                         Case{"olmoe-mini", Precision::f32}, Case{"olmoe-mini", Precision::bf16},
                                         Case{"deepseek-v2-mini", Precision::f32},
                                         Case{"deepseek-v2-mini", Precision::bf16}, Case{"dense", Precision::f32},
                                         Case{"dense", Precision::bf16}, Case{"workshop", Precision::f32},
                                         Case{"workshop", Precision::bf16}),
                         name_of);

}  // namespace
}  // namespace moescope::engine::test
