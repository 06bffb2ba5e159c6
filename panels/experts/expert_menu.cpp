#include "panels/experts/expert_menu.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/run_layers.hpp"
#include "panels/routing/change_menu.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

/// Language key of the reason why nothing can be done with it; null when something can.
const char* why_not(const LoadView& view, ExpertCell cell) {
    if (!view.ctx.connected()) {
        return "runs.offline";
    }
    if (!alive(view.run)) {
        return "knobs.ended";
    }
    return cell.layer < history::dense_layers(view.run) ? "load.expert.none" : nullptr;
}

/// What takes an action back; null for reset: what the expert had learnt is gone.
const char* opposite(std::string_view action) {
    return action == "disable"  ? "enable"
           : action == "enable" ? "disable"
           : action == "freeze" ? "thaw"
           : action == "thaw"   ? "freeze"
                                : nullptr;
}

/// Whether the run has the record of an action that acts from `step` on.
bool was_told(const history::TrainingRun& run, ExpertCell cell, std::string_view action, std::uint64_t step) {
    return std::any_of(run.events.rbegin(), run.events.rend(), [&](const history::RunEvent& event) {
        return event.kind == "expert" && event.step == step && event.name == action &&
               event.layer == static_cast<int>(cell.layer) && event.expert == static_cast<int>(cell.expert);
    });
}

void send_action(ui::Context& ctx, std::uint32_t run, ExpertCell cell, const char* action) {
    const auto command = [&](const char* what) {
        return ui::CommandEdit::Command{
            "train.expert", {{"run", run}, {"layer", cell.layer}, {"expert", cell.expert}, {"action", what}}};
    };
    const ui::CommandEdit::Command now = command(action);
    const client::CommandId sent = ctx.client.send(now.name, now.parameters);
    const char* back = opposite(action);
    if (back == nullptr) {
        return;
    }
    const bool freezes = std::string_view(action) == "freeze" || std::string_view(action) == "thaw";
    ui::CommandEdit edit{
        .name =
            [action, cell](const ui::Language& text) {
                return text.format("undo.expert", {{"what", text(std::string("load.expert.") + action)},
                                                   {"layer", std::to_string(cell.layer)},
                                                   {"expert", std::to_string(cell.expert)}});
            },
        .undo = {command(back)},
        .redo = {now},
        .why_not = [run, cell, freezes,
                    made = std::string_view(action) == "freeze" || std::string_view(action) == "disable"](
                       const ui::Context& there, ui::Edit::Way way) -> std::string {
            const auto found = there.snapshot.training.find(run);
            if (found == there.snapshot.training.end() || !alive(*found->second)) {
                return there.text("knobs.ended");
            }
            const std::vector<ExpertState> states = expert_states(there.snapshot, *found->second);
            const std::size_t index = cell.layer * static_cast<std::size_t>(found->second->experts) + cell.expert;
            if (index >= states.size()) {
                return {};
            }
            const bool is = freezes ? states[index].frozen : states[index].disabled;
            const bool wanted = (way == ui::Edit::Way::redone) == made;  // as it will be
            return is != wanted ? std::string() : std::string(there.text("undo.expert.changed"));
        },
        .arrived =
            [run, cell, action, back](const ui::Context& there, ui::Edit::Way way, const nlohmann::json& answer) {
                const auto found = there.snapshot.training.find(run);
                return found != there.snapshot.training.end() &&
                       was_told(*found->second, cell, way == ui::Edit::Way::undone ? back : action,
                                base::count_of(answer, "step"));
            }};
    ctx.shared.get<ui::UndoHistory>().add(ui::make_edit(std::move(edit)), {sent});
}

/// The node's refusals come in the status line.
void draw_actions(const LoadView& view, ExpertCell cell) {
    ui::Context& ctx = view.ctx;
    const std::vector<ExpertState> now = expert_states(ctx.snapshot, view.run);
    const std::size_t index = cell.layer * static_cast<std::size_t>(view.run.experts) + cell.expert;
    if (index >= now.size()) {  // an open menu's run may have been another one
        return;
    }
    ui::text_dim(ctx, ctx.text.format("load.cell", {{"layer", std::to_string(cell.layer)},
                                                    {"expert", std::to_string(cell.expert)}}));
    if (ImGui::MenuItem(ctx.text.label("load.expert.open"))) {
        open_expert(ctx, cell);
    }
    ui::tooltip(ctx.text("load.expert.open.help"));
    const char* reason = why_not(view, cell);
    const ExpertState state = now[index];
    for (const char* action : {state.disabled ? "enable" : "disable", state.frozen ? "thaw" : "freeze", "reset"}) {
        const std::string key = fmt::format("load.expert.{}", action);
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, false, reason == nullptr)) {
            send_action(ctx, view.run.id, cell, action);
        }
        ui::tooltip(ctx.text(reason == nullptr ? key + ".help" : reason));
    }
    ImGui::Separator();
}

/// `part`: what the panel shows, without the tabs above it.
void draw_saving(const LoadView& view, const ImRect& part) {
    ui::Context& ctx = view.ctx;
    const history::Loads& loads = view.model.loads();
    const std::string name = fmt::format("{}-load-{}", view.run.name, loads.last_step);
    const auto csv = [&] { return [loads] { return loads_csv(loads); }; };
    if (ImGui::MenuItem(ctx.text.label("load.menu.csv"))) {
        ctx.save_as(name + ".csv", csv());
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.png"))) {
        ctx.save_picture(name + ".png", part.Min, part.Max);
    }
    if (ImGui::MenuItem(ctx.text.label("load.menu.copy"))) {
        ctx.copy_text(csv());
    }
}

}  // namespace

void ExpertMenu::open(const LoadView& view, std::optional<ExpertCell> cell) {
    cell_ = cell;
    // The history has the mouse at a step; everything else shows one.
    const double pointed = std::floor(view.ctx.selection.hovered_step.value_or(0.0));
    step_ = view.ctx.selection.hovered_step && pointed >= 0
                ? std::min(static_cast<std::uint64_t>(pointed), view.run.counts.back()->step)
                : view.model.loads().last_step;
    ImGui::OpenPopup("menu");
}

void ExpertMenu::draw(const LoadView& view, std::optional<ExpertCell> hovered) {
    if (ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows) && ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
        open(view, hovered);
    }
    const ImRect part = ImGui::GetCurrentWindow()->InnerRect;
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    if (cell_) {
        draw_actions(view, *cell_);
        draw_change_menu(view.ctx, static_cast<int>(cell_->layer), static_cast<int>(cell_->expert),
                         history::to_text({.run = view.run.id}));
    }
    ui::note_menu(view.ctx, {.kind = history::NotePlace::Kind::step, .run = view.run.id, .step = step_});
    ImGui::Separator();
    draw_saving(view, part);
    ImGui::EndPopup();
}

}  // namespace moescope::panels
