// Text: wrapping that knows Chinese, safe display of bytes, selectable text.
#include <algorithm>
#include <cmath>
#include <imgui_internal.h>

#include "panels/ui/widgets.hpp"

namespace moescope::ui {
namespace {

/// Characters between which a line may break on both sides: Han, kana, full-width forms.
bool is_wide(unsigned c) {
    return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7af) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0xff00 && c <= 0xffef) || (c >= 0x20000 && c <= 0x3ffff);
}

/// Punctuation that must not start a line.
bool is_closing(unsigned c) {
    constexpr unsigned kClosing[] = {0x3001, 0x3002, 0x3009, 0x300b, 0x300d, 0x300f, 0x3011, 0x3015, 0xff01,
                                     0xff09, 0xff0c, 0xff0e, 0xff1a, 0xff1b, 0xff1f, 0x201d, 0x2019, 0x2026,
                                     '.',    ',',    ')',    ']',    '!',    '?',    ':',    ';',    '%'};
    return std::find(std::begin(kClosing), std::end(kClosing), c) != std::end(kClosing);
}

/// Length in bytes of the valid UTF-8 character at the start of `s`; 0 when invalid, -1 when unfinished.
int utf8_length(std::string_view s) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80)
        return 1;
    const int length = first >= 0xf0 && first <= 0xf4  ? 4
                       : first >= 0xe0 && first < 0xf0 ? 3
                       : first >= 0xc2 && first < 0xe0 ? 2
                                                       : 0;
    if (length == 0)
        return 0;
    for (int i = 1; i < length; ++i) {
        if (static_cast<std::size_t>(i) >= s.size())
            return -1;
        if ((byte(static_cast<std::size_t>(i)) & 0xc0) != 0x80)
            return 0;
    }
    const unsigned second = byte(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    return overlong || outside ? 0 : length;
}

/// Walks one logical line (no '\n') and appends its pieces.
void wrap_line(std::string_view line, float width, ImFontBaked* font, std::vector<std::string_view>& out) {
    std::size_t start = 0, break_at = 0, i = 0;
    float used = 0, used_at_break = 0;
    unsigned previous = 0;
    while (i < line.size()) {
        unsigned c = 0;
        const int length = std::max(1, ImTextCharFromUtf8(&c, line.data() + i, line.data() + line.size()));
        const bool may_break =
            i > start && c != ' ' && !is_closing(c) && (previous == ' ' || is_wide(previous) || is_wide(c));
        if (may_break) {
            break_at = i;
            used_at_break = used;
        }
        const float advance = c == '\t' ? 4 * font->GetCharAdvance(' ') : font->GetCharAdvance(static_cast<ImWchar>(c));
        if (used + advance > width && i > start && c != ' ') {
            if (break_at <= start) {  // one word wider than the line: cut it here
                break_at = i;
                used_at_break = used;
            }
            out.push_back(line.substr(start, break_at - start));
            start = break_at;
            used -= used_at_break;
            used_at_break = 0;
        }
        used += advance;
        previous = c;
        i += static_cast<std::size_t>(length);
    }
    out.push_back(line.substr(start));
}

}  // namespace

std::vector<std::string_view> wrap_lines(std::string_view text, float width) {
    std::vector<std::string_view> lines;
    ImFontBaked* font = ImGui::GetFontBaked();
    width = std::max(width, 2 * ImGui::GetFontSize());
    std::size_t start = 0;
    while (start <= text.size()) {
        std::size_t end = text.find('\n', start);
        if (end == std::string_view::npos)
            end = text.size();
        wrap_line(text.substr(start, end - start), width, font, lines);
        start = end + 1;
    }
    return lines;
}

void text_wrapped(std::string_view text, std::optional<ImVec4> color, float width) {
    if (color)
        ImGui::PushStyleColor(ImGuiCol_Text, *color);
    if (width <= 0)
        width = ImGui::GetContentRegionAvail().x;
    ImGui::BeginGroup();
    ImGui::PushStyleVarY(ImGuiStyleVar_ItemSpacing, std::floor(ImGui::GetFontSize() * 0.2f));
    for (const std::string_view line : wrap_lines(text, width))
        ImGui::TextUnformatted(line.data(), line.data() + line.size());
    ImGui::PopStyleVar();
    ImGui::EndGroup();
    if (color)
        ImGui::PopStyleColor();
}

void text_selectable(const Context& ctx, const char* id, const std::string& text, float width) {
    if (width <= 0)
        width = ImGui::GetContentRegionAvail().x;
    // The field shows the lines as we break them: its own wrapping does not know Chinese.
    std::string wrapped;
    wrapped.reserve(text.size() + text.size() / 32);
    std::size_t lines = 0;
    for (const std::string_view line : wrap_lines(text, width - 2)) {
        if (lines++ > 0)
            wrapped += '\n';
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
        if (ImGui::MenuItem(ctx.text.label("common.copy_all")))
            ImGui::SetClipboardText(text.c_str());
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

void text_elided(std::string_view text, float width) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() == text.size() && ImGui::CalcTextSize(line.data(), line.data() + line.size()).x <= width) {
        ImGui::TextUnformatted(line.data(), line.data() + line.size());
        return;
    }
    ImFontBaked* font = ImGui::GetFontBaked();
    float used = font->GetCharAdvance(0x2026);
    std::size_t i = 0;
    while (i < line.size()) {
        unsigned c = 0;
        const int length = std::max(1, ImTextCharFromUtf8(&c, line.data() + i, line.data() + line.size()));
        used += font->GetCharAdvance(static_cast<ImWchar>(c));
        if (used > width)
            break;
        i += static_cast<std::size_t>(length);
    }
    const std::string cut = std::string(line.substr(0, i)) + "\u2026";
    ImGui::TextUnformatted(cut.c_str());
    tooltip(text);
}

std::string displayable(std::string_view bytes) {
    std::string result;
    result.reserve(bytes.size());
    while (!bytes.empty()) {
        const int length = utf8_length(bytes);
        if (length < 0)
            break;
        if (length == 0)
            result += "\ufffd";
        else
            result.append(bytes.substr(0, static_cast<std::size_t>(length)));
        bytes.remove_prefix(static_cast<std::size_t>(std::max(1, length)));
    }
    return result;
}

}  // namespace moescope::ui
