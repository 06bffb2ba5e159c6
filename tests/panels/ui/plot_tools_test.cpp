// Decimation against brute force, holes, files.
#include "panels/ui/plot_tools.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <set>

namespace {

using namespace moescope;
using namespace moescope::panels;

constexpr double kHole = std::numeric_limits<double>::quiet_NaN();

struct Data {
    history::Column x, y;
};

/// A random walk over steps, with missing steps and NaN runs when asked.
Data walk(std::mt19937& random, std::size_t size, bool holes) {
    Data data;
    std::normal_distribution<double> normal;
    double step = 0, value = 8;
    bool nan = false;
    for (std::size_t i = 0; i < size; ++i) {
        step += 1;
        if (holes && random() % 97 == 0) {
            step += static_cast<double>(random() % 400);
        }
        if (holes && random() % 61 == 0) {
            nan = !nan;
        }
        value += normal(random);
        data.x.push_back(step);
        data.y.push_back(nan ? kHole : random() % 50 == 0 ? value + 30 : value);
    }
    return data;
}

history::MinMax brute(const history::Column& y, std::size_t first, std::size_t last) {
    history::MinMax result;
    for (std::size_t i = first; i < last; ++i) {
        result.add(y[i]);
    }
    return result;
}

std::size_t finite(const Points& points) {
    std::size_t count = 0;
    for (const double y : points.y) {
        count += std::isnan(y) ? 0 : 1;
    }
    return count;
}

TEST(Nearest, AValueBelongsToItsOwnStep) {
    history::Column evaluations;
    for (const double step : {50.0, 100.0}) {
        evaluations.push_back(step);
    }
    using Found = std::optional<std::size_t>;
    EXPECT_EQ(panels::value_at(evaluations, 16, 0.5), Found()) << "step 16 was not evaluated";
    EXPECT_EQ(panels::value_at(evaluations, 50.4, 0.5), Found(0));
    EXPECT_EQ(panels::value_at(evaluations, 97, 4), Found(1)) << "as near as the mouse can aim";
    EXPECT_EQ(panels::value_at(evaluations, 150, 4), Found());
    EXPECT_EQ(panels::value_at(history::Column(), 1, 100), Found());
}

TEST(PlotTools, BucketsCoverTheRangeOnceInOrder) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        const Data data = walk(random, 1 + random() % 5000, round % 2 == 1);
        const double end = data.x.back();
        const double a = end * static_cast<double>(random() % 100) / 100,
                     b = a + 1 + end * static_cast<double>(random() % 100) / 100;
        const std::vector<Bucket> buckets = split(data.x, a, b, 1 + static_cast<int>(random() % 300), 1);
        for (std::size_t i = 1; i < buckets.size(); ++i) {
            ASSERT_EQ(buckets[i].first, buckets[i - 1].last);
        }
        for (std::size_t i = 0; i < data.x.size(); ++i) {
            ASSERT_TRUE(data.x[i] < a || data.x[i] > b ||
                        (!buckets.empty() && buckets.front().first <= i && i < buckets.back().last))
                << "value " << i << " left out";
        }
    }
}

TEST(PlotTools, ExtremesArePreservedWithTwoPointsPerPixel) {
    std::mt19937 random(2);
    for (int round = 0; round < 200; ++round) {
        const Data data = walk(random, 1 + random() % 20000, false);
        const int pixels = 1 + static_cast<int>(random() % 1000);
        const std::vector<Bucket> buckets = split(data.x, 0, data.x.back() + 1, pixels, 1);
        const Points points = extremes(buckets, data.x, data.y);
        ASSERT_LE(buckets.size(), static_cast<std::size_t>(pixels) + 1);
        ASSERT_LE(points.x.size(), 2 * buckets.size());
        std::size_t at = 0;
        for (const Bucket& bucket : buckets) {
            const history::MinMax expected = brute(data.y, bucket.first, bucket.last);
            history::MinMax drawn;
            while (at < points.x.size() && points.x[at] <= data.x[bucket.last - 1]) {
                drawn.add(points.y[at++]);
            }
            ASSERT_EQ(drawn.min, expected.min);
            ASSERT_EQ(drawn.max, expected.max);
        }
        const Band b = band(buckets, data.x, data.y);
        for (std::size_t i = 0; i < buckets.size(); ++i) {
            ASSERT_EQ(b.low[i], brute(data.y, buckets[i].first, buckets[i].last).min);
            ASSERT_EQ(b.high[i], brute(data.y, buckets[i].first, buckets[i].last).max);
        }
    }
}

