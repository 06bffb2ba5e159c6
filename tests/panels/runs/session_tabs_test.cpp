// The tabs of sessions leave the runs below them their room.
#include "panels/runs/session_tabs.hpp"

#include <gtest/gtest.h>

namespace moescope::panels {
namespace {

constexpr TabRoom kRoom{300, 70, 250, 8, 20};

/// Rows in which they stand, the button behind them among them.
std::size_t rows_of(const std::vector<float>& widths) {
    std::size_t rows = 1;
    float right = 0;
    const auto place = [&](float width) {
        const float end = right == 0 ? width : right + kRoom.gap + width;
        rows += right > 0 && end > kRoom.room ? 1 : 0;
        right = right > 0 && end > kRoom.room ? width : end;
    };
    for (const float width : widths) {
        place(width);
    }
    place(kRoom.last);
    return rows;
}

TEST(SessionTabs, NamesAreWholeWhereTheyHaveRoom) {
    EXPECT_EQ(tab_widths({100, 120}, kRoom), (std::vector<float>{100, 120}));
    EXPECT_EQ(tab_widths({200, 240}, kRoom), (std::vector<float>{200, 240}));  // two rows
    EXPECT_EQ(tab_widths({400}, kRoom), (std::vector<float>{250}));
    EXPECT_TRUE(tab_widths({}, kRoom).empty());
}

TEST(SessionTabs, ManyShareTwoRowsAndTooManyAreAList) {
    for (const std::size_t count : {3u, 4u, 5u}) {
        const std::vector<float> widths = tab_widths(std::vector<float>(count, 240), kRoom);
        ASSERT_EQ(widths.size(), count);
        EXPECT_EQ(rows_of(widths), 2u) << count;
        EXPECT_GE(widths.front(), kRoom.least);
    }
    EXPECT_TRUE(tab_widths(std::vector<float>(12, 240), kRoom).empty());
    EXPECT_EQ(tab_widths(std::vector<float>(12, 30), kRoom), std::vector<float>(12, 30));  // short names
}

}  // namespace
}  // namespace moescope::panels
