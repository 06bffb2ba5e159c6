// Bars along the edges of the window: the status line, and what has to be said above the panels. GUI thread only.
#pragma once

#include <algorithm>
#include <imgui_internal.h>
#include <string_view>
#include <vector>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

/// A bar along an edge of the window, without decoration; End() is always due.
inline bool begin_bar(const char* name, ImGuiDir side, float height) {
    return ImGui::BeginViewportSideBar(name, ImGui::GetMainViewport(), side, height,
                                       ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoSavedSettings |
                                           ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoNavFocus |
                                           ImGuiWindowFlags_NoFocusOnAppearing);
}

/// A sentence that may take several lines, with buttons behind it where they fit and below it else: how high the bar is
/// has to be known before it begins.
struct BarText {
    std::vector<std::string_view> lines;
    bool below = false;  ///< the buttons
    float height = 0;
};
inline BarText bar_text(const ui::Context& ctx, std::string_view sentence, const std::vector<const char*>& buttons) {
    const ImGuiStyle& style = ImGui::GetStyle();
    const float room = ImGui::GetMainViewport()->WorkSize.x - 2 * style.WindowPadding.x, mark = 2 * ctx.em;
    float all = 0, used = 0;
    int rows = 1;
    for (const char* button : buttons) {
        const float width = ui::button_width(button);
        all += width + style.ItemSpacing.x;
        if (used > 0 && used + width > room) {  // as ui::flow() does it
            ++rows;
            used = 0;
        }
        used += width + style.ItemSpacing.x;
    }
    BarText text;
    const float beside = room - mark - all - ctx.em;
    text.below =
        beside < 18 * ctx.em && ImGui::CalcTextSize(sentence.data(), sentence.data() + sentence.size()).x > beside;
    text.lines = ui::wrap_lines(sentence, text.below ? room - mark : beside);
    const float lines = static_cast<float>(text.lines.size()) * ImGui::GetTextLineHeightWithSpacing();
    text.height = (text.below ? lines + static_cast<float>(rows) * ImGui::GetFrameHeightWithSpacing()
                              : std::max(lines, ImGui::GetFrameHeight())) +
                  1.3f * ctx.em;
    return text;
}

/// Draws the sentence behind its mark and puts the cursor where the first button stands; the others follow with
/// ui::flow().
inline void draw_bar_text(const ui::Context& ctx, const BarText& text, const char* mark, ui::Tone tone,
                          const std::vector<const char*>& buttons) {
    ImGui::AlignTextToFramePadding();
    ui::text_colored(ui::tone_color(ctx.theme, tone), mark);
    ImGui::SameLine(0, 0.6f * ctx.em);
    ImGui::BeginGroup();
    for (std::size_t i = 0; i < text.lines.size(); ++i) {
        if (i == 0) {
            ImGui::AlignTextToFramePadding();
        }
        ImGui::TextUnformatted(text.lines[i].data(), text.lines[i].data() + text.lines[i].size());
    }
    ImGui::EndGroup();
    if (!text.below) {
        float all = -ImGui::GetStyle().ItemSpacing.x;
        for (const char* button : buttons) {
            all += ui::button_width(button) + ImGui::GetStyle().ItemSpacing.x;
        }
        ui::align_right(all);
    }
}

/// Gives the bar the tinted ground of a tone. Call first inside it.
inline void tint_bar(const ui::Context& ctx, ui::Tone tone) {
    const ImVec4 color = ui::tone_color(ctx.theme, tone);
    const ImVec2 low = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
    ImGui::GetWindowDrawList()->AddRectFilled(low, {low.x + size.x, low.y + size.y},
                                              ImGui::GetColorU32(ImVec4(color.x, color.y, color.z, 0.15f)));
}

}  // namespace moescope::app
