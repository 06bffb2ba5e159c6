// Bars with intervals: their range, and the picture as a file.
#include "panels/routing/bar_picture.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <string>

#include "panels/ui/theme.hpp"

namespace {

using namespace moescope;
using panels::BarPicture;

BarPicture picture() {
    BarPicture made;
    made.title = "Scores <of> layer 3";
    made.x_name = "expert";
    made.labels = {0, 1, 2, 3};
    BarPicture::Series bars;
    bars.name = "score";
    bars.colour = IM_COL32(10, 20, 255, 255);
    bars.values = {0.5, NAN, 0.25, 1};
    bars.low = {0.4, NAN, 0.2, 0.9};
    bars.high = {0.6, NAN, 0.3, 1.5};
    made.series.push_back(bars);
    return made;
}

TEST(BarRange, BeginsAtZeroAndHoldsIntervalsAndLevels) {
    BarPicture made = picture();
    panels::BarRange range = panels::range_of(made);
    EXPECT_EQ(range.low, 0);
    EXPECT_GE(range.high, 1.5);
    EXPECT_LT(range.high, 1.7);
    made.levels.push_back({3, "limit"});
    EXPECT_GE(panels::range_of(made).high, 3);
    made.series[0].values[2] = -2;
    range = panels::range_of(made);
    EXPECT_LE(range.low, -2);
    made.series.clear();
    made.levels.clear();
    EXPECT_EQ(panels::range_of(made).high, 1);
}

TEST(BarSvg, HasABarPerValueAndItsInterval) {
    BarPicture made = picture();
    made.hatched = {0, 0, 1, 0};
    made.marked = {0, 0, 0, 1};
    made.parts = {{2, "group 0"}, {4, "group 1 out"}};
    const std::string svg = panels::to_svg(made);
    const auto count = [&](const std::string& what) {
        std::size_t n = 0;
        for (std::size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) {
            ++n;
        }
        return n;
    };
    EXPECT_EQ(svg.rfind("<svg", 0), 0u);
    EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
    EXPECT_NE(svg.find("Scores &lt;of&gt; layer 3"), std::string::npos);
    EXPECT_EQ(count("<title>"), 3u);      // the NaN has no bar
    EXPECT_EQ(count("class=\"e\""), 3u);  // nor an interval
    EXPECT_EQ(count("fill=\"url(#h)\""), 1u);
    EXPECT_EQ(count("#0a14ff"), 3u);  // two bars and the legend
    EXPECT_EQ(count("\u25b2"), 1u);
    EXPECT_NE(svg.find("group 1 out"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_TRUE(panels::to_svg(BarPicture()).empty());
}

TEST(BarSvg, HasColoursForWhitePaperWhateverTheTheme) {
    std::string pictures[2];
    for (const bool dark : {false, true}) {
        BarPicture made = picture();
        made.series.push_back(made.series[0]);
        made.series[0].colour = ui::packed(ui::make_theme(dark).series_color(2));
        made.series[1].colour = ui::packed(ui::make_theme(dark).accent);
        pictures[dark] = panels::to_svg(made);
    }
    EXPECT_EQ(pictures[0], pictures[1]);
}

}  // namespace
