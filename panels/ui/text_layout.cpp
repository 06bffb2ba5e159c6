#include "panels/ui/text_layout.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>

#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::ui {

std::vector<std::string_view> wrap_lines(std::string_view text, float width) {
    ImFontBaked* font = ImGui::GetFontBaked();
    panels::WrappedText wrapped;
    wrapped.update(1, text, std::max(width, 2 * ImGui::GetFontSize()), ImGui::GetFontSize(),
                   [font](std::uint32_t, char32_t c) {
                       return c == '\t' ? 4 * font->GetCharAdvance(' ') : font->GetCharAdvance(static_cast<ImWchar>(c));
                   });
    std::vector<std::string_view> lines;
    lines.reserve(wrapped.lines().size());
    for (const panels::ByteRange& line : wrapped.lines()) {
        lines.push_back(text.substr(line.begin, line.end - line.begin));
    }
    return lines;
}

void text_wrapped(std::string_view text, std::optional<ImVec4> color, float width) {
    if (color) {
        ImGui::PushStyleColor(ImGuiCol_Text, *color);
    }
    if (width <= 0) {
        width = ImGui::GetContentRegionAvail().x;
    }
    if (const float end = ImGui::GetCurrentWindow()->DC.TextWrapPos;
        end > 0) {  // the row may be wider, as in a tooltip
        width = std::min(width, end - 1 - ImGui::GetCursorPosX());
    }
    ImGui::BeginGroup();
    ImGui::PushStyleVarY(ImGuiStyleVar_ItemSpacing, std::floor(ImGui::GetFontSize() * 0.2f));
    for (const std::string_view line : wrap_lines(text, width)) {
        ImGui::TextUnformatted(line.data(), line.data() + line.size());
    }
    ImGui::PopStyleVar();
    ImGui::EndGroup();
    if (color) {
        ImGui::PopStyleColor();
    }
}

void text_selectable(const Context& ctx, const char* id, const std::string& text, float width) {
    if (width <= 0) {
        width = ImGui::GetContentRegionAvail().x;
    }
    // The field shows the lines as we break them: its own wrapping does not know Chinese.
    std::string wrapped;
    wrapped.reserve(text.size() + text.size() / 32);
    std::size_t lines = 0;
    for (const std::string_view line : wrap_lines(text, width - 2)) {
        if (lines++ > 0) {
            wrapped += '\n';
        }
        wrapped.append(line);
    }
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(0, 0));
    ImGui::PushStyleColor(ImGuiCol_FrameBg, ImVec4(0, 0, 0, 0));
    const float height = static_cast<float>(lines) * ImGui::GetTextLineHeight() + 2;
    ImGui::InputTextMultiline(id, wrapped.data(), wrapped.size() + 1, ImVec2(width, height),
                              ImGuiInputTextFlags_ReadOnly | ImGuiInputTextFlags_NoHorizontalScroll);
    ImGui::PopStyleColor();
    ImGui::PopStyleVar();
    if (ImGui::BeginPopupContextItem()) {
        if (ImGui::MenuItem(ctx.text.label("common.copy_all"))) {
            ImGui::SetClipboardText(text.c_str());
        }
        ImGui::EndPopup();
    }
}

void text_colored(const ImVec4& color, std::string_view text) {
    ImGui::PushStyleColor(ImGuiCol_Text, color);
    ImGui::TextUnformatted(text.data(), text.data() + text.size());
    ImGui::PopStyleColor();
}

void text_dim(const Context& ctx, std::string_view text) {
    text_colored(ctx.theme.text_dim, text);
}

std::string elided(std::string_view text, float width) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() == text.size() && ImGui::CalcTextSize(line.data(), line.data() + line.size()).x <= width) {
        return std::string(line);
    }
    ImFontBaked* font = ImGui::GetFontBaked();
    float used = font->GetCharAdvance(0x2026);
    std::size_t i = 0;
    while (i < line.size()) {
        unsigned c = 0;
        const int length = std::max(1, ImTextCharFromUtf8(&c, line.data() + i, line.data() + line.size()));
        used += font->GetCharAdvance(static_cast<ImWchar>(c));
        if (used > width) {
            break;
        }
        i += static_cast<std::size_t>(length);
    }
    return std::string(line.substr(0, i)) + "\u2026";
}

std::string elided_middle(std::string_view text, float width) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() == text.size() && ImGui::CalcTextSize(line.data(), line.data() + line.size()).x <= width) {
        return std::string(line);
    }
    ImFontBaked* font = ImGui::GetFontBaked();
    std::vector<std::pair<std::size_t, float>> ends;  // of each character: its bytes, and the width up to there
    float all = 0;
    for (std::size_t i = 0; i < line.size();) {
        unsigned c = 0;
        i += static_cast<std::size_t>(std::max(1, ImTextCharFromUtf8(&c, line.data() + i, line.data() + line.size())));
        all += font->GetCharAdvance(static_cast<ImWchar>(c));
        ends.emplace_back(std::min(i, line.size()), all);
    }
    const float half = std::max(0.0f, width - font->GetCharAdvance(0x2026)) / 2;
    std::size_t head = 0, tail = line.size();
    for (const auto& [end, reached] : ends) {
        head = reached <= half ? end : head;
        if (all - reached <= half) {
            tail = end;
            break;
        }
    }
    return std::string(line.substr(0, head)) + "\u2026" + std::string(line.substr(std::max(head, tail)));
}

void text_elided(std::string_view text, float width) {
    const std::string shown = elided(text, width);
    ImGui::TextUnformatted(shown.c_str());
    if (shown != text) {
        tooltip(text);
    }
}

}  // namespace moescope::ui
