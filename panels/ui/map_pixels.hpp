// The colours of a map and its cells as pixels: a map of 65,536 cells is one picture, made when its values, its size or
// its colours change. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "panels/ui/figure_data.hpp"

namespace moescope::panels {

/// Colours are packed as Dear ImGui's ImU32.
struct MapColors {
    double low = 0, high = 1;               ///< values beyond have the last colour
    double middle = 0;                      ///< where cells share a pixel, the value farthest from it is seen
    std::array<std::uint32_t, 256> ramp{};  ///< from low to high
    std::uint32_t nothing = 0;              ///< of a cell without a value
    std::uint32_t stroke = 0;               ///< over cells that chance explains, where they are large enough

    std::uint32_t operator()(double value) const;
};

/// The cell of each pixel along one side: [first, last) of `cells`, for every one of `pixels`.
struct CellRange {
    std::size_t first = 0, last = 0;
};
std::vector<CellRange> cells_of_pixels(std::size_t cells, std::size_t pixels);

/// [height][width]; transparent between cells where they are large. Empty without cells or pixels.
std::vector<std::uint32_t> rasterise(const Map& map, const MapColors& colors, std::size_t width, std::size_t height);

}  // namespace moescope::panels
