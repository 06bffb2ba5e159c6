#include "panels/overlay/overlay_plot.hpp"

#include <algorithm>
#include <cmath>
#include <implot.h>
#include <limits>

#include "panels/training/step_plot.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/plot_marks.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunFigure;
using ui::Context;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kFewestSteps = 4;  ///< the closest zoom
constexpr std::size_t kMarkersOfLine = 6;
constexpr float kLabels = 9, kLeastPlot = 16;  ///< em: room for names, and of the plot that must be left beside them

bool is_sparse(RunFigure figure) {
    return history::row_of(figure).sparse;
}

bool is_count(RunFigure figure) {
    return std::string_view(history::row_of(figure).unit) == "experts";
}

history::RunCurve curve_of(const ShownRun& run, RunFigure figure) {
    return history::curve_of(*run.run, *run.loads, figure);
}

}  // namespace

std::string figure_name(const ui::Language& text, RunFigure figure) {
    return text(std::string("overlay.figure.") + history::row_of(figure).key);
}

std::string figure_help(const ui::Language& text, RunFigure figure) {
    return text(std::string("overlay.figure.") + history::row_of(figure).key + ".help");
}

std::string figure_unit(const ui::Language& text, RunFigure figure) {
    const std::string unit = history::row_of(figure).unit;
    return unit == "nats/token" ? text("training.unit.nats")
           : unit == "tokens/s" ? text("training.unit.tokens_per_second")
           : unit == "experts"  ? text("overlay.unit.experts")
                                : std::string();
}

void StepAxis::fit() {
    follow = true;
    min = 0;
    max = std::max(20.0, longest * 1.03);
}

void StepAxis::update(double newest_step) {
    longest = newest_step;
    if (!follow) {
        return;
    }
    if (min <= 0) {
        return fit();
    }
    const double width = max - min;
    max = std::max(width, longest + 0.03 * width);
    min = max - width;
}

void OverlayPlot::refresh(RunFigure figure, const std::vector<const ShownRun*>& drawn, Key key) {
    if (key == key_ && shapes_.size() == drawn.size()) {
        return;
    }
    key_ = std::move(key);
    shapes_.assign(drawn.size(), {});
    history::MinMax all;
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        const history::RunCurve curve = curve_of(*drawn[i], figure);
        Shape& shape = shapes_[i];
        // What another tool logs it need not log at every step.
        const bool any_gap = is_sparse(figure) || drawn[i]->run->kind == history::RunKind::imported;
        const auto buckets = split(curve.step, key_.x_min, key_.x_max, key_.pixels, any_gap ? kInfinity : kStepGap);
        if (is_sparse(figure)) {
            shape.points = without_holes(extremes(buckets, curve.step, curve.value));
        } else {
            RunningSum& sum = sums_[drawn[i]->id];
            sum.update(curve.value);
            shape.points = means(buckets, curve.step, sum, key_.window);
        }
        shape.end_x = shape.end_y = kNone;
        for (std::size_t p = 0; p < shape.points.x.size(); ++p) {
            const double x = shape.points.x[p], y = shape.points.y[p];
            if (x >= key_.x_min && x <= key_.x_max && !std::isnan(y)) {
                shape.end_x = x;
                shape.end_y = y;
                all.add(y);
            }
        }
    }
    y_ = axis_range(all, history::row_of(figure).from_zero, is_count(figure));
}

void OverlayPlot::draw_title(const Context& ctx, RunFigure figure, float width) const {
    const std::string title = figure_name(ctx.text, figure), unit = figure_unit(ctx.text, figure);
    const std::string help = figure_help(ctx.text, figure) + "\n" + ctx.text("training.menu.help");
    ui::draw_title_button(ctx, title.c_str(), help.c_str());
    const float left = width - ImGui::GetItemRectSize().x - 0.8f * ctx.em;
    if (!unit.empty() && left > 2 * ctx.em) {
        ImGui::SameLine(0, 0.4f * ctx.em);
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
        ui::text_elided(unit, left);
        ImGui::PopStyleColor();
    }
}

