// The report's figures as inline SVG. Colours of lines are Okabe and Ito's set, of load a perceptually even map; texts
// take the page's colour.
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "base/axis.hpp"
#include "base/svg.hpp"
#include "report/report_html.hpp"

namespace moescope::report::html {
namespace {

constexpr std::array<const char*, 7> kLines{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                            "#e69f00", "#56b4e9", "#8c8c8c"};
constexpr std::array<const char*, 5> kLevels{"#a50f15", "#de6b3f", "#d9b44a", "#7fb3d5", "#1f6fae"};
constexpr double kWidth = 720, kHeight = 260, kLeft = 64, kRight = 16, kTop = 14, kBottom = 44;

using base::Scale;
namespace svg = base::svg;

struct Range {
    double low = 0, high = 1;
};

/// Values beyond this are a fault of the run, not something to draw; they would also overflow the arithmetic of the
/// axes.
bool drawable(const Point& point) {
    return std::fabs(point.x) < 1e30 && std::fabs(point.y) < 1e30;
}

/// The range of the finite values, widened a little; false when there are none.
bool range_of(const Chart& chart, bool x_axis, Range& range) {
    bool any = false;
    for (const Series& series : chart.series) {
        for (const Point& point : series.points) {
            const double value = x_axis ? point.x : point.y;
            if (!drawable(point)) {
                continue;
            }
            range.low = any ? std::min(range.low, value) : value;
            range.high = any ? std::max(range.high, value) : value;
            any = true;
        }
    }
    if (any && !(range.high - range.low > 1e-12 * std::max(1.0, std::fabs(range.high)))) {
        range.low -= std::max(0.5, std::fabs(range.low) * 0.01);
        range.high += std::max(0.5, std::fabs(range.high) * 0.01);
    }
    return any && std::isfinite(range.high - range.low);
}

/// At most two points per pixel column: the lowest and the highest, in their order.
std::vector<Point> thin(const std::vector<Point>& points, const Scale& x) {
    if (points.size() <= 1400) {
        return points;
    }
    std::vector<Point> out;
    const auto column = [&](const Point& point) { return std::floor(x(point.x)); };
    for (std::size_t i = 0; i < points.size();) {
        std::size_t end = i, low = i, high = i;
        while (end < points.size() && drawable(points[end]) && column(points[end]) == column(points[i])) {
            low = points[end].y < points[low].y ? end : low;
            high = points[end].y > points[high].y ? end : high;
            ++end;
        }
        if (end == i) {
            out.push_back(points[i++]);  // a gap
            continue;
        }
        out.push_back(points[std::min(low, high)]);
        if (low != high) {
            out.push_back(points[std::max(low, high)]);
        }
        i = end;
    }
    return out;
}

std::string with_unit(const std::string& name, const std::string& unit, const Words& words) {
    return words(name) + (unit.empty() ? "" : " [" + words.unit(unit) + "]");
}

std::string axes(const Chart& chart, const Scale& x, const Scale& y, const Words& words) {
    std::string out;
    for (const double at : base::ticks(y.low, y.high, 5)) {
        out += svg::line(kLeft, y(at), kWidth - kRight, y(at), "grid") +
               svg::text(kLeft - 8, y(at) + 4, "end", compact(at));
    }
    for (const double at : base::ticks(x.low, x.high, 8)) {
        out += svg::text(x(at), kHeight - kBottom + 17, "middle", compact(at));
    }
    out += svg::line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, "axis");
    out +=
        svg::text((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", with_unit(chart.x_name, chart.x_unit, words));
    return out + svg::rising_text(14, (kTop + kHeight - kBottom) / 2, with_unit(chart.y_name, chart.y_unit, words));
}

/// Losses have the colours of the window (report.cpp, colours()), other series those of their place.
std::string colour_of(const Series& series, std::size_t place) {
    return series.name == "cross_entropy" || series.name == "total_loss" ? "var(--main)"
           : series.name == "heldout_en"                                 ? "var(--english)"
           : series.name == "heldout_zh"                                 ? "var(--chinese)"
                                                                         : kLines[place % kLines.size()];
}

/// A value without a neighbour is a dot.
std::string polyline(const Series& series, const Scale& x, const Scale& y, const std::string& colour) {
    std::vector<double> xs, ys;
    for (const Point& point : thin(series.points, x)) {
        xs.push_back(drawable(point) ? x(point.x) : NAN);
        ys.push_back(y(point.y));
    }
    return "<path class=\"curve" + std::string(series.dashed ? " dashed" : "") + "\" style=\"stroke:" + colour +
           "\" d=\"" + svg::path(xs, ys) + "\"/>" + svg::dots(xs, ys, 2.6, "style=\"fill:" + colour + "\"");
}

/// Even steps of lightness from dark blue over green to yellow.
std::string load_colour(double t) {
    constexpr std::array<std::array<double, 3>, 6> kStops{
        {{68, 1, 84}, {65, 68, 135}, {42, 120, 142}, {34, 168, 132}, {122, 209, 81}, {253, 231, 37}}};
    const double at = std::clamp(t, 0.0, 1.0) * (kStops.size() - 1);
    const auto low = std::min(static_cast<std::size_t>(at), kStops.size() - 2);
    constexpr char kHex[] = "0123456789abcdef";
    std::string out = "#";
    for (std::size_t channel = 0; channel < 3; ++channel) {
        const double mixed =
            kStops[low][channel] + (at - static_cast<double>(low)) * (kStops[low + 1][channel] - kStops[low][channel]);
        const auto value = static_cast<unsigned>(std::lround(mixed));
        out += {kHex[value >> 4], kHex[value & 15]};
    }
    return out;
}

std::string load_legend(double top, double even, double width, double y, const Words& words) {
    std::string out;
    constexpr int kSteps = 48;
    const double cell = 240.0 / kSteps;
    for (int i = 0; i < kSteps; ++i) {
        out += svg::rect(kLeft + i * cell, y, cell + 0.3, 10, load_colour((i + 0.5) / kSteps));
    }
    const double mark = kLeft + even / top * 240;
    out += svg::line(mark, y - 3, mark, y + 13, "axis");
    out +=
        svg::text(kLeft, y + 25, "middle", "0") + svg::text(kLeft + 240, y + 25, "middle", number(100 * top, 1) + " %");
    out += svg::text(mark, y + 25, "middle", number(100 * even, 1) + " %");
    out += svg::text(std::min(kLeft + 262, width), y + 10, "start",
                     words("share") + words.semicolon() + words("even_share") + " = 1/N");
    return out;
}

}  // namespace

std::string chart_svg(const Chart& chart, const Words& words) {
    Range across, up;
    if (!range_of(chart, true, across) || !range_of(chart, false, up)) {
        return "<p class=\"quiet\">" + words("no_points") + "</p>";
    }
    const double margin = (up.high - up.low) * 0.04;
    const Scale x{across.low, across.high, kLeft, kWidth - kRight},
        y{up.low - margin, up.high + margin, kHeight - kBottom, kTop};
    std::string out = "<svg class=\"chart\" viewBox=\"0 0 " + compact(kWidth) + " " + compact(kHeight) +
                      "\" role=\"img\" aria-label=\"" + words(chart.title) + "\">" + axes(chart, x, y, words);
    for (const Mark& mark : chart.marks) {
        if (std::isfinite(mark.x) && mark.x >= x.low && mark.x <= x.high) {
            const double place = x(mark.x);
            out += "<g class=\"mark\"><title>" + escape(mark.text) + "</title>" +
                   svg::line(place, kTop, place, kHeight - kBottom, "mark") + "</g>";
        }
    }
    std::string legend;
    for (std::size_t i = 0; i < chart.series.size(); ++i) {
        const std::string colour = colour_of(chart.series[i], i);
        out += polyline(chart.series[i], x, y, colour);
        const std::string line = chart.series[i].dashed
                                     ? "repeating-linear-gradient(90deg," + colour + " 0 4px,transparent 4px 6px)"
                                     : colour;
        legend +=
            "<span class=\"key\"><i style=\"background:" + line + "\"></i>" + words(chart.series[i].name) + "</span>";
    }
    return out + "</svg><div class=\"legend\">" + legend + "</div>";
}

bool load_fits(const Load& load) {
    constexpr std::size_t kMostCells = 65536;
    return load.layers > 0 && load.experts > 0 && load.layers <= kMostCells &&
           load.experts <= kMostCells / load.layers && load.shares.size() == load.layers * load.experts;
}

std::string load_svg(const Load& load, double scale, const Words& words) {
    if (!load_fits(load)) {
        return "<p class=\"quiet\">" + words("load_bad") + "</p>";
    }
    const double even = 1.0 / static_cast<double>(load.experts),
                 cell = (kWidth - kLeft - kRight) / static_cast<double>(load.experts);
    const double row = std::clamp(cell, 10.0, 26.0), bottom = kTop + row * static_cast<double>(load.layers);
    const double top = scale * even;
    std::string out = "<svg class=\"chart\" viewBox=\"0 0 " + compact(kWidth) + " " + number(bottom + 84, 1) +
                      "\" role=\"img\" aria-label=\"" + words(load.title) + "\">";
    for (std::size_t layer = 0; layer < load.layers; ++layer) {
        const double y = kTop + row * static_cast<double>(layer);
        if (layer % std::max<std::size_t>(1, load.layers / 16) == 0) {
            out += svg::text(kLeft - 8, y + row / 2 + 4, "end", fmt::to_string(layer));
        }
        for (std::size_t expert = 0; expert < load.experts; ++expert) {
            const double share = load.shares[layer * load.experts + expert];
            const std::string fill = std::isfinite(share) ? load_colour(share / top) : "none";
            out += svg::rect(kLeft + cell * static_cast<double>(expert), y, std::max(cell - 0.6, cell * 0.9), row - 0.6,
                             fill,
                             fmt::format("{} {}{}{} {}{}{} %", words("layer"), layer, words.comma(), words("expert"),
                                         expert, words.colon(), number(100 * share, 2)));
        }
    }
    for (std::size_t expert = 0; expert < load.experts; expert += std::max<std::size_t>(1, load.experts / 16)) {
        out += svg::text(kLeft + cell * (static_cast<double>(expert) + 0.5), bottom + 14, "middle",
                         fmt::to_string(expert));
    }
    out += svg::text((kLeft + kWidth - kRight) / 2, bottom + 30, "middle", words("expert"));
    out += svg::rising_text(14, (kTop + bottom) / 2, words("layer"));
    return out + load_legend(top, even, kWidth, bottom + 44, words) + "</svg>";
}

std::string interval_svg(const nlohmann::json& value, double low_end, double high_end, double reference) {
    const auto at = [&](const char* key) {
        return value.is_object() && value.contains(key) && value[key].is_number() ? value[key].get<double>() : NAN;
    };
    const double low = at("low"), high = at("high"), estimate = at("estimate");
    const Scale scale{low_end, high_end, 4, 116};
    const auto place = [&](double v) { return scale(std::clamp(v, low_end, high_end)); };
    std::string out = "<svg class=\"interval\" viewBox=\"0 0 120 16\" aria-hidden=\"true\">" +
                      svg::line(place(reference), 1, place(reference), 15, "grid");
    out += svg::line(4, 8, 116, 8, "grid");
    if (std::isfinite(low) && std::isfinite(high) && std::isfinite(estimate)) {
        out += svg::line(place(low), 8, place(high), 8, "bar") + "<circle cx=\"" + number(place(estimate), 1) +
               "\" cy=\"8\" r=\"3.4\"/>";
    }
    return out + "</svg>";
}

std::string engagement_svg(const nlohmann::json& counts, const Words& words) {
    double total = 0;
    std::array<double, 5> values{};
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] =
            counts.is_array() && counts.size() == values.size() && counts[i].is_number() ? counts[i].get<double>() : 0;
        total += values[i];
    }
    std::string out = "<svg class=\"levels\" viewBox=\"0 0 120 12\" role=\"img\">";
    double x = 0;
    for (std::size_t i = 0; i < values.size() && total > 0; ++i) {
        const double width = 120 * values[i] / total;
        if (width > 0) {
            out += svg::rect(x, 1, width, 10, kLevels[i],
                             words(fmt::format("engagement_{}", i)) + words.colon() + number(values[i], 0));
        }
        x += width;
    }
    return out + "</svg>";
}

}  // namespace moescope::report::html
