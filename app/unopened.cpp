#include "app/unopened.hpp"

#include <fmt/format.h>
#include <imgui.h>

#include "app/bar.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

using client::Link;

/// While moescope-node is on its way to another machine.
void draw_copying(ui::Context& ctx, NodeCopy& copy) {
    const client::CopyProgress& progress = copy.progress();
    const std::uint64_t total = progress.total;
    const std::string sentence =
        total == 0 ? ctx.text.format("unopened.packing", {{"node", copy.under_way()}})
                   : ctx.text.format("unopened.copying", {{"node", copy.under_way()},
                                                          {"sent", ui::bytes_text(ctx.text, progress.sent)},
                                                          {"total", ui::bytes_text(ctx.text, total)}});
    const std::vector<const char*> buttons = {ctx.text.label("unopened.stop_copy")};
    const BarText text = bar_text(ctx, sentence, buttons);
    if (begin_bar("###unopened", ImGuiDir_Up, text.height)) {
        tint_bar(ctx, ui::Tone::warning);
        draw_bar_text(ctx, text, ui::icon::info, ui::Tone::warning, buttons);
        if (ImGui::Button(buttons.front())) {
            copy.stop();
        }
    }
    ImGui::End();
}

}  // namespace

void draw_unopened(ui::Context& ctx, NodeCopy& copy) {
    copy.update(ctx);
    const Link& link = ctx.snapshot.link;
    const bool turned_away = link.state == Link::State::refused && !link.address.empty();
    if (link.state != Link::State::unopened && !turned_away) {
        return;
    }
    if (turned_away && copy.under_way() == link.address) {
        draw_copying(ctx, copy);
        return;
    }
    // What keeps a session from being written (another program, a right, a full disk) mostly leaves it readable.
    const bool readable =
        !turned_away && link.obstacle != Link::Obstacle::no_session && link.obstacle != Link::Obstacle::newer;
    const base::Sentence failed = copy.problem(link.address);
    const std::string sentence = ctx.text.message(turned_away && !failed.empty() ? failed : link.message);
    const std::uint64_t bytes = turned_away ? copy.offered(ctx) : 0;
    const std::string offer =
        bytes == 0 ? std::string()
                   : ctx.text.format("unopened.copy", {{"size", ui::bytes_text(ctx.text, bytes)}}) + "###unopened.copy";
    const char* other = ctx.text.label(turned_away ? "unopened.node" : "unopened.other");
    const char *read = ctx.text.label("unopened.read"), *again = ctx.text.label("unopened.again"),
               *fresh = ctx.text.label("unopened.new");
    std::vector<const char*> buttons = {again, other, fresh};
    if (readable || bytes > 0) {
        buttons.insert(buttons.begin(), readable ? read : offer.c_str());
    }
    const BarText text = bar_text(ctx, sentence, buttons);
    if (begin_bar("###unopened", ImGuiDir_Up, text.height)) {
        tint_bar(ctx, ui::Tone::warning);
        draw_bar_text(ctx, text, ui::icon::warning, ui::Tone::warning, buttons);
        if (readable || bytes > 0) {
            if (ui::primary_button(ctx, buttons.front())) {
                if (readable) {
                    ctx.client.restart_node(true);
                } else {
                    copy.start(link.address);
                }
            }
            ui::flow(ui::button_width(again));
        }
        if (ImGui::Button(again)) {
            ctx.client.restart_node();
        }
        ui::flow(ui::button_width(other));
        if (ImGui::Button(other)) {
            ctx.run(turned_away ? "file.connect_node" : "file.open_session");
        }
        ui::flow(ui::button_width(fresh));
        if (ImGui::Button(fresh)) {
            ctx.run("file.new_session");
        }
    }
    ImGui::End();
}

}  // namespace moescope::app
