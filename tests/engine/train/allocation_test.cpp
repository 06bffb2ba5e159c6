// After its first step a run asks for no memory: all of it was planned. The matrix library packs its operands into
// memory of its own; how much that is gets printed.
#include <cstdio>

#include "counting_allocator.hpp"
#include "presets.hpp"
#include "variants.hpp"

namespace moescope::engine::test {
namespace {

constexpr int kSteps = 2;  // that are counted, after the first

Allocations allocations_of(const RunConfig& config) {
    Trainer trainer(config, byte_dataset());
    EXPECT_EQ(trainer.step().fault.english(), "");
    start_counting();
    bool faulty = false;
    for (int i = 0; i < kSteps; ++i) {
        faulty = !trainer.step().fault.empty() || faulty;
    }
    const Allocations result = stop_counting();
    EXPECT_FALSE(faulty);
    return result;
}

void expect_none(const RunConfig& config, const std::string& what) {
    const Allocations result = allocations_of(config);
    const auto &program = result.of(Asker::program), &matrices = result.of(Asker::matrices),
               &threads = result.of(Asker::threads);
    EXPECT_EQ(program.calls, 0u) << what << ": " << program.bytes << " bytes, first in " << result.first;
    EXPECT_EQ(threads.calls, 0u) << what << ": " << threads.bytes << " bytes";
    std::printf("%-44s oneDNN: %5llu calls, %7.1f MiB a step, %6.2f MiB held at most\n", what.c_str(),
                static_cast<unsigned long long>(matrices.calls / kSteps),
                static_cast<double>(matrices.bytes) / kSteps / 1048576.0,
                static_cast<double>(matrices.most_held) / 1048576.0);
}

enum class Kind { adamw, muon, bf16, fp8, accumulation };
constexpr std::pair<const char*, Kind> kKinds[] = {{"AdamW", Kind::adamw},
                                                   {"Muon", Kind::muon},
                                                   {"bf16", Kind::bf16},
                                                   {"fp8", Kind::fp8},
                                                   {"accumulation", Kind::accumulation}};

/// Eight bits are for experts.
bool exists(const RunConfig& config, Kind kind) {
    return kind != Kind::fp8 || config.model.dense_layers < config.model.layers;
}

RunConfig as(RunConfig config, Kind kind) {
    config.train.optimizer = kind == Kind::muon ? Optimizer::muon : Optimizer::adamw;
    config.train.precision = kind == Kind::bf16 ? Precision::bf16 : kind == Kind::fp8 ? Precision::fp8 : Precision::f32;
    config.train.accumulation = kind == Kind::accumulation ? 2 : 1;
    return config;
}

TEST(Allocations, CounterSeesOne) {
    start_counting();
    char* volatile one = new char[1000];  // volatile, or the compiler sees that nothing needs them
    delete[] one;
    void* volatile other = std::malloc(500);
    std::free(other);
    const Allocations result = stop_counting();
    EXPECT_EQ(result.of(Asker::program).calls, 2u);
    EXPECT_GE(result.of(Asker::program).bytes, 1500u);
    EXPECT_FALSE(result.first.empty());
    EXPECT_GE(result.of(Asker::program).most_held, 1000u);
    EXPECT_LT(result.of(Asker::program).most_held, 1100u);
}

TEST(Allocations, NoneInAStepOfAnyVariant) {
    for (const Variant& variant : kVariants) {
        for (const auto& [name, kind] : kKinds) {
            RunConfig config = tiny_config();
            variant.change(config);
            if (exists(config, kind)) {
                expect_none(as(config, kind), std::string(variant.name) + ", " + name);
            }
        }
    }
}

// Wide enough for every product to be worth rounding.
TEST(Allocations, NoneInAStepOfAnyPreset) {
    for (const char* preset : {"qwen3-mini", "mixtral-mini", "olmoe-mini", "deepseek-v2-mini", "deepseek-v3-mini",
                               "gpt-oss-mini", "dense", "workshop"}) {
        for (const auto& [name, kind] : kKinds) {
            RunConfig config = read_preset(preset);
            config.train.batch = 1;
            config.model.context = 64;
            const bool slow = kind == Kind::muon || kind == Kind::accumulation;
            if ((slow && std::string(preset) != "deepseek-v3-mini") || !exists(config, kind)) {
                continue;  // it would be the same everywhere
            }
            expect_none(as(config, kind), std::string(preset) + ", " + name);
        }
    }
}

}  // namespace
}  // namespace moescope::engine::test
