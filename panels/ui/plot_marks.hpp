// What all plots with a step axis share: the tagged lines of changes and the line of the hovered step. GUI thread.
#pragma once

#include <string>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// What a tag says when it is hovered: "Step 58: changed learning rate 0.001 → 0.003".
std::string event_text(const Context& ctx, const history::RunEvent& event);
/// The sign of a kind of event.
const char* event_icon(const std::string& kind);
/// What a person changed, as against what the run itself tells (a checkpoint, a pause).
bool is_change(const history::RunEvent& event);
/// Inside BeginPlot with a step x axis: tagged lines where a knob was turned, a checkpoint written or a pause began;
/// hover explains.
void draw_run_events(const Context& ctx, const history::TrainingRun& run);
/// Inside BeginPlot: takes the hovered step when the mouse is over this plot and draws the line of the step hovered in
/// any plot.
void draw_step_cursor(const Context& ctx);

}  // namespace moescope::ui