/// Names stand beside the plot where there is room for both; in a small one the legend has them.
float OverlayPlot::labels_width(const Context& ctx, const std::vector<const ShownRun*>& drawn, float width) const {
    if (drawn.empty() || width < (kLabels + kLeastPlot) * ctx.em) {
        return 0;
    }
    float widest = 0;
    for (const ShownRun* run : drawn) {
        widest = std::max(widest, ImGui::CalcTextSize(run->label.c_str()).x);
    }
    return std::min(widest + 1.4f * ctx.em, kLabels * ctx.em);
}

void OverlayPlot::draw_lines(const Context& ctx, const std::vector<const ShownRun*>& drawn) {
    ends_.assign(drawn.size(), std::numeric_limits<float>::quiet_NaN());
    const float top = ImPlot::GetPlotPos().y;
    ImDrawList& draw = *ImPlot::GetPlotDrawList();
    for (std::size_t i = 0; i < drawn.size() && i < shapes_.size(); ++i) {
        const Shape& shape = shapes_[i];
        const ui::LineLook look = ui::line_look(ctx.theme, drawn[i]->look);
        ImPlotSpec line;
        line.LineColor = look.color;
        line.LineWeight = std::max(1.0f, ctx.em / 10);
        ImGui::PushID(static_cast<int>(i));
        ImPlot::PlotLine("##line", shape.points.x.data(), shape.points.y.data(),
                         static_cast<int>(shape.points.x.size()), line);
        ImGui::PopID();
        ImPlot::PushPlotClipRect(0.35f * ctx.em);  // a sign on the edge stands whole
        // Those of a line stand where those of the one before do not: equal lines show both signs.
        const std::size_t shift = i * shape.points.x.size() / (kMarkersOfLine * std::max<std::size_t>(1, drawn.size()));
        for (const std::size_t place : marker_places(shape.points.x.size(), kMarkersOfLine)) {
            const std::size_t at = place >= shift ? place - shift : place;
            if (!std::isnan(shape.points.y[at])) {
                ui::draw_marker(draw, ImPlot::PlotToPixels(shape.points.x[at], shape.points.y[at]), 0.3f * ctx.em,
                                look.marker, ImGui::GetColorU32(look.color));
            }
        }
        ImPlot::PopPlotClipRect();
        if (!std::isnan(shape.end_y)) {
            ends_[i] = ImPlot::PlotToPixels(shape.end_x, shape.end_y).y - top;
        }
    }
}

void OverlayPlot::draw_labels(const Context& ctx, const std::vector<const ShownRun*>& drawn, ImVec2 low, ImVec2 extent,
                              float width) const {
    const float line = ImGui::GetTextLineHeight();
    const std::vector<float> tops = spread_labels(ends_, line, 0, extent.y);
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float x = low.x + extent.x;
    for (std::size_t i = 0; i < tops.size() && i < drawn.size(); ++i) {
        if (std::isnan(tops[i])) {
            continue;
        }
        const ui::LineLook look = ui::line_look(ctx.theme, drawn[i]->look);
        const float y = low.y + tops[i];
        draw.AddLine({x + 1, low.y + ends_[i]}, {x + 0.5f * ctx.em, y + line / 2}, ui::packed(look.color, 0.6f));
        ui::draw_marker(draw, {x + 0.8f * ctx.em, y + line / 2}, 0.28f * ctx.em, look.marker,
                        ImGui::GetColorU32(look.color));
        draw.AddText({x + 1.25f * ctx.em, y}, ImGui::GetColorU32(ctx.theme.text),
                     ui::elided(drawn[i]->label, width - 1.4f * ctx.em).c_str());
    }
}

