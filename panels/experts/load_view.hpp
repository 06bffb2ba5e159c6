// What the views of the expert load panel share: what they are given in a frame, colours, captions, the axis of
// experts, the tooltip of one expert. GUI thread.
#pragma once

#include <imgui.h>
#include <optional>
#include <span>
#include <string>

#include "panels/experts/load_model.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/view_parts.hpp"

namespace moescope::panels {

struct LoadView {
    ui::Context& ctx;
    const history::TrainingRun& run;
    const LoadModel& model;
    std::span<const ExpertState> states;  ///< [layers][experts] in the step on show
    std::size_t layer = 0;                ///< the one that history, bars and numbers are about

    std::size_t cell(std::size_t at, std::size_t expert) const { return at * model.experts() + expert; }
};

struct ExpertCell {
    std::size_t layer = 0, expert = 0;
};

/// The colour of a value on a map of `mode` whose colours reach to `scale` / N; quiet for a difference within chance,
/// `nothing` for NaN.
ImU32 load_color(const ui::Theme& theme, const CellValue& cell, LoadMode mode, double scale, std::size_t experts,
                 ImU32 nothing);

/// The colour bar beside a map whose colours reach to `scale` / N, with 1/N or 0 marked; `exceeds`: a value on show is
/// beyond it.
void draw_load_scale(const ui::Context& ctx, const Area& area, LoadMode mode, double scale, bool exceeds);

/// "3/N", "1/N", "0.5/N"
std::string of_even(const ui::Language& text, double ratio);

/// Bold title, and the unit in the rest of the line after `reserved` pixels for others.
void load_caption(const ui::Context& ctx, const char* title, const std::string& unit, float reserved = 0);

/// Numbers of the experts below the area, as many as fit.
void draw_expert_axis(const LoadView& view, const Area& area);

/// The tooltip of one expert of the map or the bars.
void draw_cell_tooltip(const LoadView& view, ExpertCell cell);

/// What a click on an expert does: selects it, or takes its selection back.
void toggle_selection(ui::Selection& selection, ExpertCell cell);
/// Selects the expert and brings the expert view to the front.
void open_expert(ui::Context& ctx, ExpertCell cell);

}  // namespace moescope::panels
