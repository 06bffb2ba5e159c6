// Load maps side by side: the same step of every run, with one scale of colours for all of them, and the same cell
// marked on each. GUI thread.
#pragma once

#include <imgui.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "panels/experts/load_view.hpp"
#include "panels/overlay/overlay_model.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class OverlayMaps {
 public:
    /// Runs that are hidden are left out.
    void draw(ui::Context& ctx, const std::vector<ShownRun>& runs);
    /// What is the person's: whose tokens, how many steps.
    void take_over(const OverlayMaps& before);

 private:
    struct Shown {
        const ShownRun* run = nullptr;
        AlignedStep at;
        const LoadModel* model = nullptr;
    };

    void draw_toolbar(ui::Context& ctx, StepRange range);
    std::vector<Shown> update(const std::vector<ShownRun>& runs, StepRange range);
    void draw_maps(ui::Context& ctx, const std::vector<Shown>& shown);
    void draw_map(ui::Context& ctx, const Shown& one, double scale, ImVec2 size);
    void draw_cells(const ui::Context& ctx, const LoadModel& model, double scale, const Area& area) const;
    void draw_mark(const Area& area, const LoadModel& model, ExpertCell cell, ImU32 color) const;
    void draw_tooltip(const ui::Context& ctx, const std::vector<Shown>& shown) const;
    void draw_menu(ui::Context& ctx, const std::vector<Shown>& shown, ImVec2 min, ImVec2 max);

    std::map<std::string, LoadModel> models_;  ///< by run
    LoadMode mode_ = LoadMode::all;
    std::size_t window_ = 1;              ///< index into kLoadWindows
    std::optional<std::uint64_t> step_;   ///< nothing: the newest
    std::optional<ExpertCell> hovered_;   ///< in the last frame, on any map
    std::optional<ExpertCell> hovering_;  ///< in this one, so far
};

/// The common scale: every map's values fit it.
double common_scale(const std::vector<const LoadModel*>& models);

}  // namespace moescope::panels
