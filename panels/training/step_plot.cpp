#include "panels/training/step_plot.hpp"

#include <algorithm>
#include <cmath>
#include <implot.h>
#include <limits>

#include "panels/ui/figure_data.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/plot_marks.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::Column;
using history::TrainingRun;
using ui::Context;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFewestSteps = 4;     ///< the closest zoom
constexpr std::size_t kMostDots = 80;  ///< more values than that are a line without a dot at each

double newest_step(const TrainingRun& run) {
    return run.step.empty() ? 0 : run.step.back();
}

/// Of all that the plots show.
double last_shown(const ui::Selection& selection, const TrainingRun& run) {
    return std::max(newest_step(run), selection.last_beside);
}

/// A square of a curve's colour in front of its name: text in the colour itself would be hard to read.
void color_mark(const Context& ctx, const ImVec4& color) {
    const float box = 0.62f * ctx.em, line = ImGui::GetTextLineHeight();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const ImVec2 low{at.x, at.y + (line - box) / 2};
    ImGui::GetWindowDrawList()->AddRectFilled(low, {low.x + box, low.y + box}, ImGui::GetColorU32(color), 2);
    ImGui::Dummy({box, line});
    ImGui::SameLine(0, 0.4f * ctx.em);
}

/// ImPlot draws no dashes: they are cut here, in pixels. Inside a plot.
void draw_dashed(const Context& ctx, const Curve& curve, const Points& points) {
    const float dash = 0.45f * ctx.em, weight = std::max(1.0f, ctx.em / 14);
    const ImU32 ink = ImGui::GetColorU32(curve.color);
    ImDrawList& draw = *ImPlot::GetPlotDrawList();
    ImPlot::PushPlotClipRect();
    std::size_t half = 0;  // dashes and gaps between them, counted; the even ones are drawn
    float left = dash;     // of the one that was begun
    for (std::size_t i = 1; i < points.x.size(); ++i) {
        if (std::isnan(points.y[i - 1]) || std::isnan(points.y[i])) {
            continue;
        }
        const ImVec2 from = ImPlot::PlotToPixels(points.x[i - 1], points.y[i - 1]),
                     to = ImPlot::PlotToPixels(points.x[i], points.y[i]);
        const float length = std::hypot(to.x - from.x, to.y - from.y);
        if (!(length < 1e5f)) {
            continue;
        }
        const auto place = [&](float at) {
            const float t = length > 0 ? at / length : 0;
            return ImVec2{from.x + (to.x - from.x) * t, from.y + (to.y - from.y) * t};
        };
        float at = 0;
        while (at < length) {
            const bool ends = left <= length - at;
            const float end = ends ? at + left : length;
            if (half % 2 == 0) {
                draw.AddLine(place(at), place(end), ink, weight);
            }
            left = ends ? dash : left - (end - at);
            half += ends ? 1 : 0;
            at = end;
        }
    }
    ImPlot::PopPlotClipRect();
}

const char* curve_name(const Context& ctx, const Curve& curve) {
    return curve.name.empty() ? ctx.text(curve.key) : curve.name.c_str();
}

}  // namespace

void draw_smoothed_header(const Context& ctx, std::size_t window) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TableNextColumn();
    ui::text_dim(ctx, ctx.text.format("training.window", {{"steps", ctx.text.number(std::uint64_t{window})}}));
    ImGui::TableNextColumn();
    ui::text_dim(ctx, ctx.text("training.step_itself"));
}

void fit_steps(ui::Selection& selection, const TrainingRun& run) {
    selection.follow = true;
    selection.step_min = 0;
    selection.step_max = std::max(20.0, last_shown(selection, run) * 1.03);
}

void follow_steps(ui::Selection& selection, const TrainingRun& run) {
    if (!selection.follow) {
        return;
    }
    if (selection.step_min <= 0) {
        return fit_steps(selection, run);
    }
    // Zoomed in at the newest steps: the window keeps its width and moves along.
    const double width = selection.step_max - selection.step_min;
    selection.step_max = std::max(width, newest_step(run) + 0.03 * width);
    selection.step_min = selection.step_max - width;
}

