// The contract of every Comm where data lie in the memory of devices: through the host's memory, from emulated device
// to emulated device, and on a GPU with NCCL.
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "engine/comm/mpi_comm.hpp"
#include "engine/comm/nccl_comm.hpp"
#include "engine/comm/nccl_plugin.hpp"
#include "engine/comm/staged_comm.hpp"
#include "engine/model/device_data.hpp"
#include "tests/engine/comm/contract.hpp"
#include "tests/engine/comm/on_device.hpp"
#include "tests/engine/comm/threads_comm.hpp"
#include "tests/kernels/cuda/device_under_test.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::comm::test {
namespace {

using kernels::cuda::EmulatedMemory;

/// A rank's emulated device, whose memory the host can't touch.
struct Apart {
    std::shared_ptr<EmulatedMemory> memory = std::make_shared<EmulatedMemory>();
    std::unique_ptr<kernels::Ops> ops = kernels::cuda::emulated_ops({.apart = memory});
};

enum class Way { staged, wire };

void check_contract_on_device(Comm& world, Way way) {
    Apart device;
    auto memory = memory_of(*device.ops);
    if (way == Way::staged) {
        const auto ranks = staged(world, std::move(memory));
        OnDevice placed(*ranks, *device.ops);
        check_contract(placed);
    } else {
        EmulatedWire ranks(world, std::move(memory), device.memory);
        OnDevice placed(ranks, *device.ops);
        check_contract(placed);
    }
}

class DeviceThreads : public testing::TestWithParam<std::tuple<int, Way>> {};
TEST_P(DeviceThreads, KeepTheContract) {
    const auto [ranks, way] = GetParam();
    const auto problems =
        run_ranks(ranks, [way = way](const std::shared_ptr<Comm>& world) { check_contract_on_device(*world, way); });
    EXPECT_THAT(problems, testing::Each(""));
}
INSTANTIATE_TEST_SUITE_P(Ranks, DeviceThreads,
                         testing::Combine(testing::Values(1, 2, 3, 4), testing::Values(Way::staged, Way::wire)));

/// What one number of rank 0 becomes when both ranks add theirs, each with the memory that it is given.
std::vector<float> sums_of_two(const std::function<std::shared_ptr<Memory>(kernels::Ops&)>& memory_of_rank) {
    constexpr std::uint64_t kCount = 5003;
    std::vector<float> result(kCount);
    const auto problems = run_ranks(2, [&](const std::shared_ptr<Comm>& world) {
        Apart device;
        EmulatedWire ranks(*world, memory_of_rank(*device.ops), device.memory);
        const std::vector<float> mine(kCount, world->rank() == 0 ? 1.0f : 2.0f);
        const auto there = device.ops->allocate(kCount * sizeof(float), {});
        auto* const values = reinterpret_cast<float*>(there.get());
        device.ops->upload(values, mine.data(), kCount * sizeof(float));
        ranks.all_reduce(values, kCount, Number::f32);
        if (world->rank() == 0) {
            device.ops->download(result.data(), values, kCount * sizeof(float));
        }
        world->barrier();
    });
    EXPECT_THAT(problems, testing::Each(""));
    return result;
}

TEST(DeviceOrder, IsKeptByWhoWaitsAndElseFoundOut) {
    EXPECT_THAT(sums_of_two([](kernels::Ops& ops) { return memory_of(ops); }), testing::Each(3.0f));
    const auto without = [](kernels::Ops& ops) {
        auto memory = std::make_shared<Unsettled>(memory_of(ops));
        memory->ordered = false;
        return memory;
    };
    EXPECT_THAT(sums_of_two(without), testing::Not(testing::Each(3.0f)));
}

TEST(DeviceMemoryDeathTest, IsNotForTheHostToTouch) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(
        {
            const Apart device;
            const auto memory = device.ops->allocate(64, {});
            device.ops->wait();
            *reinterpret_cast<volatile std::byte*>(memory.get()) = std::byte{1};
        },
        "");
}

