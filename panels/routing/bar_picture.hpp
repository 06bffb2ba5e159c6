// Bars over numbered things (experts, layers): what is drawn in the window and written to files. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <imgui.h>
#include <string>
#include <vector>

namespace moescope::panels {

struct BarPicture {
    struct Series {
        std::string name;
        ImU32 colour = 0;
        std::vector<double> values;     ///< [N]; NaN: no bar
        std::vector<double> low, high;  ///< [N] interval of each; empty: none
        bool as_line = false;  ///< a short line across each place instead of a bar: what bars are compared with
    };
    struct Level {
        double value = 0;
        std::string name;
    };
    /// Neighbours that belong together: a line behind the last of them, a text above.
    struct Part {
        std::size_t end = 0;
        std::string text;
    };
    std::string title, x_name, y_name;
    std::vector<int> labels;  ///< [N] the number of each thing
    std::vector<Series> series;
    std::vector<Level> levels;  ///< dashed lines
    std::vector<Part> parts;
    std::vector<std::uint8_t> marked;   ///< [N] 1: a triangle below it; empty: none
    std::vector<std::uint8_t> hatched;  ///< [N] 1: takes no part; empty: none

    std::size_t size() const { return labels.size(); }
};

struct BarRange {
    double low = 0, high = 1;
};
/// From 0, or below, to what all series, intervals and levels need, with a little room.
BarRange range_of(const BarPicture& picture);

/// A stand-alone SVG picture (900 x 420) with axes, ticks and a legend; empty when there is nothing to draw.
std::string to_svg(const BarPicture& picture);

}  // namespace moescope::panels
