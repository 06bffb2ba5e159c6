#include "panels/ui/chart_view.hpp"

#include <algorithm>
#include <cmath>

#include "base/axis.hpp"
#include "panels/ui/figure_svg.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMostValues = 12;  ///< series in a tooltip
constexpr std::size_t kFewValues = 40;   ///< that have a sign each
constexpr std::size_t kSigns = 6;        ///< along a longer line

struct Plot {
    const ui::Context& ctx;
    const ChartSpec& spec;
    Area area;
    Chart::Range range;
    double low_x, high_x;

    const Chart& chart() const { return *spec.chart; }
    float x(double value) const {
        return area.min.x + static_cast<float>((value - low_x) / (high_x - low_x)) * area.width();
    }
    float y(double value) const {
        return area.max.y - static_cast<float>((value - range.low) / (range.high - range.low)) * area.height();
    }
    bool bars() const { return chart().kind == Chart::Kind::bars; }
};

std::vector<double> ticks_of(const Chart::Range& range, float height, float em) {
    return base::ticks(range.low, range.high, std::clamp(static_cast<int>(height / (2.2f * em)), 2, 6));
}

void draw_grid(const Plot& plot) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImU32 line = ImGui::GetColorU32(plot.ctx.theme.grid);
    for (const double at : ticks_of(plot.range, plot.area.height(), plot.ctx.em)) {
        draw.AddLine({plot.area.min.x, plot.y(at)}, {plot.area.max.x, plot.y(at)}, line);
        draw_axis_label(plot.ctx, plot.area, plot.y(at), value_text(plot.ctx.text, at, plot.chart().unit));
    }
}

/// Numbers below lines: as many as fit, the last one within the area.
void draw_numbers_below(const Plot& plot) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ui::Context& ctx = plot.ctx;
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    float free = -1e30f;
    for (const double at :
         base::ticks(plot.low_x, plot.high_x, std::clamp(static_cast<int>(plot.area.width() / (5 * ctx.em)), 2, 10))) {
        const std::string label = value_text(ctx.text, at, at == std::round(at) ? Unit::whole : Unit::number);
        const float width = ImGui::CalcTextSize(label.c_str()).x;
        const float left = std::clamp(plot.x(at) - width / 2, plot.area.min.x - 0.5f * ctx.em,
                                      plot.area.max.x + 0.5f * ctx.em - width);
        draw.AddLine({plot.x(at), plot.area.max.y}, {plot.x(at), plot.area.max.y + 0.15f * ctx.em}, ink);
        if (left > free) {
            draw.AddText({left, plot.area.max.y + 0.15f * ctx.em}, ink, label.c_str());
            free = left + width + 0.5f * ctx.em;
        }
    }
}

void draw_bars(const Plot& plot, ImU32 color) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float width = plot.x(1) - plot.x(0), half = std::max(0.5f, 0.36f * width);
    const ImU32 ink = ui::packed(plot.ctx.theme.text, 0.8f);
    for (std::size_t i = 0; i < plot.chart().x.size(); ++i) {
        const Estimate& bar = plot.chart().series.front().y[i];
        if (!std::isfinite(bar.value)) {
            continue;
        }
        const float middle = plot.x(static_cast<double>(i)), high = plot.y(std::max(0.0, bar.value)),
                    low = plot.y(std::min(0.0, bar.value));
        draw.AddRectFilled({middle - half, high}, {middle + half, std::max(low, high + 1)}, color);
        if (bar.has_interval() && width > 3) {
            const float cap = std::min(half, 0.25f * plot.ctx.em);
            for (const double end : {bar.low, bar.high}) {
                draw.AddLine({middle - cap, plot.y(end)}, {middle + cap, plot.y(end)}, ink);
            }
            draw.AddLine({middle, plot.y(bar.low)}, {middle, plot.y(bar.high)}, ink);
        }
        if (plot.spec.chosen == i) {
            draw.AddRect({middle - width / 2, plot.area.min.y}, {middle + width / 2, plot.area.max.y},
                         ImGui::GetColorU32(plot.ctx.theme.accent), 0, 1.5f);
        }
    }
}