TEST(DeviceThreads, StopWhenOneEnds) {
    for (const Way way : {Way::staged, Way::wire}) {
        const auto problems = run_ranks(3, [&](const std::shared_ptr<Comm>& world) {
            Apart device;
            const auto memory = memory_of(*device.ops);
            std::unique_ptr<Comm> ranks;
            if (way == Way::staged) {
                ranks = staged(*world, memory);
            } else {
                ranks = std::make_unique<EmulatedWire>(*world, memory, device.memory);
            }
            const auto there = device.ops->allocate(64, {});
            ranks->all_reduce(there.get(), 4, Number::f32);
            if (world->rank() == 1) {
                ranks->abort();
                return;
            }
            ranks->all_reduce(there.get(), 4, Number::f32);
        });
        EXPECT_EQ(problems[0], "rank 1 has ended");
        EXPECT_EQ(problems[1], "");
        EXPECT_NE(problems[2], "");
    }
}

// Started by mpirun (CMakeLists.txt).
TEST(DeviceProcesses, KeepTheContract) {
    if (launched_ranks() == 1) {
        GTEST_SKIP() << "not started by mpirun";
    }
    const auto world = open_mpi({.plugin = mpi_plugin_here(), .patience = std::chrono::seconds(20)});
    check_contract_on_device(*world, Way::staged);
    check_contract_on_device(*world, Way::wire);
}

// The plugin for NCCL with a stand-in for NCCL itself (nccl_stand_in/stand_in.cpp): its groups, stages, errors and
// ends.

NcclSettings stand_in(std::chrono::milliseconds patience = std::chrono::seconds(60)) {
    return {.plugin = moescope::test::binary_folder() + "/test_nccl_plugin.so", .patience = patience};
}

/// Data are on emulated devices whose memory others may touch, as a network card does.
std::vector<std::string> run_stand_ins(int ranks, const std::function<void(Comm&)>& work,
                                       std::chrono::milliseconds patience = std::chrono::seconds(60)) {
    return run_ranks(ranks, [&](const std::shared_ptr<Comm>& threads) {
        const auto ops = kernels::cuda::emulated_ops();
        const auto device = open_nccl(*threads, memory_of(*ops), stand_in(patience));
        OnDevice placed(*device, *ops);
        work(placed);
    });
}

TEST(NcclPlugin, HasNothingAgainstItself) {
    EXPECT_EQ(why_no_nccl(stand_in()), "");
    NcclSettings far = stand_in();
    far.device = 2;
    EXPECT_EQ(why_no_nccl(far), "there is no GPU 2; the driver knows 2");
}

class NcclPluginThreads : public testing::TestWithParam<int> {};
TEST_P(NcclPluginThreads, KeepTheContract) {
    EXPECT_THAT(run_stand_ins(GetParam(), [](Comm& world) { check_contract(world); }), testing::Each(""));
}
INSTANTIATE_TEST_SUITE_P(Ranks, NcclPluginThreads, testing::Values(1, 2, 4));

TEST(NcclPluginThreads, StopWhenOneEnds) {
    const auto problems = run_stand_ins(3, [](Comm& world) {
        world.barrier();
        if (world.rank() == 1) {
            world.abort();
            return;
        }
        world.barrier();
        world.barrier();
    });
    EXPECT_EQ(problems[1], "");
    EXPECT_THAT(problems[0], testing::StartsWith("the ranks lost each other: an exchange: remote process exited"));
    EXPECT_THAT(problems[2], testing::StartsWith("the ranks lost each other: an exchange: remote process exited"));
}

TEST(NcclPluginThreads, DoNotWaitForOneThatHangs) {
    std::promise<void> seen;
    const auto problems = run_stand_ins(
        2,
        [&](Comm& world) {
            world.barrier();
            if (world.rank() == 1) {
                seen.get_future().wait();
                return;
            }
            try {
                world.barrier();
            } catch (const Error&) {
                seen.set_value();
                throw;
            }
            seen.set_value();
        },
        std::chrono::milliseconds(300));
    EXPECT_THAT(problems[0], testing::StartsWith("NCCL: the other ranks did not answer for 0 seconds"));
}

TEST(NcclPluginThreads, SayWhatNcclSays) {
    const auto problems = run_stand_ins(2, [](Comm& world) {
        const std::vector<char> sent(7);
        std::vector<char> received(9);
        const Outgoing out{1 - world.rank(), sent.data(), sent.size()};
        const Incoming in{1 - world.rank(), received.data(), received.size()};
        world.exchange({&out, 1}, {&in, 1});
    });
    EXPECT_THAT(problems, testing::Contains(testing::HasSubstr("invalid usage, a part of 7 bytes came for one of 9")));
}

