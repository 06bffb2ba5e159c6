#include "panels/overlay/overlay_maps.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/csv.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using ui::Context;

constexpr float kLeastWidth = 13, kLeastHeight = 9;  ///< em, of a map with its name
constexpr float kScale = 5;                          ///< em, of the colour bar with its numbers

/// Numbers of rows or columns beside a map, as many as fit.
std::size_t stride_of(float cell, float needed, std::size_t count) {
    std::size_t stride = 1;
    while (cell * static_cast<float>(stride) < needed && stride < count) {
        stride *= 2;
    }
    return stride;
}

bool has(const LoadModel& model, ExpertCell cell) {
    return cell.layer < model.layers() && cell.expert < model.experts();
}

}  // namespace

double common_scale(const std::vector<const LoadModel*>& models) {
    double scale = 0;
    for (const LoadModel* model : models) {
        scale = std::max(scale, model->scale());
    }
    return scale;
}

void OverlayMaps::take_over(const OverlayMaps& before) {
    mode_ = before.mode_;
    window_ = before.window_;
}

void OverlayMaps::draw_toolbar(Context& ctx, StepRange range) {
    const ui::Language& text = ctx.text;
    int mode = static_cast<int>(mode_);
    if (ui::segmented(ctx, "mode",
                      {text.label("load.mode.all"), text.label("load.mode.english"), text.label("load.mode.chinese"),
                       text.label("load.mode.difference")},
                      mode)) {
        mode_ = static_cast<LoadMode>(mode);
    }
    ui::tooltip(text("load.mode.help"));
    const auto window = [&](std::size_t i) {
        return i == 0 ? std::string(text("load.window.one"))
                      : text.format("load.window.many", {{"steps", text.number(std::uint64_t{kLoadWindows[i]})}});
    };
    const float medium = 7.5f * ctx.em;
    ui::flow(medium);
    ui::next_field(medium);
    if (ui::begin_combo("###overlay.window", window(window_).c_str())) {
        for (std::size_t i = 0; i < kLoadWindows.size(); ++i) {
            if (ImGui::Selectable(window(i).c_str(), i == window_)) {
                window_ = i;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("load.window.help"));
    if (range.last <= range.first) {
        return;
    }
    const float wide = 14 * ctx.em;
    ui::flow(wide);
    ui::next_field(wide);
    std::uint64_t at = std::clamp(step_.value_or(range.last), range.first, range.last);
    const std::string shown = text.format("training.step", {{"step", text.number(at)}});
    // The number is written by the language; what the slider itself would write has no commas. A % would be a place.
    if (ImGui::SliderScalar("###overlay.step", ImGuiDataType_U64, &at, &range.first, &range.last, shown.c_str(),
                            ImGuiSliderFlags_AlwaysClamp | ImGuiSliderFlags_NoInput)) {
        step_ = at == range.last ? std::nullopt : std::optional(at);
    }
    ui::tooltip(text("overlay.maps.step.help"));
    if (step_) {
        const char* newest = text.label("overlay.maps.newest");
        ui::flow(ui::button_width(newest));
        if (ImGui::Button(newest)) {
            step_.reset();
        }
    }
}

std::vector<OverlayMaps::Shown> OverlayMaps::update(const std::vector<ShownRun>& runs, StepRange range) {
    std::erase_if(models_, [&](const auto& entry) {
        return std::none_of(runs.begin(), runs.end(), [&](const ShownRun& run) { return run.id == entry.first; });
    });
    std::vector<Shown> shown;
    for (const ShownRun& run : runs) {
        const auto at = run.hidden ? std::nullopt : aligned_step(*run.run, step_.value_or(range.last));
        if (!at || run.run->layers == 0 || run.run->experts == 0) {
            continue;
        }
        LoadModel& model = models_[run.id];
        model.mode = mode_;
        model.window = window_;
        model.update(*run.run, at->step);
        shown.push_back({&run, *at, &model});
    }
    return shown;
}

void OverlayMaps::draw_cells(const Context& ctx, const LoadModel& model, double scale, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float w = area.width() / static_cast<float>(model.experts()),
                h = area.height() / static_cast<float>(model.layers()), gap = w > 6 && h > 6 ? 1.0f : 0.0f;
    const ImU32 nothing = ui::packed(ctx.theme.grid);
    const int count = static_cast<int>(model.cells().value.size());
    draw.PrimReserve(6 * count, 4 * count);
    for (std::size_t cell = 0; cell < model.cells().value.size(); ++cell) {
        const ImVec2 low{area.min.x + static_cast<float>(cell % model.experts()) * w,
                         area.min.y + static_cast<float>(cell / model.experts()) * h};
        draw.PrimRect(low, {low.x + w - gap, low.y + h - gap},
                      load_color(ctx.theme, model.value_of(cell), mode_, scale, model.experts(), nothing));
    }
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    const float line = ImGui::GetTextLineHeight();
    const std::size_t down = stride_of(h, line, model.layers());
    for (std::size_t layer = 0; layer < model.layers(); layer += down) {
        const std::string number = std::to_string(layer);
        draw.AddText({area.min.x - ImGui::CalcTextSize(number.c_str()).x - 0.3f * ctx.em,
                      area.min.y + (static_cast<float>(layer) + 0.5f) * h - line / 2},
                     ink, number.c_str());
    }
    const float widest = ImGui::CalcTextSize(std::to_string(model.experts() - 1).c_str()).x + 0.4f * ctx.em;
    const std::size_t across = stride_of(w, widest, model.experts());
    for (std::size_t expert = 0; expert < model.experts(); expert += across) {
        const std::string number = std::to_string(expert);
        draw.AddText({area.min.x + (static_cast<float>(expert) + 0.5f) * w - ImGui::CalcTextSize(number.c_str()).x / 2,
                      area.max.y + 0.1f * ctx.em},
                     ink, number.c_str());
    }
}

void OverlayMaps::draw_mark(const Area& area, const LoadModel& model, ExpertCell cell, ImU32 color) const {
    if (!has(model, cell)) {
        return;
    }
    const float w = area.width() / static_cast<float>(model.experts()),
                h = area.height() / static_cast<float>(model.layers());
    const ImVec2 low{area.min.x + static_cast<float>(cell.expert) * w, area.min.y + static_cast<float>(cell.layer) * h};
    ImGui::GetWindowDrawList()->AddRect({low.x - 1, low.y - 1}, {low.x + w + 1, low.y + h + 1}, color, 0, 2);
}

void OverlayMaps::draw_map(Context& ctx, const Shown& one, double scale, ImVec2 size) {
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    const float line = ImGui::GetTextLineHeight();
    ImGui::PushID(one.run->id.c_str());
    ImGui::BeginGroup();
    ui::look_sign(ctx, ui::line_look(ctx.theme, one.run->look));
    const float room = size.x - ui::look_sign_width(ctx) - 0.8f * ctx.em;
    const auto width = [&](const std::string& words) { return ImGui::CalcTextSize(words.c_str()).x + 0.6f * ctx.em; };
    const std::string whole =
        ctx.text.format(one.at.over ? "overlay.maps.last" : "training.step", {{"step", ctx.text.number(one.at.step)}});
    // Of a run that ended earlier the step matters more than that it was the last one, which the tooltip says too.
    const bool fits = ImGui::CalcTextSize(one.run->label.c_str()).x + width(whole) <= room;
    const std::string step = fits ? whole : ctx.text.format("training.step", {{"step", ctx.text.number(one.at.step)}});
    const bool both = room - width(step) > 3 * ctx.em;
    ui::text_elided(one.run->label, both ? room - width(step) : room);
    if (both) {
        ImGui::SameLine(0, 0.6f * ctx.em);
        ui::text_colored(one.at.over ? ctx.theme.warning : ctx.theme.text_dim, step);
        if (!fits) {
            ui::tooltip(whole);
        }
    }
    ImGui::EndGroup();
    const LoadModel& model = *one.model;
    const float left = ImGui::CalcTextSize("000").x + 0.3f * ctx.em;
    const Area area{{corner.x + left, corner.y + line + 0.3f * ctx.em},
                    {corner.x + size.x - 0.8f * ctx.em, corner.y + size.y - line - 0.4f * ctx.em}};
    if (area.width() >= ctx.em && area.height() >= ctx.em) {
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###overlay.cells", {area.width(), area.height()});
        const ImVec2 mouse = ImGui::GetMousePos();
        const ExpertCell under{part_at(mouse.y, area.min.y, area.height(), model.layers()),
                               part_at(mouse.x, area.min.x, area.width(), model.experts())};
        if (ImGui::IsItemHovered()) {
            hovering_ = under;
        }
        if (ImGui::IsItemClicked()) {
            if (one.run->session.empty()) {
                ctx.selection.training_run = one.run->run->id;
            }
            toggle_selection(ctx.selection, under);
        }
        draw_cells(ctx, model, scale, area);
        if (ctx.selection.layer >= 0 && ctx.selection.expert >= 0) {
            draw_mark(area, model,
                      {static_cast<std::size_t>(ctx.selection.layer), static_cast<std::size_t>(ctx.selection.expert)},
                      ImGui::GetColorU32(ctx.theme.accent));
        }
        if (hovered_) {
            draw_mark(area, model, *hovered_, ImGui::GetColorU32(ctx.theme.text));
        }
    }
    ImGui::PopID();
    ImGui::SetCursorScreenPos(corner);
    ImGui::Dummy(size);
}

void OverlayMaps::draw_tooltip(const Context& ctx, const std::vector<Shown>& shown) const {
    if (!hovering_ || !ui::begin_tooltip()) {
        return;
    }
    const ui::Language& text = ctx.text;
    ImGui::TextUnformatted(text.format("load.cell", {{"layer", std::to_string(hovering_->layer)},
                                                     {"expert", std::to_string(hovering_->expert)}})
                               .c_str());
    if (ImGui::BeginTable("values", 4, ImGuiTableFlags_SizingFixedFit)) {
        for (const Shown& one : shown) {
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ui::look_sign(ctx, ui::line_look(ctx.theme, one.run->look));
            ImGui::TextUnformatted(one.run->label.c_str());
            if (!has(*one.model, *hovering_)) {
                ImGui::TableNextColumn();
                ImGui::TextUnformatted("\u2013");
                continue;
            }
            const CellValue cell = one.model->value_of(hovering_->layer * one.model->experts() + hovering_->expert);
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(
                std::isnan(cell.value) ? "\u2013" : ui::with_percent(text, text.number(100 * cell.value, 4)).c_str());
            ImGui::TableNextColumn();
            ui::text_dim(ctx, std::isnan(cell.value) || one.model->is_difference()
                                  ? std::string()
                                  : of_even(text, cell.value / one.model->even()));
            ImGui::TableNextColumn();
            ui::text_dim(ctx, text.format("training.step", {{"step", text.number(one.at.step)}}));
        }
        ImGui::EndTable();
    }
    ImGui::EndTooltip();
}

void OverlayMaps::draw_menu(Context& ctx, const std::vector<Shown>& shown, ImVec2 min, ImVec2 max) {
    const char* label = ctx.text.label("load.menu");
    ui::flow(ui::button_width(label));
    if (ImGui::Button(label)) {
        ImGui::OpenPopup("menu");
    }
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    const auto csv = [&] {
        std::vector<std::pair<std::string, history::Loads>> all;
        for (const Shown& one : shown) {
            all.emplace_back(one.run->label, one.model->loads());
        }
        return [all = std::move(all)] {
            std::string text = "run,first_step,last_step,layer,expert,english,chinese\r\n";
            for (const auto& [run, loads] : all) {
                for (std::size_t cell = 0; cell < loads.layers * loads.experts; ++cell) {
                    text += fmt::format("{},{},{},{},{},{},{}\r\n", base::csv_text(run), loads.first_step,
                                        loads.last_step, cell / loads.experts, cell % loads.experts,
                                        loads.counts[0][cell], loads.counts[1][cell]);
                }
            }
            return text;
        };
    };
    if (ImGui::MenuItem(ctx.text.label("load.menu.csv")) && ctx.save_as) {
        ctx.save_as("runs-load.csv", csv());
    }
    if (ImGui::MenuItem(ctx.text.label("overlay.maps.png")) && ctx.save_picture) {
        ctx.save_picture("runs-load.png", min, max);
    }
    if (ImGui::MenuItem(ctx.text.label("load.menu.copy")) && ctx.copy_text) {
        ctx.copy_text(csv());
    }
    ImGui::EndPopup();
}

void OverlayMaps::draw_maps(Context& ctx, const std::vector<Shown>& shown) {
    std::vector<const LoadModel*> models;
    bool exceeds = false;
    for (const Shown& one : shown) {
        models.push_back(one.model);
    }
    const double scale = common_scale(models);
    for (const LoadModel* model : models) {
        exceeds = exceeds || model->cells().highest * static_cast<double>(model->experts()) > scale;
    }
    ImGui::BeginChild("maps", {0, 0});
    const ImVec2 there = ImGui::GetContentRegionAvail(), corner = ImGui::GetCursorScreenPos();
    const float width = std::max(there.x - kScale * ctx.em, kLeastWidth * ctx.em);
    const auto columns =
        std::clamp<std::size_t>(static_cast<std::size_t>(width / (kLeastWidth * ctx.em)), 1, shown.size());
    const std::size_t rows = (shown.size() + columns - 1) / columns;
    const ImVec2 size{width / static_cast<float>(columns),
                      std::max(kLeastHeight * ctx.em, there.y / static_cast<float>(rows))};
    hovering_.reset();
    for (std::size_t i = 0; i < shown.size(); ++i) {
        ImGui::SetCursorScreenPos(
            {corner.x + static_cast<float>(i % columns) * size.x, corner.y + static_cast<float>(i / columns) * size.y});
        draw_map(ctx, shown[i], scale, size);
    }
    const float bar = corner.x + width + 0.3f * ctx.em, line = ImGui::GetTextLineHeight();
    draw_load_scale(ctx,
                    {{bar, corner.y + line + 0.3f * ctx.em},
                     {bar + 0.6f * ctx.em, corner.y + std::min(size.y, there.y) - line - 0.4f * ctx.em}},
                    mode_, scale, exceeds);
    hovered_ = hovering_;
    draw_tooltip(ctx, shown);
    ImGui::EndChild();
}

void OverlayMaps::draw(Context& ctx, const std::vector<ShownRun>& runs) {
    const StepRange range = counts_range(runs);
    draw_toolbar(ctx, range);
    const std::vector<Shown> shown = update(runs, range);
    if (shown.empty()) {
        ui::empty_state(ctx, ui::icon::table, "overlay.maps.empty");
        return;
    }
    const ImVec2 window = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
    draw_menu(ctx, shown, {window.x, ImGui::GetCursorScreenPos().y}, {window.x + size.x, window.y + size.y});
    draw_maps(ctx, shown);
}

}  // namespace moescope::panels
