#include "panels/training/continue_form.hpp"

#include <algorithm>
#include <cfloat>
#include <imgui.h>

#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "panels/node/device_choice.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using history::RunState;

bool can_continue(const ui::Context& ctx, const history::TrainingRun& run) {
    const auto& runs = ctx.snapshot.training;
    return ctx.connected() && !ui::pending(ctx.snapshot, ctx.selection.starting_run) && run.last_checkpoint > 0 &&
           (run.state == RunState::interrupted || run.state == RunState::stopped || run.state == RunState::failed) &&
           std::none_of(runs.begin(), runs.end(),
                        [](const auto& entry) { return entry.second->state == RunState::running; });
}

std::string device_of(const history::TrainingRun& run) {
    const nlohmann::json* device = base::setting(base::member(run.manifest, "config"), "device");
    return device == nullptr ? "cpu" : base::setting_text(*device);
}

void ContinueForm::open(const history::TrainingRun& run) {
    open_ = true;
    run_ = run.id;
    device_ = device_of(run);
}

void ContinueForm::draw(ui::Context& ctx) {
    const auto found = ctx.snapshot.training.find(run_);
    if (!open_ || found == ctx.snapshot.training.end()) {
        open_ = false;
        return;
    }
    const history::TrainingRun& run = *found->second;
    if (ui::begin_floating(ctx, ctx.text.label("training.continue_on"), open_, {.size = {30, 0}, .least = {16, 8}})) {
        ui::text_wrapped(
            ctx.text.format("training.continue_on.what",
                            {{"run", run_title(ctx.text, run)}, {"step", ctx.text.number(run.last_checkpoint)}}));
        ui::text_dim(ctx, ctx.text("training.continue_on.device"));
        ImGui::SetNextItemWidth(-FLT_MIN);
        device_combo(ctx, "###continue.device", device_);
        const std::string before = device_of(run);
        ui::text_wrapped(ctx.text.format(device_ == before ? "training.continue_on.same" : "training.continue_on.other",
                                         {{"device", before}}),
                         ctx.theme.text_dim);
        const auto& devices = ctx.snapshot.node.devices;
        const auto chosen = std::find_if(devices.begin(), devices.end(),
                                         [&](const protocol::DeviceEntry& one) { return one.name == device_; });
        std::string why_not;
        if (chosen == devices.end() && !devices.empty()) {
            why_not = ctx.text.format("training.continue_on.gone", {{"device", device_}});
        } else if (chosen != devices.end() && !chosen->usable()) {
            why_not = ctx.text.message(chosen->why_not);
        }
        if (!why_not.empty()) {
            ui::text_wrapped(why_not, ctx.theme.error);
        }
        const bool possible = can_continue(ctx, run);
        const char *go_on = ctx.text.label("training.run.continue"), *close = ctx.text.label("models.export.close");
        if (ui::button(go_on, possible && why_not.empty(),
                       possible ? why_not : std::string(ctx.text("command.run.continue_on.unavailable")))) {
            ctx.selection.starting_run = ctx.client.send("train.continue", {{"run", run_}, {"device", device_}});
            open_ = false;
        }
        ui::flow(ui::button_width(close));
        if (ui::button(close)) {
            open_ = false;
        }
    }
    ImGui::End();
}

}  // namespace moescope::panels
