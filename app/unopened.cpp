#include "app/unopened.hpp"

#include <imgui.h>

#include "app/bar.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

void draw_unopened(ui::Context& ctx) {
    using client::Link;
    const Link& link = ctx.snapshot.link;
    if (link.state != Link::State::unopened) {
        return;
    }
    // What keeps a session from being written (another program, a right, a full disk) mostly leaves it readable.
    const bool readable = link.obstacle != Link::Obstacle::no_session && link.obstacle != Link::Obstacle::newer;
    const std::string sentence = ctx.text.message(link.message);
    const float width = ImGui::GetMainViewport()->WorkSize.x - ctx.em * 3.5f;
    const auto lines = static_cast<float>(ui::wrap_lines(sentence, width).size());
    const float height = lines * ImGui::GetTextLineHeightWithSpacing() + ImGui::GetFrameHeight() + ctx.em * 1.6f;
    if (begin_bar("###unopened", ImGuiDir_Up, height)) {
        tint_bar(ctx, ui::Tone::warning);
        ui::text_colored(ui::tone_color(ctx.theme, ui::Tone::warning), ui::icon::warning);
        ImGui::SameLine();
        ImGui::PushTextWrapPos(0);
        ImGui::TextUnformatted(sentence.c_str());
        ImGui::PopTextWrapPos();
        if (readable) {
            if (ui::primary_button(ctx, ctx.text.label("unopened.read"))) {
                ctx.client.restart_node(true);
            }
            ImGui::SameLine();
        }
        if (ImGui::Button(ctx.text.label("unopened.again"))) {
            ctx.client.restart_node();
        }
        ImGui::SameLine();
        if (ImGui::Button(ctx.text.label("unopened.other"))) {
            ctx.run("file.open_session");
        }
        ImGui::SameLine();
        if (ImGui::Button(ctx.text.label("unopened.new"))) {
            ctx.run("file.new_session");
        }
    }
    ImGui::End();
}

}  // namespace moescope::app
