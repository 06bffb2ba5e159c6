#include "panels/ui/plot_tools.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <numbers>

#include "base/axis.hpp"
#include "base/csv.hpp"
#include "base/html.hpp"
#include "base/svg.hpp"
#include "base/text.hpp"

namespace moescope::panels {

namespace svg = base::svg;

namespace {

constexpr double kHole = std::numeric_limits<double>::quiet_NaN();

/// First index whose x is at least `value`.
std::size_t lower_bound(const history::Column& x, double value) {
    std::size_t first = 0, count = x.size();
    while (count > 0) {
        const std::size_t half = count / 2;
        if (x[first + half] < value) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return first;
}

/// A jump of x counts as a hole when it is longer than `gap` and at least `pixel` wide.
struct Limits {
    double gap, pixel;
    bool hole(double jump) const { return jump > gap && jump >= pixel; }
};

void append(std::vector<Bucket>& buckets, const history::Column& x, std::size_t first, std::size_t last,
            const Limits& limits) {
    const auto add = [&](std::size_t begin, std::size_t end) {
        const bool hole = !buckets.empty() && limits.hole(x[begin] - x[buckets.back().last - 1]);
        buckets.push_back({begin, end, hole});
    };
    // Without a jump x rises by at most `gap` a value, so one comparison clears a whole bucket.
    if (x[last - 1] - x[first] > limits.gap * static_cast<double>(last - 1 - first)) {
        for (std::size_t i = first + 1; i < last; ++i) {
            if (limits.hole(x[i] - x[i - 1])) {
                add(first, i);
                first = i;
            }
        }
    }
    add(first, last);
}

}  // namespace

std::vector<Bucket> split(const history::Column& x, double x_min, double x_max, int pixels, double max_gap) {
    std::vector<Bucket> buckets;
    if (x.empty() || pixels < 1 || !(x_min < x_max)) {
        return buckets;
    }
    std::size_t first = lower_bound(x, x_min);
    std::size_t last = lower_bound(x, x_max);
    while (last < x.size() && x[last] <= x_max) {
        ++last;
    }
    first = first > 0 ? first - 1 : 0;
    last = std::min(last + 1, x.size());
    if (first >= last) {
        return buckets;
    }
    const std::size_t wanted = (last - first + static_cast<std::size_t>(pixels) - 1) / static_cast<std::size_t>(pixels);
    const std::size_t stride = std::bit_ceil(wanted);
    const Limits limits{max_gap, (x_max - x_min) / pixels};
    buckets.reserve((last - first) / stride + 2);
    for (std::size_t begin = first; begin < last;) {
        const std::size_t end = std::min(last, (begin / stride + 1) * stride);
        append(buckets, x, begin, end, limits);
        begin = end;
    }
    return buckets;
}

Points extremes(const std::vector<Bucket>& buckets, const history::Column& x, const history::Column& y, double scale) {
    Points points;
    points.x.reserve(2 * buckets.size());
    points.y.reserve(2 * buckets.size());
    for (const Bucket& bucket : buckets) {
        if (bucket.gap_before) {
            points.add(x[bucket.first], kHole);
        }
        const history::MinMax range = y.range(bucket.first, bucket.last);
        if (range.empty()) {
            points.add(x[bucket.first], kHole);
        } else if (range.min == range.max) {
            points.add(x[bucket.first], range.min * scale);
        } else {
            // The order that follows the trend inside the bucket joins its neighbours with the shorter line.
            const bool falling = y[bucket.first] > y[bucket.last - 1];
            points.add(x[bucket.first], (falling ? range.max : range.min) * scale);
            points.add(x[bucket.last - 1], (falling ? range.min : range.max) * scale);
        }
    }
    return points;
}

Points without_holes(const Points& points) {
    Points joined;
    for (std::size_t i = 0; i < points.x.size(); ++i) {
        if (!std::isnan(points.y[i])) {
            joined.add(points.x[i], points.y[i]);
        }
    }
    return joined;
}

Band band(const std::vector<Bucket>& buckets, const history::Column& x, const history::Column& y, double scale) {
    Band result;
    const auto add = [&](double px, double low, double high) {
        result.x.push_back(px);
        result.low.push_back(low);
        result.high.push_back(high);
    };
    for (const Bucket& bucket : buckets) {
        if (bucket.gap_before) {
            add(x[bucket.first], kHole, kHole);
        }
        const history::MinMax range = y.range(bucket.first, bucket.last);
        if (range.empty()) {
            add(x[bucket.first], kHole, kHole);
        } else {
            add(x[bucket.first], range.min * scale, range.max * scale);
        }
    }
    return result;
}

void RunningSum::reset() {
    sum_.assign(1, 0.0);
    count_.assign(1, 0);
}

void RunningSum::update(const history::Column& column) {
    const std::size_t taken = sum_.size() - 1;
    if (column.size() < taken ||
        (taken > 0 && std::bit_cast<std::uint64_t>(column[taken - 1]) != std::bit_cast<std::uint64_t>(last_))) {
        reset();
    }
    for (std::size_t i = sum_.size() - 1; i < column.size(); ++i) {
        const double value = column[i];
        const bool number = std::isfinite(value);
        sum_.push_back(sum_.back() + (number ? value : 0.0));
        count_.push_back(count_.back() + (number ? 1 : 0));
    }
    if (!column.empty()) {
        last_ = column.back();
    }
}

double RunningSum::mean(std::size_t first, std::size_t last) const {
    last = std::min(last, sum_.size() - 1);
    first = std::min(first, last);
    const std::uint32_t count = count_[last] - count_[first];
    return count == 0 ? kHole : (sum_[last] - sum_[first]) / count;
}

Points means(const std::vector<Bucket>& buckets, const history::Column& x, const RunningSum& sum, std::size_t window,
             double scale) {
    Points points;
    points.x.reserve(buckets.size());
    points.y.reserve(buckets.size());
    for (const Bucket& bucket : buckets) {
        if (bucket.gap_before) {
            points.add(x[bucket.first], kHole);
        }
        const std::size_t from = std::min(bucket.first, bucket.last - std::min(window, bucket.last));
        // A hole in the data stays a hole in its mean, whatever the window still remembers.
        const bool hole = std::isnan(sum.mean(bucket.first, bucket.last));
        points.add(x[bucket.last - 1], hole ? kHole : sum.mean(from, bucket.last) * scale);
    }
    return points;
}

AxisRange axis_range(const history::MinMax& values, bool from_zero, bool whole) {
    history::MinMax all = values;
    if (from_zero) {
        all.add(0.0);
    }
    if (all.empty() || !std::isfinite(all.min) || !std::isfinite(all.max) || (all.min == 0 && all.max == 0)) {
        return {};
    }
    double room = 0.06 * (all.max - all.min);
    if (!(room > 0)) {
        room = 0.1 * std::abs(all.max);
    }
    const AxisRange range{from_zero ? 0 : all.min - room, all.max + room};
    return {range.min, whole ? std::max(range.max, 1.0) : range.max};
}

std::vector<double> whole_ticks(const AxisRange& range) {
    std::vector<double> places = base::ticks(range.min, range.max, 6);
    std::erase_if(places, [](double place) { return place != std::round(place); });
    return places;
}

std::size_t nearest(const history::Column& x, double at) {
    const std::size_t i = lower_bound(x, at);
    if (i == 0) {
        return 0;
    }
    if (i >= x.size()) {
        return x.size() - 1;
    }
    return at - x[i - 1] <= x[i] - at ? i - 1 : i;
}

std::optional<std::size_t> value_at(const history::Column& x, double at, double reach) {
    if (x.empty()) {
        return {};
    }
    const std::size_t i = nearest(x, at);
    return std::abs(x[i] - at) <= reach ? std::optional(i) : std::nullopt;
}

std::string to_csv(const std::string& x_name, const std::vector<Series>& series) {
    std::string csv = base::csv_text(x_name);
    for (const Series& one : series) {
        csv += ',' + base::csv_text(one.name);
    }
    csv += "\r\n";
    std::vector<std::size_t> at(series.size(), 0);
    for (;;) {
        double x = std::numeric_limits<double>::infinity();
        for (std::size_t s = 0; s < series.size(); ++s) {
            if (at[s] < series[s].x.size()) {
                x = std::min(x, series[s].x[at[s]]);
            }
        }
        if (!std::isfinite(x)) {
            return csv;
        }
        csv += fmt::format("{}", x);
        for (std::size_t s = 0; s < series.size(); ++s) {
            csv += ',';
            if (at[s] >= series[s].x.size() || series[s].x[at[s]] != x) {
                continue;
            }
            const std::size_t i = at[s]++;
            if (i < series[s].y.size() && std::isfinite(series[s].y[i])) {
                csv += fmt::format("{}", series[s].y[i]);
            }
        }
        csv += "\r\n";
    }
}

std::vector<MarkerCorner> marker_outline(std::size_t marker) {
    const auto around = [](std::size_t corners, double turn, double inner) {
        std::vector<MarkerCorner> outline;
        for (std::size_t i = 0; i < corners; ++i) {
            const double angle = 2 * std::numbers::pi * (static_cast<double>(i) / static_cast<double>(corners) + turn);
            const double radius = i % 2 == 0 ? 1 : inner;
            outline.push_back({radius * std::sin(angle), -radius * std::cos(angle)});
        }
        return outline;
    };
    // A cross of two bars; turned, it stands on its feet.
    const auto bars = [](bool upright) {
        constexpr double kThin = 0.33, kLong = 1;
        std::vector<MarkerCorner> outline = {{-kThin, -kLong}, {kThin, -kLong}, {kThin, -kThin},  {kLong, -kThin},
                                             {kLong, kThin},   {kThin, kThin},  {kThin, kLong},   {-kThin, kLong},
                                             {-kThin, kThin},  {-kLong, kThin}, {-kLong, -kThin}, {-kThin, -kThin}};
        for (MarkerCorner& corner : outline) {
            if (!upright) {
                corner = {(corner.x - corner.y) * std::numbers::sqrt2 / 2,
                          (corner.x + corner.y) * std::numbers::sqrt2 / 2};
            }
        }
        return outline;
    };
    switch (marker % kMarkers) {
        case 0:
            return around(16, 0, 1);  // a circle
        case 1:
            return around(4, 0.125, 1);  // a square
        case 2:
            return around(3, 0, 1);  // a triangle
        case 3:
            return bars(false);
        case 4:
            return around(4, 0, 1);  // a diamond
        case 5:
            return bars(true);
        case 6:
            return around(3, 0.5, 1);  // on its tip
        default:
            return around(10, 0, 0.45);  // a star
    }
}

std::vector<std::size_t> marker_places(std::size_t size, std::size_t count) {
    std::vector<std::size_t> places;
    count = std::min(count, size);
    for (std::size_t i = 1; i <= count; ++i) {
        places.push_back(size * i / count - 1);
    }
    return places;
}

namespace {

constexpr double kLeft = 70, kRight = 880, kTop = 60, kBottom = 370;

/// `low`: how much further down everything stands than with one row of a legend.
void svg_grid(std::string& out, const base::Scale& x, const base::Scale& y, double low) {
    for (const double at : base::ticks(x.low, x.high, 8)) {
        out += svg::line(x(at), kTop + low, x(at), kBottom + low, "g") +
               svg::text(x(at), 388 + low, "middle", fmt::format("{:g}", at));
    }
    for (const double at : base::ticks(y.low, y.high, 6)) {
        out += svg::line(kLeft, y(at), kRight, y(at), "g") + svg::text(64, y(at) + 4, "end", fmt::format("{:.6g}", at));
    }
    out += '\n';
}

void svg_marker(std::string& out, std::size_t marker, double x, double y, const std::string& color) {
    constexpr double kRadius = 4;
    std::string points;
    for (const MarkerCorner& corner : marker_outline(marker)) {
        points += fmt::format("{}{},{}", points.empty() ? "" : " ", svg::place(x + kRadius * corner.x),
                              svg::place(y + kRadius * corner.y));
    }
    out += fmt::format("<polygon points='{}' fill='{}'/>\n", points, color);
}

struct LegendEntry {
    double x = 0, y = 0;
};
constexpr double kLegendRow = 16;

/// Where each name stands. Han characters are three bytes and about twice as wide as Latin ones: bytes are a fair guess
/// for both.
std::vector<LegendEntry> legend_places(const std::vector<Drawing::Line>& lines) {
    std::vector<LegendEntry> places;
    LegendEntry next{kLeft, 38};
    for (const Drawing::Line& line : lines) {
        if (line.name.empty()) {
            places.push_back(next);
            continue;
        }
        const double width = 30 + 6.5 * static_cast<double>(line.name.size());
        if (next.x > kLeft && next.x + width > kRight) {
            next = {kLeft, next.y + kLegendRow};
        }
        places.push_back(next);
        next.x += width;
    }
    return places;
}

void svg_legend(std::string& out, const std::vector<Drawing::Line>& lines, const std::vector<LegendEntry>& places) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const Drawing::Line& line = lines[i];
        if (line.name.empty()) {
            continue;
        }
        if (line.marker) {
            svg_marker(out, *line.marker, places[i].x + 5, places[i].y + 5, line.color);
        } else {
            out += svg::rect(places[i].x, places[i].y, 10, 10, line.color);
        }
        out += svg::text(places[i].x + 14, places[i].y + 9, "start", base::escape_html(line.name)) + '\n';
    }
}

/// `low`: how much lower than usual the plot stands.
void svg_marks(std::string& out, const Drawing& drawing, const base::Scale& x, double low) {
    constexpr std::size_t kMostTag = 60;  // bytes
    double line_at = -1e9, tag_at = -1e9;
    for (const Drawing::Mark& mark : drawing.marks) {
        const double at = x(mark.x);
        if (!(at >= kLeft && at <= kRight) || (!mark.always && at < line_at + 2)) {
            continue;
        }
        line_at = at;
        const std::string text = base::escape_html(mark.text);
        out += fmt::format("<g stroke='{}' fill='{}'><title>{}</title>{}", mark.color, mark.color, text,
                           svg::line(at, kTop + low, at, kBottom + low, "m"));
        if (at >= tag_at + 12) {
            tag_at = at;
            out += fmt::format(
                "<text transform='translate({} {}) rotate(-90)' text-anchor='end' font-size='10' "
                "stroke='none'>{}</text>",
                svg::place(at - 3), svg::place(kTop + low + 4),
                base::escape_html(base::shortened(mark.text, kMostTag)));
        }
        out += "</g>\n";
    }
}

std::vector<double> places(const std::vector<double>& values, const base::Scale& scale) {
    std::vector<double> all(values.size());
    std::transform(values.begin(), values.end(), all.begin(), scale);
    return all;
}

const char* svg_style(Drawing::Look look) {
    switch (look) {
        case Drawing::Look::faint:
            return " stroke-opacity='0.4' stroke-width='1'";
        case Drawing::Look::thin:
            return " stroke-width='1'";
        case Drawing::Look::dashed:
            return " stroke-dasharray='5 4'";
        case Drawing::Look::whole:
        case Drawing::Look::marked:
            break;
    }
    return "";
}

}  // namespace