float StepPlot::draw_title(const Context& ctx, const StepPlotSpec& spec, float width) {
    const ImVec2 start = ImGui::GetCursorScreenPos();
    ui::draw_title_button(ctx, ctx.text(spec.key), ctx.text("training.menu.help"));
    ImGui::SameLine(0, 0.4f * ctx.em);
    ui::text_dim(ctx, ctx.text(spec.unit_key));
    if (spec.curves.size() < 2) {
        if (const std::string value = spec.curves.empty() ? "" : value_at_position(ctx, spec.curves[0]);
            !value.empty()) {
            ImGui::SameLine(0, 0.9f * ctx.em);
            ui::text_colored(ctx.theme.accent, value);
        }
        return ImGui::GetCursorScreenPos().y - start.y;
    }
    // The legend flows behind the title and, where that is too narrow, over a second line.
    ImGui::SameLine(0, 0.9f * ctx.em);
    float x = ImGui::GetCursorScreenPos().x;
    const float box = 0.62f * ctx.em, line = ImGui::GetTextLineHeight(), space = 0.7f * ctx.em;
    float y = start.y;
    for (const Curve& curve : spec.curves) {
        const std::string value = value_at_position(ctx, curve);
        const std::string name = curve_name(ctx, curve) + (value.empty() ? value : " " + value);
        const float needed = box + 0.3f * ctx.em + ImGui::CalcTextSize(name.c_str()).x;
        if (x + needed > start.x + width && x > start.x) {
            x = start.x;
            y += line + 0.1f * ctx.em;
        }
        ImGui::SetCursorScreenPos({x, y});
        ImGui::PushID(curve.key);
        if (ImGui::InvisibleButton("###legend", {needed, line}, ImGuiButtonFlags_EnableNav)) {
            if (switched_.erase(curve.key) == 0) {
                switched_.insert(curve.key);
            }
        }
        const bool off = hidden(curve), hovered = ImGui::IsItemHovered() || ImGui::IsItemFocused();
        // Some curves say more of themselves.
        const std::string help = std::string(curve.key) + ".help";
        ui::tooltip((ctx.text.has(help) ? std::string(ctx.text(help)) + "\n" : std::string()) +
                    ctx.text("training.legend.help"));
        ImGui::PopID();
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const ImVec2 corner{x, y + (line - box) / 2};
        const ImU32 color = ImGui::GetColorU32(curve.color);
        if (off) {
            draw.AddRect(corner, {corner.x + box, corner.y + box}, color, 2);
        } else {
            draw.AddRectFilled(corner, {corner.x + box, corner.y + box}, color, 2);
        }
        draw.AddText({x + box + 0.3f * ctx.em, y},
                     ImGui::GetColorU32((hovered || !value.empty()) && !off ? ctx.theme.text : ctx.theme.text_dim),
                     name.c_str());
        x += needed + space;
    }
    ImGui::SetCursorScreenPos({start.x, y + line});
    return y + line - start.y;
}

void StepPlot::refresh(const StepPlotSpec& spec, const Key& key) {
    if (key == key_ && shapes_.size() == spec.curves.size()) {
        return;
    }
    key_ = key;
    shapes_.assign(spec.curves.size(), {});
    const Column* cut = nullptr;  // buckets are shared by the curves over one column
    std::vector<Bucket> buckets;
    const Points* below = nullptr;
    for (std::size_t i = 0; i < spec.curves.size(); ++i) {
        const Curve& curve = spec.curves[i];
        Shape& shape = shapes_[i];
        if (hidden(curve)) {
            continue;
        }
        if (curve.style == Curve::Style::level) {
            shape.points.add(key.x_min, curve.level * curve.scale);
            shape.points.add(key.x_max, curve.level * curve.scale);
            continue;
        }
        if (cut != curve.x) {
            const bool sparse = curve.style == Curve::Style::points;
            buckets = split(*curve.x, key.x_min, key.x_max, key.pixels, sparse ? kInfinity : kStepGap);
            cut = curve.x;
        }
        switch (curve.style) {
            case Curve::Style::smoothed:
                // Where each step has its own pixel the single values are a line; else a band of their extremes.
                if (buckets.size() * 3 > 2 * (buckets.empty() ? 0 : buckets.back().last - buckets.front().first)) {
                    shape.low = extremes(buckets, *curve.x, *curve.y, curve.scale);
                } else {
                    shape.band = band(buckets, *curve.x, *curve.y, curve.scale);
                }
                shape.points = means(buckets, *curve.x, *curve.sum, key.window, curve.scale);
                break;
            case Curve::Style::stacked:
                shape.points = means(buckets, *curve.x, *curve.sum, key.window, curve.scale);
                shape.low.x = shape.points.x;
                shape.low.y.assign(shape.points.y.size(), 0.0);
                for (std::size_t p = 0; below != nullptr && p < shape.points.y.size(); ++p) {
                    shape.low.y[p] = below->y[p];
                    shape.points.y[p] += below->y[p];
                }
                below = &shape.points;
                break;
            case Curve::Style::earlier:
            case Curve::Style::dashed:
                shape.points = means(buckets, *curve.x, *curve.sum, key.window, curve.scale);
                break;
            case Curve::Style::points:
                shape.points = without_holes(extremes(buckets, *curve.x, *curve.y, curve.scale));
                break;
            case Curve::Style::line:
            case Curve::Style::level:
                shape.points = extremes(buckets, *curve.x, *curve.y, curve.scale);
                break;
        }
    }
    left_ = range_of(spec, false);
    right_ = range_of(spec, true);
}

