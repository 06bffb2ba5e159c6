#include "panels/experts/load_history.hpp"

#include <algorithm>
#include <cmath>

#include "base/axis.hpp"
#include "panels/experts/old_steps.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/icons.hpp"
#include "panels/ui/notes.hpp"
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
    draw_notes(view, area);
    draw.AddRect(area.min, area.max, ImGui::GetColorU32(ctx.theme.border));
    const int expert = ctx.selection.expert;
    if (expert >= 0 && expert < static_cast<int>(view.model.experts())) {
        const float w = area.width() / static_cast<float>(view.model.experts());
        const float left = area.min.x + static_cast<float>(expert) * w;
        draw.AddRect({left - 1, area.min.y}, {left + w + 1, area.max.y}, ImGui::GetColorU32(ctx.theme.accent), 0, 1.5f);
    }
}

/// Where steps are not there yet, or will not be: no colour of the map, and a sentence.
void LoadHistory::draw_missing(const LoadView& view, const Area& area, const OldRange& old) const {
    const auto [from, to] = rows_.shown();
    const double oldest = static_cast<double>(view.run.counts.front()->step);
    const bool wide = old.state == OldRange::State::wide;
    if (from >= oldest || (old.missing.empty() && !wide)) {
        return;
    }
    const ui::Context& ctx = view.ctx;
    const double first = wide ? from : static_cast<double>(old.missing.front()),
                 last = wide ? std::min(to, oldest) : static_cast<double>(old.missing.back() + 1);
    const float top = y_of(first, area), bottom = std::max(y_of(last, area), top + 1);
    const std::string text =
        wide
            ? ctx.text.format("load.history.wide", {{"n", ctx.text.number(old.most)}})
            : std::string(ctx.text(old.state == OldRange::State::coming ? "load.history.coming" : "load.history.lost"));
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float room = area.width() - ctx.em;
    const ImVec2 size = ImGui::CalcTextSize(text.c_str(), nullptr, false, room);
    const float y = std::clamp((top + bottom - size.y) / 2, area.min.y, std::max(area.min.y, area.max.y - size.y));
    const ImVec2 low{area.min.x + (area.width() - std::min(room, size.x)) / 2, y};
    draw.PushClipRect(area.min, area.max, true);
    draw.AddRectFilled({low.x - 0.3f * ctx.em, low.y - 2}, {low.x + size.x + 0.3f * ctx.em, low.y + size.y + 2},
                       ImGui::GetColorU32(ctx.theme.panel), 3);
    draw.AddText(ImGui::GetFont(), ImGui::GetFontSize(), low, ImGui::GetColorU32(ctx.theme.text_dim), text.c_str(),
                 nullptr, room);
    draw.PopClipRect();
}

/// At the right edge, where the rows of steps with a note are.
void LoadHistory::draw_notes(const LoadView& view, const Area& area) const {
    const ui::Context& ctx = view.ctx;
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float letters = 0.8f * ctx.em, width = ImGui::CalcTextSize(ui::icon::note).x * letters / ImGui::GetFontSize();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.accent);
    const auto [from, to] = rows_.shown();
    std::vector<float> heights;
    for (const auto& [number, note] : *ctx.snapshot.notes) {
        const double middle = static_cast<double>(note.on.step) + 0.5;
        if (note.on.kind == history::NotePlace::Kind::step && note.on.run == view.run.id && middle >= from &&
            middle <= to) {
            heights.push_back(y_of(middle, area));
        }
    }
    std::sort(heights.begin(), heights.end());
    float free_y = -1e30f;  // one that would cover the one before is a line alone
    for (const float y : heights) {
        draw.AddLine({area.max.x - 1.6f * ctx.em, y}, {area.max.x, y}, ink, std::max(1.0f, ctx.em / 12));
        if (y - letters / 2 > free_y) {
            const ImVec2 low{area.max.x - width - 0.3f * ctx.em, y - letters / 2};
            draw.AddRectFilled({low.x - 2, low.y - 1}, {low.x + width + 2, low.y + letters + 1},
                               ImGui::GetColorU32(ctx.theme.panel), 2);
            draw.AddText(ImGui::GetFont(), letters, low, ink, ui::icon::note);
            free_y = y + letters / 2;
        }
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
    // A mark is as high as some steps.
    const double reach = std::max(0.5, 0.4 * ctx.em * (to - from) / std::max(1.0f, area.height()));
    if (const std::string notes = ui::step_notes_text(ctx, view.run.id, step - 0.5 - reach, step - 0.5 + reach);
        !notes.empty()) {
        ImGui::TextUnformatted(notes.c_str());
    }
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
        const double from = ctx.selection.step_min, to = ctx.selection.step_max;
        const OldRange& old = view.ctx.shared.get<OldSteps>().in(view.ctx, view.run, from, to);
        rows_.update(view.run, view.layer, view.model.mode, LoadRows::range(view.run, from, to, old), limit, &old);
        refresh_colors(view);
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###load.rows", {area.width(), area.height()});
        draw_rows(view, area);
        draw_missing(view, area, old);
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
