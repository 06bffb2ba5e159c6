#include "panels/routing/bar_view.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>

#include "base/axis.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/view_parts.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

bool is_set(const std::vector<std::uint8_t>& marks, std::size_t at) {
    return at < marks.size() && marks[at] != 0;
}

/// The title as a button, the unit behind it, and the names of the series and of dashed lines, in more rows where one
/// has no room.
bool draw_head(const ui::Context& ctx, const BarPicture& picture, float width) {
    const ImVec2 start = ImGui::GetCursorScreenPos();
    ImGui::PushFont(ctx.bold, 0);
    const std::string title = ui::elided(picture.title, width);
    const ImVec2 at = ImGui::GetCursorScreenPos(), size = ImGui::CalcTextSize(title.c_str());
    const bool pressed =
        ImGui::InvisibleButton("###title", {std::max(size.x, 1.0f), size.y}, ImGuiButtonFlags_EnableNav);
    const bool marked = ImGui::IsItemHovered() || ImGui::IsItemFocused();
    ImGui::GetWindowDrawList()->AddText(at, ImGui::GetColorU32(marked ? ctx.theme.accent : ctx.theme.text),
                                        title.c_str());
    ImGui::PopFont();
    ui::tooltip(ctx.text("routing.bars.help"));
    const auto flow = [&](float needed) {
        if (ImGui::GetItemRectMax().x + 0.6f * ctx.em + needed <= start.x + width) {
            ImGui::SameLine(0, 0.6f * ctx.em);
        }
    };
    if (!picture.y_name.empty()) {
        flow(ImGui::CalcTextSize(picture.y_name.c_str()).x);
        ui::text_dim(ctx, ui::elided(picture.y_name, width));
    }
    const float box = 0.62f * ctx.em, line = ImGui::GetTextLineHeight();
    for (const BarPicture::Series& series : picture.series) {
        if (picture.series.size() < 2) {
            break;
        }
        const std::string name = ui::elided(series.name, width - box - ctx.em);
        const float needed = box + 0.3f * ctx.em + ImGui::CalcTextSize(name.c_str()).x;
        flow(needed);
        const ImVec2 corner = ImGui::GetCursorScreenPos();
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const float y = corner.y + (line - box) / 2;
        if (series.as_line) {
            draw.AddRectFilled({corner.x, y + box / 2 - 1}, {corner.x + box, y + box / 2 + 1}, series.colour);
        } else {
            draw.AddRectFilled({corner.x, y}, {corner.x + box, y + box}, series.colour, 2);
        }
        draw.AddText({corner.x + box + 0.3f * ctx.em, corner.y}, ImGui::GetColorU32(ctx.theme.text_dim), name.c_str());
        ImGui::Dummy({needed, line});
    }
    for (const BarPicture::Level& level : picture.levels) {
        const float dashes = 1.2f * ctx.em;
        const std::string name = ui::elided(level.name, width - dashes - ctx.em);
        const float needed = dashes + 0.3f * ctx.em + ImGui::CalcTextSize(name.c_str()).x;
        flow(needed);
        const ImVec2 corner = ImGui::GetCursorScreenPos();
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const float y = corner.y + line / 2, dash = 0.4f * ctx.em;
        for (float x = corner.x; x < corner.x + dashes; x += 2 * dash) {
            draw.AddLine({x, y}, {x + dash, y}, ImGui::GetColorU32(ctx.theme.text));
        }
        draw.AddText({corner.x + dashes + 0.3f * ctx.em, corner.y}, ImGui::GetColorU32(ctx.theme.text_dim),
                     name.c_str());
        ImGui::Dummy({needed, line});
    }
    return pressed;
}

void hatch(ImDrawList& draw, const Area& cell, ImU32 ink, float step) {
    draw.PushClipRect(cell.min, cell.max, true);
    for (float x = cell.min.x - cell.height(); x < cell.max.x; x += step) {
        draw.AddLine({x, cell.max.y}, {x + cell.height(), cell.min.y}, ink);
    }
    draw.PopClipRect();
}

class Bars {
 public:
    Bars(const ui::Context& ctx, const BarPicture& picture, const Area& area)
        : ctx_(ctx),
          picture_(picture),
          area_(area),
          range_(range_of(picture)),
          wide_(area.width() / static_cast<float>(picture.size())) {}

    void draw(int selected) const {
        draw_axis();
        draw_hatched();
        draw_series();
        draw_parts();
        draw_levels();
        draw_labels();
        if (selected >= 0 && selected < static_cast<int>(picture_.size())) {
            const float x = left_of(static_cast<std::size_t>(selected));
            draw_.AddRect({x, area_.min.y}, {x + std::max(wide_, 2.0f), area_.max.y},
                          ImGui::GetColorU32(ctx_.theme.accent), 0, 1.5f);
        }
    }