/// Where a line has an interval, its band.
void draw_band(const Plot& plot, const Chart::Series& series, ImU32 color) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    for (std::size_t i = 1; i < plot.chart().x.size() && i < series.y.size(); ++i) {
        const Estimate &from = series.y[i - 1], &to = series.y[i];
        if (from.has_interval() && to.has_interval()) {
            const float left = plot.x(plot.chart().x[i - 1]), right = plot.x(plot.chart().x[i]);
            draw.AddQuadFilled({left, plot.y(from.high)}, {right, plot.y(to.high)}, {right, plot.y(to.low)},
                               {left, plot.y(from.low)}, color);
        }
    }
}

void draw_line(const Plot& plot, const Chart::Series& series, ImU32 color, bool strong) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float weight = series.quiet && !strong ? 1.0f : std::max(1.5f, plot.ctx.em / 9);
    if (!series.quiet || strong) {
        draw_band(plot, series, faded(color, 0.2f));
    }
    std::vector<ImVec2> points;
    const auto stroke = [&] {
        if (points.size() > 1) {
            draw.AddPolyline(points.data(), static_cast<int>(points.size()), color, weight);
        }
        points.clear();
    };
    for (std::size_t i = 0; i < plot.chart().x.size() && i < series.y.size(); ++i) {
        if (!std::isfinite(series.y[i].value)) {
            stroke();
            continue;
        }
        points.push_back({plot.x(plot.chart().x[i]), plot.y(series.y[i].value)});
    }
    stroke();
    if (series.quiet && !strong) {
        return;
    }
    // Each value where there are few, else some along the line: signs tell it from others, and alone it needs none.
    if (plot.chart().series.size() == 1 && series.y.size() > kFewValues) {
        return;
    }
    for (const std::size_t i : marker_places(series.y.size(), series.y.size() <= kFewValues ? kFewValues : kSigns)) {
        if (std::isfinite(series.y[i].value)) {
            ui::draw_marker(draw, {plot.x(plot.chart().x[i]), plot.y(series.y[i].value)}, 0.24f * plot.ctx.em,
                            static_cast<std::size_t>(&series - plot.chart().series.data()), color);
        }
    }
}

/// What the values are compared with, named at its right end above the line.
void draw_levels(const Plot& plot) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ui::Context& ctx = plot.ctx;
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text);
    float free = 1e30f;
    std::vector<Chart::Level> levels = plot.chart().levels;
    std::sort(levels.begin(), levels.end(), [](const auto& a, const auto& b) { return a.y < b.y; });
    for (const Chart::Level& level : levels) {
        if (!std::isfinite(level.y)) {
            continue;
        }
        const float y = plot.y(level.y), dash = 0.4f * ctx.em;
        for (float x = plot.area.min.x; x < plot.area.max.x; x += 2 * dash) {
            draw.AddLine({x, y}, {std::min(x + dash, plot.area.max.x), y}, ink);
        }
        const char* name = ctx.text(level.key);
        const ImVec2 size = ImGui::CalcTextSize(name);
        // Names of lines that are close stand above each other.
        const float top = std::min(y - size.y, free - size.y);
        if (top >= plot.area.min.y - 0.2f * ctx.em && size.x < plot.area.width()) {
            draw.AddRectFilled({plot.area.max.x - size.x - 0.2f * ctx.em, top}, {plot.area.max.x, top + size.y},
                               ui::packed(ctx.theme.panel, 0.7f));
            draw.AddText({plot.area.max.x - size.x, top}, ink, name);
            free = top;
        }
    }
}

