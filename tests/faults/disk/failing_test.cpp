// Every call that changes the disk fails once, or from then on: nothing that was said to be kept is lost, what failed
// says so in a sentence, and the session can be used afterwards.
#include <cerrno>
#include <gtest/gtest.h>
#include <iostream>

#include "tests/faults/disk/power_cut.hpp"
#include "tests/faults/disk/script.hpp"
#include "tests/faults/options.hpp"
#include "tests/files.hpp"

namespace moescope::faults {
namespace {

int calls_of_a_day() {
    const test::TemporaryFolder folder(memory_disk());
    watch(folder.path());
    live_through(folder.path(), changes);
    const int count = calls();
    unwatch();
    return count;
}

struct Case {
    int error;
    bool for_ever;
    const char* name;
};

class FailingDisk : public testing::TestWithParam<Case> {
 protected:
    FailingDisk() { skip_syncs(true); }
    ~FailingDisk() override { skip_syncs(false); }
};

/// What is found after such a day, in a second folder after a power cut, too.
std::vector<std::string> fail_at(int call, const Case& fault, std::size_t& refusals) {
    const test::TemporaryFolder folder(memory_disk());
    watch(folder.path(), {call, fault.error, fault.for_ever});
    const Day day = live_through(folder.path(), changes);
    no_more_faults();
    const std::vector<Change> changes = unwatch();
    refusals += day.refusals.size();
    auto wrong = what_is_wrong(folder.path(), day.notes, changes.size(), false);
    std::mt19937_64 random(seed());
    write_state(after_power_cut(changes, changes.size(), Loss::everything, random), folder / "after");
    for (const std::string& each : what_is_wrong(folder / "after", day.notes, changes.size(), false)) {
        wrong.push_back("after a power cut: " + each);
    }
    for (const std::string& refusal : day.refusals) {
        if (refusal.empty() || refusal.find('\n') != std::string::npos) {
            wrong.push_back("no sentence: " + refusal);
        }
    }
    return wrong;
}

TEST_P(FailingDisk, LosesNothingThatWasSaidToBeKept) {
    const int count = calls_of_a_day();
    ASSERT_GT(count, 200);
    std::size_t refusals = 0, bad = 0;
    std::string first;
    for (int call = 0; call < count; ++call) {
        const auto wrong = fail_at(call, GetParam(), refusals);
        if (wrong.empty()) {
            continue;
        }
        ++bad;
        if (first.empty()) {
            first = "call " + std::to_string(call);
            for (const std::string& each : wrong) {
                first += "\n  " + each;
            }
        }
    }
    std::cout << count << " calls, " << refusals << " refusals told, " << bad << " days with a loss\n";
    EXPECT_EQ(bad, 0u) << first;
    EXPECT_GT(refusals, static_cast<std::size_t>(count) / 2) << "nothing failed";
}

INSTANTIATE_TEST_SUITE_P(Disk, FailingDisk,
                         testing::Values(Case{ENOSPC, false, "FullOnce"}, Case{ENOSPC, true, "Full"},
                                         Case{EIO, false, "BrokenOnce"}, Case{EIO, true, "Broken"}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace moescope::faults
