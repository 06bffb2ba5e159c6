#include "panels/experts/expert_menu.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>

#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/run_layers.hpp"
#include "panels/routing/change_menu.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/text_layout.hpp"
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
            ctx.client.send("train.expert",
                            {{"run", view.run.id}, {"layer", cell.layer}, {"expert", cell.expert}, {"action", action}});
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
    const double pointed = std::round(view.ctx.selection.hovered_step.value_or(0.0));
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