AxisRange StepPlot::range_of(const StepPlotSpec& spec, bool right) const {
    history::MinMax all;
    for (std::size_t i = 0; i < spec.curves.size(); ++i) {
        if (spec.curves[i].right != right) {
            continue;
        }
        for (const auto* values :
             {&shapes_[i].points.y, &shapes_[i].low.y, &shapes_[i].band.low, &shapes_[i].band.high}) {
            for (const double value : *values) {
                all.add(value);
            }
        }
    }
    return axis_range(all, spec.from_zero);
}

void StepPlot::draw_curve(const Context& ctx, const Curve& curve, const Shape& shape) const {
    using Style = Curve::Style;
    const float weight = std::max(1.0f, ctx.em / 10);
    ImGui::PushID(curve.key);
    ImPlotSpec fill;
    fill.FillColor = ui::faded(curve.color, curve.style == Style::stacked ? 0.75f : 0.25f);
    fill.LineColor = fill.FillColor;
    const auto count = [](std::size_t n) { return static_cast<int>(n); };
    if (curve.style == Style::smoothed) {
        for_each_part(shape.band.low, [&](std::size_t first, std::size_t n) {
            const Band& b = shape.band;
            ImPlot::PlotShaded("##band", &b.x[first], &b.low[first], &b.high[first], count(n), fill);
        });
        ImPlotSpec single;
        single.LineColor = ui::faded(curve.color, 0.4f);
        single.LineWeight = std::max(1.0f, ctx.em / 16);
        if (!shape.low.x.empty()) {
            ImPlot::PlotLine("##single", shape.low.x.data(), shape.low.y.data(), count(shape.low.x.size()), single);
        }
    }
    if (curve.style == Style::stacked) {
        for_each_part(shape.points.y, [&](std::size_t first, std::size_t n) {
            ImPlot::PlotShaded("##part", &shape.points.x[first], &shape.low.y[first], &shape.points.y[first], count(n),
                               fill);
        });
    } else if (curve.style == Style::dashed) {
        draw_dashed(ctx, curve, shape.points);
    } else {
        ImPlotSpec line;
        line.LineColor = curve.color;
        line.LineWeight =
            curve.style == Style::level || curve.style == Style::earlier ? std::max(1.0f, ctx.em / 16) : weight;
        // One value alone has no line.
        if ((curve.style == Style::points && shape.points.x.size() < kMostDots) || shape.points.x.size() == 1) {
            line.Marker = ImPlotMarker_Circle;
            line.MarkerSize = 0.17f * ctx.em;
            line.MarkerFillColor = curve.color;
            line.MarkerLineColor = curve.color;
        }
        ImPlot::PlotLine("##line", shape.points.x.data(), shape.points.y.data(), count(shape.points.x.size()), line);
    }
    ImGui::PopID();
}

