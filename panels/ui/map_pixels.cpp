#include "panels/ui/map_pixels.hpp"

#include <algorithm>
#include <cmath>

namespace moescope::panels {

namespace {

constexpr std::size_t kGapFrom = 7;  ///< pixels of a cell, from which a gap is left beside it
constexpr float kQuiet = 0.3f;       ///< opacity of what chance explains
constexpr std::uint32_t kAlpha = 0xff000000u;

std::uint32_t faded(std::uint32_t color) {
    const auto alpha = static_cast<std::uint32_t>(static_cast<float>(color >> 24) * kQuiet);
    return (color & ~kAlpha) | alpha << 24;
}

/// The one among the cells of a pixel that says most.
std::size_t telling_cell(const Map& map, const MapColors& colors, CellRange rows, CellRange columns) {
    std::size_t best = rows.first * map.columns + columns.first;
    double distance = -1;
    for (std::size_t row = rows.first; row < rows.last; ++row) {
        for (std::size_t column = columns.first; column < columns.last; ++column) {
            const std::size_t cell = row * map.columns + column;
            const double here = std::isnan(map.value[cell]) ? -0.5 : std::abs(map.value[cell] - colors.middle);
            if (here > distance) {
                distance = here;
                best = cell;
            }
        }
    }
    return best;
}

/// Is this pixel the last one of its cell, where the next one belongs to another?
bool ends_cell(const std::vector<CellRange>& pixels, std::size_t at) {
    return at + 1 == pixels.size() || pixels[at + 1].first != pixels[at].first;
}

}  // namespace

std::uint32_t MapColors::operator()(double value) const {
    if (std::isnan(value)) {
        return nothing;
    }
    const double place = high > low ? (value - low) / (high - low) : 0;
    return ramp[static_cast<std::size_t>(std::lround(std::clamp(place, 0.0, 1.0) * (ramp.size() - 1)))];
}

std::vector<CellRange> cells_of_pixels(std::size_t cells, std::size_t pixels) {
    std::vector<CellRange> ranges;
    ranges.reserve(pixels);
    for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
        const std::size_t first = pixel * cells / pixels, next = (pixel + 1) * cells / pixels;
        ranges.push_back({first, std::max(first + 1, next)});
    }
    return ranges;
}

std::vector<std::uint32_t> rasterise(const Map& map, const MapColors& colors, std::size_t width, std::size_t height) {
    if (map.rows == 0 || map.columns == 0 || width == 0 || height == 0) {
        return {};
    }
    const std::vector<CellRange> across = cells_of_pixels(map.columns, width), down = cells_of_pixels(map.rows, height);
    const std::size_t cell_width = width / map.columns, cell_height = height / map.rows;
    const bool roomy = cell_width >= kGapFrom && cell_height >= kGapFrom;
    std::vector<std::uint32_t> pixels(width * height), line(width);
    std::vector<std::uint8_t> struck(width);  ///< the cell of the pixel is quiet
    std::size_t top = 0;                      ///< first line of the row of cells
    for (std::size_t y = 0; y < height; ++y) {
        if (y == 0 || down[y].first != down[y - 1].first || down[y].last != down[y - 1].last) {
            top = y;
            for (std::size_t x = 0; x < width; ++x) {
                const std::size_t cell = telling_cell(map, colors, down[y], across[x]);
                const std::uint32_t color = colors(map.value[cell]);
                struck[x] = map.is_quiet(cell) && !std::isnan(map.value[cell]) ? 1 : 0;
                line[x] = roomy && ends_cell(across, x) ? 0 : struck[x] != 0 ? faded(color) : color;
            }
        }
        if (roomy && ends_cell(down, y)) {
            continue;
        }
        std::uint32_t* out = pixels.data() + y * width;
        std::copy(line.begin(), line.end(), out);
        if (!roomy) {
            continue;
        }
        // A stroke from the lower left corner to the upper right one.
        const std::size_t above = y - top;
        for (std::size_t x = 0, left = 0; x < width && above < cell_height; ++x) {
            left = x > 0 && ends_cell(across, x - 1) ? x : left;
            const std::size_t low = (x - left) * cell_height / cell_width,
                              high = std::max(low + 1, (x - left + 1) * cell_height / cell_width),
                              here = cell_height - 1 - above;
            if (struck[x] != 0 && line[x] != 0 && here >= low && here < high) {
                out[x] = colors.stroke;
            }
        }
    }
    return pixels;
}

}  // namespace moescope::panels
