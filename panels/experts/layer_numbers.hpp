// The numbers of the expert load panel: how even the load of one layer is, beside that of all layers or of the other
// language. GUI thread.
#pragma once

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

/// `compact`: two columns of numbers, with the second value in the tooltip.
void draw_layer_numbers(const LoadView& view, bool compact);
/// Pixels that draw_layer_numbers takes.
float layer_numbers_height(const LoadView& view, bool compact);
/// How many cells of the map differ by more than chance, and how many would if nothing differed.
void draw_chance(const LoadView& view);

}  // namespace moescope::panels
