#include "panels/experts/expert_map.hpp"

#include <algorithm>
#include <cmath>

#include "panels/experts/expert_marks.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMostDetailed = 2000;  ///< cells that get a stroke or a number each

/// The rectangles of the cells: as wide as the area allows, with a gap between them where they are large.
struct Grid {
    Grid(const LoadModel& model, const Area& area)
        : experts(model.experts()),
          origin(area.min),
          w(area.width() / static_cast<float>(model.experts())),
          h(area.height() / static_cast<float>(model.layers())),
          gap(w > 6 && h > 6 ? 1.0f : 0.0f) {}
    Area operator[](std::size_t cell) const {
        const ImVec2 low{origin.x + static_cast<float>(cell % experts) * w,
                         origin.y + static_cast<float>(cell / experts) * h};
        return {low, {low.x + w - gap, low.y + h - gap}};
    }
    std::size_t experts;
    ImVec2 origin;
    float w, h, gap;
};

}  // namespace

void ExpertMap::refresh_colors(const LoadView& view) {
    const LoadModel& model = view.model;
    const Key key{model.cells().version, model.scale(), view.ctx.theme.dark};
    if (key == key_) {
        return;
    }
    key_ = key;
    const ImU32 nothing = ui::packed(view.ctx.theme.grid);
    colors_.resize(model.cells().value.size());
    for (std::size_t cell = 0; cell < colors_.size(); ++cell) {
        colors_[cell] =
            load_color(view.ctx.theme, model.value_of(cell), model.mode, model.scale(), model.experts(), nothing);
    }
}

void ExpertMap::draw_cells(const LoadView& view, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const Grid grid(view.model, area);
    const int count = static_cast<int>(colors_.size());
    draw.PrimReserve(6 * count, 4 * count);
    for (std::size_t cell = 0; cell < colors_.size(); ++cell) {
        const Area at = grid[cell];
        draw.PrimRect(at.min, at.max, colors_[cell]);
    }
}

void ExpertMap::draw_marks_and_numbers(const LoadView& view, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const LoadModel& model = view.model;
    const ui::Context& ctx = view.ctx;
    const Grid grid(model, area);
    const bool roomy = colors_.size() <= kMostDetailed;
    const bool numbers = roomy && grid.w > 2.6f * ctx.em && grid.h > 1.3f * ctx.em, tall = grid.h > 2.6f * ctx.em;
    const ImU32 stroke = ui::packed(ctx.theme.text_dim, 0.35f);
    for (std::size_t cell = 0; cell < colors_.size(); ++cell) {
        const Area at = grid[cell];
        const CellValue shown = model.value_of(cell);
        const ExpertState& state = view.states[cell];
        const bool marked = state != ExpertState(), chance = model.is_difference() && !shown.beyond;
        if (roomy && chance && grid.w > 5) {
            draw.AddLine({at.min.x, at.max.y}, {at.max.x, at.min.y}, stroke);
        }
        // A mark is worth more than a number that its tooltip has too, where there is no room for both.
        if (numbers && !std::isnan(shown.value) && !state.disabled && (!marked || tall)) {
            const std::string number = ctx.text.number(100 * shown.value, 2);
            const ImVec2 size = ImGui::CalcTextSize(number.c_str());
            draw.AddText({(at.min.x + at.max.x - size.x) / 2, (at.min.y + at.max.y - size.y) / 2},
                         chance ? ImGui::GetColorU32(ctx.theme.text_dim) : ui::ink_on(colors_[cell]), number.c_str());
        }
        if (marked) {
            draw_marks(ctx, state, at, colors_[cell], numbers && tall);
        }
    }
}

void ExpertMap::draw_selection(const LoadView& view, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const Grid grid(view.model, area);
    const ui::Context& ctx = view.ctx;
    const float top = area.min.y + static_cast<float>(view.layer) * grid.h, bottom = top + grid.h + 1 - grid.gap;
    draw.AddRect({area.min.x - 1, top - 1}, {area.max.x + 1 - grid.gap, bottom},
                 faded(ImGui::GetColorU32(ctx.theme.text), 0.8f), 0, 1.0f);
    const int expert = ctx.selection.expert;
    if (expert >= 0 && expert < static_cast<int>(view.model.experts()) && ctx.selection.layer >= 0) {
        const float left = area.min.x + static_cast<float>(expert) * grid.w;
        draw.AddRect({left - 1, top - 1}, {left + grid.w + 1 - grid.gap, bottom}, ImGui::GetColorU32(ctx.theme.accent),
                     0, 2.5f);
    }
}

std::optional<ExpertCell> ExpertMap::draw(const LoadView& view, ImVec2 size) {
    const ui::Context& ctx = view.ctx;
    const LoadModel& model = view.model;
    refresh_colors(view);
    begin_view("map", size);
    const float legend = draw_marks_legend(view, 0.6f * size.x);
    load_caption(ctx, ctx.text("load.map"), ctx.text(model.is_difference() ? "load.map.difference" : "load.map.unit"),
                 legend);
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    // Beside the cells: the colour bar and its labels, of which the lower end of a difference is the longest.
    const std::string label = (model.exceeds_scale() ? "\u2265" : "") +
                              of_even(ctx.text, model.is_difference() ? -model.scale() : model.scale());
    const float left = ImGui::CalcTextSize("00").x + 0.5f * ctx.em,
                right = std::max(3.9f * ctx.em, 1.65f * ctx.em + ImGui::CalcTextSize(label.c_str()).x);
    const Area area{{corner.x + left, corner.y}, {corner.x + room.x - right, corner.y + room.y - line - 0.2f * ctx.em}};
    std::optional<ExpertCell> hovered;
    if (area.width() >= ctx.em && area.height() >= ctx.em) {
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###load.cells", {area.width(), area.height()});
        const bool clicked = ImGui::IsItemClicked();
        if (ImGui::IsItemHovered()) {
            const ImVec2 mouse = ImGui::GetMousePos();
            hovered = ExpertCell{part_at(mouse.y, area.min.y, area.height(), model.layers()),
                                 part_at(mouse.x, area.min.x, area.width(), model.experts())};
        }
        draw_cells(view, area);
        draw_marks_and_numbers(view, area);
        draw_selection(view, area);
        draw_names_left(
            ctx, area, model.layers(), [](std::size_t layer) { return std::to_string(layer); }, view.layer);
        draw_expert_axis(view, area);
        draw_load_scale(ctx, {{area.max.x + 0.6f * ctx.em, area.min.y}, {area.max.x + 1.2f * ctx.em, area.max.y}},
                        model.mode, model.scale(), model.exceeds_scale());
        if (hovered) {
            draw_cell_tooltip(view, *hovered);
            if (clicked && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
                open_expert(view.ctx, *hovered);
            } else if (clicked) {
                toggle_selection(view.ctx.selection, *hovered);
            }
        }
    }
    ImGui::EndChild();
    return hovered;
}

}  // namespace moescope::panels
