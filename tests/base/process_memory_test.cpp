// What a process takes grows with what it writes to, and ends with it.
#include "base/process_memory.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace moescope::base {
namespace {

constexpr std::size_t kBlock = std::size_t{64} << 20;

TEST(ProcessMemory, GrowsWithWhatIsWritten) {
    const std::uint64_t before = process_memory(getpid());
    EXPECT_GT(before, std::uint64_t{1} << 18);
    void* block = mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(block, MAP_FAILED);
    EXPECT_LT(process_memory(getpid()), before + kBlock / 2) << "reserved is not taken";
    std::memset(block, 1, kBlock);
    EXPECT_GE(process_memory(getpid()), before + kBlock * 9 / 10);
    munmap(block, kBlock);
    EXPECT_LT(process_memory(getpid()), before + kBlock / 2);
}

TEST(ProcessMemory, WhatTwoProcessesShareCountsOnceInTheirSum) {
    void* block = mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(block, MAP_FAILED);
    std::memset(block, 1, kBlock);
    const std::uint64_t alone = process_memory(getpid());
    int ready[2], leave[2];
    ASSERT_EQ(pipe(ready), 0);
    ASSERT_EQ(pipe(leave), 0);
    const pid_t child = fork();
    if (child == 0) {
        volatile char sum = 0;
        for (std::size_t i = 0; i < kBlock; i += 4096) {
            sum = static_cast<char>(sum + static_cast<char*>(block)[i]);
        }
        char byte = sum;
        _exit(write(ready[1], &byte, 1) == 1 && read(leave[0], &byte, 1) == 1 ? 0 : 1);
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_LT(process_memory(getpid()) + process_memory(child), alone + kBlock / 2);
    ASSERT_EQ(write(leave[1], &byte, 1), 1);
    waitpid(child, nullptr, 0);
    EXPECT_EQ(process_memory(child), 0u) << "it is gone";
    munmap(block, kBlock);
    for (const int end : {ready[0], ready[1], leave[0], leave[1]}) {
        close(end);
    }
}

}  // namespace
}  // namespace moescope::base