void StepPlot::draw_tooltip(const Context& ctx, const StepPlotSpec& spec, double step) const {
    if (!ui::begin_tooltip()) {
        return;
    }
    const double shown = std::max(0.0, std::round(step));
    ImGui::TextUnformatted(
        ctx.text.format("training.step", {{"step", ctx.text.number(static_cast<std::uint64_t>(shown))}}).c_str());
    // A value belongs to its own step: to the place of the mouse, as far as that can be aimed.
    const double reach =
        std::max(0.5, 0.3 * ctx.em * ImPlot::GetPlotLimits().X.Size() / std::max(1.0f, ImPlot::GetPlotSize().x));
    // A smoothed line does not go through the value of the step: both are told, and which is which.
    const auto is_smoothed = [&](const Curve& curve) { return curve.sum != nullptr && key_.window > 1; };
    const bool smoothed = std::any_of(spec.curves.begin(), spec.curves.end(), is_smoothed);
    if (ImGui::BeginTable("values", smoothed ? 4 : 3, ImGuiTableFlags_SizingFixedFit)) {
        if (smoothed) {
            draw_smoothed_header(ctx, key_.window);
        }
        for (const Curve& curve : spec.curves) {
            if (hidden(curve)) {
                continue;
            }
            double value = curve.level, at = step, mean = std::nan("");
            if (curve.y != nullptr) {
                const std::optional<std::size_t> i = value_at(*curve.x, step, reach);
                if (!i || *i >= curve.y->size() || std::isnan((*curve.y)[*i])) {
                    continue;
                }
                value = (*curve.y)[*i];
                at = (*curve.x)[*i];
                mean = is_smoothed(curve) ? curve.sum->mean_at(*i, key_.window) : mean;
            }
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            color_mark(ctx, curve.color);
            ImGui::TextUnformatted(curve_name(ctx, curve));
            ImGui::TableNextColumn();
            if (smoothed) {
                ImGui::TextUnformatted(std::isnan(mean) ? "" : ctx.text.number(mean * curve.scale, 7).c_str());
                ImGui::TableNextColumn();
            }
            ImGui::TextUnformatted(ctx.text.number(value * curve.scale, 7).c_str());
            ImGui::TableNextColumn();
            std::string unit = curve.unit_key == nullptr ? "" : ctx.text(curve.unit_key);
            // A value of a step beside the one under the mouse says which.
            if (std::round(at) != shown) {
                unit +=
                    " " + ctx.text.format("training.at_step",
                                          {{"step", ctx.text.number(static_cast<std::uint64_t>(std::max(0.0, at)))}});
            }
            ui::text_dim(ctx, unit);
        }
        ImGui::EndTable();
    }
    ImGui::EndTooltip();
}

void StepPlot::draw_marks(const Context& ctx, const StepPlotSpec& spec) const {
    const ImVec2 origin = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
    const ImPlotRect limits = ImPlot::GetPlotLimits();
    ImDrawList& draw = *ImPlot::GetPlotDrawList();
    ImPlot::PushPlotClipRect();
    for (const StepPlotSpec::Mark& mark : spec.marks) {
        if (mark.step < limits.X.Min || mark.step > limits.X.Max) {
            continue;
        }
        const float x = ImPlot::PlotToPixels(mark.step, limits.Y.Min).x;
        const ImU32 ink = ui::packed(ctx.theme.text, 0.6f);
        draw.AddLine({x, origin.y}, {x, origin.y + size.y}, ink, std::max(1.0f, ctx.em / 12));
        // At the lower end: the icons of what happened during the run stand at the upper one.
        draw.AddText(ImGui::GetFont(), 0.8f * ctx.em, {x + 0.25f * ctx.em, origin.y + size.y - 2.2f * ctx.em}, ink,
                     ui::icon::branch);
        if (ImPlot::IsPlotHovered() && std::abs(ImGui::GetMousePos().x - x) < 0.4f * ctx.em && ui::begin_tooltip()) {
            ImGui::TextUnformatted(mark.text.c_str());
            ImGui::EndTooltip();
        }
    }
    ImPlot::PopPlotClipRect();
}

/// What the curve is at the position, where that is not the newest step: of evaluations the latest one before it.
std::string StepPlot::value_at_position(const Context& ctx, const Curve& curve) const {
    if (!ctx.selection.pinned_step || curve.y == nullptr || curve.x->empty() || hidden(curve)) {
        return {};
    }
    const auto at = static_cast<double>(*ctx.selection.pinned_step);
    std::size_t i = nearest(*curve.x, at);
    if ((*curve.x)[i] > at) {
        if (i == 0) {
            return {};
        }
        --i;
    }
    if (i >= curve.y->size()) {
        return {};
    }
    const double value = curve.sum != nullptr && key_.window > 1 ? curve.sum->mean_at(i, key_.window) : (*curve.y)[i];
    constexpr int kDigits = 4;
    return std::isnan(value) ? std::string() : ctx.text.number(value * curve.scale, kDigits);
}

