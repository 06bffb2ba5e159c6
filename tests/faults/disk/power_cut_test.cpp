// The power is cut at every change that a session makes on the disk, in eight ways; and the checks see it when an fsync
// is missing.
#include "tests/faults/disk/power_cut.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <gtest/gtest.h>
#include <iostream>
#include <set>

#include "tests/faults/disk/script.hpp"
#include "tests/faults/options.hpp"
#include "tests/files.hpp"

namespace moescope::faults {
namespace {

struct Recording {
    Day day;
    std::vector<Change> changes;
};

Recording record_a_day() {
    const test::TemporaryFolder folder(memory_disk());
    watch(folder.path());
    Recording recording;
    recording.day = live_through(folder.path(), changes);
    recording.changes = unwatch();
    return recording;
}

struct Findings {
    std::size_t states = 0, looked_at = 0, bad = 0;
    std::string first;
};

std::size_t hash_of(const DiskState& state, std::size_t notes) {
    std::size_t hash = notes;
    for (const auto& [path, content] : state) {
        hash = hash * 1000003 + std::hash<std::string>()(path);
        hash = hash * 1000003 + (content ? std::hash<std::string>()(*content) : 1);
    }
    return hash;
}

/// Looks at states that may be found after a power cut; each once.
class Looker {
 public:
    explicit Looker(const Recording& recording) : recording_(recording) {}

    void look(std::size_t count, Loss loss, std::uint64_t seed_of_state) {
        std::mt19937_64 random(seed_of_state);
        const DiskState state = after_power_cut(recording_.changes, count, loss, random);
        const auto& notes = recording_.day.notes;
        const auto told = static_cast<std::size_t>(
            std::find_if(notes.begin(), notes.end(), [&](const Note& note) { return note.at > count; }) -
            notes.begin());
        ++findings.states;
        if (!seen_.insert(hash_of(state, told * 2 + (loss == Loss::nothing ? 1 : 0))).second) {
            return;
        }
        ++findings.looked_at;
        const test::TemporaryFolder folder(memory_disk());
        write_state(state, folder / "disk");
        const auto wrong = what_is_wrong(folder / "disk", notes, count, loss == Loss::nothing);
        if (wrong.empty()) {
            return;
        }
        ++findings.bad;
        if (findings.first.empty()) {
            findings.first = "cut after change " + std::to_string(count) + ", lost: " + name_of(loss) + ", state " +
                             std::to_string(seed_of_state);
            for (const std::string& each : wrong) {
                findings.first += "\n  " + each;
            }
        }
    }
    Findings findings;

