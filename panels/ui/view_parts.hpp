// What bars, charts and maps of all rooms share: rectangles, the line above them, names beside and below them, the
// items that save. GUI thread, inside a window.
#pragma once

#include <cstddef>
#include <functional>
#include <imgui.h>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

struct Area {
    ImVec2 min, max;
    float width() const { return max.x - min.x; }
    float height() const { return max.y - min.y; }
};

/// Which of `n` parts of [low, low + extent) `at` is in; those at the ends take what lies outside.
std::size_t part_at(float at, float low, float extent, std::size_t n);

ImU32 faded(ImU32 color, float alpha);

/// A child window for one view; end with ImGui::EndChild().
void begin_view(const char* id, ImVec2 size);

/// The line above a plot: its name, which opens the popup "menu", and the unit in the rest of the line.
void draw_head(const ui::Context& ctx, const std::string& title, const std::string& unit);

/// A value beside the left edge of a plot, kept within the area's height.
void draw_axis_label(const ui::Context& ctx, const Area& area, float y, const std::string& label);
/// Names of `n` equal parts below the area or left of it, as many as fit; a few long ones are cut with an ellipsis, so
/// whoever draws them shows the whole name under the mouse. The one at `chosen` is not dim.
void draw_names_below(const ui::Context& ctx, const Area& area, std::size_t n,
                      const std::function<std::string(std::size_t)>& name);
void draw_names_left(const ui::Context& ctx, const Area& area, std::size_t n,
                     const std::function<std::string(std::size_t)>& name, std::size_t chosen);

/// What a plot or a table can be saved as.
struct Exports {
    /// Called when it is chosen; gives what makes the file, in the background: that owns what it reads.
    using Maker = std::function<std::function<std::string()>()>;
    std::string name;     ///< of the files, without ending
    Maker csv{}, svg{};   ///< empty: there is none
    ImVec2 min{}, max{};  ///< of its picture on the screen; the same twice: there is none
};
/// The items of a popup menu that is open.
void draw_export_items(ui::Context& ctx, const Exports& exports);

}  // namespace moescope::panels
