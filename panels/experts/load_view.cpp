#include "panels/experts/load_view.hpp"

#include <algorithm>
#include <cmath>

#include "panels/experts/expert_marks.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

ImU32 load_color(const ui::Theme& theme, const CellValue& cell, LoadMode mode, double scale, std::size_t experts,
                 ImU32 nothing) {
    if (std::isnan(cell.value)) {
        return mode == LoadMode::difference && !cell.beyond ? faded(nothing, 0.3f) : nothing;
    }
    const double ratio = cell.value * static_cast<double>(experts);
    if (mode != LoadMode::difference) {
        return theme.load_color(std::clamp(ratio / scale, 0.0, 1.0));
    }
    const ImU32 color = theme.difference_color(std::clamp(ratio / scale, -1.0, 1.0));
    return cell.beyond ? color : faded(color, 0.3f);
}

void draw_load_scale(const ui::Context& ctx, const Area& area, LoadMode mode, double scale, bool exceeds) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const bool difference = mode == LoadMode::difference;
    const double top = scale, bottom = difference ? -top : 0;
    constexpr int kSlices = 48;
    const float slice = area.height() / kSlices;
    for (int i = 0; i < kSlices; ++i) {
        const double ratio = top + (bottom - top) * (i + 0.5) / kSlices;
        draw.AddRectFilled({area.min.x, area.min.y + static_cast<float>(i) * slice},
                           {area.max.x, area.min.y + static_cast<float>(i + 1) * slice + 0.5f},
                           load_color(ctx.theme, {ratio, 0, true}, mode, top, 1, 0));  // in units of 1/N
    }
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    const float line = ImGui::GetTextLineHeight();
    for (const double ratio : {top, difference ? 0.0 : 1.0, bottom}) {
        const float y = area.min.y + static_cast<float>((top - ratio) / (top - bottom)) * area.height();
        draw.AddLine({area.min.x, y}, {area.max.x + 0.25f * ctx.em, y}, ink);
        const float at = std::clamp(y - line / 2, area.min.y - 0.3f * line, area.max.y - 0.7f * line);
        // Beyond a locked scale all values have the last colour.
        const bool more = ratio != 0 && std::abs(ratio) == top && exceeds;
        const std::string label = (more ? (ratio > 0 ? "\u2265" : "\u2264") : "") + of_even(ctx.text, ratio);
        draw.AddText({area.max.x + 0.35f * ctx.em, at}, ink, label.c_str());
    }
}

std::string of_even(const ui::Language& text, double ratio) {
    return ratio == 0 ? "0" : text.number(ratio, 3) + "/N";
}

void load_caption(const ui::Context& ctx, const char* title, const std::string& unit, float reserved) {
    ImGui::PushFont(ctx.bold, 0);
    ImGui::TextUnformatted(title);
    ImGui::PopFont();
    ImGui::SameLine(0, 0.4f * ctx.em);
    ui::text_elided(unit, std::max(2 * ctx.em, ImGui::GetContentRegionAvail().x - reserved));
}

void draw_expert_axis(const LoadView& view, const Area& area) {
    draw_names_below(view.ctx, area, view.model.experts(), [](std::size_t expert) { return std::to_string(expert); });
}

void draw_cell_tooltip(const LoadView& view, ExpertCell cell) {
    if (!ui::begin_tooltip()) {
        return;
    }
    const ui::Context& ctx = view.ctx;
    const ui::Language& text = ctx.text;
    const LoadModel& model = view.model;
    const auto [at, expert] = cell;
    ImGui::TextUnformatted(
        text.format("load.cell", {{"layer", std::to_string(at)}, {"expert", std::to_string(expert)}}).c_str());
    const history::Loads& loads = model.loads();
    ui::text_dim(ctx, loads.first_step != loads.last_step
                          ? text.format("load.cell.steps", {{"first", text.number(loads.first_step)},
                                                            {"last", text.number(loads.last_step)}})
                          : text.format("load.cell.step", {{"step", text.number(loads.last_step)}}));
    const auto property = [&](const char* name, const std::string& value) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ui::text_dim(ctx, name);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(value.c_str());
    };
    const ByLanguage count = model.count(at, expert), total = model.total(at);
    const CellValue shown = cell_value(model.mode, count, total);
    if (ImGui::BeginTable("cell", 2, ImGuiTableFlags_SizingFixedFit)) {
        const auto percent = [&](double value) { return ui::with_percent(text, text.number(100 * value, 4)); };
        if (model.is_difference()) {
            for (const std::size_t language : {0u, 1u}) {
                const double share = total[language] > 0 ? count[language] / total[language] : 0;
                property(text(language == 0 ? "load.mode.english" : "load.mode.chinese"),
                         percent(share) + "  (" + text.number(static_cast<std::uint64_t>(count[language])) + ")");
            }
            property(text("load.cell.difference"), std::isnan(shown.value) ? "-" : percent(shown.value));
            property(text("load.cell.noise"), std::isnan(shown.sigma) ? "-" : "\u00b1 " + percent(2 * shown.sigma));
        } else {
            property(text("load.cell.count"), text.number(static_cast<std::uint64_t>(model.tokens(at, expert))));
            property(text("load.cell.share"), percent(shown.value));
            property(text("load.cell.even"), percent(model.even()));
            property(text("load.cell.ratio"), text.number(shown.value / model.even(), 3) + " \u00d7");
        }
        ImGui::EndTable();
    }
    if (model.is_difference()) {
        ui::text_wrapped(text(shown.beyond ? "load.cell.beyond" : "load.cell.within"), ctx.theme.text_dim, 20 * ctx.em);
    }
    draw_mark_sentences(view, view.states[view.cell(at, expert)]);
    ImGui::EndTooltip();
}

void toggle_selection(ui::Selection& selection, ExpertCell cell) {
    toggle_expert(selection, static_cast<int>(cell.layer), static_cast<int>(cell.expert));
}

void open_expert(ui::Context& ctx, ExpertCell cell) {
    show_expert(ctx, static_cast<int>(cell.layer), static_cast<int>(cell.expert));
}

}  // namespace moescope::panels
