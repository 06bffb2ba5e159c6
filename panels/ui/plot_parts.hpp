// Pieces of plots: the name with its menu, numbers at the axes, signs of lines. GUI thread, inside a window.
#pragma once

#include <cstddef>
#include <imgui.h>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// For ImPlot::SetupAxisFormat; `user` is the Language.
int format_tick(double value, char* buffer, int size, void* user);
/// What the horizontal axis counts ("step"), inside the plot's lower left corner, where curves that fall or start at
/// zero leave room, on a ground that keeps it readable over the others.
void draw_axis_name(const Context& ctx, ImVec2 corner, ImVec2 extent, const char* name);
/// The bold name of a plot with the sign of a menu. A click, or Enter with the keyboard, opens the popup "menu": a
/// right click is not everybody's way. `help` is its tooltip.
void draw_title_button(const Context& ctx, const char* title, const char* help);
/// "#rrggbb" of a theme's colour in a picture that is saved, whose ground is white (ui::on_paper).
std::string hex_color(const ImVec4& color);

/// The sign of a line (panels/ui/plot_tools.hpp, marker_outline), `radius` pixels around its middle.
void draw_marker(ImDrawList& draw, ImVec2 middle, float radius, std::size_t marker, ImU32 color);
/// How a line looks that is known by its number: a colour of the colour-blind safe set and a sign, so that neither is
/// needed to tell it from the others.
struct LineLook {
    ImVec4 color{};
    std::size_t marker = 0;
};
LineLook line_look(const Theme& theme, std::size_t number);
/// The look as a short stroke with its sign, a text line high; the row goes on with SameLine().
void look_sign(const Context& ctx, const LineLook& look);
float look_sign_width(const Context& ctx);
/// The same at a place of a draw list; `hollow`: the line is switched off.
void draw_look(const Context& ctx, ImDrawList& draw, ImVec2 at, const LineLook& look, bool hollow = false);

}  // namespace moescope::ui
