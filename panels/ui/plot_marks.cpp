#include "panels/ui/plot_marks.hpp"

#include <algorithm>
#include <implot.h>
#include <iterator>
#include <string_view>

#include "panels/ui/widgets.hpp"

namespace moescope::ui {
namespace {

constexpr int kMostHints = 8;  ///< events listed in one tooltip

std::string value_text(const Language& text, const nlohmann::json& value) {
    if (value.is_number()) {
        return text.number(value.get<double>());
    }
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

struct EventSign {
    std::string_view kind;
    const char* sign;
};
constexpr EventSign kSigns[] = {{"knob", icon::gear},   {"expert", icon::gear},   {"checkpoint", icon::save},
                                {"pause", icon::pause}, {"resume", icon::play},   {"continue", icon::play},
                                {"rewind", icon::undo}, {"fault", icon::warning}, {"stop", icon::stop},
                                {"gap", icon::warning}, {"note", icon::file}};

}  // namespace

const char* event_icon(const std::string& kind) {
    const auto found =
        std::find_if(std::begin(kSigns), std::end(kSigns), [&](const EventSign& one) { return one.kind == kind; });
    return found == std::end(kSigns) ? icon::info : found->sign;
}

std::string event_text(const Context& ctx, const history::RunEvent& event) {
    const std::string kind_key = "event." + event.kind;
    std::string result =
        ctx.text.format("event.at_step", {{"step", ctx.text.number(event.step)}}) + ctx.text("common.colon");
    if (event.kind == "expert") {
        const std::string action_key = kind_key + "." + event.name;
        return result + (ctx.text.has(action_key) && event.expert >= 0
                             ? ctx.text.format(action_key, {{"layer", std::to_string(event.layer)},
                                                            {"expert", std::to_string(event.expert)}})
                             : ctx.text(kind_key) + (" " + ctx.text.message(event.text)));
    }
    result += ctx.text.has(kind_key) ? ctx.text(kind_key) : event.kind.c_str();
    if (!event.name.empty()) {
        const std::string name_key = "runs.field." + event.name;
        result += std::string(" ") + (ctx.text.has(name_key) ? ctx.text(name_key) : event.name.c_str());
        result += " " + value_text(ctx.text, event.old_value) + " \u2192 " + value_text(ctx.text, event.new_value);
    }
    return result;
}

bool is_change(const history::RunEvent& event) {
    return event.kind == "knob" || event.kind == "expert";
}

void draw_run_events(const Context& ctx, const history::TrainingRun& run) {
    const ImVec2 origin = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
    const ImPlotRect limits = ImPlot::GetPlotLimits();
    const ImVec2 mouse = ImGui::GetMousePos();
    const bool hovered = ImPlot::IsPlotHovered();
    std::string hint;
    int hints = 0;
    float free_x = -1e30f;  // an icon is left out where it would cover the one before
    float line_x = -1e30f;  // and a line where it would touch the one before: long runs have thousands of checkpoints
    ImPlot::PushPlotClipRect();
    ImDrawList* draw = ImPlot::GetPlotDrawList();
    for (const history::RunEvent& event : run.events) {
        const double step = static_cast<double>(event.step);
        if (step < limits.X.Min || step > limits.X.Max) {
            continue;
        }
        const float x = ImPlot::PlotToPixels(step, limits.Y.Min).x;
        if (hovered && std::abs(mouse.x - x) < ctx.em * 0.3f && hints++ < kMostHints) {
            hint += (hint.empty() ? "" : "\n") + event_text(ctx, event);
        }
        const bool knob = is_change(event);
        if (!knob && x < line_x + 2) {
            continue;
        }
        line_x = x;
        const ImU32 ink = packed(knob ? ctx.theme.accent : ctx.theme.text_dim, 0.75f);
        for (float y = origin.y + ctx.em; y < origin.y + size.y; y += ctx.em * 0.5f) {
            draw->AddLine({x, y}, {x, std::min(y + ctx.em * 0.25f, origin.y + size.y)}, ink);
        }
        const float half = ImGui::CalcTextSize(event_icon(event.kind)).x * 0.35f;
        if (x - half > free_x) {
            draw->AddText(ImGui::GetFont(), ctx.em * 0.7f, {x - half, origin.y + ctx.em * 0.15f}, ink,
                          event_icon(event.kind));
            free_x = x + half;
        }
    }
    ImPlot::PopPlotClipRect();
    if (hints > kMostHints) {
        hint += "\n\u2026";
    }
    if (!hint.empty() && begin_tooltip()) {
        ImGui::TextUnformatted(hint.c_str());
        ImGui::EndTooltip();
    }
}

void draw_step_cursor(const Context& ctx) {
    if (ImPlot::IsPlotHovered()) {
        ctx.selection.hovered_step = ImPlot::GetPlotMousePos().x;
        ctx.selection.hovered_frame = ImGui::GetFrameCount();
    }
    if (!ctx.selection.hovered_step) {
        return;
    }
    const ImPlotRect limits = ImPlot::GetPlotLimits();
    const double step = *ctx.selection.hovered_step;
    if (step < limits.X.Min || step > limits.X.Max) {
        return;
    }
    const float x = ImPlot::PlotToPixels(step, limits.Y.Min).x;
    const ImVec2 origin = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
    ImPlot::GetPlotDrawList()->AddLine({x, origin.y}, {x, origin.y + size.y}, packed(ctx.theme.text, 0.4f));
}

}  // namespace moescope::ui
