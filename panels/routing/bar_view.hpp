// A BarPicture in a window. GUI thread.
#pragma once

#include <optional>

#include "panels/routing/bar_picture.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

struct BarHit {
    std::optional<std::size_t> hovered;  ///< place in the picture
    bool clicked = false;
    bool menu = false;  ///< by a right click
};
/// Title (a click on it, or Enter, counts as a right click beside all bars), unit and legend, below them the bars.
/// `selected`: a place with a frame, -1: none. `*menu_wanted` becomes true when the title was pressed.
BarHit draw_bars(const ui::Context& ctx, const char* id, ImVec2 size, const BarPicture& picture, int selected,
                 bool* menu_wanted = nullptr);

}  // namespace moescope::panels