/// The line of the position, which can be dragged.
void StepPlot::draw_position(Context& ctx, const TrainingRun& run) const {
    std::optional<std::uint64_t>& position = ctx.selection.pinned_step;
    if (!position || run.step.empty()) {
        return;
    }
    auto x = static_cast<double>(*position);
    constexpr int kId = 1;
    bool held = false;
    const bool moved =
        ImPlot::DragLineX(kId, &x, ctx.theme.accent, std::max(1.5f, 0.12f * ctx.em),
                          ImPlotDragToolFlags_NoFit | ImPlotDragToolFlags_Delayed, nullptr, nullptr, &held);
    if (!moved || !held) {
        return;
    }
    const std::size_t at = nearest(run.step, x);
    position = at + 1 >= run.step.size() ? std::nullopt
                                         : std::optional(static_cast<std::uint64_t>(std::max(0.0, run.step[at])));
}

void StepPlot::draw_inside(Context& ctx, const TrainingRun& run, const StepPlotSpec& spec) {
    for (std::size_t i = 0; i < spec.curves.size() && i < shapes_.size(); ++i) {
        if (hidden(spec.curves[i])) {
            continue;
        }
        ImPlot::SetAxes(ImAxis_X1, spec.curves[i].right ? ImAxis_Y2 : ImAxis_Y1);
        draw_curve(ctx, spec.curves[i], shapes_[i]);
    }
    ImPlot::SetAxes(ImAxis_X1, ImAxis_Y1);
    draw_marks(ctx, spec);
    ui::draw_run_events(ctx, run);
    draw_position(ctx, run);
    ui::draw_step_notes(ctx, run.id);
    ui::draw_step_cursor(ctx);
    if (ImPlot::IsPlotHovered() && !ImGui::IsMouseDown(ImGuiMouseButton_Left) && !run.step.empty()) {
        draw_tooltip(ctx, spec, ImPlot::GetPlotMousePos().x);
    }
}