 private:
    const Recording& recording_;
    std::set<std::size_t> seen_;
};

/// The disk is not waited for while states are looked at.
class PowerCut : public testing::Test {
 protected:
    PowerCut() { skip_syncs(true); }
    ~PowerCut() override {
        ignore_syncs(false);
        skip_syncs(false);
    }
    static Findings look_at_all(const Recording& recording, std::uint64_t random_states) {
        Looker looker(recording);
        for (std::size_t count = 0; count <= recording.changes.size(); ++count) {
            for (const Loss loss : kAlways) {
                looker.look(count, loss, seed() + count);
            }
        }
        std::mt19937_64 random(seed());
        for (std::uint64_t i = 0; i < random_states; ++i) {
            const std::size_t count = random() % (recording.changes.size() + 1);
            looker.look(count, Loss::some, random());
        }
        return looker.findings;
    }
};

TEST_F(PowerCut, LosesNothingThatWasSaidToBeKept) {
    const Recording recording = record_a_day();
    ASSERT_TRUE(recording.day.refusals.empty()) << recording.day.refusals.front();
    ASSERT_GT(recording.changes.size(), 200u) << "it was not seen what the program does";
    const Findings findings = look_at_all(recording, count_or(400));
    std::cout << recording.changes.size() << " changes, " << findings.states << " power cuts, " << findings.looked_at
              << " different states, " << findings.bad << " with a loss\n";
    EXPECT_EQ(findings.bad, 0u) << findings.first;
}

/// Killed first, and what it had not synced is there, for the next start to build on. Then the power is cut.
TEST_F(PowerCut, AfterAKillLosesNothingThatWasSaidToBeKept) {
    const Recording day = record_a_day();
    std::mt19937_64 random(seed());
    const std::uint64_t kills = count_or(400) / 10;
    Findings all;
    for (std::uint64_t i = 0; i < kills; ++i) {
        const std::size_t killed_at = random() % (day.changes.size() + 1);
        const test::TemporaryFolder folder(memory_disk());
        write_state(after_power_cut(day.changes, killed_at, Loss::nothing, random), folder.path() / "disk");
        Recording both;
        both.changes.assign(day.changes.begin(), day.changes.begin() + static_cast<std::ptrdiff_t>(killed_at));
        std::uint64_t last_record = 0;
        for (const Note& note : day.day.notes) {
            if (note.at <= killed_at) {
                both.day.notes.push_back(note);
                last_record += note.kind == Note::Kind::record && !note.done ? 1 : 0;
            }
        }
        watch(folder.path() / "disk", {}, numbers_after(day.changes, killed_at));
        const Day next = live_on(
            folder.path() / "disk", [&] { return killed_at + changes(); }, last_record);
        const std::vector<Change> later = unwatch();
        ASSERT_TRUE(next.refusals.empty()) << next.refusals.front();
        both.changes.insert(both.changes.end(), later.begin(), later.end());
        both.day.notes.insert(both.day.notes.end(), next.notes.begin(), next.notes.end());
        Looker looker(both);
        for (int cut = 0; cut < 4; ++cut) {
            const std::size_t count = killed_at + random() % (later.size() + 1);
            for (const Loss loss : {Loss::everything, Loss::contents, Loss::names, Loss::some}) {
                looker.look(count, loss, random());
            }
        }
        all.looked_at += looker.findings.looked_at;
        all.bad += looker.findings.bad;
        if (all.first.empty() && looker.findings.bad > 0) {
            all.first = "killed at " + std::to_string(killed_at) + ", " + looker.findings.first;
        }
    }
    std::cout << kills << " kills, " << all.looked_at << " states after a power cut, " << all.bad << " with a loss\n";
    EXPECT_EQ(all.bad, 0u) << all.first;
}

TEST_F(PowerCut, IsSeenToLoseWhenNothingIsSynced) {
    ignore_syncs(true);
    const Recording recording = record_a_day();
    ignore_syncs(false);
    Looker looker(recording);
    for (std::size_t count = 0; count <= recording.changes.size(); count += 5) {
        looker.look(count, Loss::everything, 1);
        looker.look(count, Loss::contents, 1);
    }
    std::cout << looker.findings.bad << " of " << looker.findings.looked_at << " states with a loss\n";
    EXPECT_GT(looker.findings.bad, looker.findings.looked_at / 2) << "the test can't see a missing fsync";
}

/// Any single fsync that is left out is seen: none is there for nothing, and the test looks closely enough.
TEST_F(PowerCut, IsSeenToLoseWhenASyncIsMissing) {
    const Recording whole = record_a_day();
    std::vector<std::size_t> needed, idle;
    for (std::size_t i = 0; i < whole.changes.size(); ++i) {
        if (whole.changes[i].kind != Change::Kind::sync) {
            continue;
        }
        Recording without = whole;
        without.changes[i].kind = Change::Kind::failed_sync;
        without.changes[i].node = -1;  // of nothing
        Looker looker(without);
        for (std::size_t count = i + 1; count <= std::min(i + 12, without.changes.size()) && looker.findings.bad == 0;
             ++count) {
            for (const Loss loss : {Loss::everything, Loss::contents, Loss::names, Loss::zeroed}) {
                looker.look(count, loss, 1);
            }
        }
        (looker.findings.bad > 0 ? needed : idle).push_back(i);
    }
    std::cout << "of " << needed.size() + idle.size() << " fsyncs, " << needed.size() << " are missed at once\n";
    EXPECT_GT(needed.size() * 2, idle.size()) << "the test hardly sees a missing fsync";
}

}  // namespace
}  // namespace moescope::faults
