// What every Comm keeps to, checked with one rank, with threads and started by mpirun with MPI; with the memory of
// devices in device_comm_test.cpp.
#include "engine/comm/comm.hpp"

#include "engine/comm/mpi_comm.hpp"
#include "tests/engine/comm/contract.hpp"
#include "tests/engine/comm/threads_comm.hpp"

namespace moescope::engine::comm::test {
namespace {

TEST(Solo, KeepsTheContract) {
    check_contract(*solo());
}

TEST(Solo, IsNothingAfterAnAbort) {
    const auto world = solo();
    world->abort();
    EXPECT_THROW(world->barrier(), Error);
}

class Threads : public testing::TestWithParam<int> {};
TEST_P(Threads, KeepTheContract) {
    const auto problems = run_ranks(GetParam(), [](const std::shared_ptr<Comm>& world) { check_contract(*world); });
    EXPECT_THAT(problems, testing::Each(""));
}
INSTANTIATE_TEST_SUITE_P(Ranks, Threads, testing::Values(1, 2, 3, 4));

TEST(Threads, StopWhenOneEnds) {
    const auto problems = run_ranks(3, [](const std::shared_ptr<Comm>& world) {
        world->barrier();
        if (world->rank() == 1) {
            return;
        }
        world->barrier();
    });
    EXPECT_EQ(problems[1], "");
    EXPECT_EQ(problems[0], "rank 1 has ended");
    EXPECT_NE(problems[2], "");
}

// The tests below are started by mpirun (CMakeLists.txt).

std::unique_ptr<Comm> mpi() {
    MpiSettings settings;
    settings.plugin = mpi_plugin_here();
    settings.patience = std::chrono::seconds(5);
    return open_mpi(settings);
}

TEST(Mpi, KeepsTheContract) {
    if (launched_ranks() == 1) {
        GTEST_SKIP() << "not started by mpirun";
    }
    const auto world = mpi();
    EXPECT_EQ(world->size(), launched_ranks());
    EXPECT_EQ(world->neighbours(), launched_ranks());
    check_contract(*world);
}

TEST(Mpi, AMissingPluginIsOneSentence) {
    MpiSettings settings;
    settings.plugin = "/nowhere/libmoescope-mpi.so";
    try {
        open_mpi(settings);
        ADD_FAILURE() << "opened";
    } catch (const Error& problem) {
        EXPECT_THAT(problem.what(), testing::HasSubstr("several ranks need /nowhere/libmoescope-mpi.so"));
    }
}

}  // namespace
}  // namespace moescope::engine::comm::test