std::string to_svg(const Drawing& drawing) {
    if (!(drawing.x_max > drawing.x_min) || !(drawing.y_max > drawing.y_min)) {
        return {};
    }
    const std::vector<LegendEntry> legend = legend_places(drawing.lines);
    const double low = legend.empty() ? 0 : legend.back().y - legend.front().y;
    const base::Scale x{drawing.x_min, drawing.x_max, kLeft, kRight},
        y{drawing.y_min, drawing.y_max, kBottom + low, kTop + low};
    std::string out = fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='{0}' viewBox='0 0 900 {0}' "
        "font-family='sans-serif' "
        "font-size='12'>\n<style>.g{{stroke:#ddd;fill:none}}.l{{fill:none}}.m{{stroke-dasharray:3 3;"
        "stroke-opacity:0.75}}</style>\n"
        "<rect width='900' height='{0}' fill='white'/>\n<clipPath id='c'><rect x='70' y='{1}' width='810' "
        "height='310'/></clipPath>\n",
        420 + low, kTop + low);
    out += fmt::format("<text x='70' y='24' font-size='15' font-weight='bold'>{}</text>\n",
                       base::escape_html(drawing.title));
    svg_grid(out, x, y, low);
    out += svg::text(kRight, 408 + low, "end", base::escape_html(drawing.x_name));
    svg_legend(out, drawing.lines, legend);
    out += "<g clip-path='url(#c)' stroke-width='1.6'>\n";
    for (const Drawing::Area& area : drawing.areas) {
        out += fmt::format("<path class='a' fill='{}' fill-opacity='{}' d='{}'/>\n", area.color, area.opacity,
                           svg::area(places(area.band.x, x), places(area.band.low, y), places(area.band.high, y)));
    }
    for (const Drawing::Line& line : drawing.lines) {
        const std::vector<double> xs = places(line.points.x, x), ys = places(line.points.y, y);
        out +=
            fmt::format("<path class='l'{} stroke='{}' d='{}'/>", svg_style(line.look), line.color, svg::path(xs, ys)) +
            svg::dots(xs, ys, 2.4, fmt::format("fill='{}'", line.color), line.look == Drawing::Look::marked) + '\n';
        constexpr std::size_t kMarkersOfLine = 6;
        for (const std::size_t at :
             line.marker ? marker_places(xs.size(), kMarkersOfLine) : std::vector<std::size_t>()) {
            const bool inside = xs[at] >= kLeft && xs[at] <= kRight && ys[at] >= kTop + low && ys[at] <= kBottom + low;
            if (inside) {  // not so a NaN
                svg_marker(out, *line.marker, xs[at], ys[at], line.color);
            }
        }
    }
    out += "</g>\n";
    svg_marks(out, drawing, x, low);
    return out + fmt::format("<rect x='70' y='{}' width='810' height='310' fill='none' stroke='#888'/>\n</svg>\n",
                             kTop + low);
}

}  // namespace moescope::panels
