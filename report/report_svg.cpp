// The report's figures as inline SVG. Colours of lines are Okabe and Ito's set, of load a perceptually even map; texts
// take the page's colour.
#include <algorithm>
#include <array>
#include <cmath>

#include "report/report_html.hpp"

namespace moescope::report::html {
namespace {

constexpr std::array<const char*, 7> kLines{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                            "#e69f00", "#56b4e9", "#8c8c8c"};
constexpr std::array<const char*, 5> kLevels{"#a50f15", "#de6b3f", "#d9b44a", "#7fb3d5", "#1f6fae"};
constexpr double kWidth = 720, kHeight = 260, kLeft = 64, kRight = 16, kTop = 14, kBottom = 44;

struct Range {
    double low = 0, high = 1;
    double place(double value, double from, double to) const {
        return from + (value - low) / (high - low) * (to - from);
    }
};

/// Step of 1, 2 or 5 times a power of ten that gives at most `most` ticks.
double tick_step(const Range& range, int most) {
    const double raw = (range.high - range.low) / most, power = std::pow(10.0, std::floor(std::log10(raw)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= raw) {
            return factor * power;
        }
    }
    return 10 * power;
}

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
std::vector<Point> thin(const std::vector<Point>& points, const Range& x) {
    if (points.size() <= 1400) {
        return points;
    }
    std::vector<Point> out;
    const auto column = [&](const Point& point) { return std::floor(x.place(point.x, kLeft, kWidth - kRight)); };
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

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
    return "<line class=\"" + std::string(kind) + "\" x1=\"" + number(x1, 1) + "\" y1=\"" + number(y1, 1) + "\" x2=\"" +
           number(x2, 1) + "\" y2=\"" + number(y2, 1) + "\"/>";
}

std::string label(double x, double y, const char* anchor, const std::string& escaped) {
    return "<text x=\"" + number(x, 1) + "\" y=\"" + number(y, 1) + "\" text-anchor=\"" + anchor + "\">" + escaped +
           "</text>";
}

std::string with_unit(const std::string& name, const std::string& unit, const Words& words) {
    return words(name) + (unit.empty() ? "" : " [" + escape(unit) + "]");
}

std::string axes(const Chart& chart, const Range& x, const Range& y, const Words& words) {
    std::string out;
    for (double step = tick_step(y, 5), at = std::ceil(y.low / step) * step; at <= y.high + step * 1e-9; at += step) {
        const double place = y.place(at, kHeight - kBottom, kTop);
        out += line(kLeft, place, kWidth - kRight, place, "grid") +
               label(kLeft - 8, place + 4, "end", compact(std::fabs(at) < step * 1e-9 ? 0 : at));
    }
    for (double step = tick_step(x, 8), at = std::ceil(x.low / step) * step; at <= x.high + step * 1e-9; at += step) {
        out += label(x.place(at, kLeft, kWidth - kRight), kHeight - kBottom + 17, "middle",
                     compact(std::fabs(at) < step * 1e-9 ? 0 : at));
    }
    out += line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, "axis");
    out += label((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", with_unit(chart.x_name, chart.x_unit, words));
    const std::string middle = number((kTop + kHeight - kBottom) / 2, 1);
    out += "<text transform=\"translate(14 " + middle + ") rotate(-90)\" text-anchor=\"middle\">" +
           with_unit(chart.y_name, chart.y_unit, words) + "</text>";
    return out;
}

std::string polyline(const Series& series, const Range& x, const Range& y, const char* colour) {
    std::string path;
    bool pen = false;
    for (const Point& point : thin(series.points, x)) {
        if (!drawable(point)) {
            pen = false;
            continue;
        }
        path += (pen ? "L" : "M") + compact(std::round(x.place(point.x, kLeft, kWidth - kRight) * 10) / 10) + " " +
                compact(std::round(y.place(point.y, kHeight - kBottom, kTop) * 10) / 10);
        pen = true;
    }
    return "<path class=\"curve\" stroke=\"" + std::string(colour) + "\" d=\"" + path + "\"/>";
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
        out += "<rect x=\"" + number(kLeft + i * cell, 1) + "\" y=\"" + number(y, 1) + "\" width=\"" +
               number(cell + 0.3, 1) + "\" height=\"10\" fill=\"" + load_colour((i + 0.5) / kSteps) + "\"/>";
    }
    const double mark = kLeft + even / top * 240;
    out += line(mark, y - 3, mark, y + 13, "axis");
    out += label(kLeft, y + 25, "middle", "0") + label(kLeft + 240, y + 25, "middle", number(100 * top, 1) + " %");
    out += label(mark, y + 25, "middle", number(100 * even, 1) + " %");
    out += label(std::min(kLeft + 262, width), y + 10, "start", words("share") + "; " + words("even_share") + " = 1/N");
    return out;
}

}  // namespace

std::string chart_svg(const Chart& chart, const Words& words) {
    Range x, y;
    if (!range_of(chart, true, x) || !range_of(chart, false, y)) {
        return "<p class=\"quiet\">" + words("no_points") + "</p>";
    }
    const double margin = (y.high - y.low) * 0.04;
    y.low -= margin;
    y.high += margin;
    std::string out = "<svg class=\"chart\" viewBox=\"0 0 " + compact(kWidth) + " " + compact(kHeight) +
                      "\" role=\"img\" aria-label=\"" + words(chart.title) + "\">" + axes(chart, x, y, words);
    for (const Mark& mark : chart.marks) {
        if (std::isfinite(mark.x) && mark.x >= x.low && mark.x <= x.high) {
            const double place = x.place(mark.x, kLeft, kWidth - kRight);
            out += "<g class=\"mark\"><title>" + escape(mark.text) + "</title>" +
                   line(place, kTop, place, kHeight - kBottom, "mark") + "</g>";
        }
    }
    std::string legend;
    for (std::size_t i = 0; i < chart.series.size(); ++i) {
        const char* colour = kLines[i % kLines.size()];
        out += polyline(chart.series[i], x, y, colour);
        legend += "<span class=\"key\"><i style=\"background:" + std::string(colour) + "\"></i>" +
                  words(chart.series[i].name) + "</span>";
    }
    return out + "</svg><div class=\"legend\">" + legend + "</div>";
}

std::string load_svg(const Load& load, const Words& words) {
    constexpr std::size_t kMostCells = 65536;
    const bool fits = load.layers > 0 && load.experts > 0 && load.layers <= kMostCells &&
                      load.experts <= kMostCells / load.layers && load.shares.size() == load.layers * load.experts;
    if (!fits) {
        return "<p class=\"quiet\">" + words("load_bad") + "</p>";
    }
    const double even = 1.0 / static_cast<double>(load.experts),
                 cell = (kWidth - kLeft - kRight) / static_cast<double>(load.experts);
    const double row = std::clamp(cell, 10.0, 26.0), bottom = kTop + row * static_cast<double>(load.layers);
    double top = 2 * even;
    for (const double share : load.shares) {
        top = std::isfinite(share) ? std::max(top, share) : top;
    }
    std::string out = "<svg class=\"chart\" viewBox=\"0 0 " + compact(kWidth) + " " + number(bottom + 84, 1) +
                      "\" role=\"img\" aria-label=\"" + words(load.title) + "\">";
    for (std::size_t layer = 0; layer < load.layers; ++layer) {
        const double y = kTop + row * static_cast<double>(layer);
        if (layer % std::max<std::size_t>(1, load.layers / 16) == 0) {
            out += label(kLeft - 8, y + row / 2 + 4, "end", std::to_string(layer));
        }
        for (std::size_t expert = 0; expert < load.experts; ++expert) {
            const double share = load.shares[layer * load.experts + expert];
            const std::string fill = std::isfinite(share) ? load_colour(share / top) : "none";
            out += "<rect x=\"" + number(kLeft + cell * static_cast<double>(expert), 2) + "\" y=\"" + number(y, 1) +
                   "\" width=\"" + number(std::max(cell - 0.6, cell * 0.9), 2) + "\" height=\"" + number(row - 0.6, 1) +
                   "\" fill=\"" + fill + "\"><title>" + words("layer") + " " + std::to_string(layer) + ", " +
                   words("expert") + " " + std::to_string(expert) + ": " + number(100 * share, 2) + " %</title></rect>";
        }
    }
    for (std::size_t expert = 0; expert < load.experts; expert += std::max<std::size_t>(1, load.experts / 16)) {
        out += label(kLeft + cell * (static_cast<double>(expert) + 0.5), bottom + 14, "middle", std::to_string(expert));
    }
    out += label((kLeft + kWidth - kRight) / 2, bottom + 30, "middle", words("expert"));
    out += "<text transform=\"translate(14 " + number((kTop + bottom) / 2, 1) +
           ") rotate(-90)\" text-anchor=\"middle\">" + words("layer") + "</text>";
    return out + load_legend(top, even, kWidth, bottom + 44, words) + "</svg>";
}

std::string interval_svg(const nlohmann::json& value, double low_end, double high_end, double reference) {
    const auto at = [&](const char* key) {
        return value.is_object() && value.contains(key) && value[key].is_number() ? value[key].get<double>() : NAN;
    };
    const double low = at("low"), high = at("high"), estimate = at("estimate");
    const Range range{low_end, high_end};
    const auto place = [&](double v) { return range.place(std::clamp(v, low_end, high_end), 4, 116); };
    std::string out = "<svg class=\"interval\" viewBox=\"0 0 120 16\" aria-hidden=\"true\">" +
                      line(place(reference), 1, place(reference), 15, "grid");
    out += line(4, 8, 116, 8, "grid");
    if (std::isfinite(low) && std::isfinite(high) && std::isfinite(estimate)) {
        out += line(place(low), 8, place(high), 8, "bar") + "<circle cx=\"" + number(place(estimate), 1) +
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
            out += "<rect x=\"" + number(x, 2) + "\" y=\"1\" width=\"" + number(width, 2) + "\" height=\"10\" fill=\"" +
                   kLevels[i] + "\"><title>" + words("engagement_" + std::to_string(i)) + ": " + number(values[i], 0) +
                   "</title></rect>";
        }
        x += width;
    }
    return out + "</svg>";
}

}  // namespace moescope::report::html