/// The series whose value at the place is nearest to the mouse; nothing without any.
std::optional<std::size_t> nearest_series(const Plot& plot, std::size_t place, float mouse) {
    std::optional<std::size_t> best;
    float distance = 0;
    for (std::size_t s = 0; s < plot.chart().series.size(); ++s) {
        const Chart::Series& series = plot.chart().series[s];
        if (place >= series.y.size() || !std::isfinite(series.y[place].value)) {
            continue;
        }
        const float here = std::abs(plot.y(series.y[place].value) - mouse);
        if (!best || here < distance) {
            best = s;
            distance = here;
        }
    }
    return best;
}

void draw_tooltip(const Plot& plot, std::size_t place, std::optional<std::size_t> nearest) {
    if (!ui::begin_tooltip()) {
        return;
    }
    const ui::Context& ctx = plot.ctx;
    const Chart& chart = plot.chart();
    const std::string label =
        plot.bars() ? label_text(ctx.text, chart, place) : value_text(ctx.text, chart.x[place], Unit::whole);
    ImGui::TextUnformatted((std::string(ctx.text(chart.x_key)) + " " + label).c_str());
    if (ImGui::BeginTable("values", 2, ImGuiTableFlags_SizingFixedFit)) {
        const auto row = [&](const std::string& name, const std::string& value) {
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ui::text_dim(ctx, name);
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(value.c_str());
        };
        const bool many = chart.series.size() > kMostValues;
        for (std::size_t s = 0; s < chart.series.size(); ++s) {
            const Chart::Series& series = chart.series[s];
            if (place < series.y.size() && (!many || !series.quiet || nearest == s)) {
                row(series_name(ctx.text, series), estimate_text(ctx.text, series.y[place], chart.unit));
            }
        }
        for (const Chart::Level& level : chart.levels) {
            row(ctx.text(level.key), value_text(ctx.text, level.y, chart.unit));
        }
        ImGui::EndTable();
    }
    if (!plot.spec.tip.empty()) {
        ui::text_wrapped(plot.spec.tip, ctx.theme.text_dim, 20 * ctx.em);
    }
    ImGui::EndTooltip();
}

/// The sign of a series, so that its colour is not needed to tell it from the others.
ui::LineLook look_of(const ui::Context& ctx, const ChartSpec& spec, std::size_t series) {
    return {series_color(ctx.theme, spec, series), series % kMarkers};
}

/// Of many thin lines the first and the last by their names, between them the colours from one to the other. `at` is
/// where the legend goes on, in a row that ends at `right`.
void draw_quiet_legend(const ui::Context& ctx, const ChartSpec& spec, float left, float right, ImVec2& at) {
    std::vector<std::size_t> quiet;
    for (std::size_t s = 0; s < spec.chart->series.size(); ++s) {
        if (spec.chart->series[s].quiet) {
            quiet.push_back(s);
        }
    }
    if (quiet.empty()) {
        return;
    }
    const std::string first = series_name(ctx.text, spec.chart->series[quiet.front()]),
                      last = quiet.size() > 1 ? series_name(ctx.text, spec.chart->series[quiet.back()]) : std::string();
    const float gap = 0.3f * ctx.em, bar = 3 * ctx.em, line = ImGui::GetTextLineHeight();
    const float before = ImGui::CalcTextSize(first.c_str()).x + gap,
                width = before + bar + gap + ImGui::CalcTextSize(last.c_str()).x;
    if (at.x > left && at.x + width > right) {
        at = {left, at.y + line};
    }
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    draw.AddText(at, ink, first.c_str());
    const float slice = bar / static_cast<float>(quiet.size());
    for (std::size_t i = 0; i < quiet.size(); ++i) {
        const float x = at.x + before + static_cast<float>(i) * slice;
        draw.AddRectFilled({x, at.y + 0.35f * line}, {x + slice, at.y + 0.65f * line},
                           ImGui::GetColorU32(series_color(ctx.theme, spec, quiet[i])));
    }
    draw.AddText({at.x + before + bar + gap, at.y}, ink, last.c_str());
    at.x += width + 0.8f * ctx.em;
}

