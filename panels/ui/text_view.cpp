#include "panels/ui/text_view.hpp"

#include <algorithm>
#include <array>

namespace moescope::panels {
namespace {

float width_of(ImFontBaked* baked, char32_t code) {
    if (code == '\t') {
        return 4 * baked->GetCharAdvance(' ');
    }
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
    if (!runs_.empty() && runs_.back().style == style) {
        runs_.back().end = end;
    } else if (!text.empty()) {
        runs_.push_back({end, style});
    }
}

std::uint16_t TextView::style_at(std::uint32_t offset) const {
    const auto run = std::upper_bound(runs_.begin(), runs_.end(), offset,
                                      [](std::uint32_t at, const StyleRun& r) { return at < r.end; });
    return run == runs_.end() ? 0 : run->style;
}

TextView::Result TextView::draw(const ui::Context& ctx, float width, std::span<const TextStyle> styles) {
    static constexpr TextStyle kPlain;
    if (styles.empty()) {
        styles = std::span(&kPlain, 1);
    }
    Faces faces{{ImGui::GetFont(), ctx.bold ? ctx.bold : ImGui::GetFont(), ctx.mono ? ctx.mono : ImGui::GetFont()},
                {},
                ImGui::GetFontSize()};
    for (int i = 0; i < 3; ++i) {
        faces.baked[i] = faces.font[i]->GetFontBaked(faces.size);
    }
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
    for (std::ptrdiff_t i = first; i < last; ++i) {
        draw_line(lines[static_cast<std::size_t>(i)], {origin.x, origin.y + static_cast<float>(i) * line_height},
                  line_height, faces, styles, result);
    }
    result.height = static_cast<float>(lines.size()) * line_height;
    ImGui::Dummy({width, result.height});
    if (!ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenBlockedByActiveItem)) {
        result.hovered.reset();
    }
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
            if (mouse_in_line && mouse.x >= to && mouse.x < to + w) {
                result.hovered = end;
            }
            to += w;
            end += c.length;
        }
        const ImU32 color = style.color ? style.color : ImGui::GetColorU32(ImGuiCol_Text);
        if (style.background) {
            list->AddRectFilled({x, at.y + 1}, {to, at.y + height - 1}, style.background, 3.0f);
        }
        list->AddText(faces.font[face], faces.size, {x, text_y}, color, text_.data() + begin, text_.data() + end);
        const float weight = std::max(1.0f, faces.size / 14.0f);
        if (style.underline) {
            list->AddRectFilled({x, text_y + faces.size}, {to, text_y + faces.size + weight}, color);
        }
        if (style.strike) {
            list->AddRectFilled({x, text_y + faces.size * 0.55f}, {to, text_y + faces.size * 0.55f + weight}, color);
        }
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

}  // namespace moescope::panels