 private:
    float y_of(double value) const {
        const double share = (value - range_.low) / (range_.high - range_.low);
        return area_.max.y - static_cast<float>(std::clamp(share, 0.0, 1.0)) * area_.height();
    }
    float left_of(std::size_t at) const { return area_.min.x + static_cast<float>(at) * wide_; }

    void draw_axis() const {
        const int most = std::max(2, static_cast<int>(area_.height() / (2.2f * ctx_.em)));
        const float line = ImGui::GetTextLineHeight();
        for (const double at : base::ticks(range_.low, range_.high, most)) {
            const float y = y_of(at);
            draw_.AddLine({area_.min.x, y}, {area_.max.x, y}, ImGui::GetColorU32(ctx_.theme.grid));
            const std::string label = ctx_.text.number(at, 3);
            draw_.AddText({area_.min.x - 0.35f * ctx_.em - ImGui::CalcTextSize(label.c_str()).x,
                           std::clamp(y - line / 2, area_.min.y - 0.3f * line, area_.max.y - 0.8f * line)},
                          ImGui::GetColorU32(ctx_.theme.text_dim), label.c_str());
        }
        const float zero = y_of(0.0);
        draw_.AddLine({area_.min.x, zero}, {area_.max.x, zero}, ImGui::GetColorU32(ctx_.theme.text_dim));
    }

    void draw_hatched() const {
        // Neighbours are hatched as one.
        for (std::size_t at = 0; at < picture_.size();) {
            if (!is_set(picture_.hatched, at)) {
                ++at;
                continue;
            }
            std::size_t end = at;
            while (end < picture_.size() && is_set(picture_.hatched, end)) {
                ++end;
            }
            hatch(draw_, {{left_of(at), area_.min.y}, {left_of(end), area_.max.y}},
                  faded(ImGui::GetColorU32(ctx_.theme.text_dim), 0.35f), 0.5f * ctx_.em);
            at = end;
        }
    }

    void draw_series() const {
        const auto bars = static_cast<float>(
            std::count_if(picture_.series.begin(), picture_.series.end(), [](const auto& s) { return !s.as_line; }));
        const float gap = wide_ > 6 ? 0.08f * wide_ : 0, inner = wide_ - 2 * gap;
        float before = 0;
        for (const BarPicture::Series& series : picture_.series) {
            const float width = series.as_line ? inner : inner / std::max(bars, 1.0f);
            for (std::size_t at = 0; at < picture_.size(); ++at) {
                const double value = at < series.values.size() ? series.values[at] : NAN;
                if (!std::isfinite(value)) {
                    continue;
                }
                const float left = left_of(at) + gap + (series.as_line ? 0 : before * width), y = y_of(value),
                            zero = y_of(0.0);
                const bool quiet = is_set(picture_.hatched, at);
                const ImU32 colour = quiet ? faded(series.colour, 0.35f) : series.colour;
                if (series.as_line) {
                    draw_.AddRectFilled({left, y - 1}, {left + std::max(width, 1.0f), y + 1}, colour);
                } else {
                    draw_.AddRectFilled({left, std::min(y, zero)},
                                        {left + std::max(width - (width > 3 ? 1.0f : 0.0f), 1.0f),
                                         std::max({y, zero, std::min(y, zero) + 1})},
                                        colour);
                }
                draw_interval(series, at, left + width / 2);
            }
            before += series.as_line ? 0 : 1;
        }
    }

    void draw_interval(const BarPicture::Series& series, std::size_t at, float x) const {
        if (at >= series.low.size() || at >= series.high.size() || !std::isfinite(series.low[at]) ||
            !std::isfinite(series.high[at])) {
            return;
        }
        const ImU32 ink = ImGui::GetColorU32(ctx_.theme.text);
        draw_.AddLine({x, y_of(series.low[at])}, {x, y_of(series.high[at])}, ink, std::max(1.0f, ctx_.em / 14));
    }

    void draw_parts() const {
        const ImU32 ink = ImGui::GetColorU32(ctx_.theme.text_dim);
        float begin = area_.min.x;
        for (const BarPicture::Part& part : picture_.parts) {
            const float end = left_of(part.end);
            if (part.end < picture_.size()) {
                draw_.AddLine({end, area_.min.y - ImGui::GetTextLineHeight()}, {end, area_.max.y}, faded(ink, 0.7f));
            }
            const float width = ImGui::CalcTextSize(part.text.c_str()).x;
            if (width + 0.2f * ctx_.em < end - begin) {
                draw_.AddText({(begin + end - width) / 2, area_.min.y - ImGui::GetTextLineHeight()}, ink,
                              part.text.c_str());
            }
            begin = end;
        }
    }

