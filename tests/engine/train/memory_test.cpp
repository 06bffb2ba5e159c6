#include "memory.hpp"

namespace moescope::engine::test {
namespace {

TEST(Memory, PeakIsAsPlanned) {
    if (!peak_can_be_measured()) {
        GTEST_SKIP() << "the peak of memory cannot be measured here";
    }
    expect_as_planned(preset_in("qwen3-mini", Precision::f32), "qwen3-mini, f32");
    expect_as_planned(preset_in("qwen3-mini", Precision::bf16), "qwen3-mini, bf16");
    expect_as_planned(preset_in("qwen3-mini", Precision::fp8), "qwen3-mini, fp8");
    expect_as_planned(preset_in("deepseek-v3-mini", Precision::f32), "deepseek-v3-mini, f32");
    RunConfig muon = preset_in("qwen3-mini", Precision::f32);
    muon.train.optimizer = Optimizer::muon;
    muon.train.accumulation = 2;
    muon.train.batch = 2;
    expect_as_planned(muon, "qwen3-mini, Muon");
}

}  // namespace
}  // namespace moescope::engine::test