/// Signs and names of the series that stand out, and which the others are.
void draw_legend(const ui::Context& ctx, const ChartSpec& spec, float right) {
    const float sign = ui::look_sign_width(ctx) + 0.3f * ctx.em, line = ImGui::GetTextLineHeight(),
                left = ImGui::GetCursorScreenPos().x;
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    float x = left, y = ImGui::GetCursorScreenPos().y;
    for (std::size_t s = 0; s < spec.chart->series.size(); ++s) {
        if (spec.chart->series[s].quiet) {
            continue;
        }
        const std::string name = series_name(ctx.text, spec.chart->series[s]);
        const float width = sign + ImGui::CalcTextSize(name.c_str()).x;
        if (x > left && x + width > right) {
            x = left;
            y += line;
        }
        ui::draw_look(ctx, draw, {x, y}, look_of(ctx, spec, s));
        draw.AddText({x + sign, y}, ImGui::GetColorU32(ctx.theme.text_dim), name.c_str());
        x += width + 0.8f * ctx.em;
    }
    ImVec2 at{x, y};
    draw_quiet_legend(ctx, spec, left, right, at);
    y = at.y;
    ImGui::Dummy({1, y - ImGui::GetCursorScreenPos().y + line});
}

bool wants_legend(const Chart& chart) {
    return chart.series.size() > 1;
}

ChartWords words_of(const ui::Context& ctx, const ChartSpec& spec) {
    ChartWords words;
    words.title = spec.title + ui::in_brackets(ctx.text, spec.unit);
    words.x_name = ctx.text(spec.chart->x_key);
    for (std::size_t s = 0; s < spec.chart->series.size(); ++s) {
        words.series.push_back(series_name(ctx.text, spec.chart->series[s]));
        words.colors.push_back(ui::hex_color(series_color(ctx.theme, spec, s)));
    }
    for (const Chart::Level& level : spec.chart->levels) {
        words.levels.emplace_back(ctx.text(level.key));
    }
    for (std::size_t i = 0; i < spec.chart->labels.size(); ++i) {
        words.labels.push_back(label_text(ctx.text, *spec.chart, i));
    }
    return words;
}

void draw_content(const Plot& plot, std::optional<std::size_t> strong) {
    const Chart& chart = plot.chart();
    const auto color = [&](std::size_t s) { return ImGui::GetColorU32(series_color(plot.ctx.theme, plot.spec, s)); };
    ImGui::PushClipRect({plot.area.min.x - 1, plot.area.min.y - 1}, {plot.area.max.x + 1, plot.area.max.y + 1}, true);
    if (plot.bars() && !chart.series.empty()) {
        draw_bars(plot, color(0));
    }
    for (std::size_t s = 0; s < chart.series.size() && !plot.bars(); ++s) {
        if (chart.series[s].quiet && strong != s) {
            draw_line(plot, chart.series[s], color(s), false);
        }
    }
    for (std::size_t s = 0; s < chart.series.size() && !plot.bars(); ++s) {
        if (!chart.series[s].quiet || strong == s) {
            draw_line(plot, chart.series[s], color(s), true);
        }
    }
    ImGui::PopClipRect();
    draw_levels(plot);
}

}  // namespace

ImVec4 series_color(const ui::Theme& theme, const ChartSpec& spec, std::size_t series) {
    if (series < spec.colors.size()) {
        return spec.colors[series];
    }
    const Chart& chart = *spec.chart;
    if (!chart.series[series].quiet) {
        return theme.series_color(series + 4);
    }
    // One of many: from the dark to the light end of the colours of load.
    const double place =
        static_cast<double>(series) / std::max<double>(1, static_cast<double>(chart.series.size() - 1));
    return ImGui::ColorConvertU32ToFloat4(theme.load_color(0.15 + 0.75 * place));
}

