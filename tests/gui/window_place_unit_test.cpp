// A new window fits into the screen, also one that was remembered from a larger one.
#include <gtest/gtest.h>

#include "app/window_place.hpp"

namespace {

using moescope::app::Area;
using moescope::app::fitted;

void expect_inside(const Area& work, const Area& edges, const Area& window) {
    EXPECT_GE(window.x - edges.x, work.x);
    EXPECT_GE(window.y - edges.y, work.y);
    EXPECT_LE(window.x + window.width + edges.width, work.x + work.width);
    EXPECT_LE(window.y + window.height + edges.height, work.y + work.height);
}

TEST(WindowPlace, FitsIntoTheWorkArea) {
    const Area edges{4, 30, 4, 4};
    for (const Area& work : {Area{0, 0, 1280, 720}, Area{64, 27, 1216, 693}, Area{1920, 0, 1366, 768}}) {
        for (const auto& [width, height] : {std::pair{1600, 900}, std::pair{3800, 2100}, std::pair{1600, 500}}) {
            const Area window = fitted(work, edges, width, height);
            expect_inside(work, edges, window);
            EXPECT_EQ(window.width, std::min(width, work.width - 8));
            EXPECT_EQ(window.height, std::min(height, work.height - 34));
        }
    }
}

TEST(WindowPlace, OneThatFitsKeepsItsSizeInTheMiddle) {
    const Area window = fitted({0, 27, 1920, 1053}, {}, 1600, 900);
    EXPECT_EQ(window.width, 1600);
    EXPECT_EQ(window.height, 900);
    EXPECT_EQ(window.x, 160);
    EXPECT_EQ(window.y, 27 + 76);
}

TEST(WindowPlace, AScreenThatDoesNotTellItsSizeChangesNothing) {
    const Area window = fitted({}, {}, 1600, 900);
    EXPECT_EQ(window.width, 1600);
    EXPECT_EQ(window.height, 900);
}

}  // namespace
