// What the status line says, and for how long.
#include <gtest/gtest.h>

#include "app/notices.hpp"

namespace {

using moescope::app::Notices;
using moescope::history::LogLine;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNow = 1'700'000'000 * kSecond;  // wall clock

using Log = moescope::history::SharedList<LogLine>;

Log log_of(std::initializer_list<LogLine> lines) {
    Log log;
    for (const LogLine& one : lines) {
        log.push_back(one);
    }
    return log;
}

LogLine line(const char* level, const char* text, std::uint64_t age_seconds) {
    return {kNow - age_seconds * kSecond, level, "node", moescope::base::Sentence::verbatim(text)};
}

TEST(StatusLine, ARefusalGoesByItself) {
    Notices notices;
    EXPECT_FALSE(notices.status({}, 100, kNow));
    notices.add(moescope::base::Sentence::verbatim("x.pt is a pickle"), true, 100);
    const auto fresh = notices.status({}, 105, kNow);
    ASSERT_TRUE(fresh);
    EXPECT_TRUE(fresh->error);
    EXPECT_TRUE(fresh->notice);
    EXPECT_NEAR(*fresh->seconds, Notices::kErrorSeconds - 5, 1e-9);
    EXPECT_TRUE(notices.status({}, 100 + Notices::kErrorSeconds - 0.1, kNow));
    EXPECT_FALSE(notices.status({}, 100 + Notices::kErrorSeconds, kNow));
    EXPECT_EQ(notices.list().size(), 1u);  // the list keeps it
}

TEST(StatusLine, PlainNoticesGoSooner) {
    Notices notices;
    notices.add(moescope::base::Sentence::verbatim("saved"), false, 100);
    EXPECT_TRUE(notices.status({}, 100 + Notices::kPlainSeconds - 0.1, kNow));
    EXPECT_FALSE(notices.status({}, 100 + Notices::kPlainSeconds, kNow));
}

TEST(StatusLine, WhatWasReadLeavesAtOnceAndNewsComesBack) {
    Notices notices;
    notices.add(moescope::base::Sentence::verbatim("first"), true, 100);
    notices.mark_read(kNow);
    EXPECT_FALSE(notices.status({}, 101, kNow));
    EXPECT_FALSE(notices.status(log_of({line("error", "first", 3)}), 101, kNow));
    notices.add(moescope::base::Sentence::verbatim("second"), true, 102);
    EXPECT_EQ(notices.status({}, 103, kNow)->text.english(), "second");
}

TEST(StatusLine, TheLogsErrorsFadeAndItsNewestPlainLineStays) {
    Notices notices;
    const Log log =
        log_of({line("info", "checkpoint saved", 900), line("warning", "refused", 30), line("warning", "slow", 25)});
    const auto old = notices.status(log, 100, kNow);
    ASSERT_TRUE(old);
    EXPECT_EQ(old->text.english(), "checkpoint saved");
    EXPECT_FALSE(old->error);
    EXPECT_FALSE(old->seconds);
    const auto fresh = notices.status(log, 100, kNow - 15 * kSecond);
    EXPECT_EQ(fresh->text.english(), "slow");
    EXPECT_NEAR(*fresh->seconds, Notices::kErrorSeconds - 10, 1e-6);
    EXPECT_FALSE(notices.status(log_of({line("error", "refused", 30)}), 100, kNow));
}

TEST(StatusLine, WhatAFailureHasOvertakenDoesNotComeBack) {
    Notices notices;
    const Log log = log_of({line("info", "reading 'x' has begun", 31), line("error", "reading 'x' failed", 30)});
    EXPECT_TRUE(notices.status(log, 100, kNow - 15 * kSecond)->error);
    EXPECT_FALSE(notices.status(log, 100, kNow)) << "not that it has begun";
    const Log later = log_of({line("error", "reading 'x' failed", 30), line("info", "a session was saved", 5)});
    EXPECT_EQ(notices.status(later, 100, kNow)->text.english(), "a session was saved");
    // The same after a refusal that is a notice.
    const Log begun = log_of({line("info", "reading 'x' has begun", 40)});
    EXPECT_TRUE(notices.status(begun, 100, kNow));
    notices.add(moescope::base::Sentence::verbatim("refused"), true, 70);
    EXPECT_FALSE(notices.status(begun, 100, kNow));
    EXPECT_EQ(notices.status(later, 100, kNow)->text.english(), "a session was saved");
}

TEST(StatusLine, AClockThatWasSetBackDoesNoHarm) {
    Notices notices;
    EXPECT_TRUE(notices.status(
        log_of({{kNow + 500 * kSecond, "error", "node", moescope::base::Sentence::verbatim("later")}}), 100, kNow));
}

}  // namespace