    void draw_levels() const {
        const ImU32 ink = ImGui::GetColorU32(ctx_.theme.text);
        for (const BarPicture::Level& level : picture_.levels) {
            const float y = y_of(level.value), dash = 0.4f * ctx_.em;
            for (float x = area_.min.x; x < area_.max.x; x += 2 * dash) {
                draw_.AddLine({x, y}, {std::min(x + dash, area_.max.x), y}, ink);
            }
        }
    }

    void draw_labels() const {
        const float widest = ImGui::CalcTextSize(std::to_string(picture_.labels.back()).c_str()).x + 0.4f * ctx_.em;
        std::size_t stride = 1;
        while (wide_ * static_cast<float>(stride) < widest && stride < picture_.size()) {
            stride *= 2;
        }
        const ImU32 ink = ImGui::GetColorU32(ctx_.theme.text_dim);
        // What the numbers below are stands before them.
        draw_.AddText({area_.min.x - 0.9f * ctx_.em - ImGui::CalcTextSize(picture_.x_name.c_str()).x,
                       area_.max.y + 0.6f * ctx_.em},
                      ink, picture_.x_name.c_str());
        const float mark = std::clamp(0.5f * wide_, 2.0f, 0.35f * ctx_.em);
        for (std::size_t at = 0; at < picture_.size(); ++at) {
            const float middle = left_of(at) + wide_ / 2;
            if (is_set(picture_.marked, at)) {
                draw_.AddTriangleFilled({middle, area_.max.y + 1}, {middle + mark, area_.max.y + 1 + 1.6f * mark},
                                        {middle - mark, area_.max.y + 1 + 1.6f * mark},
                                        ImGui::GetColorU32(ctx_.theme.accent));
            }
            if (at % stride == 0) {
                const std::string label = std::to_string(picture_.labels[at]);
                draw_.AddText({middle - ImGui::CalcTextSize(label.c_str()).x / 2, area_.max.y + 0.6f * ctx_.em}, ink,
                              label.c_str());
            }
        }
    }

    const ui::Context& ctx_;
    const BarPicture& picture_;
    const Area area_;
    const BarRange range_;
    const float wide_;
    ImDrawList& draw_ = *ImGui::GetWindowDrawList();
};

/// What the numbers beside the axis need.
float axis_width(const ui::Context& ctx, const BarPicture& picture) {
    const BarRange range = range_of(picture);
    float widest = std::max(2 * ctx.em, ImGui::CalcTextSize(picture.x_name.c_str()).x + 0.6f * ctx.em);
    for (const double at : base::ticks(range.low, range.high, 5)) {
        widest = std::max(widest, ImGui::CalcTextSize(ctx.text.number(at, 3).c_str()).x);
    }
    return widest + 0.5f * ctx.em;
}

}  // namespace

BarHit draw_bars(const ui::Context& ctx, const char* id, ImVec2 size, const BarPicture& picture, int selected,
                 bool* menu_wanted) {
    BarHit hit;
    ImGui::BeginChild(id, size, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    const float width = ImGui::GetContentRegionAvail().x;
    if (draw_head(ctx, picture, width) && menu_wanted != nullptr) {
        *menu_wanted = true;
    }
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const float above = picture.parts.empty() ? 0 : line;
    const Area area{{corner.x + axis_width(ctx, picture), corner.y + above},
                    {corner.x + room.x - 0.5f * ctx.em, corner.y + room.y - line - 0.7f * ctx.em}};
    if (picture.size() > 0 && area.width() >= 2 * ctx.em && area.height() >= ctx.em) {
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###bars", {area.width(), area.height() + line},
                               ImGuiButtonFlags_MouseButtonLeft | ImGuiButtonFlags_MouseButtonRight);
        if (ImGui::IsItemHovered()) {
            const float at = (ImGui::GetMousePos().x - area.min.x) / area.width() * static_cast<float>(picture.size());
            hit.hovered = std::min(picture.size() - 1, static_cast<std::size_t>(std::max(0.0f, at)));
            hit.clicked = ImGui::IsMouseReleased(ImGuiMouseButton_Left);
            hit.menu = ImGui::IsMouseReleased(ImGuiMouseButton_Right);
        }
        Bars(ctx, picture, area).draw(selected);
    }
    ImGui::EndChild();
    return hit;
}

}  // namespace moescope::panels
