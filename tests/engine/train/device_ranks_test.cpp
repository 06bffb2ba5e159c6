// Ranks that train on devices: data that go from device to device and data that go through the host's memory leave the
// same bytes. The devices are emulated and have memory that the host can't touch; what is begun there is done when the
// host waits. On a GPU (./test --gpu) two ranks share it, with NCCL.
#include <gmock/gmock.h>

#include "engine/comm/nccl_comm.hpp"
#include "engine/comm/nccl_plugin.hpp"
#include "tests/engine/comm/on_device.hpp"
#include "tests/engine/comm/threads_comm.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"

namespace moescope::engine::test {
namespace {

using comm::test::EmulatedWire;
using comm::test::Meeting;
using comm::test::ThreadsComm;
using kernels::cuda::EmulatedMemory;

struct Shape {
    int ranks, expert_ranks;
    bool own_sequences = false;
};
const Shape kShapes[] = {{2, 1}, {2, 2}, {2, 2, true}, {4, 1}, {4, 2}, {4, 2, true}, {4, 4, true}};

std::string text_of(const Shape& shape) {
    return fmt::format("{}_ranks_{}_share_{}", shape.ranks, shape.expert_ranks,
                       shape.own_sequences ? "all_to_all" : "the_same");
}
void PrintTo(const Shape& shape, std::ostream* out) {
    *out << text_of(shape);
}

enum class Way {
    host_at_once,  ///< devices as they were before: the host could read them, and operations are done by the call
    host,
    direct,
    unordered  ///< direct, without waiting for what was begun: wrong
};

/// What a run leaves on rank 0.
struct Trained {
    std::vector<StepStats> steps;
    HeldOutLoss held_out;
    std::string sha256, optimizer;
    std::vector<std::string> problems;
    std::uint64_t exchanges = 0;  ///< of rank 0, directly
    kernels::cuda::EmulatedUse use;
};

Trained train(const RunConfig& config, const Shape& shape, Way way, int steps = 2,
              std::uint64_t rank_1_lost_after = std::numeric_limits<std::uint64_t>::max()) {
    const auto data = byte_dataset();
    for (auto& text : data->held_out) {
        text.resize(8);
    }
    Meeting wires(shape.ranks);
    Trained result;
    const TemporaryFolder folder;
    result.problems = comm::test::run_ranks(shape.ranks, [&](const std::shared_ptr<comm::Comm>& world) {
        const bool leads = world->rank() == 0;
        ThreadsComm others(wires, world->rank());
        kernels::cuda::EmulatedGpu gpu;
        gpu.apart = way == Way::host_at_once ? nullptr : std::make_shared<EmulatedMemory>();
        gpu.use = leads ? &result.use : nullptr;
        gpu.lost_after = world->rank() == 1 ? rank_1_lost_after : gpu.lost_after;
        TrainingRanks ranks{world, shape.expert_ranks, shape.own_sequences, 1};
        const EmulatedWire* wire = nullptr;
        std::shared_ptr<comm::test::Unsettled> unsettled;
        if (way == Way::direct || way == Way::unordered) {
            ranks.open_direct = [&](comm::Comm&, std::shared_ptr<comm::Memory> memory) {
                if (way == Way::unordered) {
                    memory = unsettled = std::make_shared<comm::test::Unsettled>(std::move(memory));
                }
                auto made = std::make_unique<EmulatedWire>(others, std::move(memory), gpu.apart);
                wire = made.get();
                return std::unique_ptr<comm::Comm>(std::move(made));
            };
        }
        Trainer trainer(config, data, {}, kernels::cuda::emulated_ops(gpu), ranks);
        if (unsettled != nullptr) {
            unsettled->ordered = false;
        }
        if (!leads) {
            trainer.follow();
            return;
        }
        for (int step = 0; step < steps; ++step) {
            result.steps.push_back(trainer.step());
        }
        result.held_out = trainer.evaluate();
        result.sha256 = trainer.parameters_sha256();
        trainer.save(folder.path());
        result.optimizer = file_bytes(folder.path() / "optimizer.safetensors");
        result.exchanges = wire != nullptr ? wire->exchanges : 0;
    });
    return result;
}

RunConfig shared_config() {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.train.batch = 4;
    config.model.context = 4;
    config.model.heads = config.model.kv_heads = 2;
    config.model.selection_bias = true;
    config.train.warmup_steps = 1;
    return config;
}

void expect_same(const Trained& actual, const Trained& expected) {
    EXPECT_THAT(actual.problems, testing::Each(""));
    ASSERT_EQ(actual.steps.size(), expected.steps.size());
    for (std::size_t i = 0; i < expected.steps.size(); ++i) {
        const StepStats &a = actual.steps[i], &e = expected.steps[i];
        EXPECT_TRUE(a.fault.empty()) << a.fault.english();
        EXPECT_EQ(a.loss, e.loss);
        EXPECT_EQ(a.gradient_norm, e.gradient_norm);
        EXPECT_EQ(a.counts, e.counts);
        EXPECT_EQ(a.ranks.rows, e.ranks.rows);
        EXPECT_EQ(a.ranks.load, e.ranks.load);
        EXPECT_EQ(a.ranks.bytes, e.ranks.bytes) << "what ranks send each other, whichever way it goes";
    }
    EXPECT_EQ(actual.held_out.loss, expected.held_out.loss);
    EXPECT_EQ(actual.sha256, expected.sha256);
    EXPECT_EQ(actual.optimizer, expected.optimizer);
}

class DeviceRanks : public testing::TestWithParam<Shape> {};

TEST_P(DeviceRanks, LeaveTheSameBytesDirectlyAndThroughTheHost) {
    const RunConfig config = shared_config();
    const Trained at_once = train(config, GetParam(), Way::host_at_once);
    expect_same(train(config, GetParam(), Way::host), at_once);
    const Trained direct = train(config, GetParam(), Way::direct);
    expect_same(direct, at_once);
    EXPECT_GT(direct.exchanges, 0u);
    EXPECT_GT(direct.use.starts, 0u) << "recorded norms and updates are part of it";
}
INSTANTIATE_TEST_SUITE_P(All, DeviceRanks, testing::ValuesIn(kShapes),
                         [](const auto& shape) { return text_of(shape.param); });

class RoundedDeviceRanks : public testing::TestWithParam<Precision> {};

TEST_P(RoundedDeviceRanks, LeaveTheSameBytes) {
    RunConfig config = shared_config();
    config.train.precision = GetParam();
    config.train.evaluate_every = 2;  // eight-bit floats are compared then
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2, true}, Shape{2, 2}}) {
        SCOPED_TRACE(text_of(shape));
        const Trained at_once = train(config, shape, Way::host_at_once), direct = train(config, shape, Way::direct);
        expect_same(direct, at_once);
        ASSERT_EQ(direct.steps.size(), 2u);
        EXPECT_EQ(direct.steps[0].expert_errors.empty(), GetParam() != Precision::fp8);
        EXPECT_THAT(direct.steps[0].expert_errors,
                    testing::Pointwise(testing::NanSensitiveFloatEq(), at_once.steps[0].expert_errors));
    }
}
INSTANTIATE_TEST_SUITE_P(All, RoundedDeviceRanks, testing::Values(Precision::bf16, Precision::fp8),
                         [](const auto& precision) { return precision.param == Precision::fp8 ? "fp8" : "bf16"; });