ChartView::Hit ChartView::draw(ui::Context& ctx, const ChartSpec& spec, ImVec2 size) {
    Hit hit;
    ImGui::PushID(spec.id);
    begin_view("chart", size);
    const ImVec2 low = ImGui::GetWindowPos(), all = ImGui::GetWindowSize();
    if (!ImGui::IsPopupOpen("menu")) {
        about_.reset();
    }
    draw_head(ctx, spec.title, spec.unit);
    const Chart& chart = *spec.chart;
    if (wants_legend(chart)) {
        draw_legend(ctx, spec, low.x + all.x);
    }
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const float line = ImGui::GetTextLineHeight();
    const Chart::Range range = chart.range();
    float left = 2 * ctx.em;
    for (const double at : ticks_of(range, room.y - line, ctx.em)) {
        left = std::max(left, ImGui::CalcTextSize(value_text(ctx.text, at, chart.unit).c_str()).x + 0.5f * ctx.em);
    }
    // What the horizontal axis counts stands before its numbers.
    const std::string x_name = *chart.x_key != '\0' ? ctx.text(chart.x_key) : "";
    left = std::max(left, std::min(ImGui::CalcTextSize(x_name.c_str()).x + 0.9f * ctx.em, 0.25f * room.x));
    const Area area{{corner.x + left, corner.y + 0.3f * ctx.em},
                    {corner.x + room.x - 0.6f * ctx.em, corner.y + room.y - line - 0.3f * ctx.em}};
    if (!chart.x.empty() && area.width() >= 2 * ctx.em && area.height() >= ctx.em) {
        const bool bars = chart.kind == Chart::Kind::bars;
        const double margin = bars || chart.x.size() == 1 ? 0.5 : 0;
        const Plot plot{ctx, spec, area, range, chart.x.front() - margin, chart.x.back() + margin};
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###area", {area.width(), area.height()});
        const bool clicked = ImGui::IsItemClicked();
        std::optional<std::size_t> strong;
        if (ImGui::IsItemHovered()) {
            const ImVec2 mouse = ImGui::GetMousePos();
            const double at = plot.low_x + (mouse.x - area.min.x) / area.width() * (plot.high_x - plot.low_x);
            hit.hovered = chart.nearest(at);
            strong = nearest_series(plot, *hit.hovered, mouse.y);
            hit.clicked = clicked ? hit.hovered : std::nullopt;
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                about_ = hit.hovered;
                ImGui::OpenPopup("menu");
            }
        }
        draw_grid(plot);
        if (hit.hovered) {
            const float x = plot.x(chart.x[*hit.hovered]);
            ImGui::GetWindowDrawList()->AddLine({x, area.min.y}, {x, area.max.y}, ui::packed(ctx.theme.text, 0.3f));
        }
        draw_content(plot, strong);
        if (bars) {
            draw_names_below(ctx, area, chart.x.size(), [&](std::size_t i) { return label_text(ctx.text, chart, i); });
        } else {
            draw_numbers_below(plot);
        }
        ImGui::GetWindowDrawList()->AddText({corner.x, area.max.y + 0.12f * ctx.em},
                                            ImGui::GetColorU32(ctx.theme.text_dim),
                                            ui::elided(x_name, left - 0.6f * ctx.em).c_str());
        if (hit.hovered) {
            draw_tooltip(plot, *hit.hovered, strong);
        }
    }
    if (ImGui::BeginPopup("menu")) {
        if (spec.menu && about_ && *about_ < chart.x.size()) {
            spec.menu(*about_);
        }
        draw_export_items(
            ctx,
            {.name = spec.file,
             .csv = [&] { return [data = spec.chart] { return to_csv(*data); }; },
             .svg = [&] { return [data = spec.chart, words = words_of(ctx, spec)] { return to_svg(*data, words); }; },
             .min = low,
             .max = {low.x + all.x, low.y + all.y}});
        ImGui::EndPopup();
    }
    ImGui::EndChild();
    ImGui::PopID();
    return hit;
}

}  // namespace moescope::panels
