// A BarPicture in a window, and the menu that saves it. GUI thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

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

/// What a view can be saved as.
struct ViewExport {
    std::string name;                       ///< of the file, without its ending
    ImVec2 min, max;                        ///< the part of the screen that is its picture
    std::function<std::string()> csv, svg;  ///< empty: not offered; run on another thread, so they own what they read
};
/// Inside an open popup.
void draw_export_entries(ui::Context& ctx, const ViewExport& view);

}  // namespace moescope::panels
