// The runs of the session: training runs above, answers and probes below. The form that starts a
// new training run is in run_form.hpp.
#pragma once

#include <string>

#include "panels/runs/run_form.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class RunsPanel final : public ui::Panel {
 public:
    void draw(ui::Context& ctx) override;
    void draw_above(ui::Context& ctx) override { form_.draw(ctx); }
    /// runs.new opens the form, run.fork opens it for a fork of the selected run.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    void draw_training(ui::Context& ctx);
    void draw_training_row(ui::Context& ctx, const history::TrainingRun& run, bool chosen);
    void draw_training_menu(ui::Context& ctx, const history::TrainingRun& run);
    void draw_others(ui::Context& ctx);
    void draw_answers(ui::Context& ctx);

    RunForm form_;
};

}  // namespace moescope::panels