TEST(NcclPluginProcesses, KeepTheContract) {
    if (launched_ranks() == 1) {
        GTEST_SKIP() << "not started by mpirun";
    }
    const auto world = open_mpi({.plugin = mpi_plugin_here(), .patience = std::chrono::seconds(20)});
    const auto ops = kernels::cuda::emulated_ops();
    const auto device = open_nccl(*world, memory_of(*ops), stand_in());
    OnDevice placed(*device, *ops);
    check_contract(placed);
}

// The tests below run on a GPU (./test --gpu), but for those of what is said without one.

std::filesystem::path nccl_plugin() {
    return std::filesystem::path(moescope::test::binary_folder()) / kNcclPluginFile;
}
bool on_gpu() {
    return std::getenv("MOESCOPE_TEST_DEVICE") != nullptr;
}

/// NCCL between threads that find each other through their memory, with data on the device under test.
std::vector<std::string> run_nccl_ranks(int ranks, const NcclSettings& settings,
                                        const std::function<void(Comm&)>& work) {
    return run_ranks(ranks, [&](const std::shared_ptr<Comm>& threads) {
        const auto ops = kernels::test::device_under_test();
        const auto device = open_nccl(*threads, memory_of(*ops), settings);
        OnDevice placed(*device, *ops);
        work(placed);
    });
}

TEST(Nccl, AMissingPluginIsOneSentenceOnEveryRank) {
    const NcclSettings settings{.plugin = "/nowhere/libmoescope-nccl.so"};
    const auto problems = run_nccl_ranks(2, settings, [](Comm&) {});
    for (const std::string& problem : problems) {
        EXPECT_THAT(problem, testing::StartsWith("NCCL cannot be used: rank 0: /nowhere/libmoescope-nccl.so"));
    }
    EXPECT_THAT(why_no_nccl(settings), testing::StartsWith("/nowhere/libmoescope-nccl.so"));
}

TEST(Nccl, WithoutAGpuEveryRankSaysWhy) {
    if (on_gpu() || !std::filesystem::exists(nccl_plugin())) {
        GTEST_SKIP() << "there is a GPU, or no plugin (./run --nccl)";
    }
    const auto problems = run_nccl_ranks(2, {.plugin = nccl_plugin()}, [](Comm&) {});
    EXPECT_THAT(problems, testing::Each("NCCL cannot be used: rank 0: there is no NVIDIA driver"));
    EXPECT_EQ(why_no_nccl({.plugin = nccl_plugin()}), "there is no NVIDIA driver");
}

class NcclThreads : public testing::TestWithParam<int> {};
TEST_P(NcclThreads, KeepTheContract) {
    if (!on_gpu()) {
        GTEST_SKIP() << "not on a GPU";
    }
    const auto problems = run_nccl_ranks(GetParam(), {.plugin = nccl_plugin(), .patience = std::chrono::seconds(60)},
                                         [](Comm& world) { check_contract(world); });
    EXPECT_THAT(problems, testing::Each(""));
}
INSTANTIATE_TEST_SUITE_P(Ranks, NcclThreads, testing::Values(1, 2));

TEST(NcclThreads, StopWhenOneEnds) {
    if (!on_gpu()) {
        GTEST_SKIP() << "not on a GPU";
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto problems =
        run_nccl_ranks(2, {.plugin = nccl_plugin(), .patience = std::chrono::seconds(3)}, [](Comm& world) {
            world.barrier();
            if (world.rank() == 1) {
                world.abort();
                return;
            }
            world.barrier();
        });
    EXPECT_EQ(problems[1], "");
    EXPECT_NE(problems[0], "");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(NcclProcesses, KeepTheContract) {
    if (!on_gpu() || launched_ranks() == 1) {
        GTEST_SKIP() << "not on a GPU, or not started by mpirun";
    }
    const auto processes = open_mpi({.plugin = mpi_plugin_here(), .patience = std::chrono::seconds(60)});
    const auto ops = kernels::test::device_under_test();
    const auto device =
        open_nccl(*processes, memory_of(*ops), {.plugin = nccl_plugin(), .patience = std::chrono::seconds(60)});
    OnDevice placed(*device, *ops);
    check_contract(placed);
}

}  // namespace
}  // namespace moescope::engine::comm::test