void OverlayPlot::draw_tooltip(const Context& ctx, RunFigure figure, const std::vector<const ShownRun*>& drawn,
                               double step) const {
    if (!ui::begin_tooltip()) {
        return;
    }
    const double shown = std::max(0.0, std::round(step));
    ImGui::TextUnformatted(
        ctx.text.format("training.step", {{"step", ctx.text.number(static_cast<std::uint64_t>(shown))}}).c_str());
    ui::text_dim(ctx, figure_name(ctx.text, figure));
    // What is measured now and then has the value of its own step, which is said.
    const double reach =
        is_sparse(figure)
            ? 0.04 * ImPlot::GetPlotLimits().X.Size()
            : std::max(0.5, 0.3 * ctx.em * ImPlot::GetPlotLimits().X.Size() / std::max(1.0f, ImPlot::GetPlotSize().x));
    // A smoothed line does not go through the value of the step: both are told, and which is which.
    const bool smoothed = !is_sparse(figure) && key_.window > 1;
    if (ImGui::BeginTable("values", smoothed ? 4 : 3, ImGuiTableFlags_SizingFixedFit)) {
        if (smoothed) {
            draw_smoothed_header(ctx, key_.window);
        }
        for (const ShownRun* run : drawn) {
            const history::RunCurve curve = curve_of(*run, figure);
            const auto at = value_at(curve.step, step, reach);
            const bool known = at && *at < curve.value.size() && !std::isnan(curve.value[*at]);
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ui::look_sign(ctx, ui::line_look(ctx.theme, run->look));
            ImGui::TextUnformatted(run->label.c_str());
            ImGui::TableNextColumn();
            if (smoothed) {
                const auto sum = sums_.find(run->id);
                const double mean = known && sum != sums_.end() ? sum->second.mean_at(*at, key_.window) : kNone;
                ImGui::TextUnformatted(std::isnan(mean) ? "\u2013" : ctx.text.number(mean, 7).c_str());
                ImGui::TableNextColumn();
            }
            ImGui::TextUnformatted(known ? ctx.text.number(curve.value[*at], 7).c_str() : "\u2013");
            ImGui::TableNextColumn();
            if (known && std::round(curve.step[*at]) != shown) {
                ui::text_dim(
                    ctx, ctx.text.format(
                             "training.at_step",
                             {{"step", ctx.text.number(static_cast<std::uint64_t>(std::max(0.0, curve.step[*at])))}}));
            }
        }
        ImGui::EndTable();
    }
    ImGui::EndTooltip();
}

