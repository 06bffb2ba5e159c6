// An expert of a model, from anywhere in the window: its view, and what can be done with it.
#pragma once

#include <string>
#include <string_view>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Selects the expert and brings the expert view to the front. `layer` is a number in the model.
void show_expert(ui::Context& ctx, int layer, int expert);
/// What a click on an expert does: selects it, or takes its selection back.
void toggle_expert(ui::Selection& selection, int layer, int expert);
/// Items of a popup menu that is open: the expert's view, and what can be changed of it when a model is asked. `model`
/// as in draw_change_menu().
void draw_expert_items(ui::Context& ctx, int layer, int expert, std::string_view model);

}  // namespace moescope::panels
