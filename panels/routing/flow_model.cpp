#include "panels/routing/flow_model.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>

#include "base/html.hpp"
#include "base/intervals.hpp"
#include "base/svg.hpp"

namespace moescope::panels {

namespace {

/// Room that all gaps between the nodes of a side take together.
constexpr double kGaps = 0.15;

/// Places of the nodes of one side.
std::vector<FlowLayout::Node> stacked(const std::vector<double>& shares) {
    const auto used = static_cast<double>(std::count_if(shares.begin(), shares.end(), [](double s) { return s > 0; }));
    const double gap = used > 1 ? std::min(0.02, kGaps / (used - 1)) : 0;
    const double scale = 1 - (used > 1 ? gap * (used - 1) : 0);
    std::vector<FlowLayout::Node> nodes(shares.size());
    double at = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
        nodes[i] = {at, at + scale * shares[i], at};
        at = nodes[i].bottom + (shares[i] > 0 ? gap : 0);
    }
    return nodes;
}

}  // namespace

Flow make_flow(const routing::Transitions& transitions, std::size_t experts, int from_layer, int to_layer) {
    Flow flow;
    flow.from_layer = from_layer;
    flow.to_layer = to_layer;
    flow.total = transitions.total();
    flow.leaving.resize(experts);
    flow.coming.resize(experts);
    if (flow.total == 0) {
        return flow;
    }
    const auto total = static_cast<double>(flow.total);
    for (std::size_t from = 0; from < experts; ++from) {
        for (std::size_t to = 0; to < experts; ++to) {
            const std::uint64_t count = transitions.count(from, to);
            if (count == 0) {
                continue;
            }
            flow.leaving[from] += static_cast<double>(count) / total;
            flow.coming[to] += static_cast<double>(count) / total;
            flow.bands.push_back({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to), count});
        }
    }
    const auto stronger = [](const Flow::Band& a, const Flow::Band& b) {
        return a.count != b.count ? a.count > b.count : std::pair(a.from, a.to) < std::pair(b.from, b.to);
    };
    const auto kept = flow.bands.begin() + static_cast<std::ptrdiff_t>(std::min(Flow::kMostBands, flow.bands.size()));
    std::partial_sort(flow.bands.begin(), kept, flow.bands.end(), stronger);
    flow.bands.erase(kept, flow.bands.end());
    return flow;
}

Table flow_table(const Flow& flow) {
    Table table;
    table.columns = {{"structure.column.from", Unit::place},
                     {"structure.column.to", Unit::place},
                     {"structure.column.pairs", Unit::whole},
                     {"structure.column.share_of_pairs", Unit::percent},
                     {"structure.column.follows", Unit::percent, true},
                     {"structure.column.baseline", Unit::percent},
                     {"structure.column.ratio", Unit::times}};
    for (const Flow::Band& band : flow.bands) {
        const auto leaving =
            static_cast<std::uint64_t>(std::llround(flow.leaving[band.from] * static_cast<double>(flow.total)));
        const base::Interval follows = base::wilson(std::min(band.count, leaving), leaving);
        table.rows.push_back({static_cast<double>(band.from), static_cast<double>(band.to),
                              static_cast<double>(band.count), flow.share(band), Estimate(follows),
                              flow.coming[band.to], follows.estimate / flow.coming[band.to]});
    }
    return table;
}

FlowLayout lay_out(const Flow& flow, std::size_t most) {
    FlowLayout layout;
    layout.left = stacked(flow.leaving);
    layout.right = stacked(flow.coming);
    const std::size_t count = std::min(most, flow.bands.size());
    for (std::size_t i = 0; i < count; ++i) {
        layout.strips.push_back({flow.bands[i]});
        layout.drawn += flow.share(flow.bands[i]);
        layout.threshold = flow.share(flow.bands[i]);
    }
    // Heights are given out in the order of the other end.
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto give = [&](std::vector<FlowLayout::Node>& nodes, const std::vector<double>& shares, bool left) {
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            const Flow::Band &x = layout.strips[a].band, &y = layout.strips[b].band;
            return left ? x.to < y.to : x.from < y.from;
        });
        for (const std::size_t i : order) {
            FlowLayout::Strip& strip = layout.strips[i];
            const std::size_t expert = left ? strip.band.from : strip.band.to;
            FlowLayout::Node& node = nodes[expert];
            const double height = flow.share(strip.band) / shares[expert] * (node.bottom - node.top);
            (left ? strip.left_top : strip.right_top) = node.rest;
            node.rest = std::min(node.bottom, node.rest + height);
            (left ? strip.left_bottom : strip.right_bottom) = node.rest;
        }
    };
    give(layout.left, flow.leaving, true);
    give(layout.right, flow.coming, false);
    return layout;
}

CurvePoint curve_point(double s) {
    return {s * (1.5 - 1.5 * s + s * s), s * s * (3 - 2 * s)};
}

std::optional<std::size_t> strip_at(const FlowLayout& layout, double along, double height) {
    if (!(along >= 0 && along <= 1)) {
        return {};
    }
    double low = 0, high = 1;
    for (int i = 0; i < 30; ++i) {
        const double middle = (low + high) / 2;
        (curve_point(middle).along < along ? low : high) = middle;
    }
    const double between = curve_point(low).between;
    for (std::size_t i = layout.strips.size(); i-- > 0;) {
        const FlowLayout::Strip& strip = layout.strips[i];
        const double top = strip.left_top + (strip.right_top - strip.left_top) * between,
                     bottom = strip.left_bottom + (strip.right_bottom - strip.left_bottom) * between;
        if (height >= top && height <= bottom) {
            return i;
        }
    }
    return {};
}

std::string to_svg(const Flow& flow, const FlowLayout& layout, const FlowWords& words) {
    namespace svg = base::svg;
    constexpr double kTop = 60, kHeight = 520, kLeft = 110, kRight = 780, kNode = 12;
    const auto y = [](double height) { return kTop + height * kHeight; };
    std::string out = svg::begin(900, 620, base::escape_html(words.title));
    for (const FlowLayout::Strip& strip : layout.strips) {
        const std::string tip = fmt::format("{} \u2192 {}: {:.3g} %, {:.3g} % / {:.3g} %", strip.band.from,
                                            strip.band.to, 100 * flow.share(strip.band),
                                            100 * flow.conditional(strip.band), 100 * flow.coming[strip.band.to]);
        out += svg::band(kLeft + kNode, y(strip.left_top), y(strip.left_bottom), kRight, y(strip.right_top),
                         y(strip.right_bottom), words.colors[strip.band.from % words.colors.size()], 0.5,
                         base::escape_html(tip)) +
               '\n';
    }
    for (const bool left : {true, false}) {
        const auto& nodes = left ? layout.left : layout.right;
        double free = 0;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            if (!(nodes[i].bottom > nodes[i].top)) {
                continue;
            }
            out +=
                svg::rect(left ? kLeft : kRight, y(nodes[i].top), kNode, y(nodes[i].bottom) - y(nodes[i].top), "#555");
            const double middle = (y(nodes[i].top) + y(nodes[i].bottom)) / 2 + 4;
            if (middle >= free) {
                out +=
                    svg::text(left ? kLeft - 5 : kRight + kNode + 5, middle, left ? "end" : "start", std::to_string(i));
                free = middle + 13;
            }
        }
    }
    return out + svg::text(kLeft, 48, "start", base::escape_html(words.left_name)) +
           svg::text(kRight + kNode, 48, "end", base::escape_html(words.right_name)) + "</svg>\n";
}

}  // namespace moescope::panels
