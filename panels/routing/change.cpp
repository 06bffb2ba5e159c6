// The panel of interventions: changes to routers, put together, tried on a question beside the untouched model, and
// each expert of a layer swept.
#include <utility>

#include "panels/panels.hpp"
#include "panels/routing/change_editor.hpp"
#include "panels/routing/change_undo.hpp"
#include "panels/routing/read_form.hpp"
#include "panels/routing/sweep_view.hpp"
#include "panels/routing/trial_view.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

class ChangePanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    /// Follows a trial that was started, whether or not the panel is open.
    void draw_above(ui::Context& ctx) override {
        trial_.follow(ctx);
        undo_.follow(ctx);
    }
    /// change.try, change.cancel, change.sweep, change.knock_out (the selected expert), change.save;
    /// change.prompt=TEXT, change.model=NAME, change.name=NAME, change.texts=LINES.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    enum Mode { kTry, kSweep };

    ChangeEditor editor_;
    ChangeUndo undo_;
    TrialView trial_;
    SweepView sweep_;
    int mode_ = kTry;
};

bool act_with_value(const std::string& action, ui::Context& ctx, TrialView& trial, SweepView& sweep) {
    if (const char* prompt = ui::action_value(action, "change.prompt")) {
        trial.set_prompt(prompt);
    } else if (const char* model = ui::action_value(action, "change.model")) {
        trial.set_model(model);
        sweep.set_model(model);
    } else if (const char* name = ui::action_value(action, "change.name")) {
        ctx.shared.get<EditedChanges>().name = name;
    } else if (const char* texts = ui::action_value(action, "change.texts")) {
        sweep.set_texts(texts);
    } else {
        return false;
    }
    return true;
}

}  // namespace

void ChangePanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const ChangePanel&>(before);
    trial_.take_over(old.trial_);
    mode_ = old.mode_;
}

bool ChangePanel::act(const std::string& action, ui::Context& ctx) {
    auto& edited = ctx.shared.get<EditedChanges>();
    if (action == "change.try") {
        mode_ = kTry;
        trial_.start(ctx);
    } else if (action == "change.cancel") {
        trial_.cancel(ctx);
    } else if (action == "change.sweep") {
        mode_ = kSweep;
        trial_.choose_model(ctx);
        sweep_.offer_model(trial_.model());
        sweep_.start(ctx);
    } else if (action == "change.knock_out") {
        edited.list.add(
            {.kind = Change::Kind::knock_out, .layer = ctx.selection.layer, .expert = ctx.selection.expert});
    } else if (action == "change.save") {
        editor_.save(ctx);
    } else {
        return act_with_value(action, ctx, trial_, sweep_);
    }
    return true;
}

void ChangePanel::draw(ui::Context& ctx) {
    ui::segmented(ctx, "change.part", {ctx.text.label("change.part.try"), ctx.text.label("change.part.sweep")}, mode_);
    trial_.choose_model(ctx);
    if (mode_ == kSweep) {
        sweep_.offer_model(trial_.model());
        sweep_.draw(ctx);
        return;
    }
    editor_.draw(ctx, trial_.model());
    trial_.draw_question(ctx, editor_.problem());
    trial_.draw_result(ctx);
}

ui::PanelDescription describe_change() {
    using ui::Place;
    using Show = ui::Stand::Show;
    const auto has_model = [](const ui::Context& ctx) {
        return ctx.connected() && !first_routed_model(ctx.snapshot, ctx.selection.training_run).empty();
    };
    const auto is_going = [](const ui::Context& ctx) { return ctx.connected() && ctx.shared.get<TrialGoing>().going; };
    const auto can_try = [](const ui::Context& ctx) {
        return ctx.connected() && !ctx.shared.get<EditedChanges>().list.empty() &&
               !ctx.shared.get<TrialGoing>().going &&
               !first_routed_model(ctx.snapshot, ctx.selection.training_run).empty();
    };
    const auto has_changes = [](const ui::Context& ctx) {
        return ctx.connected() && !ctx.shared.get<EditedChanges>().list.empty();
    };
    return {
        .key = "change",
        .make = ui::make_panel<ChangePanel>,
        .stands = {{"routing", Place::upper, 0, Show::front}},
        .commands = {
            {.key = "change.knock_out",
             .menu = {"menu.routing", 4},
             .shortcut = ImGuiMod_Ctrl | ImGuiKey_K,
             .available = [](const ui::Context& ctx) { return ctx.selection.layer >= 0 && ctx.selection.expert >= 0; },
             .opens = true},
            {.key = "change.save", .menu = {"menu.routing", 4}, .available = has_changes},
            {.key = "change.try",
             .menu = {"menu.routing", 5},
             .shortcut = ImGuiMod_Ctrl | ImGuiKey_T,
             .available = can_try,
             .opens = true},
            {.key = "change.cancel", .menu = {"menu.routing", 5}, .available = is_going},
            {.key = "change.sweep", .menu = {"menu.routing", 5}, .available = has_model, .opens = true}}};
}

}  // namespace moescope::panels
