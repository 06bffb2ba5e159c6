// What can be done with one expert when a model is asked: entries for the menu of any map that shows experts.
#pragma once

#include <string_view>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Inside an open popup: entries that knock the expert out, force it, set its contribution to zero or bias it in the
/// set that is being put together (EditedChanges), or take that back, and one that opens the panel of interventions.
/// `layer` below 0: in every layer; `expert` below 0: all of the layer. `model`: the name of the model that the map is
/// of, where it is known; the panel then asks that one. GUI thread.
void draw_change_menu(ui::Context& ctx, int layer, int expert, std::string_view model = {});

}  // namespace moescope::panels
