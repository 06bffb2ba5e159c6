#include "panels/ui/text_view.hpp"

#include <algorithm>
#include <array>

namespace moescope::panels {
namespace {

float width_of(ImFontBaked* baked, char32_t code) {
    if (code == '\t')
        return 4 * baked->GetCharAdvance(' ');
    return baked->GetCharAdvance(static_cast<ImWchar>(code));
}

}  // namespace

void TextView::set(std::string text, std::vector<StyleRun> runs) {
    text_ = std::move(text);
    runs_ = std::move(runs);
    ++identity_;
}

void TextView::append(std::string_view text, std::uint16_t style) {
    text_ += text;
    const auto end = static_cast<std::uint32_t>(text_.size());
    if (!runs_.empty() && runs_.back().style == style)
        runs_.back().end = end;
    else if (!text.empty())
        runs_.push_back({end, style});
}

std::uint16_t TextView::style_at(std::uint32_t offset) const {
    const auto run = std::upper_bound(runs_.begin(), runs_.end(), offset,
                                      [](std::uint32_t at, const StyleRun& r) { return at < r.end; });
    return run == runs_.end() ? 0 : run->style;
}

TextView::Result TextView::draw(const ui::Context& ctx, float width, std::span<const TextStyle> styles) {
    static constexpr TextStyle kPlain;
    if (styles.empty())
        styles = std::span(&kPlain, 1);
    Faces faces{{ImGui::GetFont(), ctx.bold ? ctx.bold : ImGui::GetFont(), ctx.mono ? ctx.mono : ImGui::GetFont()},
                {},
                ImGui::GetFontSize()};
    for (int i = 0; i < 3; ++i)
        faces.baked[i] = faces.font[i]->GetFontBaked(faces.size);
    layout_.update(identity_, text_, width, faces.size, [&](std::uint32_t offset, char32_t code) {
        const TextStyle& style = styles[std::min<std::size_t>(style_at(offset), styles.size() - 1)];
        return width_of(faces.baked[static_cast<int>(style.face)], code);
    });

    Result result;
    const float line_height = ImGui::GetTextLineHeight() * 1.25f;
    const std::vector<ByteRange>& lines = layout_.lines();
    const ImVec2 origin = ImGui::GetCursorScreenPos();
    const ImDrawList* list = ImGui::GetWindowDrawList();
    const auto count = static_cast<std::ptrdiff_t>(lines.size());
    const auto clamp_line = [&](float y) {
        return std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>((y - origin.y) / line_height), 0, count);
    };
    const std::ptrdiff_t first = clamp_line(list->GetClipRectMin().y);
    const std::ptrdiff_t last = std::min(count, clamp_line(list->GetClipRectMax().y) + 1);
    for (std::ptrdiff_t i = first; i < last; ++i)
        draw_line(lines[static_cast<std::size_t>(i)], {origin.x, origin.y + static_cast<float>(i) * line_height},
                  line_height, faces, styles, result);
    result.height = static_cast<float>(lines.size()) * line_height;
    ImGui::Dummy({width, result.height});
    if (!ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenBlockedByActiveItem))
        result.hovered.reset();
    return result;
}

