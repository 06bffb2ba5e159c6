// Elements of SVG pictures as text. Coordinates in the units of the picture, one decimal; `escaped` text went through
// escape_html.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace moescope::base::svg {

/// The beginning of a picture on a white ground with its title in the upper left corner, and the styles of plots: lines
/// of a grid (g), curves (l). Whoever begins it ends it with "</svg>".
std::string begin(int width, int height, std::string_view escaped_title);
/// A coordinate as it is written.
std::string place(double value);
std::string line(double x1, double y1, double x2, double y2, std::string_view css_class);
/// `anchor`: start, middle or end.
std::string text(double x, double y, std::string_view anchor, std::string_view escaped);
/// Read from bottom to top, centred on the place.
std::string rising_text(double x, double y, std::string_view escaped);
/// `title`, escaped, is the tooltip; may be empty.
std::string rect(double x, double y, double width, double height, std::string_view fill, std::string_view title = {});
/// A band that goes over from one height to another, both given by their ends, in an even curve from x1 to x2.
std::string band(double x1, double top1, double bottom1, double x2, double top2, double bottom2, std::string_view fill,
                 double opacity, std::string_view title = {});
/// The "d" of a path through the points, both of one size; a point that is not finite is a hole.
std::string path(std::span<const double> x, std::span<const double> y);
/// Circles at the points that a path does not show, those without a neighbour, or with `all` at every one.
/// `attributes`: how they are filled.
std::string dots(std::span<const double> x, std::span<const double> y, double radius, std::string_view attributes,
                 bool all = false);
/// The "d" of the area between two lines over the same x, with the holes of path().
std::string area(std::span<const double> x, std::span<const double> low, std::span<const double> high);

}  // namespace moescope::base::svg
