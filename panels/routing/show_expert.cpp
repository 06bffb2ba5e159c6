#include "panels/routing/show_expert.hpp"

#include "panels/routing/change_menu.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

void show_expert(ui::Context& ctx, int layer, int expert) {
    ctx.selection.layer = layer;
    ctx.selection.expert = expert;
    ctx.show_panel("expert");
}

void toggle_expert(ui::Selection& selection, int layer, int expert) {
    const bool again = selection.layer == layer && selection.expert == expert;
    selection.layer = layer;
    selection.expert = again ? -1 : expert;
}

void draw_expert_items(ui::Context& ctx, int layer, int expert, std::string_view model) {
    ui::text_dim(ctx,
                 ctx.text.format("load.cell", {{"layer", std::to_string(layer)}, {"expert", std::to_string(expert)}}));
    if (ImGui::MenuItem(ctx.text.label("load.expert.open"))) {
        show_expert(ctx, layer, expert);
    }
    ui::tooltip(ctx.text("load.expert.open.help"));
    ImGui::Separator();
    draw_change_menu(ctx, layer, expert, model);
}

}  // namespace moescope::panels
