// The benchmark of GPUs on the emulated one at small sizes: that it runs from end to end, and that what it counts is
// what the engine does. Nothing here says how fast anything is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "bench/gpu/measure.hpp"
#include "bench/gpu/measured_ops.hpp"
#include "engine/train/plan.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/paths.hpp"

namespace moescope::bench {
namespace {

using nlohmann::json;

std::filesystem::path models() {
    return moescope::test::bench_folder() + "/gpu";
}

TEST(GpuBench, ItsModelsAreThoseThatAreClaimedAndFitIntoAGpu) {
    constexpr double kGiga = 1e9;
    const engine::RunPlan grouped =
        engine::plan_run(bench_config(models(), "grouped", false), *kernels::cuda::emulated_ops());
    EXPECT_NEAR(static_cast<double>(grouped.parameters_total) / (1.2 * kGiga), 1.0, 0.02);
    EXPECT_NEAR(static_cast<double>(grouped.parameters_active) / (0.2 * kGiga), 1.0, 0.05);
    EXPECT_LT(static_cast<double>(grouped.memory_bytes), 70 * kGiga);
    const engine::RunPlan latent =
        engine::plan_run(bench_config(models(), "latent", false), *kernels::cuda::emulated_ops());
    EXPECT_LT(static_cast<double>(latent.memory_bytes), 70 * kGiga);
}

/// Everything once, for the tests below.
const json& emulated() {
    static const json result = [] {
        Settings settings;
        settings.open = [] { return kernels::cuda::emulated_ops(); };
        settings.open_grouped = [](const std::string& /*by*/) { return kernels::cuda::emulated_ops(); };
        settings.device.name = kernels::kEmulated;
        settings.models = models();
        settings.emulated = settings.tiny = true;
        settings.steps = 1;
        settings.tell = [](const std::string&) {};
        settings.torch = {{"what", "another program"}, {"tokens_per_second", 1e-3}};
        return measure(settings);
    }();
    return result;
}

TEST(GpuBench, MeasuresEveryOperation) {
    std::set<std::string> seen;
    for (const char* section : {"training", "generation"}) {
        for (const json& row : emulated().at(section)) {
            for (const json& operation : row.at("operations")) {
                const std::string name = operation.at("operation");
                seen.insert(name.substr(0, name.find(' ')));
                EXPECT_GT(operation.at("calls").get<std::uint64_t>(), 0u) << name;
                EXPECT_GT(operation.at("bytes").get<double>(), 0.0) << name;
            }
        }
    }
    // Not seen: the search for what is not finite, which is for faults, errors of eight-bit products, which are not
    // run, biases of products, and the tables of angles, which are made before the steps that are measured.
    EXPECT_THAT(
        seen, testing::UnorderedElementsAre(
                  "adamw", "add", "add_choices", "add_margins", "add_share", "attend_grouped", "attend_latent",
                  "attention_backward", "attention_forward", "cache_grouped", "cache_latent", "combine_backward",
                  "combine_forward", "copy", "copy_columns", "count_slots", "cross_entropy_forward",
                  "cross_entropy_forward_backward", "dispatch_plan", "embedding_backward", "embedding_forward",
                  "experts_backward", "experts_forward", "gather_backward", "gather_forward", "hash_choice", "jitter",
                  "latent_key_backward", "latent_key_forward", "linear_backward_input", "linear_backward_weight",
                  "linear_forward", "muon", "next_targets", "qk_norm_backward", "qk_norm_forward", "rms_norm_backward",
                  "rms_norm_forward", "router_backward", "router_forward", "sum_of_squares", "turn_latent_queries",
                  "update_selection_bias", "activate_rows", "zero"));
}

TEST(GpuBench, ComparesWhatComputesGroupedProducts) {
    std::set<std::string> seen;
    for (const json& row : emulated().at("grouped_products")) {
        seen.insert(row.at("by").get<std::string>() + " " + row.at("operands").get<std::string>() + " " +
                    row.at("load").get<std::string>());
        EXPECT_GT(row.at("forward_flops_per_second").get<double>(), 0.0);
        EXPECT_GT(row.at("backward_flops_per_second").get<double>(), 0.0);
    }
    EXPECT_EQ(seen.size(), 12u);
    EXPECT_THAT(seen, testing::Contains("cutlass bf16 half to one expert"));
    EXPECT_THAT(markdown(emulated()), testing::HasSubstr("| tiled | f32 | even | "));
}

// What the products of a step do by their formulas is what the plan says of the model.
TEST(GpuBench, CountsTheFlopsOfTheModel) {
    const json& row = emulated().at("training").at(0);
    double products = 0, attention = 0;
    for (const json& operation : row.at("operations")) {
        const std::string name = operation.at("operation");
        (name.starts_with("attention") ? attention : products) += operation.at("flops").get<double>();
    }
    const engine::RunConfig config = bench_config(models(), "grouped", true);
    const engine::ModelConfig& m = config.model;
    const double tokens = row.at("tokens_of_a_step"), S = m.context;
    // Norms are parameters without a product; the backward of attention has the scores again, and the plan's half of a
    // context is (S + 1) / 2.
    const double norms = 6.0 * ((2 * m.layers + 1) * m.width + 2 * m.layers * m.head_width);
    const double planned =
        row.at("flops_per_token").get<double>() - 6.0 * m.layers * 0.5 * S * m.heads * 2 * m.head_width;
    EXPECT_NEAR(products / tokens, planned - norms, 1e-6 * planned);
    EXPECT_NEAR(attention / tokens, m.layers * 0.5 * (S + 1) * m.heads * (4.0 + 10.0) * m.head_width, 1e-6 * attention);
}

TEST(GpuBench, MeasuresAttentionByEitherAndSaysByWhom) {
    const json& all = emulated().at("attention");
    ASSERT_EQ(all.size(), 2u);
    for (const json& row : all) {
        ASSERT_EQ(row.at("kinds").size(), 2u);
        EXPECT_EQ(row.at("kinds").at(0).at("by"), "own kernels");
        for (const json& kind : row.at("kinds")) {
            EXPECT_GT(kind.at("forward_seconds").get<double>(), 0.0);
            EXPECT_GT(kind.at("backward_flops_per_second").get<double>(), 0.0);
        }
    }
    EXPECT_EQ(all.at(0).at("kinds").at(1).at("by"), "the emulated library");
    EXPECT_THAT(all.at(1).at("kinds").at(1).at("by").get<std::string>(), testing::StartsWith("own kernels ("));
    EXPECT_THAT(markdown(emulated()), testing::HasSubstr("tokens | bf16 | the emulated library |"));
}

TEST(GpuBench, SaysThatTheEmulationIsNoGpu) {
    const std::string text = markdown(emulated());
    EXPECT_TRUE(text.starts_with("## cuda-emulated: NOT measured on a GPU")) << text.substr(0, 80);
    EXPECT_TRUE(emulated().at("emulated").get<bool>());
    EXPECT_THAT(text, testing::HasSubstr("| another program | 0.001 tokens/s |"));
    EXPECT_THAT(text, testing::HasSubstr("| attend_latent |"));
    EXPECT_THAT(text, testing::HasSubstr("bench-latent: generation of 2 texts after 10 tokens"));
}

// Measuring changes nothing but the time.
TEST(GpuBench, MeasuredTrainingHasTheSameBytes) {
    const engine::RunConfig config = engine::test::tiny_config();
    const auto data = engine::test::byte_dataset();
    engine::Trainer plain(config, data, {}, kernels::cpu_ops(1));
    auto owned = std::make_unique<MeasuredOps>(kernels::cpu_ops(1));
    MeasuredOps& ops = *owned;
    engine::Trainer measured(config, data, {}, std::move(owned));
    for (int step = 0; step < 2; ++step) {
        ops.measure(step == 1);
        const engine::StepStats expected = plain.step(), actual = measured.step();
        EXPECT_EQ(actual.counts, expected.counts);
    }
    EXPECT_EQ(measured.parameters_sha256(), plain.parameters_sha256());
    EXPECT_GT(ops.costs().at("experts_forward f32").flops, 0.0);
    ops.measure(false);
    ops.skip_counts(true);
    plain.step();
    const engine::StepStats& uncounted = measured.step();
    EXPECT_THAT(uncounted.counts, testing::Each(0u));
    EXPECT_EQ(measured.parameters_sha256(), plain.parameters_sha256()) << "counting is no part of training here";
}

}  // namespace
}  // namespace moescope::bench
