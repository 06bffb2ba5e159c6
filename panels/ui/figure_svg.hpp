// Figures as stand-alone SVG pictures. Pure: whoever draws gives the words in the language of the window, so that a
// file can be made in the background.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "panels/ui/figure_data.hpp"
#include "panels/ui/map_pixels.hpp"

namespace moescope::panels {

/// "#rrggbb" of a colour packed as Dear ImGui's ImU32.
std::string hex(std::uint32_t color);

struct ChartWords {
    std::string title;  ///< with the unit
    std::string x_name;
    std::vector<std::string> series, levels;  ///< names; those of quiet series are left out
    std::vector<std::string> colors;          ///< [series] "#rrggbb"
    std::vector<std::string> labels;          ///< [x] of bars
};
/// 900 x 420. Percentages are written as such. Empty for a chart without places.
std::string to_svg(const Chart& chart, const ChartWords& words);

struct MapWords {
    std::string title, row_name, column_name;
    /// Values on the scale beside the map, with what is written there.
    std::vector<std::pair<double, std::string>> ticks;
};
/// 900 wide. Neighbouring cells of one colour are one rectangle; cells that chance explains are pale. Empty without
/// cells.
std::string to_svg(const Map& map, const MapColors& colors, const MapWords& words);

}  // namespace moescope::panels
