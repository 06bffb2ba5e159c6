#include "panels/experts/load_toolbar.hpp"

#include <algorithm>

#include "nodes/history/run_layers.hpp"
#include "panels/experts/load_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::TrainingRun;

void draw_mode(ui::Context& ctx, LoadModel& model) {
    const ui::Language& text = ctx.text;
    int mode = static_cast<int>(model.mode);
    if (ui::segmented(ctx, "mode",
                      {text.label("load.mode.all"), text.label("load.mode.english"), text.label("load.mode.chinese"),
                       text.label("load.mode.difference")},
                      mode)) {
        model.mode = static_cast<LoadMode>(mode);
    }
    ui::tooltip(text("load.mode.help"));
}

/// How far the colours go, and whether that stays so.
void draw_colors(const ui::Context& ctx, LoadModel& model) {
    const ui::Language& text = ctx.text;
    const auto fixed = [&](double scale) {
        return text.format("load.scale.locked", {{"scale", of_even(text, scale)}});
    };
    const std::string shown = model.scale_locked()
                                  ? fixed(model.scale())
                                  : text.format("load.scale.auto", {{"scale", of_even(text, model.scale())}});
    if (ui::begin_combo("###load.scale", shown.c_str(), ImGuiComboFlags_HeightLarge)) {
        if (ImGui::Selectable(text.label("load.scale.fit"), !model.scale_locked())) {
            model.fit_scale_to_shown();
        }
        for (const double scale : model.scales()) {
            const std::string label = fixed(scale) + "###load.scale." + text.number(scale);
            if (ImGui::Selectable(label.c_str(), model.scale_locked() && scale == model.scale())) {
                model.lock_scale(scale);
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("load.scale.help"));
}

}  // namespace

std::size_t shown_layer(const ui::Selection& selection, const TrainingRun& run) {
    const std::size_t chosen =
        selection.layer < 0 ? history::first_layer_with_experts(run) : static_cast<std::size_t>(selection.layer);
    return std::min(chosen, std::size_t{run.layers} - 1);
}

float layer_choice_width(const ui::Context& ctx) {
    return ImGui::CalcTextSize(ctx.text("load.layer")).x + 4.6f * ctx.em;
}

float window_choice_width(const ui::Context& ctx) {
    return 7.5f * ctx.em;
}

float shown_step_width(const ui::Context& ctx) {
    return ImGui::CalcTextSize(ctx.text("load.step.live")).x + 4 * ctx.em;
}

void draw_shown_step(ui::Context& ctx, const TrainingRun& run, const ShownSteps& shown) {
    using State = ShownSteps::State;
    const ui::Language& text = ctx.text;
    ImGui::AlignTextToFramePadding();
    const std::string step = text.number(shown.counts.back()->step);
    if (ctx.selection.pinned_step) {
        const std::string key = shown.state == State::coming    ? "load.step.coming"
                                : shown.state == State::nearest ? "load.step.nearest"
                                                                : "load.step.pinned";
        ui::text_colored(ctx.theme.accent,
                         std::string(ui::icon::pin) + " " +
                             text.format(key, {{"step", step}, {"wanted", text.number(*ctx.selection.pinned_step)}}));
        ui::tooltip(text(key + ".help"));
        ImGui::SameLine();
        const std::string live = alive(run) ? "load.live" : "load.last";
        if (ImGui::Button(text.label(live))) {
            ctx.run("load.live");
        }
        ui::command_tooltip(ctx, text(live + ".help"), "load.live");
    } else {
        const std::string key = alive(run) ? "load.step.live" : "load.step.last";
        ui::text_dim(ctx, text.format(key, {{"step", step}}));
        ui::tooltip(text(key + ".help"));
    }
}

void draw_layer_choice(ui::Context& ctx, const TrainingRun& run, const char* help) {
    const std::size_t chosen = shown_layer(ctx.selection, run);
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(ctx.text("load.layer"));
    ImGui::SameLine(0, 0.4f * ctx.em);
    ui::next_field(4.2f * ctx.em);
    const std::size_t dense = history::dense_layers(run);
    const auto name = [&](std::size_t layer) {
        return layer < dense ? ctx.text.format("load.layer.dense", {{"layer", std::to_string(layer)}})
                             : std::to_string(layer);
    };
    if (ui::begin_combo("###load.layer", std::to_string(chosen))) {
        for (std::size_t layer = 0; layer < static_cast<std::size_t>(run.layers); ++layer) {
            if (ImGui::Selectable(name(layer).c_str(), layer == chosen)) {
                ctx.selection.layer = static_cast<int>(layer);
            }
            if (layer == chosen) {
                ImGui::SetItemDefaultFocus();
            }
        }
        if (history::has_prediction_module(run)) {
            ui::text_dim(ctx, ctx.text.format("load.layer.module", {{"layer", std::to_string(run.layers)}}));
        }
        ImGui::EndCombo();
    }
    ui::command_tooltip(ctx, ctx.text(help), "load.layer_next");
}

void draw_window_choice(const ui::Context& ctx, std::size_t& window) {
    const ui::Language& text = ctx.text;
    const auto name = [&](std::size_t i) {
        return i == 0 ? std::string(text("load.window.one"))
                      : text.format("load.window.many", {{"steps", text.number(std::uint64_t{kLoadWindows[i]})}});
    };
    ui::next_field(window_choice_width(ctx));
    if (ui::begin_combo("###load.window", name(window))) {
        for (std::size_t i = 0; i < kLoadWindows.size(); ++i) {
            if (ImGui::Selectable(name(i).c_str(), i == window)) {
                window = i;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("load.window.help"));
}

bool draw_load_toolbar(ui::Context& ctx, const TrainingRun& run, LoadModel& model, const ShownSteps& shown) {
    const ui::Language& text = ctx.text;
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    const auto flow = [&](float width) {
        if (ImGui::GetItemRectMax().x + ctx.em + width < right) {
            ImGui::SameLine(0, ctx.em);
        }
    };
    draw_mode(ctx, model);
    flow(layer_choice_width(ctx));
    draw_layer_choice(ctx, run, "load.layer.help");
    flow(window_choice_width(ctx));
    draw_window_choice(ctx, model.window);
    const float wide = 9.5f * ctx.em;
    flow(wide);
    ui::next_field(wide);
    draw_colors(ctx, model);
    const char* menu = text.label("load.menu");
    flow(ui::button_width(menu));
    const bool open = ImGui::Button(menu);
    ui::tooltip(text("load.menu.help"));
    flow(shown_step_width(ctx));
    draw_shown_step(ctx, run, shown);
    return open;
}

}  // namespace moescope::panels