/// A router that looks at the whole batch gathers logits; Muon's matrices move whole; micro-batches add up.
TEST(DeviceRanksOfOtherRuns, LeaveTheSameBytes) {
    RunConfig config = shared_config();
    config.model.capacity_factor = 1.0;
    config.train.optimizer = Optimizer::muon;
    config.train.accumulation = 2;
    config.model.shared_experts = 1;
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2}, Shape{4, 2, true}}) {
        SCOPED_TRACE(text_of(shape));
        expect_same(train(config, shape, Way::direct, 2), train(config, shape, Way::host_at_once, 2));
    }
}

/// One token a rank: most experts have no rows, and most ranks nothing for each other.
TEST(DeviceRanksWithNothingToSend, LeaveTheSameBytes) {
    RunConfig config = shared_config();
    config.model.context = 1;
    config.model.experts_per_token = 1;
    for (const Shape shape : {Shape{4, 4, true}, Shape{4, 4}}) {
        SCOPED_TRACE(text_of(shape));
        const Trained direct = train(config, shape, Way::direct);
        expect_same(direct, train(config, shape, Way::host_at_once));
        EXPECT_THAT(direct.steps[0].ranks.rows, testing::Contains(0u));
    }
}

TEST(DeviceRanksWithoutOrder, AreFoundOut) {
    const RunConfig config = shared_config();
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2, true}}) {
        const Trained right = train(config, shape, Way::direct), wrong = train(config, shape, Way::unordered);
        const bool said = wrong.problems != std::vector<std::string>(2);
        EXPECT_TRUE(said || wrong.sha256 != right.sha256) << "nobody waited for what was begun on the device";
    }
}

