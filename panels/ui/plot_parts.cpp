#include "panels/ui/plot_parts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "panels/ui/plot_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::ui {

int format_tick(double value, char* buffer, int size, void* user) {
    const auto& text = *static_cast<const Language*>(user);
    // Whole numbers are grouped; below ten thousand a comma would only cost width.
    const bool whole = std::abs(value) >= 10000 && std::abs(value) < 1e15 && value == std::round(value) && value > 0;
    const std::string shown = whole ? text.number(static_cast<std::uint64_t>(value)) : text.number(value, 4);
    const std::size_t length = std::min(shown.size(), static_cast<std::size_t>(size - 1));
    std::copy_n(shown.data(), length, buffer);
    buffer[length] = '\0';
    return static_cast<int>(length);
}

void draw_axis_name(const Context& ctx, ImVec2 corner, ImVec2 extent, const char* name) {
    const ImVec2 size = ImGui::CalcTextSize(name);
    const ImVec2 at{corner.x + 0.3f * ctx.em, corner.y + extent.y - size.y - 0.1f * ctx.em};
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    draw.AddRectFilled({at.x - 0.2f * ctx.em, at.y}, {at.x + size.x + 0.2f * ctx.em, at.y + size.y},
                       ImGui::GetColorU32(faded(ctx.theme.panel, 0.7f)), 0.2f * ctx.em);
    draw.AddText(at, ImGui::GetColorU32(ctx.theme.text_dim), name);
}

void draw_title_button(const Context& ctx, const char* title, const char* help) {
    ImGui::PushFont(ctx.bold, 0);
    const ImVec2 at = ImGui::GetCursorScreenPos(), size = ImGui::CalcTextSize(title);
    // Without a sign nobody would look for a menu behind a name.
    const float sign = size.x + 0.25f * ctx.em;
    if (ImGui::InvisibleButton("###title", {sign + ImGui::CalcTextSize(icon::opens).x, size.y},
                               ImGuiButtonFlags_EnableNav)) {
        ImGui::OpenPopup("menu");
    }
    const bool marked = ImGui::IsItemHovered() || ImGui::IsItemFocused();
    ImGui::GetWindowDrawList()->AddText(at, ImGui::GetColorU32(marked ? ctx.theme.accent : ctx.theme.text), title);
    ImGui::GetWindowDrawList()->AddText(
        {at.x + sign, at.y}, ImGui::GetColorU32(marked ? ctx.theme.accent : ctx.theme.text_dim), icon::opens);
    ImGui::PopFont();
    tooltip(help);
}

std::string hex_color(const ImVec4& shown) {
    static constexpr char digits[] = "0123456789abcdef";
    const ImVec4 color = on_paper(shown);
    std::string result = "#";
    for (const float part : {color.x, color.y, color.z}) {
        const int value = static_cast<int>(std::clamp(part, 0.0f, 1.0f) * 255 + 0.5f);
        result += digits[value / 16];
        result += digits[value % 16];
    }
    return result;
}

void draw_marker(ImDrawList& draw, ImVec2 middle, float radius, std::size_t marker, ImU32 color) {
    std::vector<ImVec2> points;
    for (const panels::MarkerCorner& corner : panels::marker_outline(marker)) {
        points.emplace_back(middle.x + radius * static_cast<float>(corner.x),
                            middle.y + radius * static_cast<float>(corner.y));
    }
    draw.AddConcavePolyFilled(points.data(), static_cast<int>(points.size()), color);
}

LineLook line_look(const Theme& theme, std::size_t number) {
    // Colours repeat after eight lines; the signs are then one further.
    return {theme.series_color(number), (number + number / theme.series.size()) % panels::kMarkers};
}

float look_sign_width(const Context& ctx) {
    return 1.4f * ctx.em;
}

void draw_look(const Context& ctx, ImDrawList& draw, ImVec2 at, const LineLook& look, bool hollow) {
    const float width = look_sign_width(ctx), y = at.y + ImGui::GetTextLineHeight() / 2;
    const ImU32 ink = packed(look.color, hollow ? 0.35f : 1);
    if (!hollow) {
        draw.AddLine({at.x, y}, {at.x + width, y}, ink, std::max(1.0f, ctx.em / 9));
    }
    draw_marker(draw, {at.x + width / 2, y}, 0.34f * ctx.em, look.marker, ink);
}

void look_sign(const Context& ctx, const LineLook& look) {
    draw_look(ctx, *ImGui::GetWindowDrawList(), ImGui::GetCursorScreenPos(), look);
    ImGui::Dummy({look_sign_width(ctx), ImGui::GetTextLineHeight()});
    ImGui::SameLine(0, 0.4f * ctx.em);
}

}  // namespace moescope::ui
