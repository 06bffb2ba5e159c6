// Tables, charts and maps as data: their CSV files, order, ranges; their pixels against cells looked up one by one;
// SVG.
#include "panels/ui/figure_data.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <set>

#include "panels/ui/figure_svg.hpp"
#include "panels/ui/map_pixels.hpp"

namespace moescope::panels {
namespace {

std::size_t times(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        ++n;
    }
    return n;
}

Table small_table() {
    Table table;
    table.columns = {
        {"a.column.name", Unit::text}, {"a.column.share", Unit::percent, true}, {"a.column.n", Unit::whole}};
    table.rows.push_back({std::string("b, \"c\""), Estimate(0.5, 0.25, 0.75), 3.0});
    table.rows.push_back({std::string("a"), Estimate(), kNoValue});
    table.rows.push_back({std::string("c"), Estimate(0.125), 3.0});
    return table;
}

TEST(FigureTables, ToCsv) {
    EXPECT_EQ(to_csv(small_table()),
              "name,share,share_low,share_high,n\r\n\"b, \"\"c\"\"\",0.5,0.25,0.75,3\r\na,,,,\r\nc,0.125,,,3\r\n");
}

TEST(FigureTables, SortByAColumnWithWhatIsMissingLast) {
    const Table table = small_table();
    using Order = std::vector<std::size_t>;
    EXPECT_EQ(sorted_rows(table, 0, false), (Order{1, 0, 2}));
    EXPECT_EQ(sorted_rows(table, 0, true), (Order{2, 0, 1}));
    EXPECT_EQ(sorted_rows(table, 1, false), (Order{2, 0, 1}));
    EXPECT_EQ(sorted_rows(table, 1, true), (Order{0, 2, 1}));
    EXPECT_EQ(sorted_rows(table, 2, true), (Order{0, 2, 1})) << "equal ones keep their order";
    EXPECT_EQ(sorted_rows(table, 9, true), (Order{0, 1, 2}));
}

Chart small_chart() {
    Chart chart;
    chart.kind = Chart::Kind::lines;
    chart.x_key = "a.axis.step";
    chart.x = {1, 5, 6};
    chart.series.push_back({"a.series.all", {}, {Estimate(0.1, 0.05, 0.2), Estimate(), Estimate(0.3)}});
    chart.series.push_back({"a.series.layer", "7", {0.2, 0.25, kNoValue}, true});
    chart.levels = {{"a.level.even", 0.4}};
    return chart;
}

TEST(FigureCharts, ToCsv) {
    EXPECT_EQ(to_csv(small_chart()),
              "step,all,all_low,all_high,layer_7\r\n1,0.1,0.05,0.2,0.2\r\n5,,,,0.25\r\n6,0.3,,,\r\n");
    Chart bars;
    bars.x_key = "a.axis.layer";
    bars.x = {0, 1};
    bars.labels = {"3", "4,5"};
    bars.series.push_back({"a.series.share", {}, {0.5, 0.25}});
    EXPECT_EQ(to_csv(bars), "layer,share\r\n3,0.5\r\n\"4,5\",0.25\r\n");
}

TEST(FigureCharts, RangeHoldsEverythingAndZero) {
    const Chart::Range range = small_chart().range();
    EXPECT_EQ(range.low, 0);
    EXPECT_NEAR(range.high, 0.4 * 1.06, 1e-12);
    Chart negative;
    negative.series.push_back({"s", {}, {-2.0, Estimate(-1, -3, 1)}});
    EXPECT_LT(negative.range().low, -3);
    EXPECT_GT(negative.range().high, 1);
    EXPECT_EQ(Chart().range().high, 1);
}

TEST(FigureCharts, NearestPlace) {
    const Chart chart = small_chart();
    for (const auto& [at, place] : {std::pair{-5.0, 0}, std::pair{2.9, 0}, std::pair{3.1, 1}, std::pair{5.4, 1},
                                    std::pair{5.6, 2}, std::pair{99.0, 2}}) {
        EXPECT_EQ(chart.nearest(at), static_cast<std::size_t>(place)) << at;
    }
}

TEST(FigureCharts, ToSvg) {
    const Chart chart = small_chart();
    const std::string svg =
        to_svg(chart, {"load < all", "step", {"all", "layer 7"}, {"even"}, {"#111111", "#222222"}, {}});
    EXPECT_NE(svg.find("load &lt; all"), std::string::npos);
    EXPECT_EQ(times(svg, "<path class='l'"), 3u) << "two lines and one interval";
    EXPECT_NE(svg.find(">even</text>"), std::string::npos);
    EXPECT_EQ(svg.find(">layer 7</text>"), std::string::npos) << "one of many has no place in the legend";
    EXPECT_TRUE(to_svg(Chart(), {}).empty());
}

Map random_map(std::size_t rows, std::size_t columns, unsigned seed) {
    Map map;
    map.rows = rows;
    map.columns = columns;
    map.row_names = numbered(rows);
    map.column_names = numbered(columns);
    map.row_key = "a.axis.layer";
    map.column_key = "a.axis.expert";
    map.value_key = "a.value.share";
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> value(0, 1);
    for (std::size_t i = 0; i < rows * columns; ++i) {
        map.value.push_back(random() % 10 == 0 ? static_cast<float>(kNoValue) : value(random));
        map.quiet.push_back(random() % 3 == 0 ? 1 : 0);
    }
    map.find_extent();
    return map;
}

MapColors distinct_colors() {
    MapColors colors;
    for (std::size_t i = 0; i < colors.ramp.size(); ++i) {
        colors.ramp[i] = 0xff000000u | static_cast<std::uint32_t>(i * 65793);
    }
    colors.nothing = 0x80445566;
    colors.stroke = 0xffabcdef;
    return colors;
}

TEST(Maps, ToCsvAndExtent) {
    Map map = random_map(1, 3, 1);
    map.value = {0.25f, static_cast<float>(kNoValue), -0.5f};
    map.quiet = {0, 0, 1};
    map.find_extent();
    EXPECT_EQ(map.lowest, -0.5);
    EXPECT_EQ(map.highest, 0.25);
    EXPECT_EQ(to_csv(map), "layer,expert,share,within_chance\r\n0,0,0.25,0\r\n0,2,-0.5,1\r\n");
    map.value.assign(3, static_cast<float>(kNoValue));
    map.find_extent();
    EXPECT_EQ(map.highest, 0);
}

TEST(MapPixels, EachPixelHasItsCellWhereCellsAreSmall) {
    const MapColors colors = distinct_colors();
    const Map map = random_map(7, 13, 2);
    constexpr std::size_t kWidth = 40, kHeight = 33;  // cells of 3 x 4 pixels: no gaps, no strokes
    const auto pixels = rasterise(map, colors, kWidth, kHeight);
    ASSERT_EQ(pixels.size(), kWidth * kHeight);
    for (std::size_t y = 0; y < kHeight; ++y) {
        for (std::size_t x = 0; x < kWidth; ++x) {
            const std::size_t cell = y * 7 / kHeight * 13 + x * 13 / kWidth;
            std::uint32_t wanted = colors(map.value[cell]);
            if (map.quiet[cell] != 0 && !std::isnan(map.value[cell])) {
                wanted = (wanted & 0xffffff) | static_cast<std::uint32_t>(0.3f * 255) << 24;
            }
            EXPECT_EQ(pixels[y * kWidth + x], wanted) << x << ", " << y;
        }
    }
}

TEST(MapPixels, WhereCellsShareAPixelTheFarthestFromTheMiddleIsSeen) {
    MapColors colors = distinct_colors();
    colors.low = -1;
    colors.middle = 0;
    Map map = random_map(60, 90, 3);
    map.quiet.clear();
    for (float& value : map.value) {
        value = 2 * value - 1;
    }
    constexpr std::size_t kWidth = 30, kHeight = 20;
    const auto pixels = rasterise(map, colors, kWidth, kHeight);
    for (std::size_t y = 0; y < kHeight; ++y) {
        for (std::size_t x = 0; x < kWidth; ++x) {
            float best = static_cast<float>(kNoValue);
            for (std::size_t row = 3 * y; row < 3 * y + 3; ++row) {
                for (std::size_t column = 3 * x; column < 3 * x + 3; ++column) {
                    const float value = map.at(row, column);
                    if (!std::isnan(value) && (std::isnan(best) || std::abs(value) > std::abs(best))) {
                        best = value;
                    }
                }
            }
            EXPECT_EQ(pixels[y * kWidth + x], colors(best));
        }
    }
}

TEST(MapPixels, LargeCellsHaveGapsAndStrokes) {
    const MapColors colors = distinct_colors();
    Map map = random_map(2, 2, 4);
    map.value = {0.2f, 0.4f, 0.6f, 0.8f};
    map.quiet = {0, 1, 0, 0};
    const auto pixels = rasterise(map, colors, 40, 40);
    const auto at = [&](std::size_t x, std::size_t y) { return pixels[y * 40 + x]; };
    EXPECT_EQ(at(0, 0), colors(0.2f));
    EXPECT_EQ(at(19, 5), 0u) << "a gap";
    EXPECT_EQ(at(5, 19), 0u);
    EXPECT_EQ(at(39, 39), 0u);
    EXPECT_EQ(at(21, 18), colors.stroke) << "from the lower left";
    EXPECT_EQ(at(38, 1), colors.stroke) << "to the upper right";
    EXPECT_EQ(std::count(pixels.begin(), pixels.end(), colors.stroke), 18);
}

TEST(MapPixels, NothingGivesNothing) {
    EXPECT_TRUE(rasterise(Map(), distinct_colors(), 10, 10).empty());
    EXPECT_TRUE(rasterise(random_map(2, 2, 1), distinct_colors(), 0, 10).empty());
    MapColors flat = distinct_colors();
    flat.high = flat.low;
    EXPECT_EQ(flat(5), flat.ramp.front());
    EXPECT_EQ(flat(kNoValue), flat.nothing);
}

TEST(Maps, ToSvgJoinsNeighboursOfOneColour) {
    Map map = random_map(1, 4, 1);
    map.value = {0.5f, 0.5f, 0.75f, 0.75f};
    map.quiet = {0, 0, 0, 1};
    const std::string svg = to_svg(map, distinct_colors(), {"t", "layer", "expert", {{0.5, "half"}}});
    // White ground, three parts of the row, 64 of the scale.
    EXPECT_EQ(times(svg, "<rect "), 1u + 3 + 64);
    EXPECT_EQ(times(svg, "fill-opacity=\"0.3\""), 1u);
    EXPECT_NE(svg.find(">half</text>"), std::string::npos);
    EXPECT_TRUE(to_svg(Map(), distinct_colors(), {}).empty());
}

TEST(Colours, AsHex) {
    EXPECT_EQ(hex(0xff030201), "#010203");
}

TEST(ShortNumber, IsALabelThatBarsHaveRoomFor) {
    EXPECT_EQ(short_number(0), "0");
    EXPECT_EQ(short_number(0.25), "0.25");
    EXPECT_EQ(short_number(0.03125), "0.031");
    EXPECT_EQ(short_number(0.0009765625), "1e-3");
    EXPECT_EQ(short_number(0.00390625), "4e-3");
    EXPECT_EQ(short_number(1e-12), "1e-12");
    // The powers of two that margins are counted by are told from each other.
    std::set<std::string> labels;
    for (int power = -24; power <= 3; ++power) {
        const std::string label = short_number(std::exp2(power));
        EXPECT_TRUE(labels.insert(label).second) << label;
        EXPECT_LE(label.size(), 5u);
    }
}

TEST(RoundUp, GivesNumbersThatCanBeSaid) {
    for (const auto& [value, wanted] : {std::pair{0.0012, 0.0015}, std::pair{0.2, 0.2}, std::pair{0.21, 0.3},
                                        std::pair{0.8, 1.0}, std::pair{7.0, 7.0}, std::pair{0.0, 1.0}}) {
        EXPECT_DOUBLE_EQ(round_up(value), wanted);
    }
    EXPECT_EQ(round_up(kNoValue), 1);
    std::mt19937 random(1);
    for (int i = 0; i < 1000; ++i) {
        const double value = std::exp(static_cast<double>(random() % 2000) / 100 - 10);
        EXPECT_GE(round_up(value) * (1 + 1e-8), value);
        EXPECT_LE(round_up(value), 1.7 * value);
    }
}

}  // namespace
}  // namespace moescope::panels