void StepPlot::draw(Context& ctx, const TrainingRun& run, const StepPlotSpec& spec, std::size_t& window, ImVec2 size) {
    ImGui::PushID(spec.key);
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    size.y -= draw_title(ctx, spec, size.x) + ImGui::GetStyle().ItemSpacing.y * 0.3f;
    ImGui::SetCursorScreenPos({corner.x, ImGui::GetCursorScreenPos().y});
    size.y = std::max(size.y, 3 * ctx.em);
    const ImVec2 plot_corner = ImGui::GetCursorScreenPos();

    ui::Selection& selection = ctx.selection;
    if (!(selection.step_max - selection.step_min >= kFewestSteps)) {
        selection.step_max = selection.step_min + kFewestSteps;
    }
    std::size_t hidden_mask = 0, evaluations = 0;
    for (std::size_t i = 0; i < spec.curves.size(); ++i) {
        hidden_mask = 31 * hidden_mask + (hidden(spec.curves[i]) ? 1 : 0);
        const Curve::Style style = spec.curves[i].style;
        const bool grows_apart = style == Curve::Style::points || style == Curve::Style::earlier;
        evaluations += grows_apart ? spec.curves[i].x->size() : 0;
    }
    refresh(spec, {run.id, run.step.size(), evaluations, window, hidden_mask, selection.step_min, selection.step_max,
                   std::max(1, static_cast<int>(size.x - 4 * ctx.em))});

    // Double click fits all linked plots, not this one alone: ImPlot's own answer to it is switched off meanwhile.
    ImPlotInputMap& input = ImPlot::GetInputMap();
    const ImGuiMouseButton fit = input.Fit;
    input.Fit = ImGuiMouseButton_COUNT - 1;
    // The label of a tick at the upper end stands half above the frame: it must not touch the title.
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotPadding, ImVec2(0.5f * ctx.em, 0.6f * ctx.em));
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotMinSize, ImVec2(4 * ctx.em, 2 * ctx.em));
    constexpr ImPlotFlags flags = ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMenus |
                                  ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMouseText;
    if (ImPlot::BeginPlot("##plot", size, flags)) {
        constexpr ImPlotAxisFlags axis =
            ImPlotAxisFlags_NoMenus | ImPlotAxisFlags_NoSideSwitch | ImPlotAxisFlags_NoHighlight;
        const double before_min = selection.step_min, before_max = selection.step_max;
        auto* language = const_cast<ui::Language*>(&ctx.text);
        ImPlot::SetupAxis(ImAxis_X1, nullptr, axis);
        ImPlot::SetupAxisLinks(ImAxis_X1, &selection.step_min, &selection.step_max);
        ImPlot::SetupAxisLimitsConstraints(
            ImAxis_X1, 0, std::max({100.0, last_shown(selection, run) * 1.5, static_cast<double>(run.planned_steps)}));
        ImPlot::SetupAxisZoomConstraints(ImAxis_X1, kFewestSteps, kInfinity);
        ImPlot::SetupAxisFormat(ImAxis_X1, ui::format_tick, language);
        ImPlot::SetupAxis(ImAxis_Y1, nullptr, axis);
        ImPlot::SetupAxisLimits(ImAxis_Y1, left_.min, left_.max, ImPlotCond_Always);
        ImPlot::SetupAxisFormat(ImAxis_Y1, ui::format_tick, language);
        if (std::any_of(spec.curves.begin(), spec.curves.end(), [](const Curve& curve) { return curve.right; })) {
            ImPlot::SetupAxis(ImAxis_Y2, nullptr, axis | ImPlotAxisFlags_AuxDefault);
            ImPlot::SetupAxisLimits(ImAxis_Y2, right_.min, right_.max, ImPlotCond_Always);
            ImPlot::SetupAxisFormat(ImAxis_Y2, ui::format_tick, language);
        }
        ImPlot::SetupFinish();
        shown_min_ = selection.step_min;
        shown_max_ = selection.step_max;
        draw_inside(ctx, run, spec);
        const bool hovered = ImPlot::IsPlotHovered();
        pointed_step_ = ImPlot::GetPlotMousePos().x;
        const ImVec2 low = ImPlot::GetPlotPos(), extent = ImPlot::GetPlotSize();
        ui::draw_axis_name(ctx, low, extent, ctx.text("training.axis.step"));
        ImPlot::EndPlot();
        if (selection.step_min != before_min || selection.step_max != before_max) {
            selection.follow = selection.step_max >= last_shown(selection, run);
        }
        if (hovered && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
            fit_steps(selection, run);
        }
        if (hovered && ImGui::IsMouseReleased(ImGuiMouseButton_Right) &&
            ImGui::GetMouseDragDelta(ImGuiMouseButton_Right).x == 0) {
            menu_step_ = pointed_step_;
            ImGui::OpenPopup("menu");
        }
    }
    ImPlot::PopStyleVar(2);
    input.Fit = fit;
    draw_menu(ctx, run, spec, window, corner, {plot_corner.x + size.x, plot_corner.y + size.y});
    ImGui::PopID();
}

