// The flow picture: shares and bands against counts written out; places of nodes and strips; what is under the mouse.
#include "panels/routing/flow_model.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <numeric>

#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using routing::make_spec;
using routing::RandomTrace;
using routing::Transitions;

Flow random_flow(int experts, unsigned seed, std::map<std::pair<int, int>, std::uint64_t>* counts = nullptr) {
    const routing::RouterSpec spec = make_spec(3, experts, 2);
    const auto tokens = RandomTrace(spec, seed).tokens(300);
    Transitions transitions(routing::shape_of(spec), 0, 1);
    for (const auto& chunk : routing::chunks_of(spec, tokens)) {
        transitions.add(*chunk);
    }
    for (const auto& token : tokens) {
        for (const int a : token.layers[0].ids) {
            for (const int b : token.layers[1].ids) {
                if (counts != nullptr) {
                    ++(*counts)[{a, b}];
                }
            }
        }
    }
    return make_flow(transitions, static_cast<std::size_t>(experts), 4, 5);
}

TEST(Flows, HoldTheSharesOfAllPairs) {
    std::map<std::pair<int, int>, std::uint64_t> counts;
    const Flow flow = random_flow(8, 1, &counts);
    EXPECT_EQ(flow.total, 300u * 4);
    EXPECT_EQ(flow.from_layer, 4);
    EXPECT_NEAR(std::accumulate(flow.leaving.begin(), flow.leaving.end(), 0.0), 1, 1e-12);
    EXPECT_NEAR(std::accumulate(flow.coming.begin(), flow.coming.end(), 0.0), 1, 1e-12);
    EXPECT_EQ(flow.bands.size(), counts.size());
    for (std::size_t i = 0; i < flow.bands.size(); ++i) {
        const Flow::Band& band = flow.bands[i];
        EXPECT_EQ(band.count, (counts[{static_cast<int>(band.from), static_cast<int>(band.to)}]));
        EXPECT_TRUE(i == 0 || band.count <= flow.bands[i - 1].count);
    }
    const Table table = flow_table(flow);
    ASSERT_EQ(table.rows.size(), flow.bands.size());
    for (const Table::Row& row : table.rows) {
        double leaving = 0, coming = 0;
        const int from = static_cast<int>(row[0].number.value), to = static_cast<int>(row[1].number.value);
        for (const auto& [pair, count] : counts) {
            leaving += pair.first == from ? static_cast<double>(count) : 0;
            coming += pair.second == to ? static_cast<double>(count) : 0;
        }
        const auto count = static_cast<double>(counts[{from, to}]);
        EXPECT_EQ(row[2].number.value, count);
        EXPECT_NEAR(row[3].number.value, count / 1200, 1e-12);
        EXPECT_NEAR(row[4].number.value, count / leaving, 1e-12);
        EXPECT_LT(row[4].number.low, count / leaving);
        EXPECT_NEAR(row[5].number.value, coming / 1200, 1e-12);
        EXPECT_NEAR(row[6].number.value, count / leaving / (coming / 1200), 1e-9);
    }
}

TEST(Flows, OfNothingAreEmpty) {
    const routing::RouterSpec spec = make_spec(2, 4, 2);
    const Flow flow = make_flow(Transitions(routing::shape_of(spec), 0, 1), 4, 0, 1);
    EXPECT_EQ(flow.total, 0u);
    EXPECT_TRUE(flow.bands.empty());
    EXPECT_TRUE(lay_out(flow, 100).strips.empty());
    EXPECT_TRUE(flow_table(flow).rows.empty());
}

/// Nodes stand below each other; the strips of a node fill it from the top, none over another, and the rest is what is
/// not drawn.
void expect_filled(const Flow& flow, const FlowLayout& layout, bool left) {
    const auto& nodes = left ? layout.left : layout.right;
    const auto& shares = left ? flow.leaving : flow.coming;
    double at = -1e-9;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        EXPECT_GE(nodes[i].top, at - 1e-9);
        at = nodes[i].bottom;
        std::vector<std::pair<double, double>> ends;
        double drawn = 0;
        for (const FlowLayout::Strip& strip : layout.strips) {
            if ((left ? strip.band.from : strip.band.to) == i) {
                ends.emplace_back(left ? strip.left_top : strip.right_top,
                                  left ? strip.left_bottom : strip.right_bottom);
                drawn += flow.share(strip.band);
            }
        }
        std::sort(ends.begin(), ends.end());
        double from = nodes[i].top;
        for (const auto& [top, bottom] : ends) {
            EXPECT_NEAR(top, from, 1e-9);
            EXPECT_GT(bottom, top);
            from = bottom;
        }
        EXPECT_NEAR(nodes[i].rest, from, 1e-9);
        if (shares[i] > 0) {
            EXPECT_NEAR((nodes[i].rest - nodes[i].top) / (nodes[i].bottom - nodes[i].top), drawn / shares[i], 1e-9);
        } else {
            EXPECT_EQ(nodes[i].top, nodes[i].bottom);
        }
    }
    EXPECT_LE(at, 1 + 1e-9);
}

