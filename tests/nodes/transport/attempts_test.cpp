#include "nodes/transport/attempts.hpp"

#include <gtest/gtest.h>

namespace moescope::transport {
namespace {

TEST(Attempts, WhoFailsAgainAndAgainWaitsLongerAndLonger) {
    Attempts attempts;
    for (std::size_t i = 0; i + 1 < Attempts::kFree; ++i) {
        attempts.failed("a", 10);
        EXPECT_TRUE(attempts.may_try("a", 10));
    }
    double now = 10, wait = 1;
    for (int i = 0; i < 8; ++i) {
        attempts.failed("a", now);
        EXPECT_FALSE(attempts.may_try("a", now + wait - 0.01)) << i;
        EXPECT_TRUE(attempts.may_try("a", now + wait)) << i;
        EXPECT_TRUE(attempts.may_try("b", now));
        now += wait;
        wait = std::min(Attempts::kLongest, wait * 2);
    }
    attempts.succeeded("a");
    EXPECT_TRUE(attempts.may_try("a", now));
}

TEST(Attempts, OldFailuresAreForgottenAndTheListHasAnEnd) {
    Attempts attempts;
    for (int i = 0; i < 4; ++i) {
        attempts.failed("a", 0);
    }
    attempts.failed("b", Attempts::kWindow + 1);
    EXPECT_EQ(attempts.size(), 1u);
    attempts.failed("a", Attempts::kWindow + 2);
    EXPECT_TRUE(attempts.may_try("a", Attempts::kWindow + 2)) << "the first of a new window";
    for (std::size_t i = 0; i < Attempts::kMost + 100; ++i) {
        attempts.failed(std::to_string(i), 70);
    }
    EXPECT_LE(attempts.size(), Attempts::kMost);
}

}  // namespace
}  // namespace moescope::transport
