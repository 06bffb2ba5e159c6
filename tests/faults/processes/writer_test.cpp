// kill -9 of a process in the middle of everything that it does to a session: nothing is lost that it was told is kept.
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <iostream>
#include <random>
#include <sys/wait.h>
#include <thread>

#include "tests/faults/disk/recorder.hpp"
#include "tests/faults/options.hpp"
#include "tests/faults/processes/telling.hpp"
#include "tests/files.hpp"

namespace moescope::faults {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

void write_a_day(const std::filesystem::path& folder, int pipe) {
    skip_syncs(true);  // what a killed process has written is in the system's memory
    live_through(
        folder, [] { return std::size_t{0}; }, {}, [pipe](const Note& note) { tell(pipe, note); });
}

/// How long a day takes here, now.
microseconds length_of_a_day() {
    const test::TemporaryFolder folder(memory_disk());
    const auto begin = Clock::now();
    TellingChild child([&](int pipe) { write_a_day(folder.path(), pipe); });
    child.notes();
    return std::chrono::duration_cast<microseconds>(Clock::now() - begin);
}

TEST(Kill, AWriterLosesNothingThatItWasToldIsKept) {
    skip_syncs(true);
    std::mt19937_64 random(seed());
    const auto day = static_cast<std::uint64_t>(length_of_a_day().count());
    const std::uint64_t count = count_or(160);
    std::uint64_t in_time = 0, bad = 0;
    std::string first;
    for (std::uint64_t cycle = 0; cycle < count; ++cycle) {
        const test::TemporaryFolder folder(memory_disk());
        const microseconds delay(random() % day);
        TellingChild child([&](int pipe) { write_a_day(folder.path(), pipe); });
        std::this_thread::sleep_for(delay);
        ::kill(child.process(), SIGKILL);
        const auto notes = child.notes();
        in_time += WIFSIGNALED(child.status()) ? 1 : 0;
        const auto wrong = what_is_wrong(folder.path(), notes, 0, true);
        if (!wrong.empty()) {
            ++bad;
            if (first.empty()) {
                first = "cycle " + std::to_string(cycle) + ", after " + std::to_string(delay.count()) + " us";
                for (const std::string& each : wrong) {
                    first += "\n  " + each;
                }
            }
        }
    }
    skip_syncs(false);
    std::cout << count << " times, " << in_time << " of them in the middle, " << bad << " with a loss\n";
    EXPECT_EQ(bad, 0u) << first;
    EXPECT_GT(in_time, count / 3) << "it was killed too late";
}

}  // namespace
}  // namespace moescope::faults