void OverlayPlot::draw(Context& ctx, RunFigure figure, const std::vector<ShownRun>& runs, StepAxis& axis,
                       OverlaySettings& settings, ImVec2 size) {
    ImGui::PushID(history::row_of(figure).key);
    std::vector<const ShownRun*> drawn;
    Key key;
    for (const ShownRun& run : runs) {
        const history::RunCurve curve = curve_of(run, figure);
        if (!run.hidden && !curve.empty()) {
            drawn.push_back(&run);
            key.curves.emplace_back(run.id, curve.step.size());
        }
    }
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    ImGui::BeginGroup();
    draw_title(ctx, figure, size.x);
    ImGui::EndGroup();
    const float title = ImGui::GetTextLineHeight() + 0.2f * ctx.em;
    ImGui::SetCursorScreenPos({corner.x, corner.y + title});
    const float labels = labels_width(ctx, drawn, size.x);
    const ImVec2 plot{size.x - labels, std::max(size.y - title, 3 * ctx.em)};
    if (!(axis.max - axis.min >= kFewestSteps)) {
        axis.max = axis.min + kFewestSteps;
    }
    key.x_min = axis.min;
    key.x_max = axis.max;
    key.window = settings.window;
    key.pixels = std::max(1, static_cast<int>(plot.x - 4 * ctx.em));
    refresh(figure, drawn, std::move(key));
    // Double click fits all linked plots, not this one alone: ImPlot's own answer to it is switched off meanwhile.
    ImPlotInputMap& input = ImPlot::GetInputMap();
    const ImGuiMouseButton fit = input.Fit;
    input.Fit = ImGuiMouseButton_COUNT - 1;
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotPadding, ImVec2(0.5f * ctx.em, 0.6f * ctx.em));
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotMinSize, ImVec2(4 * ctx.em, 2 * ctx.em));
    constexpr ImPlotFlags flags = ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMenus |
                                  ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMouseText;
    if (ImPlot::BeginPlot("##plot", plot, flags)) {
        constexpr ImPlotAxisFlags axis_flags =
            ImPlotAxisFlags_NoMenus | ImPlotAxisFlags_NoSideSwitch | ImPlotAxisFlags_NoHighlight;
        const double before_min = axis.min, before_max = axis.max;
        auto* language = const_cast<ui::Language*>(&ctx.text);
        ImPlot::SetupAxis(ImAxis_X1, nullptr, axis_flags);
        ImPlot::SetupAxisLinks(ImAxis_X1, &axis.min, &axis.max);
        ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, 0, std::max(100.0, axis.longest * 1.5));
        ImPlot::SetupAxisZoomConstraints(ImAxis_X1, kFewestSteps, kInfinity);
        ImPlot::SetupAxisFormat(ImAxis_X1, ui::format_tick, language);
        ImPlot::SetupAxis(ImAxis_Y1, nullptr, axis_flags);
        ImPlot::SetupAxisLimits(ImAxis_Y1, y_.min, y_.max, ImPlotCond_Always);
        ImPlot::SetupAxisFormat(ImAxis_Y1, ui::format_tick, language);
        if (is_count(figure)) {
            const std::vector<double> ticks = whole_ticks(y_);
            ImPlot::SetupAxisTicks(ImAxis_Y1, ticks.data(), static_cast<int>(ticks.size()));
        }
        ImPlot::SetupFinish();
        draw_lines(ctx, drawn);
        draw_notes(ctx, drawn);
        ui::draw_step_cursor(ctx);
        const bool hovered = ImPlot::IsPlotHovered();
        if (hovered && !ImGui::IsMouseDown(ImGuiMouseButton_Left) && !drawn.empty()) {
            draw_tooltip(ctx, figure, drawn, ImPlot::GetPlotMousePos().x);
        }
        const double pointed = ImPlot::GetPlotMousePos().x;
        const ImVec2 low = ImPlot::GetPlotPos(), extent = ImPlot::GetPlotSize();
        ui::draw_axis_name(ctx, low, extent, ctx.text("training.axis.step"));
        ImPlot::EndPlot();
        if (labels > 0) {
            draw_labels(ctx, drawn, low, extent, labels);
        }
        if (axis.min != before_min || axis.max != before_max) {
            axis.follow = axis.max >= axis.longest;
        }
        if (hovered && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
            axis.fit();
        }
        if (hovered && ImGui::IsMouseReleased(ImGuiMouseButton_Right) &&
            ImGui::GetMouseDragDelta(ImGuiMouseButton_Right).x == 0) {
            menu_step_ = pointed;
            ImGui::OpenPopup("menu");
        }
    }
    ImPlot::PopStyleVar(2);
    input.Fit = fit;
    draw_menu(ctx, figure, drawn, axis, settings, corner, {corner.x + size.x, corner.y + title + plot.y});
    ImGui::PopID();
}

/// Of all sessions that are open, each in the colour of its run.
void OverlayPlot::draw_notes(const Context& ctx, const std::vector<const ShownRun*>& drawn) const {
    std::vector<ui::NotedRun> noted;
    for (const ShownRun* run : drawn) {
        const client::Snapshot* there = run->reading == ctx.snapshot.session ? &ctx.snapshot : nullptr;
        for (const ui::OpenedSession& session : ctx.sessions.open) {
            if (run->reading != 0 && session.snapshot->session == run->reading) {
                there = session.snapshot.get();
            }
        }
        if (there != nullptr && !there->notes->empty()) {
            const ui::LineLook look = ui::line_look(ctx.theme, run->look);
            noted.push_back({there->notes.get(), run->run->id, ImGui::GetColorU32(look.color), run->label});
        }
    }
    if (!noted.empty()) {
        ui::draw_step_notes(ctx, noted);
    }
}

