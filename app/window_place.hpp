// Where a new window comes to lie. Pure.
#pragma once

#include <algorithm>

namespace moescope::app {

/// A part of the screen in pixels; for the edges that a desktop draws around a window: how wide each is (`x` the left
/// one, `y` the upper, `width` the right, `height` the lower).
struct Area {
    int x = 0, y = 0, width = 0, height = 0;
};

/// The content of a window that is wanted `width` x `height` large: made smaller until it fits into the work area of
/// the monitor (what panels and docks leave) with its edges, and in the middle of it. As wanted, at 0, 0, where the
/// area is not known.
inline Area fitted(const Area& work, const Area& edges, int width, int height) {
    if (work.width <= 0 || work.height <= 0) {
        return {0, 0, width, height};
    }
    const int across = std::max(0, edges.x) + std::max(0, edges.width),
              down = std::max(0, edges.y) + std::max(0, edges.height);
    const Area size{0, 0, std::max(1, std::min(width, work.width - across)),
                    std::max(1, std::min(height, work.height - down))};
    return {work.x + std::max(0, edges.x) + (work.width - across - size.width) / 2,
            work.y + std::max(0, edges.y) + (work.height - down - size.height) / 2, size.width, size.height};
}

}  // namespace moescope::app
