// The training panel: state and buttons of the selected run, and its plots over steps.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "panels/runs/run_tools.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class TrainingPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    /// run.start, run.pause (pauses or resumes), run.step, run.stop, run.checkpoint, run.continue; run.continue=NUMBER
    /// goes on with that run instead of the selected one.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    enum Plot { kLoss, kParts, kSpeed, kTime, kGradient, kMemory, kPlots };
    /// Of the columns that are drawn as means.
    using Sums = std::array<RunningSum, base::kStepValueCount>;

    void draw_header(ui::Context& ctx, const history::TrainingRun& run);
    void draw_buttons(ui::Context& ctx, const history::TrainingRun& run);
    void draw_message(ui::Context& ctx, const history::TrainingRun& run);
    void draw_empty(ui::Context& ctx);
    void draw_plots(ui::Context& ctx, const history::TrainingRun& run);
    void draw_grid(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_beside(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_narrow(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_plot(ui::Context& ctx, const history::TrainingRun& run, Plot plot, ImVec2 size);
    /// A run that the shown one goes on from: its loss up to the fork.
    struct Earlier {
        std::string key, name;
        double fork_step = 0;
        history::Column step, loss;
        RunningSum sum;
    };
    /// Which runs, up to which step, and how many steps they had.
    using EarlierKey = std::vector<std::array<std::uint64_t, 3>>;

    void update_earlier(const ui::Context& ctx, const history::TrainingRun& run);
    void update_sums(const history::TrainingRun& run);
    StepPlotSpec spec(const ui::Context& ctx, const history::TrainingRun& run, Plot plot) const;
    Curve curve_of(const ui::Context& ctx, const history::TrainingRun& run, std::size_t i, Curve::Style style) const;
    void add_curves(const ui::Context& ctx, const history::TrainingRun& run, base::StepPlot plot,
                    StepPlotSpec& spec) const;
    void add_losses(const ui::Context& ctx, const history::TrainingRun& run, StepPlotSpec& spec) const;

    std::array<StepPlot, kPlots> plots_;
    std::vector<Earlier> earlier_;
    EarlierKey earlier_key_;
    Sums sums_{};
    std::uint32_t sums_run_ = 0;
    std::size_t window_ = 20;    ///< steps in the running mean
    int tab_ = 0, low_tab_ = 0;  ///< the second where there is room for one plot only, the loss being one of the tabs
    int page_ = 0;
};

}  // namespace moescope::panels