/// A note is written in the session that has the run: of other tabs' runs they are read here.
void OverlayPlot::draw_note_items(Context& ctx, const std::vector<const ShownRun*>& drawn, double reach) const {
    std::vector<const ShownRun*> own;
    for (const ShownRun* run : drawn) {
        if (run->reading == ctx.snapshot.session && !run->run->step.empty()) {
            own.push_back(run);
        }
    }
    const auto items = [&](const ShownRun& run) {
        const double step = std::clamp(std::round(menu_step_), 0.0, std::max(0.0, run.run->step.back()));
        ui::note_menu(
            ctx, {.kind = history::NotePlace::Kind::step, .run = run.run->id, .step = static_cast<std::uint64_t>(step)},
            reach);
    };
    if (own.size() == 1) {
        items(*own.front());
        return;
    }
    if (ImGui::BeginMenu(ctx.text.label("overlay.notes"), !own.empty())) {
        for (const ShownRun* run : own) {
            if (ImGui::BeginMenu((run->label + "###note.of." + std::to_string(run->run->id)).c_str())) {
                items(*run);
                ImGui::EndMenu();
            }
        }
        ImGui::EndMenu();
    }
    ui::tooltip(ctx.text(own.empty() ? "overlay.notes.none" : "overlay.notes.help"));
}

void OverlayPlot::draw_menu(Context& ctx, RunFigure figure, const std::vector<const ShownRun*>& drawn, StepAxis& axis,
                            OverlaySettings& settings, ImVec2 min, ImVec2 max) {
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    if (ImGui::MenuItem(ctx.text.label("overlay.menu.fit"))) {
        axis.fit();
    }
    ImGui::Separator();
    for (const std::size_t steps : {std::size_t{1}, std::size_t{20}, std::size_t{100}, std::size_t{500}}) {
        const std::string label =
            steps == 1 ? std::string(ctx.text("training.window.one"))
                       : ctx.text.format("training.window", {{"steps", ctx.text.number(std::uint64_t{steps})}});
        if (ImGui::MenuItem(label.c_str(), nullptr, settings.window == steps)) {
            settings.window = steps;
        }
    }
    ImGui::Separator();
    draw_note_items(ctx, drawn, 0.4 * ctx.em * (axis.max - axis.min) / std::max(1.0f, max.x - min.x));
    ImGui::Separator();
    const std::string name = std::string("runs-") + history::row_of(figure).key;
    const auto csv = [&] {
        std::vector<Series> all;
        const std::string unit = history::row_of(figure).unit;
        for (const ShownRun* run : drawn) {
            const history::RunCurve curve = curve_of(*run, figure);
            all.push_back({run->label + ui::in_brackets(ctx.text, unit), curve.step, curve.value});
        }
        return [all = std::move(all)] { return to_csv("step", all); };
    };
    if (ImGui::MenuItem(ctx.text.label("training.menu.csv")) && ctx.save_as) {
        ctx.save_as(name + ".csv", csv());
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.svg")) && ctx.save_as) {
        Drawing drawing;
        const std::string unit = figure_unit(ctx.text, figure);
        drawing.title = figure_name(ctx.text, figure) + ui::in_brackets(ctx.text, unit);
        drawing.x_name = ctx.text("training.axis.step");
        drawing.x_min = axis.min;
        drawing.x_max = axis.max;
        drawing.y_min = y_.min;
        drawing.y_max = y_.max;
        for (std::size_t i = 0; i < drawn.size() && i < shapes_.size(); ++i) {
            const ui::LineLook look = ui::line_look(ctx.theme, drawn[i]->look);
            drawing.lines.push_back({drawn[i]->label, ui::hex_color(look.color), shapes_[i].points, look.marker});
        }
        ctx.save_as(name + ".svg", [drawing = std::move(drawing)] { return to_svg(drawing); });
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.png")) && ctx.save_picture) {
        ctx.save_picture(name + ".png", min, max);
    }
    ImGui::Separator();
    if (ImGui::MenuItem(ctx.text.label("training.menu.copy")) && ctx.copy_text) {
        ctx.copy_text(csv());
    }
    ImGui::EndPopup();
}

}  // namespace moescope::panels
