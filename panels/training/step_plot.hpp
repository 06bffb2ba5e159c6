// One plot over training steps: title with unit and legend above, curves reduced to what its pixels can show, the marks
// of knobs and checkpoints, the step line shared by all plots, exact values on hover, and a context menu that saves
// CSV, SVG and PNG.
#pragma once

#include <imgui.h>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/plot_tools.hpp"

namespace moescope::panels {

/// What to draw; columns are those of the run of this frame.
struct Curve {
    enum class Style {
        smoothed,  ///< faint band of extremes and the running mean on top
        line,      ///< extremes
        points,    ///< line with a marker at each value: few values, no holes between them
        stacked,   ///< mean, on top of the stacked curve before it
        level,     ///< a constant: `level`
        earlier,   ///< mean of a run that this one goes on from: thin
        dashed,    ///< mean of what another curve is a part of
    };
    const char* key = "";  ///< language key of the name; its last part is the name in files
    Style style = Style::line;
    ImVec4 color{};
    const history::Column* x = nullptr;
    const history::Column* y = nullptr;
    const RunningSum* sum = nullptr;  ///< of y, for smoothed, stacked, earlier and dashed
    const char* unit_key = nullptr;   ///< language key, null for a number without a unit
    double scale = 1;                 ///< from the column's unit to the unit shown
    double level = 0;
    bool right = false;     ///< on the right axis
    std::string name{};     ///< instead of the text of `key`: another run's name
    bool optional = false;  ///< not drawn until it is chosen in the legend
};

struct StepPlotSpec {
    const char* key = "";       ///< "training.loss": title, id and file name
    const char* unit_key = "";  ///< of the left axis
    bool from_zero = false;     ///< both axes start at 0
    std::vector<Curve> curves{};
    /// A vertical line with what it means: where a fork began.
    struct Mark {
        double step = 0;
        std::string text;
    };
    std::vector<Mark> marks{};
};

/// The first row of a tooltip's table of smoothed lines: which column is the mean that is drawn, which the step itself.
void draw_smoothed_header(const ui::Context& ctx, std::size_t window);

/// Moves the shared step axis with the newest step while it follows; called by each panel before it draws step plots.
void follow_steps(ui::Selection& selection, const history::TrainingRun& run);
/// The whole run with what is drawn beside it, and follows it.
void fit_steps(ui::Selection& selection, const history::TrainingRun& run);
/// A column of step numbers counts as complete when it rises by one: more is a hole.
inline constexpr double kStepGap = 1;

class StepPlot {
 public:
    /// `window`: steps in the running mean, chosen in the context menu. GUI thread, inside a window.
    void draw(ui::Context& ctx, const history::TrainingRun& run, const StepPlotSpec& spec, std::size_t& window,
              ImVec2 size);
    /// Which curves a person has switched off.
    void take_over(const StepPlot& before) { switched_ = before.switched_; }

 private:
    /// What is drawn of one curve; kept until its data, the range or the width changes.
    struct Shape {
        Band band;
        Points points;
        Points low;  ///< stacked: lower edge; smoothed: the single values where they have a pixel each
    };
    struct Key {
        std::uint32_t run = 0;
        std::size_t size = 0, evaluations = 0, window = 0, hidden = 0;
        double x_min = 0, x_max = 0;
        int pixels = 0;
        bool operator==(const Key&) const = default;
    };
    float draw_title(const ui::Context& ctx, const StepPlotSpec& spec, float width);
    void refresh(const StepPlotSpec& spec, const Key& key);
    AxisRange range_of(const StepPlotSpec& spec, bool right) const;
    void draw_curve(const ui::Context& ctx, const Curve& curve, const Shape& shape) const;
    void draw_marks(const ui::Context& ctx, const StepPlotSpec& spec) const;
    void draw_position(ui::Context& ctx, const history::TrainingRun& run) const;
    std::string value_at_position(const ui::Context& ctx, const Curve& curve) const;
    void draw_inside(ui::Context& ctx, const history::TrainingRun& run, const StepPlotSpec& spec);
    void draw_tooltip(const ui::Context& ctx, const StepPlotSpec& spec, double step) const;
    void draw_menu(ui::Context& ctx, const history::TrainingRun& run, const StepPlotSpec& spec, std::size_t& window,
                   ImVec2 min, ImVec2 max);
    std::vector<Series> series(const ui::Context& ctx, const StepPlotSpec& spec) const;
    Drawing drawing(const ui::Context& ctx, const history::TrainingRun& run, const StepPlotSpec& spec) const;
    void add_to(Drawing& drawing, const ui::Context& ctx, const Curve& curve, const Shape& shape) const;
    bool hidden(const Curve& curve) const { return (switched_.count(curve.key) > 0) != curve.optional; }

    std::set<std::string> switched_;  ///< curves switched off in the legend, optional ones on
    Key key_;
    std::vector<Shape> shapes_;
    AxisRange left_, right_;
    double shown_min_ = 0, shown_max_ = 1;
    double pointed_step_ = 0;          ///< under the mouse, as the plot was last drawn
    std::optional<double> menu_step_;  ///< where the open menu was asked for; none: by the title
};

}  // namespace moescope::panels