// Every hole as wide as a pixel interrupts the line, and no line joins what lies at its two sides.
TEST(PlotTools, HolesStayHoles) {
    std::mt19937 random(3);
    for (int round = 0; round < 200; ++round) {
        const Data data = walk(random, 2 + random() % 20000, true);
        const int pixels = 50 + static_cast<int>(random() % 1000);
        const double x_max = data.x.back() + 1, pixel = x_max / pixels;
        const Points points = extremes(split(data.x, 0, x_max, pixels, 1), data.x, data.y);
        for (std::size_t i = 1; i < points.x.size(); ++i) {
            if (std::isnan(points.y[i]) || std::isnan(points.y[i - 1])) {
                continue;
            }
            const std::size_t from = nearest(data.x, points.x[i - 1]), to = nearest(data.x, points.x[i]);
            for (std::size_t j = from + 1; j <= to; ++j) {
                ASSERT_FALSE(data.x[j] - data.x[j - 1] > 1 && data.x[j] - data.x[j - 1] >= pixel)
                    << "a line crosses the missing steps before " << data.x[j];
            }
        }
    }
}

TEST(PlotTools, ABucketOfNaNIsAHole) {
    Data data;
    for (int i = 0; i < 4096; ++i) {
        data.x.push_back(i);
        data.y.push_back(i >= 1000 && i < 1200 ? kHole : 1.0);
    }
    const std::vector<Bucket> buckets = split(data.x, 0, 4095, 512, 1);
    const Points points = extremes(buckets, data.x, data.y);
    int parts = 0;
    for_each_part(points.y, [&](std::size_t, std::size_t) { ++parts; });
    EXPECT_EQ(parts, 2);
    RunningSum sum;
    sum.update(data.y);
    parts = 0;
    for_each_part(means(buckets, data.x, sum, 500).y, [&](std::size_t, std::size_t) { ++parts; });
    EXPECT_EQ(parts, 2) << "the window of a mean must not bridge a hole";
}

TEST(PlotTools, MissingStepsInsideOneWideBucketSplitIt) {
    Data data;
    for (int i = 0; i < 200; ++i) {
        data.x.push_back(i < 100 ? i : i + 100000);
        data.y.push_back(1);
    }
    const Points points = extremes(split(data.x, 0, 100200, 100, 1), data.x, data.y);
    int parts = 0;
    for_each_part(points.y, [&](std::size_t, std::size_t) { ++parts; });
    EXPECT_EQ(parts, 2);
    const Points evaluations =
        extremes(split(data.x, 0, 100200, 100, std::numeric_limits<double>::infinity()), data.x, data.y);
    EXPECT_EQ(finite(evaluations), evaluations.y.size()) << "a column without a step of its own has no holes";
}

TEST(PlotTools, DegenerateRangesGiveNothing) {
    Data data;
    EXPECT_TRUE(split(data.x, 0, 10, 100, 1).empty());
    data.x.push_back(5);
    data.y.push_back(1);
    EXPECT_TRUE(split(data.x, 10, 10, 100, 1).empty());
    EXPECT_TRUE(split(data.x, 0, 10, 0, 1).empty());
    EXPECT_TRUE(split(data.x, kHole, 10, 100, 1).empty());
    EXPECT_EQ(split(data.x, 0, 10, 100, 1).size(), 1u);
    EXPECT_EQ(nearest(data.x, 1e9), 0u);
}

TEST(PlotTools, RunningMeansAreMeans) {
    std::mt19937 random(5);
    Data data = walk(random, 3000, true);
    RunningSum sum;
    history::Column growing;
    for (std::size_t i = 0; i < data.y.size(); ++i) {
        growing.push_back(data.y[i]);
        if (random() % 10 == 0) {
            sum.update(growing);
        }
    }
    sum.update(growing);
    for (int round = 0; round < 500; ++round) {
        const std::size_t first = random() % 3000, last = first + random() % 500;
        double total = 0;
        int count = 0;
        for (std::size_t i = first; i < last && i < data.y.size(); ++i) {
            if (std::isnan(data.y[i])) {
                continue;
            }
            total += data.y[i];
            ++count;
        }
        if (count == 0) {
            EXPECT_TRUE(std::isnan(sum.mean(first, last)));
        } else {
            EXPECT_NEAR(sum.mean(first, last), total / count, 1e-6);
        }
    }
    history::Column other;
    other.push_back(4);
    sum.update(other);
    EXPECT_EQ(sum.mean(0, 1), 4) << "a shorter column is another column";
    history::Column again;
    again.push_back(5);
    again.push_back(7);
    sum.update(again);
    EXPECT_EQ(sum.mean(0, 2), 6) << "a longer column with another past is another column";
}

