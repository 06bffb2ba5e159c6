// The runs of the session: training runs above, answers and probes below; and the form that starts a new training run.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "panels/run_tools.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class RunsPanel final : public ui::Panel {
 public:
    const char* key() const override { return "runs"; }
    void draw(ui::Context& ctx) override;
    /// runs.new opens the form.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    /// What a person has filled in; `config` is the preset's configuration with the changed fields.
    struct Form {
        bool open = false;
        std::string preset, name, error;
        nlohmann::json config;
        nlohmann::json plan;  ///< of `config`, as the node computed it
        client::CommandId planning = 0, starting = 0;
    };

    void draw_training(ui::Context& ctx);
    void draw_training_row(ui::Context& ctx, const client::TrainingRun& run, bool chosen);
    void draw_training_menu(ui::Context& ctx, const client::TrainingRun& run);
    void draw_others(ui::Context& ctx);
    void draw_form(ui::Context& ctx);
    void draw_presets(ui::Context& ctx);
    bool draw_fields(ui::Context& ctx);
    void draw_plan(ui::Context& ctx);
    void collect(ui::Context& ctx);
    void choose_preset(ui::Context& ctx, const std::string& name);
    void start(ui::Context& ctx);

    Form form_;
};

}  // namespace moescope::panels
