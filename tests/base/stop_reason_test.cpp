#include "base/stop_reason.hpp"

#include <gtest/gtest.h>

namespace moescope::base {
namespace {

TEST(StopReason, NamesGoBothWaysAndForeignOnesAreKnown) {
    for (const StopReason reason : kStopReasons) {
        EXPECT_EQ(stop_from_name(stop_name(reason)), reason);
    }
    EXPECT_EQ(stop_name(StopReason::length), "length");  // as sessions since the first have it
    EXPECT_EQ(stop_from_name("stop"), StopReason::end);
    EXPECT_EQ(stop_from_name("MAX_TOKENS"), StopReason::length);
    EXPECT_EQ(stop_from_name("model_context_window_exceeded"), StopReason::context);
    EXPECT_EQ(stop_from_name("content_filter"), StopReason::filtered);
    EXPECT_EQ(stop_from_name(""), std::nullopt);
    EXPECT_EQ(stop_from_name("something"), std::nullopt);
    EXPECT_TRUE(stopped_early(StopReason::context));
    EXPECT_FALSE(stopped_early(StopReason::end));
    EXPECT_FALSE(stopped_early(StopReason::error));
}

}  // namespace
}  // namespace moescope::base
