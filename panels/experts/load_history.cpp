#include "panels/experts/load_history.hpp"

#include <algorithm>
#include <cmath>

#include "base/axis.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMostCells = 8000;  ///< what is drawn in well under a millisecond

/// "Step 12", "Steps 12 to 15"
std::string row_title(const ui::Language& text, const LoadRow& row) {
    return row.first == row.last
               ? text.format("load.cell.step", {{"step", text.number(row.last)}})
               : text.format("load.cell.steps", {{"first", text.number(row.first)}, {"last", text.number(row.last)}});
}

/// The counts of one expert in the row's last step; that counts are missing where none are kept for `step`.
std::string row_counts(const LoadView& view, const LoadRow& row, std::size_t expert, double step) {
    const ui::Language& text = view.ctx.text;
    const std::vector<std::uint32_t>& counts = row.end->counts;
    const std::size_t half = view.model.layers() * view.model.experts(), cell = view.cell(view.layer, expert);
    if (counts.size() != 2 * half || static_cast<double>(row.last) + 1.0 < step) {
        return text("load.history.hole");
    }
    return text.format("load.history.cell", {{"expert", std::to_string(expert)},
                                             {"step", text.number(row.last)},
                                             {"english", text.number(std::uint64_t{counts[cell]})},
                                             {"chinese", text.number(std::uint64_t{counts[half + cell]})}});
}

}  // namespace

float LoadHistory::y_of(double step, const Area& area) const {
    const auto [from, to] = rows_.shown();
    return area.min.y + static_cast<float>(std::clamp((step - from) / (to - from), 0.0, 1.0)) * area.height();
}

void LoadHistory::refresh_colors(const LoadView& view) {
    const LoadModel& model = view.model;
    const Key key{rows_.version(), model.scale(), view.ctx.theme.dark};
    if (key == key_) {
        return;
    }
    key_ = key;
    colors_.clear();
    colors_.reserve(rows_.rows().size() * model.experts());
    for (const LoadRow& row : rows_.rows()) {
        for (const CellValue& cell : row.experts) {
            colors_.push_back(load_color(view.ctx.theme, cell, model.mode, model.scale(), model.experts(), 0));
        }
    }
}

void LoadHistory::draw_rows(const LoadView& view, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float w = area.width() / static_cast<float>(view.model.experts());
    const int count = static_cast<int>(colors_.size());
    draw.PrimReserve(6 * count, 4 * count);
    auto color = colors_.begin();
    for (const LoadRow& row : rows_.rows()) {
        const float top = y_of(static_cast<double>(row.first), area),
                    bottom = std::max(y_of(static_cast<double>(row.last + 1), area), top + 1);
        for (std::size_t e = 0; e < row.experts.size(); ++e) {
            const float left = area.min.x + static_cast<float>(e) * w;
            draw.PrimRect({left, top}, {left + w, bottom}, *color++);
        }
    }
}

void LoadHistory::draw_step_axis(const LoadView& view, const Area& area) const {
    const ui::Context& ctx = view.ctx;
    const auto [from, to] = rows_.shown();
    for (const double step : base::ticks(from, to, std::max(2, static_cast<int>(area.height() / (3 * ctx.em))))) {
        const float y = y_of(step, area);
        ImGui::GetWindowDrawList()->AddLine({area.min.x - 0.25f * ctx.em, y}, {area.min.x, y},
                                            ImGui::GetColorU32(ctx.theme.text_dim));
        draw_axis_label(ctx, area, y, ctx.text.number(static_cast<std::uint64_t>(std::max(0.0, step))));
    }
}

void LoadHistory::draw_marks(const LoadView& view, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ui::Context& ctx = view.ctx;
    const auto mark = [&](double step, const ImVec4& tint) {
        if (step >= rows_.shown().from && step <= rows_.shown().to) {
            draw.AddLine({area.min.x, y_of(step, area)}, {area.max.x, y_of(step, area)}, ImGui::GetColorU32(tint),
                         1.5f);
        }
    };
    if (ctx.selection.pinned_step) {
        mark(static_cast<double>(*ctx.selection.pinned_step) + 0.5, ctx.theme.accent);
    }
    if (ctx.selection.hovered_step) {
        mark(*ctx.selection.hovered_step, ctx.theme.text);
    }
    draw.AddRect(area.min, area.max, ImGui::GetColorU32(ctx.theme.border));
    const int expert = ctx.selection.expert;
    if (expert >= 0 && expert < static_cast<int>(view.model.experts())) {
        const float w = area.width() / static_cast<float>(view.model.experts());
        const float left = area.min.x + static_cast<float>(expert) * w;
        draw.AddRect({left - 1, area.min.y}, {left + w + 1, area.max.y}, ImGui::GetColorU32(ctx.theme.accent), 0, 1.5f);
    }
}

void LoadHistory::hover(const LoadView& view, const Area& area) const {
    ui::Context& ctx = view.ctx;
    const ImVec2 mouse = ImGui::GetMousePos();
    const auto [from, to] = rows_.shown();
    const double step = from + (mouse.y - area.min.y) / area.height() * (to - from);
    ctx.selection.hovered_step = step;
    ctx.selection.hovered_frame = ImGui::GetFrameCount();
    const LoadRow* row = rows_.at(step);
    if (row == nullptr) {
        return;
    }
    if (ImGui::IsItemClicked()) {
        ctx.selection.pinned_step = row->last;
    }
    if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
        ctx.selection.pinned_step.reset();
        fit_steps(ctx.selection, view.run);
    }
    if (!ui::begin_tooltip()) {
        return;
    }
    ImGui::TextUnformatted(row_title(ctx.text, *row).c_str());
    ui::text_dim(ctx, row_counts(view, *row, part_at(mouse.x, area.min.x, area.width(), view.model.experts()), step));
    ui::text_dim(ctx, ctx.text("load.history.help"));
    ImGui::EndTooltip();
}

void LoadHistory::draw(const LoadView& view, ImVec2 size) {
    const ui::Context& ctx = view.ctx;
    begin_view("history", size);
    load_caption(ctx, ctx.text("load.history"),
                 ctx.text.format("load.history.unit", {{"layer", std::to_string(view.layer)}}));
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const std::string widest = ctx.text.number(std::uint64_t{view.run.counts.back()->step});
    const float left = ImGui::CalcTextSize(widest.c_str()).x + 0.6f * ctx.em;
    const Area area{{corner.x + left, corner.y},
                    {corner.x + room.x - 0.2f * ctx.em, corner.y + room.y - line - 0.2f * ctx.em}};
    if (area.width() >= ctx.em && area.height() >= ctx.em) {
        const std::size_t limit = std::max<std::size_t>(
            1, std::min(static_cast<std::size_t>(area.height() / 2), kMostCells / view.model.experts()));
        rows_.update(view.run, view.layer, view.model.mode,
                     LoadRows::range(view.run, ctx.selection.step_min, ctx.selection.step_max), limit);
        refresh_colors(view);
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###load.rows", {area.width(), area.height()});
        draw_rows(view, area);
        draw_step_axis(view, area);
        draw_marks(view, area);
        draw_expert_axis(view, area);
        if (ImGui::IsItemHovered()) {
            hover(view, area);
        }
    }
    ImGui::EndChild();
}

}  // namespace moescope::panels
