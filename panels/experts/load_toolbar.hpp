// The row above the views of the expert load panel: whose tokens, which layer, how many steps, the menu, the step on
// show; and those of its parts that other panels about the load have as well. GUI thread.
#pragma once

#include "panels/experts/load_model.hpp"
#include "panels/experts/old_steps.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The layer of the selection, or the first one with experts.
std::size_t shown_layer(const ui::Selection& selection, const history::TrainingRun& run);
/// A list of the layers; changes the selection. `help` is the language key of its tooltip.
void draw_layer_choice(ui::Context& ctx, const history::TrainingRun& run, const char* help);
/// A list of how many steps are added up; `window` is an index into kLoadWindows.
void draw_window_choice(const ui::Context& ctx, std::size_t& window);
/// Which step is on show, and where that is not the newest one, the way back.
void draw_shown_step(ui::Context& ctx, const history::TrainingRun& run, const ShownSteps& shown);
/// Pixels of the fields of the first two, and at least those of the third.
float layer_choice_width(const ui::Context& ctx);
float window_choice_width(const ui::Context& ctx);
float shown_step_width(const ui::Context& ctx);
/// Changes mode and window of the model, and the selection. True when the menu shall open.
bool draw_load_toolbar(ui::Context& ctx, const history::TrainingRun& run, LoadModel& model, const ShownSteps& shown);

}  // namespace moescope::panels