/// Whose device is lost in the middle of a step: the others end, whatever they wait for.
TEST(DeviceRanksOfWhichOneIsLost, AllEnd) {
    for (const Way way : {Way::host, Way::direct}) {
        for (const std::uint64_t after : {12u, 25u}) {
            const auto begin = std::chrono::steady_clock::now();
            const Trained trained = train(shared_config(), {2, 2, true}, way, 20, after);
            EXPECT_EQ(trained.problems[1], "cudaErrorDeviceUnavailable");
            EXPECT_EQ(trained.problems[0], "rank 1 has ended");
            EXPECT_LT(trained.steps.size(), 20u);
            EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(40))
                << "before its patience of a minute";
        }
    }
}

// ./test --gpu: two ranks on one GPU, which NCCL allows when it is told to, and one alone.
TEST(GpuRanks, TrainWithNcclAsThroughTheHostAndAsOneDoes) {
    if (std::getenv("MOESCOPE_TEST_DEVICE") == nullptr) {
        GTEST_SKIP() << "there is no GPU to test on (./test --gpu)";
    }
    const comm::NcclSettings settings{
        .plugin = std::filesystem::path(moescope::test::binary_folder()) / comm::kNcclPluginFile,
        .patience = std::chrono::seconds(60)};
    RunConfig config = shared_config();
    config.train.learning_rate = 3e-4;  // as in ranks_test.cpp
    config.train.adam_epsilon = 1e-3;
    const auto data = byte_dataset();
    Trainer alone(config, data, {}, kernels::test::device_under_test());
    const double expected[] = {alone.step().cross_entropy, alone.step().cross_entropy};
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2}, Shape{2, 2, true}}) {
        SCOPED_TRACE(text_of(shape));
        std::string sha256[2];
        for (const bool direct : {false, true}) {
            const auto problems = comm::test::run_ranks(shape.ranks, [&](const std::shared_ptr<comm::Comm>& world) {
                TrainingRanks ranks{world, shape.expert_ranks, shape.own_sequences, 1};
                if (direct) {
                    ranks.open_direct = [&](comm::Comm& others, std::shared_ptr<comm::Memory> memory) {
                        return comm::open_nccl(others, std::move(memory), settings);
                    };
                }
                Trainer trainer(config, data, {}, kernels::test::device_under_test(), ranks);
                if (world->rank() > 0) {
                    trainer.follow();
                    return;
                }
                for (const double loss : expected) {
                    EXPECT_NEAR(trainer.step().cross_entropy / loss, 1.0, 1e-4);
                }
                sha256[direct ? 1 : 0] = trainer.parameters_sha256();
            });
            EXPECT_THAT(problems, testing::Each(""));
        }
        EXPECT_EQ(sha256[0], sha256[1]);
    }
}

}  // namespace
}  // namespace moescope::engine::test