TEST(PlotTools, AMeanAtAStepIsOfTheLastOnesWithIt) {
    history::Column column;
    for (const double value : {8.0, 4.0, 3.0}) {
        column.push_back(value);
    }
    RunningSum sum;
    sum.update(column);
    EXPECT_EQ(sum.mean_at(2, 2), 3.5);
    EXPECT_EQ(sum.mean_at(2, 20), 5) << "there are no more";
    EXPECT_EQ(sum.mean_at(0, 20), 8);
    EXPECT_EQ(sum.mean_at(1, 1), 4);
}

TEST(PlotTools, AxesHaveTicksThatMeanSomething) {
    const auto axis = [](std::vector<double> values, bool from_zero, bool whole) {
        history::MinMax all;
        for (const double value : values) {
            all.add(value);
        }
        return panels::axis_range(all, from_zero, whole);
    };
    const auto is = [](const panels::AxisRange& range, double min, double max) {
        EXPECT_DOUBLE_EQ(range.min, min);
        EXPECT_DOUBLE_EQ(range.max, max);
    };
    is(axis({}, true, false), 0, 1);
    is(axis({0, 0}, true, true), 0, 1);  // no dead expert in any step
    is(axis({0, 0}, false, false), 0, 1);
    is(axis({0, 0.25}, true, true), 0, 1);  // a mean of counts
    is(axis({0, 0.25}, true, false), 0, 0.265);
    is(axis({2, 4}, false, false), 1.88, 4.12);
    is(axis({5}, false, false), 4.5, 5.5);
    using Ticks = std::vector<double>;
    EXPECT_EQ(panels::whole_ticks({0, 1}), (Ticks{0, 1}));
    EXPECT_EQ(panels::whole_ticks({0, 2.12}), (Ticks{0, 1, 2}));
    EXPECT_EQ(panels::whole_ticks({0, 26}), (Ticks{0, 5, 10, 15, 20, 25}));
}

TEST(PlotTools, CsvJoinsSeriesByStep) {
    history::Column steps, loss, at, held;
    for (int i = 1; i <= 4; ++i) {
        steps.push_back(i);
        loss.push_back(i == 3 ? kHole : 8.5 - i);
    }
    at.push_back(2);
    held.push_back(6.25);
    at.push_back(5);
    held.push_back(6);
    EXPECT_EQ(
        to_csv("step", {{"loss (nats/token)", steps, loss}, {"held-out, \"English\"", at, held}}),
        "step,loss (nats/token),\"held-out, \"\"English\"\"\"\r\n1,7.5,\r\n2,6.5,6.25\r\n3,,\r\n4,4.5,\r\n5,,6\r\n");
}

