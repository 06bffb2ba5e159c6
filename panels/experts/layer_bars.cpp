#include "panels/experts/layer_bars.hpp"

#include <algorithm>
#include <cmath>

#include "base/axis.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/units.hpp"

namespace moescope::panels {
namespace {

/// From values to heights: the ends are those of the colours of the map.
struct Axis {
    double bottom = 0, top = 1;
    Area area;
    float y(double value) const {
        return area.max.y -
               static_cast<float>((std::clamp(value, bottom, top) - bottom) / (top - bottom)) * area.height();
    }
};

Axis axis_of(const LoadModel& model, const Area& area) {
    const double top = model.scale() * model.even();
    return {model.is_difference() ? -top : 0, top, area};
}

void draw_axis(const LoadView& view, const Axis& axis) {
    const ui::Context& ctx = view.ctx;
    const int most = std::max(2, static_cast<int>(axis.area.height() / (2.2f * ctx.em)));
    for (const double percent : base::ticks(100 * axis.bottom, 100 * axis.top, most)) {
        const float y = axis.y(percent / 100);
        ImGui::GetWindowDrawList()->AddLine({axis.area.min.x, y}, {axis.area.max.x, y},
                                            ImGui::GetColorU32(ctx.theme.grid));
        draw_axis_label(ctx, axis.area, y, ui::with_percent(ctx.text, ctx.text.number(percent, 3)));
    }
}

ImU32 bar_color(const LoadView& view, std::size_t cell) {
    const ui::Theme& theme = view.ctx.theme;
    const LoadModel& model = view.model;
    switch (model.mode) {
        case LoadMode::all:
            return ImGui::GetColorU32(theme.series_color(4));
        case LoadMode::english:
            return ImGui::GetColorU32(theme.english);
        case LoadMode::chinese:
            return ImGui::GetColorU32(theme.chinese);
        case LoadMode::difference: {
            const ImU32 color = ImGui::GetColorU32(model.cells().value[cell] > 0 ? theme.english : theme.chinese);
            return model.cells().beyond[cell] != 0 ? color : faded(color, 0.35f);
        }
    }
    return 0;
}

void draw_bars(const LoadView& view, const Axis& axis) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ui::Context& ctx = view.ctx;
    const LoadModel& model = view.model;
    const float w = axis.area.width() / static_cast<float>(model.experts()), half = std::max(0.5f, 0.36f * w);
    for (std::size_t e = 0; e < model.experts(); ++e) {
        const std::size_t cell = view.cell(view.layer, e);
        const double value = model.cells().value[cell];
        if (std::isnan(value)) {
            continue;
        }
        const float middle = axis.area.min.x + (static_cast<float>(e) + 0.5f) * w;
        const float high = axis.y(std::max(0.0, value)), low = axis.y(std::min(0.0, value));
        draw.AddRectFilled({middle - half, high}, {middle + half, std::max(low, high + 1)}, bar_color(view, cell));
        if (model.is_difference()) {
            // What shuffled labels give: a bracket of two standard deviations around zero.
            const double sigma = model.cells().sigma[cell];
            draw.AddRectFilled({middle - half, axis.y(2 * sigma)}, {middle + half, axis.y(-2 * sigma)},
                               faded(ImGui::GetColorU32(ctx.theme.text_dim), 0.22f));
        }
        if (ctx.selection.expert == static_cast<int>(e)) {
            draw.AddRect({middle - w / 2, axis.area.min.y}, {middle + w / 2, axis.area.max.y},
                         ImGui::GetColorU32(ctx.theme.accent), 0, 1.5f);
        }
    }
    const float level = axis.y(model.is_difference() ? 0 : model.even());
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text);
    draw.AddLine({axis.area.min.x, level}, {axis.area.max.x, level}, ink, 1.5f);
    draw.AddText({axis.area.max.x + 0.25f * ctx.em, level - ImGui::GetTextLineHeight() / 2}, ink,
                 model.is_difference() ? "0" : "1/N");
}

}  // namespace

void draw_layer_bars(const LoadView& view, ImVec2 size) {
    const ui::Context& ctx = view.ctx;
    begin_view("bars", size);
    load_caption(ctx, ctx.text.format("load.bars", {{"layer", std::to_string(view.layer)}}).c_str(),
                 ctx.text(view.model.is_difference() ? "load.bars.difference" : "load.bars.unit"));
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const Area area{{corner.x + 3.2f * ctx.em, corner.y},
                    {corner.x + room.x - 2 * ctx.em, corner.y + room.y - line - 0.2f * ctx.em}};
    if (area.width() >= ctx.em && area.height() >= ctx.em) {
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###load.bars", {area.width(), area.height()});
        const bool hovered = ImGui::IsItemHovered(), clicked = ImGui::IsItemClicked();
        const Axis axis = axis_of(view.model, area);
        draw_axis(view, axis);
        draw_bars(view, axis);
        draw_expert_axis(view, area);
        if (hovered) {
            const ExpertCell cell{view.layer,
                                  part_at(ImGui::GetMousePos().x, area.min.x, area.width(), view.model.experts())};
            draw_cell_tooltip(view, cell);
            if (clicked) {
                toggle_selection(view.ctx.selection, cell);
            }
        }
    }
    ImGui::EndChild();
}

}  // namespace moescope::panels