void TextView::draw_line(ByteRange line, ImVec2 at, float height, const Faces& faces, std::span<const TextStyle> styles,
                         Result& result) const {
    ImDrawList* list = ImGui::GetWindowDrawList();
    const ImVec2 mouse = ImGui::GetIO().MousePos;
    const bool mouse_in_line = mouse.y >= at.y && mouse.y < at.y + height;
    const float text_y = at.y + (height - faces.size) * 0.5f;
    float x = at.x;
    for (std::uint32_t begin = line.begin; begin < line.end;) {
        const std::uint16_t index = style_at(begin);
        const TextStyle& style = styles[std::min<std::size_t>(index, styles.size() - 1)];
        const int face = static_cast<int>(style.face);
        std::uint32_t end = begin;
        float to = x;
        while (end < line.end && style_at(end) == index) {
            const Character c = read_character(text_, end);
            const float w = width_of(faces.baked[face], c.code);
            if (mouse_in_line && mouse.x >= to && mouse.x < to + w)
                result.hovered = end;
            to += w;
            end += c.length;
        }
        const ImU32 color = style.color ? style.color : ImGui::GetColorU32(ImGuiCol_Text);
        if (style.background)
            list->AddRectFilled({x, at.y + 1}, {to, at.y + height - 1}, style.background, 3.0f);
        list->AddText(faces.font[face], faces.size, {x, text_y}, color, text_.data() + begin, text_.data() + end);
        const float weight = std::max(1.0f, faces.size / 14.0f);
        if (style.underline)
            list->AddRectFilled({x, text_y + faces.size}, {to, text_y + faces.size + weight}, color);
        if (style.strike)
            list->AddRectFilled({x, text_y + faces.size * 0.55f}, {to, text_y + faces.size * 0.55f + weight}, color);
        x = to;
        begin = end;
    }
}

TextStyle chip_style(const ui::Theme& theme) {
    TextStyle style;
    style.face = TextStyle::Face::mono;
    style.color = ui::packed(theme.warning);
    style.background = ui::packed(theme.warning, 0.16f);
    return style;
}

void meter(const ui::Context& ctx, double fraction, std::string_view text, float width) {
    const float all = width > 0 ? width : ImGui::GetContentRegionAvail().x;
    const float gap = 0.6f * ctx.em, height = ImGui::GetFrameHeight(), thick = 0.4f * ctx.em;
    const float text_width = std::min(ImGui::CalcTextSize(text.data(), text.data() + text.size()).x, 0.75f * all);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float bar_x = at.x + text_width + gap, bar_end = at.x + all, y = at.y + (height - thick) / 2;
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->PushClipRect(at, {at.x + text_width + 1, at.y + height}, true);
    list->AddText({at.x, at.y + (height - ImGui::GetTextLineHeight()) / 2}, ImGui::GetColorU32(ImGuiCol_Text),
                  text.data(), text.data() + text.size());
    list->PopClipRect();
    if (bar_end > bar_x) {
        list->AddRectFilled({bar_x, y}, {bar_end, y + thick}, ImGui::GetColorU32(ImGuiCol_FrameBg), thick / 2);
        const float filled = (bar_end - bar_x) * static_cast<float>(std::clamp(fraction, 0.0, 1.0));
        if (filled > 1)
            list->AddRectFilled({bar_x, y}, {bar_x + filled, y + thick}, ui::packed(ctx.theme.accent), thick / 2);
    }
    ImGui::Dummy({all, height});
}

bool begin_frame(const ui::Context& ctx, const char* id, ImVec2 size, ImGuiWindowFlags flags) {
    ImGui::PushStyleVar(ImGuiStyleVar_ChildBorderSize, 1.0f);
    ImGui::PushStyleVar(ImGuiStyleVar_ChildRounding, 0.3f * ctx.em);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0.6f * ctx.em, 0.45f * ctx.em));
    ImGui::PushStyleColor(ImGuiCol_Border, ctx.theme.border);
    const bool visible = ImGui::BeginChild(id, size, ImGuiChildFlags_Borders, flags);
    ImGui::PopStyleColor();
    ImGui::PopStyleVar(3);
    return visible;
}

void end_frame() {
    ImGui::EndChild();
}

void row_badge(const ui::Context& ctx, const char* icon_text, std::string_view word, ui::Tone tone) {
    // Inside the group only the badge is lowered; the row keeps its own height.
    ImGui::BeginGroup();
    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (ImGui::GetFrameHeight() - ImGui::GetTextLineHeight()) / 2 -
                         0.06f * ctx.em);
    ui::badge(ctx, icon_text, word, tone);
    ImGui::EndGroup();
}

void flow(float width) {
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    const float next = ImGui::GetItemRectMax().x + ImGui::GetStyle().ItemSpacing.x + width;
    if (next < right)
        ImGui::SameLine();
}

}  // namespace moescope::panels