TEST(Flows, AreLaidOut) {
    for (const int experts : {3, 8, 200}) {
        const Flow flow = random_flow(experts, 2);
        for (const std::size_t most : {std::size_t{1}, std::size_t{20}, std::size_t{5000}}) {
            const FlowLayout layout = lay_out(flow, most);
            ASSERT_EQ(layout.strips.size(), std::min(most, flow.bands.size()));
            EXPECT_EQ(layout.threshold, flow.share(layout.strips.back().band));
            double drawn = 0;
            for (const FlowLayout::Strip& strip : layout.strips) {
                drawn += flow.share(strip.band);
            }
            EXPECT_NEAR(layout.drawn, drawn, 1e-12);
            expect_filled(flow, layout, true);
            expect_filled(flow, layout, false);
        }
    }
}

TEST(Flows, FindTheStripUnderTheMouse) {
    const Flow flow = random_flow(6, 3);
    const FlowLayout layout = lay_out(flow, 12);
    for (std::size_t i = 0; i < layout.strips.size(); ++i) {
        const FlowLayout::Strip& strip = layout.strips[i];
        // At the sides no strip lies over another.
        EXPECT_EQ(strip_at(layout, 0, (strip.left_top + strip.left_bottom) / 2), i);
        EXPECT_EQ(strip_at(layout, 1, (strip.right_top + strip.right_bottom) / 2), i);
        for (const double s : {0.2, 0.5, 0.8}) {
            const CurvePoint at = curve_point(s);
            const double left = (strip.left_top + strip.left_bottom) / 2,
                         right = (strip.right_top + strip.right_bottom) / 2;
            const auto found = strip_at(layout, at.along, left + (right - left) * at.between);
            ASSERT_TRUE(found.has_value());
            EXPECT_GE(*found, i) << "a weaker one may lie above it, a stronger one never does";
        }
    }
    EXPECT_FALSE(strip_at(layout, -0.1, 0.5).has_value());
    EXPECT_FALSE(strip_at(layout, 0, 1.5).has_value());
}

TEST(Flows, TheCurveIsThatOfItsControlPoints) {
    for (const double s : {0.0, 0.3, 0.5, 0.9, 1.0}) {
        const double r = 1 - s;
        EXPECT_NEAR(curve_point(s).along, 3 * r * r * s * 0.5 + 3 * r * s * s * 0.5 + s * s * s, 1e-12);
        EXPECT_NEAR(curve_point(s).between, 3 * r * s * s + s * s * s, 1e-12);
    }
}

TEST(Flows, ToSvg) {
    const Flow flow = random_flow(6, 4);
    const std::string svg = to_svg(flow, lay_out(flow, 10), {"a < b", "layer 4", "layer 5", {"#112233", "#445566"}});
    std::size_t bands = 0;
    for (std::size_t at = svg.find("<path d="); at != std::string::npos; at = svg.find("<path d=", at + 1)) {
        ++bands;
    }
    EXPECT_EQ(bands, 10u);
    EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
    EXPECT_NE(svg.find(">layer 5</text>"), std::string::npos);
}

TEST(Flows, SayNothingOfARestThatIsOnlyRounding) {
    EXPECT_FALSE(rest_besides(1));
    EXPECT_FALSE(rest_besides(1 - 3.3e-16)) << "3.33e-14 % is no share of anything";
    EXPECT_FALSE(rest_besides(1.0000001));
    ASSERT_TRUE(rest_besides(0.75));
    EXPECT_DOUBLE_EQ(*rest_besides(0.75), 0.25);
}

}  // namespace
}  // namespace moescope::panels
