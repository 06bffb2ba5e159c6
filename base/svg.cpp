#include "base/svg.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

namespace moescope::base::svg {

std::string begin(int width, int height, std::string_view escaped_title) {
    return fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
        "font-family='sans-serif' "
        "font-size='12'>\n<style>.g{{stroke:#ddd;fill:none}}.l{{fill:none;stroke-width:1.6}}</style>\n"
        "<rect width='{0}' height='{1}' fill='white'/>\n"
        "<text x='70' y='24' font-size='15' font-weight='bold'>{2}</text>\n",
        width, height, escaped_title);
}

std::string place(double value) {
    return fmt::format("{:.1f}", value);
}

std::string line(double x1, double y1, double x2, double y2, std::string_view css_class) {
    return fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", css_class, x1, y1, x2,
                       y2);
}

std::string text(double x, double y, std::string_view anchor, std::string_view escaped) {
    return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", x, y, anchor, escaped);
}

std::string rising_text(double x, double y, std::string_view escaped) {
    return fmt::format(R"svg(<text transform="translate({:.1f} {:.1f}) rotate(-90)" text-anchor="middle">{}</text>)svg",
                       x, y, escaped);
}

std::string rect(double x, double y, double width, double height, std::string_view fill, std::string_view title) {
    const std::string shape = fmt::format(R"(<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" fill="{}")", x,
                                          y, width, height, fill);
    return title.empty() ? shape + "/>" : fmt::format("{}><title>{}</title></rect>", shape, title);
}

std::string band(double x1, double top1, double bottom1, double x2, double top2, double bottom2, std::string_view fill,
                 double opacity, std::string_view title) {
    const double middle = (x1 + x2) / 2;
    return fmt::format(
        R"(<path d="M{0:.1f} {1:.2f}C{6:.1f} {1:.2f} {6:.1f} {4:.2f} {3:.1f} {4:.2f}L{3:.1f} {5:.2f}C{6:.1f} {5:.2f} {6:.1f} {2:.2f} {0:.1f} {2:.2f}Z" fill="{7}" fill-opacity="{8:.2f}"><title>{9}</title></path>)",
        x1, top1, bottom1, x2, top2, bottom2, middle, fill, opacity, title);
}

std::string path(std::span<const double> x, std::span<const double> y) {
    std::string out;
    bool pen = false;
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
        if (!std::isfinite(x[i]) || !std::isfinite(y[i])) {
            pen = false;
            continue;
        }
        fmt::format_to(std::back_inserter(out), "{}{:.1f} {:.1f}", pen ? 'L' : 'M', x[i], y[i]);
        pen = true;
    }
    return out;
}

std::string dots(std::span<const double> x, std::span<const double> y, double radius, std::string_view attributes,
                 bool all) {
    std::string out;
    const std::size_t size = std::min(x.size(), y.size());
    const auto there = [&](std::size_t i) { return i < size && std::isfinite(x[i]) && std::isfinite(y[i]); };
    for (std::size_t i = 0; i < size; ++i) {
        const bool lone = !there(i + 1) && (i == 0 || !there(i - 1));
        if (there(i) && (all || lone)) {
            fmt::format_to(std::back_inserter(out), R"(<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" {}/>)", x[i], y[i],
                           radius, attributes);
        }
    }
    return out;
}

std::string area(std::span<const double> x, std::span<const double> low, std::span<const double> high) {
    std::string out;
    const std::size_t size = std::min({x.size(), low.size(), high.size()});
    const auto there = [&](std::size_t i) {
        return std::isfinite(x[i]) && std::isfinite(low[i]) && std::isfinite(high[i]);
    };
    for (std::size_t first = 0; first < size;) {
        std::size_t end = first;
        while (end < size && there(end)) {
            ++end;
        }
        for (std::size_t i = first; i < end; ++i) {
            fmt::format_to(std::back_inserter(out), "{}{:.1f} {:.1f}", i == first ? 'M' : 'L', x[i], low[i]);
        }
        for (std::size_t i = end; i > first; --i) {
            fmt::format_to(std::back_inserter(out), "L{:.1f} {:.1f}", x[i - 1], high[i - 1]);
        }
        out += end > first ? "Z" : "";
        first = std::max(end, first + 1);
    }
    return out;
}

}  // namespace moescope::base::svg
