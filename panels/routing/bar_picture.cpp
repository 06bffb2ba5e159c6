#include "panels/routing/bar_picture.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/axis.hpp"
#include "base/html.hpp"
#include "base/svg.hpp"
#include "nodes/history/column.hpp"
#include "panels/ui/plot_parts.hpp"

namespace moescope::panels {

namespace svg = base::svg;

namespace {

constexpr double kLeft = 70, kRight = 880, kTop = 60, kBottom = 370;

std::string on_white(std::uint32_t colour) {
    return ui::hex_color(ImGui::ColorConvertU32ToFloat4(colour));
}

bool is_set(const std::vector<std::uint8_t>& marks, std::size_t at) {
    return at < marks.size() && marks[at] != 0;
}

double at_or(const std::vector<double>& values, std::size_t at, double otherwise) {
    return at < values.size() ? values[at] : otherwise;
}

void put_bars(std::string& out, const BarPicture& picture, const base::Scale& y) {
    const double wide = (kRight - kLeft) / static_cast<double>(picture.size());
    const auto bars = static_cast<double>(
        std::count_if(picture.series.begin(), picture.series.end(), [](const auto& s) { return !s.as_line; }));
    double before = 0;
    for (const BarPicture::Series& series : picture.series) {
        const double width = series.as_line ? 0.84 * wide : 0.84 * wide / std::max(bars, 1.0);
        for (std::size_t at = 0; at < picture.size(); ++at) {
            const double value = at_or(series.values, at, NAN);
            if (!std::isfinite(value)) {
                continue;
            }
            const double left = kLeft + wide * (static_cast<double>(at) + 0.08) + (series.as_line ? 0 : before * width);
            const double zero = y(0.0), top = y(value), middle = left + width / 2;
            if (series.as_line) {
                out += svg::rect(left, top - 1, width, 2, on_white(series.colour));
            } else {
                out += svg::rect(left, std::min(zero, top), width, std::max(0.5, std::abs(zero - top)),
                                 is_set(picture.hatched, at) ? "url(#h)" : on_white(series.colour),
                                 fmt::format("{}: {:g}", picture.labels[at], value));
            }
            const double low = at_or(series.low, at, NAN), high = at_or(series.high, at, NAN);
            if (std::isfinite(low) && std::isfinite(high)) {
                out += svg::line(middle, y(low), middle, y(high), "e");
            }
        }
        before += series.as_line ? 0 : 1;
        out += '\n';
    }
}

void put_axes(std::string& out, const BarPicture& picture, const base::Scale& y) {
    const double wide = (kRight - kLeft) / static_cast<double>(picture.size());
    for (const double at : base::ticks(y.low, y.high, 6)) {
        out += svg::line(kLeft, y(at), kRight, y(at), "g") + svg::text(64, y(at) + 4, "end", fmt::format("{:.6g}", at));
    }
    std::size_t stride = 1;
    while (wide * static_cast<double>(stride) < 26) {
        stride *= 2;
    }
    for (std::size_t at = 0; at < picture.size(); at += stride) {
        out += svg::text(kLeft + wide * (static_cast<double>(at) + 0.5), 398, "middle",
                         std::to_string(picture.labels[at]));
    }
    for (std::size_t at = 0; at < picture.size(); ++at) {
        if (is_set(picture.marked, at)) {
            out += svg::text(kLeft + wide * (static_cast<double>(at) + 0.5), 383, "middle", "\u25b2");
        }
    }
    for (const BarPicture::Part& part : picture.parts) {
        const double x = kLeft + wide * static_cast<double>(part.end);
        out += svg::line(x, kTop, x, kBottom, "p") + svg::text(x - 3, kTop - 3, "end", base::escape_html(part.text));
    }
    for (const BarPicture::Level& level : picture.levels) {
        if (level.value >= y.low && level.value <= y.high) {
            out += svg::line(kLeft, y(level.value), kRight, y(level.value), "d") +
                   svg::text(kRight - 4, y(level.value) - 4, "end", base::escape_html(level.name));
        }
    }
    out += '\n';
}

}  // namespace

BarRange range_of(const BarPicture& picture) {
    history::MinMax all;
    all.add(0.0);
    const auto add = [&](double value) {
        if (std::isfinite(value)) {
            all.add(value);
        }
    };
    for (const BarPicture::Series& series : picture.series) {
        for (const auto* values : {&series.values, &series.low, &series.high}) {
            std::for_each(values->begin(), values->end(), add);
        }
    }
    for (const BarPicture::Level& level : picture.levels) {
        add(level.value);
    }
    if (!(all.max > all.min)) {
        return {0, 1};
    }
    const double room = 0.05 * (all.max - all.min);
    return {all.min < 0 ? all.min - room : 0, all.max > 0 ? all.max + room : 0};
}

std::string to_svg(const BarPicture& picture) {
    if (picture.size() == 0 || picture.series.empty()) {
        return {};
    }
    const BarRange range = range_of(picture);
    const base::Scale y{range.low, range.high, kBottom, kTop};
    std::string out =
        "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='420' viewBox='0 0 900 420' "
        "font-family='sans-serif' font-size='12'>\n<style>.g{stroke:#ddd}.e{stroke:#333;stroke-width:1.2}"
        ".p{stroke:#999}.d{stroke:#333;stroke-dasharray:5 4}</style>\n"
        "<pattern id='h' width='6' height='6' patternUnits='userSpaceOnUse' patternTransform='rotate(45)'>"
        "<rect width='6' height='6' fill='#ddd'/><line x1='0' y1='0' x2='0' y2='6' stroke='#888' stroke-width='2'/>"
        "</pattern>\n<rect width='900' height='420' fill='white'/>\n";
    out += fmt::format("<text x='70' y='24' font-size='15' font-weight='bold'>{}</text>\n",
                       base::escape_html(picture.title));
    put_axes(out, picture, y);
    put_bars(out, picture, y);
    out += svg::text(kRight, 414, "end", base::escape_html(picture.x_name)) +
           svg::text(kLeft, 54, "start", base::escape_html(picture.y_name));
    double legend = kLeft + 300;
    for (const BarPicture::Series& series : picture.series) {
        out += svg::rect(legend, 30, 10, 10, on_white(series.colour)) +
               svg::text(legend + 14, 39, "start", base::escape_html(series.name)) + '\n';
        legend += 30 + 6.5 * static_cast<double>(series.name.size());
    }
    return out + "<rect x='70' y='60' width='810' height='310' fill='none' stroke='#888'/>\n</svg>\n";
}

}  // namespace moescope::panels