void StepPlot::draw_menu(Context& ctx, const TrainingRun& run, const StepPlotSpec& spec, std::size_t& window,
                         ImVec2 min, ImVec2 max) {
    if (!ImGui::BeginPopup("menu")) {
        menu_step_.reset();
        return;
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.fit"))) {
        fit_steps(ctx.selection, run);
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.live"), nullptr, ctx.selection.follow)) {
        ctx.selection.follow = true;
    }
    if (std::any_of(spec.curves.begin(), spec.curves.end(), [](const Curve& curve) { return curve.sum != nullptr; })) {
        ImGui::Separator();
        for (const std::size_t steps : {std::size_t{1}, std::size_t{20}, std::size_t{100}, std::size_t{500}}) {
            const std::string label =
                steps == 1 ? std::string(ctx.text("training.window.one"))
                           : ctx.text.format("training.window", {{"steps", ctx.text.number(std::uint64_t{steps})}});
            if (ImGui::MenuItem(label.c_str(), nullptr, window == steps)) {
                window = steps;
            }
            ui::tooltip(ctx.text("training.window.help"));
        }
    }
    ImGui::Separator();
    // Opened by the title there is no step under the mouse.
    const double newest = newest_step(run),
                 step = std::clamp(std::round(menu_step_.value_or(newest)), 0.0, std::max(0.0, newest));
    ui::note_menu(ctx,
                  {.kind = history::NotePlace::Kind::step, .run = run.id, .step = static_cast<std::uint64_t>(step)},
                  0.4 * ctx.em * (shown_max_ - shown_min_) / std::max(1.0f, max.x - min.x));
    ImGui::Separator();
    const std::string name = run.name + "-" + file_part(spec.key);
    // Long runs make long files: they are written where nobody waits for them.
    const auto save_text = [&](const char* ending, std::function<std::string()> make) {
        if (ctx.save_as) {
            ctx.save_as(name + ending, std::move(make));
        }
    };
    const auto csv = [&] { return [all = series(ctx, spec)] { return to_csv("step", all); }; };
    if (ImGui::MenuItem(ctx.text.label("training.menu.csv"))) {
        save_text(".csv", csv());
    }
    if (ImGui::MenuItem(ctx.text.label("training.menu.svg"))) {
        save_text(".svg", [picture = drawing(ctx, run, spec)] { return to_svg(picture); });
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

std::vector<Series> StepPlot::series(const Context& ctx, const StepPlotSpec& spec) const {
    std::vector<Series> all;
    for (const Curve& curve : spec.curves) {
        if (curve.y == nullptr) {
            continue;
        }
        std::string name = curve.name.empty() ? file_part(curve.key) : curve.name;
        // The file holds the column's own unit, not the one of the axis: bytes, not MiB.
        if (curve.unit_key != nullptr && curve.scale == 1) {
            name += ui::in_brackets(ctx.text, ctx.text(curve.unit_key));
        }
        all.push_back({std::move(name), *curve.x, *curve.y});
    }
    return all;
}

Drawing StepPlot::drawing(const Context& ctx, const TrainingRun& run, const StepPlotSpec& spec) const {
    Drawing drawing;
    drawing.title =
        run.name + ctx.text("common.colon") + ctx.text(spec.key) + ui::in_brackets(ctx.text, ctx.text(spec.unit_key));
    drawing.x_name = ctx.text("training.axis.step");
    drawing.x_min = shown_min_;
    drawing.x_max = shown_max_;
    drawing.y_min = left_.min;
    drawing.y_max = left_.max;
    for (std::size_t i = 0; i < spec.curves.size() && i < shapes_.size(); ++i) {
        if (!hidden(spec.curves[i])) {
            add_to(drawing, ctx, spec.curves[i], shapes_[i]);
        }
    }
    for (const StepPlotSpec::Mark& mark : spec.marks) {
        drawing.marks.push_back({mark.step, mark.text, ui::hex_color(ctx.theme.text)});
    }
    for (const history::RunEvent& event : run.events) {
        const bool change = ui::is_change(event);
        drawing.marks.push_back({static_cast<double>(event.step), ui::event_text(ctx, event),
                                 ui::hex_color(change ? ctx.theme.accent : ctx.theme.text_dim), change});
    }
    std::stable_sort(drawing.marks.begin(), drawing.marks.end(),
                     [](const auto& a, const auto& b) { return a.x < b.x; });
    return drawing;
}

/// The curve as it is on the screen: single values, mean, areas. A mean says over how many steps it is.
void StepPlot::add_to(Drawing& drawing, const Context& ctx, const Curve& curve, const Shape& shape) const {
    using Style = Curve::Style;
    using Look = Drawing::Look;
    const std::string color = ui::hex_color(curve.color);
    std::string name = curve_name(ctx, curve);
    if (curve.sum != nullptr && key_.window > 1) {
        name += ctx.text("common.comma") +
                ctx.text.format("training.window", {{"steps", ctx.text.number(std::uint64_t{key_.window})}});
    }
    if (curve.style == Style::stacked) {
        drawing.areas.push_back({color, {shape.points.x, shape.low.y, shape.points.y}, 0.75});
    } else if (!shape.band.x.empty()) {
        drawing.areas.push_back({color, shape.band});
    } else if (!shape.low.x.empty()) {
        drawing.lines.push_back({"", color, shape.low, {}, Look::faint});
    }
    Drawing::Line line{std::move(name), color, shape.points};
    line.look = curve.style == Style::points && shape.points.x.size() < kMostDots ? Look::marked
                : curve.style == Style::dashed                                    ? Look::dashed
                : curve.style == Style::earlier || curve.style == Style::level    ? Look::thin
                                                                                  : Look::whole;
    // A picture has one scale; curves of the right axis are drawn as on the screen, with their range in the name.
    if (curve.right) {
        line.name += ctx.text.format("common.in_brackets",
                                     {{"text", ctx.text.number(right_.min) + " … " + ctx.text.number(right_.max)}});
        for (double& y : line.points.y) {
            y = left_.min + (y - right_.min) / (right_.max - right_.min) * (left_.max - left_.min);
        }
    }
    drawing.lines.push_back(std::move(line));
}

}  // namespace moescope::panels
