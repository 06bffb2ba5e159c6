// The row above the views of the expert load panel: whose tokens, which layer, how many steps, the menu, the step on
// show. GUI thread.
#pragma once

#include "panels/experts/load_model.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The layer of the selection, or the first one.
std::size_t shown_layer(const ui::Selection& selection, const history::TrainingRun& run);
/// Changes mode and window of the model, and the selection. True when the menu shall open.
bool draw_load_toolbar(ui::Context& ctx, const history::TrainingRun& run, LoadModel& model);

}  // namespace moescope::panels
