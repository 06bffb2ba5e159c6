#include "app/unopened.hpp"

#include <imgui.h>

#include "app/bar.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

void draw_unopened(ui::Context& ctx) {
    using client::Link;
    const Link& link = ctx.snapshot.link;
    const bool turned_away = link.state == Link::State::refused && !link.address.empty();
    if (link.state != Link::State::unopened && !turned_away) {
        return;
    }
    // What keeps a session from being written (another program, a right, a full disk) mostly leaves it readable.
    const bool readable =
        !turned_away && link.obstacle != Link::Obstacle::no_session && link.obstacle != Link::Obstacle::newer;
    const std::string sentence = ctx.text.message(link.message);
    std::vector<const char*> buttons;
    const char* other = turned_away ? "unopened.node" : "unopened.other";
    for (const char* key : {"unopened.read", "unopened.again", other, "unopened.new"}) {
        if (readable || std::string_view(key) != "unopened.read") {
            buttons.push_back(ctx.text.label(key));
        }
    }
    const BarText text = bar_text(ctx, sentence, buttons);
    if (begin_bar("###unopened", ImGuiDir_Up, text.height)) {
        tint_bar(ctx, ui::Tone::warning);
        draw_bar_text(ctx, text, ui::icon::warning, ui::Tone::warning, buttons);
        if (readable) {
            if (ui::primary_button(ctx, ctx.text.label("unopened.read"))) {
                ctx.client.restart_node(true);
            }
            ui::flow(ui::button_width(ctx.text.label("unopened.again")));
        }
        if (ImGui::Button(ctx.text.label("unopened.again"))) {
            ctx.client.restart_node();
        }
        ui::flow(ui::button_width(ctx.text.label(other)));
        if (ImGui::Button(ctx.text.label(other))) {
            ctx.run(turned_away ? "file.connect_node" : "file.open_session");
        }
        ui::flow(ui::button_width(ctx.text.label("unopened.new")));
        if (ImGui::Button(ctx.text.label("unopened.new"))) {
            ctx.run("file.new_session");
        }
    }
    ImGui::End();
}

}  // namespace moescope::app
