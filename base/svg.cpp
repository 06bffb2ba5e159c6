#include "base/svg.hpp"

#include <cmath>
#include <fmt/format.h>

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

}  // namespace moescope::base::svg
