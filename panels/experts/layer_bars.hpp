// The bars of the expert load panel: the experts of one layer, in per cent of its tokens, and in a difference what
// chance alone would give. GUI thread.
#pragma once

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

/// A click selects an expert.
void draw_layer_bars(const LoadView& view, ImVec2 size);

}  // namespace moescope::panels
