#include "panels/ui/figure_svg.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/axis.hpp"
#include "base/html.hpp"
#include "base/svg.hpp"
#include "panels/ui/plot_tools.hpp"

namespace moescope::panels {

namespace svg = base::svg;

namespace {

constexpr int kWidth = 900, kHeight = 420;
constexpr double kLeft = 70, kRight = 880, kTop = 60, kBottom = 370;
constexpr double kMostLabels = 30;
constexpr std::size_t kSigns = 6;  ///< along a line

/// A value of an axis as it is written.
std::string tick_text(double value, Unit unit) {
    return unit == Unit::percent || unit == Unit::points ? fmt::format("{:.4g} %", 100 * value)
                                                         : fmt::format("{:.6g}", value);
}

void draw_bars(std::string& out, const Chart& chart, const ChartWords& words, const base::Scale& x,
               const base::Scale& y) {
    const double half = 0.36 * (x(1) - x(0));
    for (std::size_t i = 0; i < chart.x.size() && !chart.series.empty(); ++i) {
        const Estimate& bar = chart.series.front().y[i];
        if (!std::isfinite(bar.value)) {
            continue;
        }
        const double middle = x(chart.x[i]), high = y(std::max(0.0, bar.value)), low = y(std::min(0.0, bar.value));
        out += svg::rect(middle - half, high, 2 * half, low - high, words.colors.front(),
                         base::escape_html(words.labels[i] + " = " + tick_text(bar.value, chart.unit)));
        if (bar.has_interval()) {
            out += fmt::format("<path class='l' stroke='#333' d='M{0:.1f} {1:.1f}L{0:.1f} {2:.1f}'/>", middle,
                               y(bar.low), y(bar.high));
        }
    }
    const double shown = std::ceil(static_cast<double>(chart.x.size()) / kMostLabels);
    for (std::size_t i = 0; i < chart.x.size(); i += static_cast<std::size_t>(std::max(1.0, shown))) {
        out += svg::text(x(chart.x[i]), kBottom + 16, "middle", base::escape_html(words.labels[i]));
    }
}

/// A sign of its own for each series that stands out, where there are several: colours are not needed to tell them
/// apart.
void draw_sign(std::string& out, std::size_t series, double x, double y, const std::string& color) {
    std::string points;
    for (const MarkerCorner& corner : marker_outline(series)) {
        points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x + 4 * corner.x, y + 4 * corner.y);
    }
    out += fmt::format("<polygon points='{}' fill='{}'/>\n", points, color);
}

void draw_lines(std::string& out, const Chart& chart, const ChartWords& words, const base::Scale& x,
                const base::Scale& y) {
    for (const double at : base::ticks(x.low, x.high, 8)) {
        out += svg::line(x(at), kTop, x(at), kBottom, "g") +
               svg::text(x(at), kBottom + 16, "middle", fmt::format("{:g}", at));
    }
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
        std::vector<double> xs, ys;
        for (std::size_t i = 0; i < chart.x.size() && i < chart.series[s].y.size(); ++i) {
            xs.push_back(x(chart.x[i]));
            ys.push_back(y(chart.series[s].y[i].value));
        }
        for (std::size_t i = 0; i < xs.size(); ++i) {
            const Estimate& here = chart.series[s].y[i];
            if (here.has_interval()) {
                out += fmt::format(
                    "<path class='l' stroke='{0}' stroke-opacity='.35' d='M{1:.1f} {2:.1f}L{1:.1f} {3:.1f}'/>",
                    words.colors[s], xs[i], y(here.low), y(here.high));
            }
        }
        out += fmt::format("<path class='l'{} stroke='{}' d='{}'/>\n",
                           chart.series[s].quiet ? " style='stroke-width:.7'" : "", words.colors[s], svg::path(xs, ys));
    }
}

/// Names of the series above the plot.
void draw_legend(std::string& out, const Chart& chart, const ChartWords& words) {
    double at = kLeft;
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
        if (chart.series[s].quiet || words.series[s].empty()) {
            continue;
        }
        draw_sign(out, s, at + 5, 43, words.colors[s]);
        out += svg::text(at + 14, 47, "start", base::escape_html(words.series[s])) + '\n';
        at += 30 + 6.5 * static_cast<double>(words.series[s].size());
    }
}

}  // namespace

std::string hex(std::uint32_t color) {
    return fmt::format("#{:02x}{:02x}{:02x}", color & 0xff, color >> 8 & 0xff, color >> 16 & 0xff);
}

