// Memory runs out at an allocation of a session's day, or of the reading of frames: the process lives, and what was
// said to be kept is there.
#include <algorithm>
#include <csignal>
#include <gtest/gtest.h>
#include <iostream>
#include <new>
#include <random>
#include <sys/wait.h>

#include "nodes/protocol/frame.hpp"
#include "tests/faults/disk/recorder.hpp"
#include "tests/faults/memory/failing_allocator.hpp"
#include "tests/faults/options.hpp"
#include "tests/faults/processes/telling.hpp"
#include "tests/files.hpp"

namespace moescope::faults {
namespace {

void live_with_little_memory(const std::filesystem::path& folder, int pipe, long n, bool for_ever) {
    skip_syncs(true);
    fail_allocation(n, for_ever);
    live_through(
        folder, [] { return std::size_t{0}; }, count_allocations, [pipe](const Note& note) { tell(pipe, note); });
}

long allocations_of_a_day() {
    const test::TemporaryFolder folder(memory_disk());
    fail_allocation(-1, false);
    live_through(
        folder.path(), [] { return std::size_t{0}; }, count_allocations);
    return allocations();
}

class Memory : public testing::TestWithParam<bool> {};

TEST_P(Memory, RunsOutAndNothingThatWasSaidToBeKeptIsLost) {
    skip_syncs(true);
    const long all = allocations_of_a_day();
    ASSERT_GT(all, 1000);
    // In ./test a sample, evenly over the day, which begins anywhere; all of them with --count 0 or more than there
    // are.
    const auto count = static_cast<long>(std::min<std::uint64_t>(count_or(150), static_cast<std::uint64_t>(all)));
    const double stride = static_cast<double>(all) / static_cast<double>(count);
    std::mt19937_64 random(seed());
    long bad = 0, died = 0;
    std::string first;
    for (long i = 0; i < count; ++i) {
        const long low = static_cast<long>(static_cast<double>(i) * stride),
                   high = static_cast<long>(static_cast<double>(i + 1) * stride);
        const long n = low + static_cast<long>(random() % static_cast<std::uint64_t>(std::max(high - low, 1L)));
        const test::TemporaryFolder folder(memory_disk());
        TellingChild child([&](int pipe) { live_with_little_memory(folder.path(), pipe, n, GetParam()); });
        const auto notes = child.notes();
        // Some functions of the C++ library and of the JSON library take memory and may not fail: directory iterators,
        // the destructor of a JSON value. There the process ends, as when it is killed.
        died += WIFSIGNALED(child.status()) ? 1 : 0;
        const auto wrong = what_is_wrong(folder.path(), notes, 0, false);
        if (!wrong.empty()) {
            ++bad;
            if (bad <= 5) {
                first += "allocation " + std::to_string(n) + "\n";
                for (const std::string& each : wrong) {
                    first += "  " + each + "\n";
                }
            }
        }
    }
    skip_syncs(false);
    std::cout << count << " of " << all << " allocations, " << died << " ended the process, " << bad
              << " days with a loss\n";
    EXPECT_EQ(bad, 0) << first;
    EXPECT_LT(died, count / 4) << "it should be an error that is told";
}

INSTANTIATE_TEST_SUITE_P(Day, Memory, testing::Bool(),
                         [](const auto& test) { return test.param ? "ForEver" : "Once"; });

TEST(FramesWithLittleMemory, AreReadOrRefusedAndNeverWrong) {
    std::vector<std::byte> stream;
    std::vector<protocol::Frame> frames;
    for (std::size_t i = 0; i < 20; ++i) {
        protocol::Frame frame =
            protocol::make_frame(protocol::FrameType::response, std::vector<std::byte>(i * 37, std::byte{7}));
        frame.sequence = i;
        protocol::append_frame(stream, frame);
        frames.push_back(frame);
    }
    long refused = 0;
    for (long n = 0;; ++n) {
        fail_allocation(n, false);
        protocol::FrameReader reader;
        std::size_t read = 0;
        bool failed = false;
        for (std::size_t at = 0; at < stream.size() && !failed; at += 100) {
            count_allocations(true);
            try {
                reader.feed(std::span(stream).subspan(at, std::min<std::size_t>(100, stream.size() - at)));
                while (auto frame = reader.next()) {
                    count_allocations(false);
                    ASSERT_LT(read, frames.size());
                    ASSERT_EQ(*frame, frames[read]) << "at allocation " << n;
                    ++read;
                    count_allocations(true);
                }
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            count_allocations(false);
        }
        refused += failed ? 1 : 0;
        if (!failed) {
            EXPECT_EQ(read, frames.size());
            break;
        }
    }
    EXPECT_GT(refused, 5);
}

}  // namespace
}  // namespace moescope::faults
