// Runs over each other: curves of any number of training runs, of this session and of others, in the same plots; a
// table of what differs in them; their load maps side by side.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json_fields.hpp"
#include "panels/overlay/overlay_maps.hpp"
#include "panels/overlay/overlay_plot.hpp"
#include "panels/overlay/overlay_table.hpp"
#include "panels/overlay/run_choice.hpp"
#include "panels/panels.hpp"
#include "panels/runs/experiment_values.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunFigure;
using history::RunState;
using ui::Context;
namespace icon = ui::icon;

constexpr const char* kExamplePreset = "workshop";
constexpr int kExampleSteps = 200;
constexpr float kLeastPlotWidth = 15, kLeastPlotHeight = 9.5f;  ///< em
constexpr float kWidePlot = 26;                                 ///< em, of a column of plots

enum class View : int { curves, table, maps };
constexpr std::array<const char*, 3> kViews = {"overlay.view.curves", "overlay.view.table", "overlay.view.maps"};

class OverlayPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    /// overlay.example starts the example experiment; overlay.view=curves, table or maps; overlay.choose opens the list
    /// of runs; overlay.add=FOLDER reads another session.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    void take_answers(ui::Context& ctx);
    void draw_toolbar(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_figures(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_smoothing(ui::Context& ctx);
    void draw_progress(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_legend(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_curves(ui::Context& ctx, const std::vector<ShownRun>& runs);

    RunChoice choice_;
    StepAxis axis_;
    OverlaySettings settings_;
    std::map<RunFigure, OverlayPlot> plots_;
    std::set<RunFigure> figures_ = {RunFigure::loss,          RunFigure::held_out_english, RunFigure::held_out_chinese,
                                    RunFigure::max_violation, RunFigure::load_entropy,     RunFigure::dead,
                                    RunFigure::router_margin, RunFigure::tokens_per_second};
    OverlayTableView table_;
    OverlayMaps maps_;
    View view_ = View::curves;
    client::CommandId starting_ = 0;
};

bool any_has(const std::vector<ShownRun>& runs, RunFigure figure) {
    return std::any_of(runs.begin(), runs.end(),
                       [&](const ShownRun& run) { return !history::curve_of(*run.run, *run.loads, figure).empty(); });
}

std::string with_icon(const Context& ctx, const char* symbol, const char* key) {
    return std::string(symbol) + " " + ctx.text.label(key);
}

}  // namespace

void OverlayPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const OverlayPanel&>(before);
    settings_ = old.settings_;
    figures_ = old.figures_;
    view_ = old.view_;
    table_.take_over(old.table_);
    maps_.take_over(old.maps_);
}

void OverlayPanel::take_answers(Context& ctx) {
    if (const client::CommandResult* result = ui::take_answer(ctx, starting_);
        result != nullptr && result->state == client::CommandResult::State::done) {
        ctx.selection.experiment = static_cast<std::uint32_t>(base::count_of(result->value, "experiment"));
    }
    // Its record may come a moment after the answer.
    if (ctx.selection.experiment != 0 && ctx.snapshot.experiments.count(ctx.selection.experiment) != 0) {
        choice_.show_experiment(ctx.snapshot, ctx.selection.experiment);
        ctx.selection.experiment = 0;
        axis_.fit();
    }
}

void OverlayPanel::draw_figures(Context& ctx, const std::vector<ShownRun>& runs) {
    const std::string label =
        ctx.text.format("overlay.figures", {{"n", ctx.text.number(std::uint64_t{figures_.size()})}});
    const float width = ImGui::CalcTextSize(label.c_str()).x + 3.2f * ctx.em;
    ui::flow(width);
    ui::next_field(width);
    if (!ui::begin_combo("###overlay.figures", label.c_str(), ImGuiComboFlags_HeightLargest)) {
        ui::tooltip(ctx.text("overlay.figures.help"));
        return;
    }
    for (const history::RunFigureRow& row : history::kRunFigureRows) {
        bool on = figures_.count(row.figure) != 0;
        const bool known = any_has(runs, row.figure);
        ImGui::PushStyleColor(ImGuiCol_Text, known ? ctx.theme.text : ctx.theme.text_dim);
        if (ImGui::Checkbox((figure_name(ctx.text, row.figure) + "###" + row.key).c_str(), &on)) {
            if (on) {
                figures_.insert(row.figure);
            } else {
                figures_.erase(row.figure);
            }
        }
        ImGui::PopStyleColor();
        if (ui::tooltip_due()) {
            ui::tooltip(figure_help(ctx.text, row.figure) +
                        (known ? std::string() : "\n" + std::string(ctx.text("overlay.figure.none"))));
        }
    }
    ImGui::EndCombo();
}

void OverlayPanel::draw_smoothing(Context& ctx) {
    const auto name = [&](std::size_t steps) {
        return steps == 1 ? std::string(ctx.text("training.window.one"))
                          : ctx.text.format("training.window", {{"steps", ctx.text.number(std::uint64_t{steps})}});
    };
    const float width = ImGui::CalcTextSize(name(500).c_str()).x + 3.2f * ctx.em;
    ui::flow(width);
    ui::next_field(width);
    if (ui::begin_combo("###overlay.smoothing", name(settings_.window).c_str())) {
        for (const std::size_t steps : {std::size_t{1}, std::size_t{20}, std::size_t{100}, std::size_t{500}}) {
            if (ImGui::Selectable(name(steps).c_str(), settings_.window == steps)) {
                settings_.window = steps;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("overlay.smoothing.help"));
}

void OverlayPanel::draw_toolbar(Context& ctx, const std::vector<ShownRun>& runs) {
    choice_.draw(ctx, runs.size());
    float width = 0;
    std::vector<const char*> labels;
    for (const char* key : kViews) {
        labels.push_back(ctx.text.label(key));
        width += ui::button_width(labels.back()) + 0.1f * ctx.em;
    }
    ui::flow(width);
    int view = static_cast<int>(view_);
    if (ui::segmented(ctx, "view", labels, view)) {
        view_ = static_cast<View>(view);
    }
    if (view_ == View::curves) {
        draw_figures(ctx, runs);
        draw_smoothing(ctx);
        if (!axis_.follow && !runs.empty()) {
            const std::string whole = with_icon(ctx, icon::right, "overlay.whole");
            ui::flow(ui::button_width(whole.c_str()));
            if (ImGui::Button(whole.c_str())) {
                axis_.fit();
            }
            ui::tooltip(ctx.text("overlay.whole.help"));
        }
    }
    const std::string experiment = with_icon(ctx, icon::plus, "overlay.new");
    ui::flow(ui::button_width(experiment.c_str()));
    if (ui::button(experiment.c_str(), ctx.available("run.experiment"), ctx.text("runs.offline"))) {
        ctx.run("run.experiment");
    }
    ui::tooltip(ctx.text("overlay.new.help"));
}

/// Of the experiments whose runs are shown: how far they are, and the way to end them.
void OverlayPanel::draw_progress(Context& ctx, const std::vector<ShownRun>& runs) {
    std::set<std::uint32_t> numbers;
    for (const ShownRun& run : runs) {
        if (run.session.empty() && !protocol::ended(run.run->state)) {
            numbers.insert(history::experiment_place(run.run->manifest).number);
        }
    }
    for (const std::uint32_t number : numbers) {
        const auto found = ctx.snapshot.experiments.find(number);
        if (found == ctx.snapshot.experiments.end()) {
            continue;
        }
        const auto& all = found->second->runs;
        const auto ended = std::count_if(all.begin(), all.end(), [&](const history::Experiment::Run& one) {
            const auto run = ctx.snapshot.training.find(one.run);
            return run != ctx.snapshot.training.end() && protocol::ended(run->second->state);
        });
        std::string text = ctx.text.format(
            "overlay.progress",
            {{"name", found->second->name},
             {"n", ctx.text.number(std::min<std::uint64_t>(static_cast<std::uint64_t>(ended) + 1, all.size()))},
             {"of", ctx.text.number(std::uint64_t{all.size()})}});
        for (const client::Task& task : ctx.snapshot.tasks) {
            if (task.id != "experiment-" + std::to_string(number)) {
                continue;
            }
            if (!task.detail.empty()) {  // the node knows which run is still being stopped
                text = found->second->name + ctx.text("common.colon") + ctx.text.message(task.detail);
            }
            if (task.seconds_left >= 0) {
                text += ctx.text("common.comma") +
                        ctx.text.format("task.left", {{"time", ui::duration_text(ctx.text, task.seconds_left)}});
            }
        }
        ImGui::PushID(static_cast<int>(number));
        if (ui::banner(ctx, ui::Tone::neutral, text, ctx.connected() ? ctx.text.label("overlay.cancel") : nullptr)) {
            ctx.client.send("experiment.cancel", {{"experiment", number}});
        }
        ImGui::PopID();
    }
}

void OverlayPanel::draw_legend(Context& ctx, const std::vector<ShownRun>& runs) {
    const float line = ImGui::GetTextLineHeight(), longest = 16 * ctx.em;
    bool first = true;
    for (const ShownRun& run : runs) {
        const ui::LineLook look = ui::line_look(ctx.theme, run.look);
        std::string name = ui::elided(run.label, longest);
        if (run.run->state != RunState::done) {
            name += ui::in_brackets(ctx.text, ctx.text(ui::state_key(run.run->state)));
        }
        const float width = ui::look_sign_width(ctx) + 0.4f * ctx.em + ImGui::CalcTextSize(name.c_str()).x;
        if (!first) {
            ui::flow(width + 0.6f * ctx.em);
        }
        first = false;
        const ImVec2 at = ImGui::GetCursorScreenPos();
        if (ImGui::InvisibleButton(("###legend." + run.id).c_str(), {width + 0.6f * ctx.em, line},
                                   ImGuiButtonFlags_EnableNav)) {
            choice_.toggle(run.id);
        }
        const bool marked = ImGui::IsItemHovered() || ImGui::IsItemFocused();
        if (ui::tooltip_due()) {
            const double steps = run.run->step.empty() ? 0 : run.run->step.back();
            ui::tooltip(
                run_title(ctx.text, *run.run) + (run.session.empty() ? "" : "\n" + run.session) + "\n" +
                ctx.text.format("training.progress", {{"step", ctx.text.number(static_cast<std::uint64_t>(steps))},
                                                      {"planned", ctx.text.number(run.run->planned_steps)}}) +
                (run.run->message.empty() ? "" : "\n" + ctx.text.message(run.run->message)) + "\n" +
                ctx.text("overlay.legend.help"));
        }
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        ui::draw_look(ctx, draw, at, look, run.hidden);
        const ImVec4 ink = run.hidden ? ui::faded(ctx.theme.text_dim, 0.8f)
                           : marked   ? ctx.theme.accent
                                      : ctx.theme.text;
        const float x = at.x + ui::look_sign_width(ctx) + 0.4f * ctx.em;
        draw.AddText({x, at.y}, ImGui::GetColorU32(ink), name.c_str());
        if (run.hidden) {  // what the pale colour says is crossed out as well
            draw.AddLine({x, at.y + line / 2}, {at.x + width, at.y + line / 2}, ImGui::GetColorU32(ink));
        }
    }
}

void OverlayPanel::draw_curves(Context& ctx, const std::vector<ShownRun>& runs) {
    double newest = 0;
    for (const ShownRun& run : runs) {
        if (!run.hidden && !run.run->step.empty()) {
            newest = std::max(newest, run.run->step.back());
        }
    }
    axis_.update(newest);
    std::vector<RunFigure> shown;
    for (const RunFigure figure : figures_) {
        if (any_has(runs, figure)) {
            shown.push_back(figure);
        }
    }
    if (shown.empty()) {
        const bool waiting =
            std::any_of(runs.begin(), runs.end(), [](const ShownRun& run) { return !protocol::ended(run.run->state); });
        ui::empty_state(ctx, waiting ? icon::hourglass : icon::chart,
                        waiting ? "overlay.waiting" : "overlay.no_curves");
        return;
    }
    ImGui::BeginChild("curves", {0, 0});
    const ImVec2 there = ImGui::GetContentRegionAvail(), space{1.2f * ctx.em, 0.5f * ctx.em};
    // The number at the end of an axis stands half beyond it.
    const float room = std::max(there.x - 0.8f * ctx.em, kLeastPlotWidth * ctx.em);
    const auto columns =
        std::clamp<std::size_t>(static_cast<std::size_t>(room / (kWidePlot * ctx.em)), 1, shown.size());
    const std::size_t rows = (shown.size() + columns - 1) / columns;
    const ImVec2 size{(room - space.x * static_cast<float>(columns - 1)) / static_cast<float>(columns),
                      std::max((there.y - space.y * static_cast<float>(rows - 1)) / static_cast<float>(rows),
                               kLeastPlotHeight * ctx.em)};
    const ImVec2 corner = ImGui::GetCursorPos();
    for (std::size_t i = 0; i < shown.size(); ++i) {
        ImGui::SetCursorPos({corner.x + static_cast<float>(i % columns) * (size.x + space.x),
                             corner.y + static_cast<float>(i / columns) * (size.y + space.y)});
        plots_[shown[i]].draw(ctx, shown[i], runs, axis_, settings_, size);
    }
    ImGui::EndChild();
}

void OverlayPanel::draw(Context& ctx) {
    take_answers(ctx);
    if (!choice_.any(ctx)) {
        const bool can = ctx.available("overlay.example");
        ui::empty_state(ctx, icon::chart, "overlay.empty", can ? "overlay.example" : nullptr, "overlay.example");
        return;
    }
    const std::vector<ShownRun> runs = choice_.shown(ctx);
    draw_toolbar(ctx, runs);
    if (runs.empty()) {
        if (ui::empty_state(ctx, icon::chart, "overlay.none_chosen", "overlay.choose.open")) {
            choice_.open();
        }
        return;
    }
    draw_progress(ctx, runs);
    if (view_ != View::table) {
        draw_legend(ctx, runs);
    }
    switch (view_) {
        case View::curves:
            draw_curves(ctx, runs);
            break;
        case View::table:
            table_.draw(ctx, runs);
            break;
        case View::maps:
            maps_.draw(ctx, runs);
            break;
    }
}

namespace {

bool can_start_example(const Context& ctx) {
    return ctx.connected() && !ctx.snapshot.node.read_only && !ui::pending(ctx.snapshot, ctx.selection.starting_run);
}

}  // namespace

bool OverlayPanel::act(const std::string& action, Context& ctx) {
    if (action == "overlay.example") {
        starting_ = ctx.client.send("experiment.start", {{"preset", kExamplePreset},
                                                         {"steps", kExampleSteps},
                                                         {"key", "balance"},
                                                         {"values", {"none", "switch", "loss_free", "quantile"}}});
        return true;
    }
    if (const char* view = ui::action_value(action, "overlay.view")) {
        for (std::size_t i = 0; i < kViews.size(); ++i) {
            view_ = std::string("overlay.view.") + view == kViews[i] ? static_cast<View>(i) : view_;
        }
        return true;
    }
    if (action == "overlay.choose") {
        choice_.open();
        return true;
    }
    if (const char* folder = ui::action_value(action, "overlay.add")) {
        choice_.add_session(ctx, folder);
        return true;
    }
    return false;
}

ui::PanelDescription describe_overlay() {
    using ui::Place;
    return {.key = "overlay",
            .make = ui::make_panel<OverlayPanel>,
            .stands = {{"training", Place::upper, 4}, {"compare", Place::whole, 11}, {"probe", Place::whole, 11}},
            .commands = {
                {.key = "overlay.example", .menu = {"menu.run", 0, 3}, .available = can_start_example, .opens = true}}};
}

}  // namespace moescope::panels