std::string to_svg(const Chart& chart, const ChartWords& words) {
    if (chart.x.empty()) {
        return {};
    }
    const Chart::Range range = chart.range();
    const bool bars = chart.kind == Chart::Kind::bars;
    const double one = chart.x.size() > 1 ? 0 : 0.5;
    const base::Scale x{chart.x.front() - (bars ? 0.5 : one), chart.x.back() + (bars ? 0.5 : one), kLeft, kRight},
        y{range.low, range.high, kBottom, kTop};
    std::string out = svg::begin(kWidth, kHeight, base::escape_html(words.title));
    for (const double at : base::ticks(range.low, range.high, 6)) {
        out += svg::line(kLeft, y(at), kRight, y(at), "g") +
               svg::text(kLeft - 6, y(at) + 4, "end", tick_text(at, chart.unit));
    }
    if (bars) {
        draw_bars(out, chart, words, x, y);
    } else {
        draw_lines(out, chart, words, x, y);
    }
    for (std::size_t i = 0; i < chart.levels.size(); ++i) {
        const double at = y(chart.levels[i].y);
        out +=
            fmt::format("<path stroke='#333' stroke-dasharray='6 4' d='M{:.1f} {:.1f}H{:.1f}'/>", kLeft, at, kRight) +
            svg::text(kRight, at - 4, "end", base::escape_html(words.levels[i]));
    }
    draw_legend(out, chart, words);
    return out + svg::text(kRight, 408, "end", base::escape_html(words.x_name)) +
           "<rect x='70' y='60' width='810' height='310' fill='none' stroke='#888'/>\n</svg>\n";
}

namespace {

constexpr double kMapRight = 790, kScaleLeft = 806, kScaleRight = 820;

struct Grid {
    double width, height;  ///< of a cell
    std::size_t stride(double size, double least) const {
        return static_cast<std::size_t>(std::max(1.0, std::ceil(least / size)));
    }
};

void draw_names(std::string& out, const Map& map, const MapWords& words, const Grid& grid, double bottom) {
    for (std::size_t row = 0; row < map.rows; row += grid.stride(grid.height, 13)) {
        out += svg::text(kLeft - 6, kTop + (static_cast<double>(row) + 0.5) * grid.height + 4, "end",
                         base::escape_html(map.row_names[row]));
    }
    for (const auto& [place, name] : map.column_ticks) {
        out += svg::text(kLeft + place * grid.width, bottom + 15, "middle", base::escape_html(name));
    }
    const std::size_t named = map.column_ticks.empty() ? map.columns : 0;
    for (std::size_t column = 0; column < named; column += grid.stride(grid.width, 30)) {
        out += svg::text(kLeft + (static_cast<double>(column) + 0.5) * grid.width, bottom + 15, "middle",
                         base::escape_html(map.column_names[column]));
    }
    out += svg::text(kMapRight, bottom + 34, "end", base::escape_html(words.column_name)) +
           svg::rising_text(16, (kTop + bottom) / 2, base::escape_html(words.row_name)) + '\n';
}

void draw_scale(std::string& out, const MapColors& colors, const MapWords& words, double bottom) {
    constexpr int kSlices = 64;
    const double slice = (bottom - kTop) / kSlices;
    for (int i = 0; i < kSlices; ++i) {
        const double value = colors.high + (colors.low - colors.high) * (i + 0.5) / kSlices;
        out += svg::rect(kScaleLeft, kTop + i * slice, kScaleRight - kScaleLeft, slice + 0.3, hex(colors(value)));
    }
    for (const auto& [value, label] : words.ticks) {
        const double place = kTop + (colors.high - value) / (colors.high - colors.low) * (bottom - kTop);
        out += svg::text(kScaleRight + 5, place + 4, "start", base::escape_html(label));
    }
}

}  // namespace

std::string to_svg(const Map& map, const MapColors& colors, const MapWords& words) {
    if (map.rows == 0 || map.columns == 0 || !(colors.high > colors.low)) {
        return {};
    }
    const Grid grid{(kMapRight - kLeft) / static_cast<double>(map.columns),
                    std::clamp((kMapRight - kLeft) / static_cast<double>(map.rows), 2.0, 24.0)};
    const double bottom = kTop + grid.height * static_cast<double>(map.rows);
    std::string out = svg::begin(kWidth, static_cast<int>(bottom) + 50, base::escape_html(words.title));
    for (std::size_t row = 0; row < map.rows; ++row) {
        const double y = kTop + static_cast<double>(row) * grid.height;
        for (std::size_t column = 0; column < map.columns;) {
            const auto look = [&](std::size_t at) {
                return std::pair(colors(map.at(row, at)), map.is_quiet(row * map.columns + at));
            };
            const auto [color, quiet] = look(column);
            std::size_t end = column + 1;
            while (end < map.columns && look(end) == std::pair(color, quiet)) {
                ++end;
            }
            if (color >> 24 != 0) {
                out += fmt::format(R"(<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" fill="{}"{}/>)",
                                   kLeft + static_cast<double>(column) * grid.width, y,
                                   static_cast<double>(end - column) * grid.width, grid.height, hex(color),
                                   quiet ? R"( fill-opacity="0.3")" : "");
            }
            column = end;
        }
        out += '\n';
    }
    draw_names(out, map, words, grid, bottom);
    draw_scale(out, colors, words, bottom);
    return out + "</svg>\n";
}

}  // namespace moescope::panels