TEST(PlotTools, SvgHoldsTheLinesAndEscapesNames) {
    Drawing drawing{"a < b & c", "step", 0, 10, 0, 1, {}};
    drawing.lines.push_back({"loss", "#0072b2", {{0, 5, 5, 10}, {0, 1, kHole, 0.5}}});
    const std::string svg = to_svg(drawing);
    EXPECT_NE(svg.find("a &lt; b &amp; c"), std::string::npos);
    const std::size_t path = svg.find("<path class='l'");
    ASSERT_NE(path, std::string::npos);
    EXPECT_EQ(std::count(svg.begin() + static_cast<std::ptrdiff_t>(path), svg.end(), 'M'), 2) << "a hole splits a line";
    drawing.x_max = 0;
    EXPECT_TRUE(to_svg(drawing).empty());
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

// What is on the screen is in the picture: a single value, single values behind their mean, what happened during the
// run.
TEST(PlotTools, SvgShowsWhatThePlotShows) {
    Drawing drawing{"loss", "step", 0, 100, 0, 10, {}};
    using Look = Drawing::Look;
    drawing.lines.push_back({"", "#111111", {{1, 2, 3}, {9, 7, 8}}, {}, Look::faint});
    drawing.lines.push_back({"loss, mean of 20 steps", "#111111", {{1, 2, 3}, {9, 8, 8}}});
    drawing.lines.push_back({"held-out", "#222222", {{50}, {5}}});
    drawing.lines.push_back({"marked", "#333333", {{50, 60}, {5, 4}}, {}, Look::marked});
    drawing.areas.push_back({"#444444", {{1, 2, kHole, 4}, {1, 1, 1, 1}, {2, 2, 2, 2}}});
    drawing.marks.push_back({58, "learning rate 0.001 < 0.003", "#555555"});
    drawing.marks.push_back({59, "paused", "#666666", false});
    drawing.marks.push_back({59.1, "saved", "#777777", false});
    drawing.marks.push_back({200, "outside", "#888888"});
    const std::string svg = to_svg(drawing);
    EXPECT_EQ(count(svg, "fill='#222222'"), 1u) << "a line through one point is nothing to see";
    EXPECT_EQ(count(svg, "fill='#333333'"), 2u);
    EXPECT_EQ(count(svg, "stroke-opacity='0.4'"), 1u);
    EXPECT_EQ(count(svg, "fill='#111111'"), 0u);
    EXPECT_EQ(count(svg, "mean of 20 steps"), 1u);
    EXPECT_EQ(count(svg, "<rect x="), 3u + 2) << "three names in the legend, the clip and the frame";
    EXPECT_EQ(count(svg.substr(svg.find("class='a'"), svg.find("class='l'") - svg.find("class='a'")), "Z"), 2u);
    EXPECT_EQ(count(svg, "<title>learning rate 0.001 &lt; 0.003</title>"), 1u);
    EXPECT_EQ(count(svg, "learning rate 0.001"), 2u) << "hovered, and beside the line";
    EXPECT_EQ(count(svg, ">paused<"), 1u) << "a line, and no tag over the one before";
    EXPECT_EQ(count(svg, "saved"), 0u) << "it would touch the line before";
    EXPECT_EQ(count(svg, "outside"), 0u);
}

TEST(PlotTools, MarkersAreDifferentAndStandOnTheLine) {
    std::set<std::string> outlines;
    for (std::size_t marker = 0; marker < kMarkers; ++marker) {
        std::string outline;
        for (const MarkerCorner& corner : marker_outline(marker)) {
            EXPECT_LE(std::hypot(corner.x, corner.y), 1.1);
            outline += fmt::format("{:.2f} {:.2f} ", corner.x, corner.y);
        }
        EXPECT_TRUE(outlines.insert(outline).second) << marker;
    }
    EXPECT_EQ(marker_outline(kMarkers).size(), marker_outline(0).size()) << "and from the first one again";
    EXPECT_EQ(marker_places(100, 4), (std::vector<std::size_t>{24, 49, 74, 99}));
    EXPECT_EQ(marker_places(2, 6), (std::vector<std::size_t>{0, 1}));
    EXPECT_TRUE(marker_places(0, 6).empty());
}

TEST(PlotTools, SvgHasAMarkerInTheLegendAndOnTheLineAndRowsForManyNames) {
    Drawing drawing{"t", "step", 0, 10, 0, 1, {}};
    drawing.lines.push_back({"one", "#0072b2", {{0, 5, 10}, {0, kHole, 0.5}}, 3});
    std::string svg = to_svg(drawing);
    const auto count = [&](const std::string& part) {
        std::size_t found = 0;
        for (std::size_t at = svg.find(part); at != std::string::npos; at = svg.find(part, at + 1)) {
            ++found;
        }
        return found;
    };
    EXPECT_EQ(count("<polygon"), 3u) << "legend, first and last point; the hole has none";
    EXPECT_NE(svg.find("height='420'"), std::string::npos);
    for (int i = 0; i < 12; ++i) {
        drawing.lines.push_back({"a run with a long name of its own", "#0072b2", {{0, 10}, {0, 1}}, 1});
    }
    svg = to_svg(drawing);
    EXPECT_EQ(svg.find("height='420'"), std::string::npos) << "the picture grows with its legend";
    EXPECT_EQ(count("a run with a long name of its own"), 12u);
}

}  // namespace
