// One plot of many runs: a line for each, in its colour and with its sign, called by its name where it ends; the step
// axis is that of the other plots beside it. GUI thread, inside a window.
#pragma once

#include <imgui.h>
#include <map>
#include <string>
#include <vector>

#include "panels/overlay/overlay_model.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/plot_tools.hpp"

namespace moescope::panels {

/// The step axis that all plots of the overlay share.
struct StepAxis {
    double min = 0, max = 100;
    bool follow = true;  ///< the newest step stays in sight
    double longest = 0;  ///< the latest step of any run

    void fit();
    /// Once a frame, before the plots.
    void update(double newest_step);
};

/// How many steps the lines are the mean of, and what the plots share besides.
struct OverlaySettings {
    std::size_t window = 20;
};

class OverlayPlot {
 public:
    /// `runs` that are hidden are left out.
    void draw(ui::Context& ctx, history::RunFigure figure, const std::vector<ShownRun>& runs, StepAxis& axis,
              OverlaySettings& settings, ImVec2 size);

 private:
    struct Shape {
        Points points;
        double end_x = 0, end_y = 0;  ///< where the line ends within the plot; NaN: nowhere
    };
    /// What the shapes were made of.
    struct Key {
        std::vector<std::pair<std::string, std::size_t>> curves;  ///< runs that are drawn, and how long they are
        double x_min = 0, x_max = 0;
        std::size_t window = 0;
        int pixels = 0;
        bool operator==(const Key&) const = default;
    };

    void refresh(history::RunFigure figure, const std::vector<const ShownRun*>& drawn, Key key);
    void draw_title(const ui::Context& ctx, history::RunFigure figure, float width) const;
    float labels_width(const ui::Context& ctx, const std::vector<const ShownRun*>& drawn, float width) const;
    void draw_lines(const ui::Context& ctx, const std::vector<const ShownRun*>& drawn);
    void draw_labels(const ui::Context& ctx, const std::vector<const ShownRun*>& drawn, ImVec2 low, ImVec2 extent,
                     float width) const;
    void draw_tooltip(const ui::Context& ctx, history::RunFigure figure, const std::vector<const ShownRun*>& drawn,
                      double step) const;
    void draw_notes(const ui::Context& ctx, const std::vector<const ShownRun*>& drawn) const;
    void draw_note_items(ui::Context& ctx, const std::vector<const ShownRun*>& drawn, double reach) const;
    void draw_menu(ui::Context& ctx, history::RunFigure figure, const std::vector<const ShownRun*>& drawn,
                   StepAxis& axis, OverlaySettings& settings, ImVec2 min, ImVec2 max);

    std::map<std::string, RunningSum> sums_;  ///< by run
    Key key_;
    std::vector<Shape> shapes_;
    std::vector<float> ends_;  ///< pixels from the upper edge, of each line
    AxisRange y_;
    double menu_step_ = 0;  ///< under the mouse when the menu was opened
};

/// The name of a figure, its unit and what it means, in the language of the window.
std::string figure_name(const ui::Language& text, history::RunFigure figure);
std::string figure_unit(const ui::Language& text, history::RunFigure figure);
std::string figure_help(const ui::Language& text, history::RunFigure figure);

}  // namespace moescope::panels
