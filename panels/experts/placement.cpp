// The placement panel: what a run's load would mean on several devices, and what a balancer makes of it that gives the
// busiest experts more than one place. Tokens of each device before and after, experts in several places, and how long
// the experts would take. What is shown is made in placement_model.hpp, in the background.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/json_guard.hpp"
#include "nodes/history/run_layers.hpp"
#include "panels/experts/load_model.hpp"
#include "panels/experts/load_toolbar.hpp"
#include "panels/experts/placement_model.hpp"
#include "panels/panels.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/table_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::TrainingRun;
using routing::PlacementOrder;
using ui::Context;

constexpr float kLeastChart = 10, kLeastTable = 9, kBeside = 58, kChartsBeside = 26;  ///< em

class PlacementPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(Context& ctx) override;
    /// placement.copy
    bool act(const std::string& action, Context& ctx) override;

 private:
    /// What a placement is made of; never changes.
    struct Request {
        std::uint32_t run = 0;
        PlacementInput input;
        PlacementOrder order;
        std::size_t layer = 0;
    };

    PlacementOrder order_of(const TrainingRun& run) const;
    void draw_toolbar(Context& ctx, const TrainingRun& run, const ShownSteps& shown);
    std::optional<std::size_t> draw_number(Context& ctx, const char* key, std::size_t value, std::size_t least,
                                           std::size_t most);
    bool draw_problem(const Context& ctx, const TrainingRun& run);
    void update(Context& ctx, const TrainingRun& run, ShownSteps shown);
    void draw_sentences(const Context& ctx, const TrainingRun& run, const PlacementShown& shown) const;
    void draw_views(Context& ctx, const TrainingRun& run, const PlacementShown& shown);
    void draw_charts(Context& ctx, const TrainingRun& run, const PlacementShown& shown, ImVec2 size, bool beside);
    void draw_table(Context& ctx, const TrainingRun& run, const PlacementShown& shown, ImVec2 size);
    void copy(Context& ctx) const;
    void watch(Context& ctx);

    // Of the person:
    ui::FieldWatch watch_;
    PlacementChoice choice_;
    int table_ = 0;  ///< 0 layers, 1 devices
    // Of the run on show:
    std::map<std::string, ui::NumberState> fields_;
    LoadWindow loads_;
    std::shared_ptr<const Request> request_;
    Derived<PlacementShown> shown_;
    ChartView before_, after_;
    TableView layers_, devices_;
};

bool has_load(const TrainingRun* run) {
    return run != nullptr && !run->counts.empty() && run->layers > 0 && run->experts > 0;
}

std::string ratio_text(const Context& ctx, double ratio) {
    return value_text(ctx.text, ratio, Unit::times);
}

}  // namespace

PlacementOrder PlacementPanel::order_of(const TrainingRun& run) const {
    const double groups = config_number(run.manifest, "model", "router_groups").value_or(1);
    return placement_order(choice_, run.experts, static_cast<std::size_t>(std::clamp(groups, 1.0, 65536.0)));
}

std::optional<std::size_t> PlacementPanel::draw_number(Context& ctx, const char* key, std::size_t value,
                                                       std::size_t least, std::size_t most) {
    const float field = 4 * ctx.em;
    ui::flow(field + ui::field_label_width(ctx, key));
    ui::field_label(ctx, key);
    ui::next_field(field);
    auto now = static_cast<double>(value);
    const bool changed = ui::number_field(ctx, (std::string("###") + key).c_str(), fields_[key], now,
                                          {static_cast<double>(least), static_cast<double>(most), "%.0f", true});
    ui::tooltip(ctx.text(std::string(key) + ".help"));
    return changed ? std::optional(static_cast<std::size_t>(now)) : std::nullopt;
}

void PlacementPanel::draw_toolbar(Context& ctx, const TrainingRun& run, const ShownSteps& shown) {
    const PlacementOrder order = order_of(run);
    draw_layer_choice(ctx, run, "placement.layer.help");
    ui::flow(window_choice_width(ctx));
    draw_window_choice(ctx, choice_.window);
    if (const auto devices = draw_number(ctx, "placement.devices", choice_.devices, 1, kMostDevices)) {
        choice_.devices = *devices;
    }
    if (const auto nodes = draw_number(ctx, "placement.nodes", choice_.nodes, 1, kMostDevices)) {
        choice_.nodes = *nodes;
    }
    if (const auto groups = draw_number(ctx, "placement.groups", order.groups, 1, run.experts)) {
        choice_.groups = *groups;
    }
    if (const auto extra = draw_number(ctx, "placement.extra", order.replicas - run.experts, 0, kMostExtraPlaces)) {
        choice_.extra = *extra;
    }
    const char* label = ctx.text.label("placement.copy");
    ui::flow(ui::button_width(label));
    if (ui::button(label, shown_.shown() != nullptr)) {
        ctx.run("placement.copy");
    }
    ui::command_tooltip(ctx, ctx.text("placement.copy.help"), "placement.copy");
    ui::flow(shown_step_width(ctx));
    draw_shown_step(ctx, run, shown);
    for (const auto& [key, number_state] : fields_) {
        if (!number_state.error.empty()) {
            ui::text_wrapped(ctx.text(key) + (ctx.text("common.colon") + number_state.error), ctx.theme.error);
        }
    }
}

/// Whether experts can't be placed so: the reason, and where another number of places would do, that.
bool PlacementPanel::draw_problem(const Context& ctx, const TrainingRun& run) {
    const PlacementOrder order = order_of(run);
    const bool all_dense = history::dense_layers(run) == run.layers;
    const base::Sentence problem = routing::placement_problem(run.layers, all_dense ? 0 : run.experts, order);
    if (problem.empty()) {
        return false;
    }
    const bool uneven = !all_dense && order.replicas % order.devices != 0;
    if (ui::banner(ctx, ui::Tone::warning, ctx.text.message(problem),
                   uneven ? ctx.text.label("placement.fit") : nullptr)) {
        choice_.extra = fitting_extra(run.experts, order.devices, order.replicas - run.experts);
    }
    return true;
}

void PlacementPanel::update(Context& ctx, const TrainingRun& run, ShownSteps shown) {
    const bool moved = loads_.show(run, std::move(shown.counts));
    const PlacementOrder order = order_of(run);
    const std::size_t layer = shown_layer(ctx.selection, run);
    if (request_ && request_->run != run.id) {
        shown_.clear();
    }
    if (moved || !request_ || request_->order != order || request_->layer != layer) {
        request_ = std::make_shared<const Request>(
            Request{run.id, {run.layers, run.experts, history::dense_layers(run), loads_.steps()}, order, layer});
    }
    shown_.update(ctx, request_, {},
                  [request = request_] { return show_placement(request->input, request->order, request->layer); });
}

void PlacementPanel::draw_sentences(const Context& ctx, const TrainingRun& run, const PlacementShown& shown) const {
    const ui::Language& text = ctx.text;
    const PlacementShown::Balance& all = shown.all;
    ui::text_wrapped(text.format("placement.estimate", {{"time", value_text(text, all.time(), Unit::percent)},
                                                        {"before", ratio_text(ctx, all.before.ratio())},
                                                        {"after", ratio_text(ctx, all.after.ratio())}}));
    ui::tooltip(text("placement.estimate.help"));
    const bool hierarchical = shown.placement.order.hierarchical();
    ui::text_elided(text(hierarchical ? "placement.hierarchical" : "placement.global"),
                    ImGui::GetContentRegionAvail().x);
    ui::text_elided(text.format(!shown.before           ? "placement.dense"
                                : shown.doubled.empty() ? "placement.none_doubled"
                                                        : "placement.doubled",
                                {{"layer", std::to_string(shown.layer)}, {"experts", shown.doubled}}),
                    ImGui::GetContentRegionAvail().x);
    if (history::has_prediction_module(run)) {
        ui::text_elided(text.format("placement.module", {{"layer", std::to_string(run.layers)}}),
                        ImGui::GetContentRegionAvail().x);
        ui::tooltip(text("placement.module.help"));
    }
}

void PlacementPanel::draw_charts(Context& ctx, const TrainingRun& run, const PlacementShown& shown, ImVec2 size,
                                 bool beside) {
    if (!shown.before) {
        begin_view("dense", size);
        ui::text_dim(ctx, ctx.text.format("placement.dense", {{"layer", std::to_string(shown.layer)}}));
        ImGui::EndChild();
        return;
    }
    const PlacementShown::Balance& balance = shown.layers[shown.layer];
    const auto draw = [&](ChartView& view, const char* id, const char* title, const std::shared_ptr<const Chart>& chart,
                          const routing::DeviceBalance& of, std::size_t color) {
        view.draw(ctx,
                  {.id = id,
                   .title = ctx.text.format(title, {{"layer", std::to_string(shown.layer)}}),
                   .unit = ctx.text.format("placement.chart.unit", {{"ratio", ratio_text(ctx, of.ratio())}}),
                   .chart = chart,
                   .file = run.name + "-placement-" + file_part(title),
                   .colors = {ctx.theme.series_color(color)}},
                  {beside ? 0.5f * (size.x - ctx.em) : size.x, beside ? size.y : 0.5f * size.y});
    };
    draw(before_, "###placement.before", "placement.chart.before", shown.before, balance.before, 4);
    if (beside) {
        ImGui::SameLine(0, ctx.em);
    }
    draw(after_, "###placement.after", "placement.chart.after", shown.after, balance.after, 2);
}

void PlacementPanel::draw_table(Context& ctx, const TrainingRun& run, const PlacementShown& shown, ImVec2 size) {
    begin_view("table", size);
    ui::segmented(ctx, "list", {ctx.text.label("placement.table.layers"), ctx.text.label("placement.table.devices")},
                  table_);
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (table_ == 0) {
        const auto clicked = layers_.draw(
            ctx,
            {.id = "###placement.layers",
             .table = shown.layer_table,
             .file = run.name + "-placement-layers",
             .chosen = [&](const Table::Row& row) { return row[0].number.value == static_cast<double>(shown.layer); },
             .tip = ctx.text("placement.table.layers.tip")},
            room);
        if (clicked) {
            ctx.selection.layer = static_cast<int>(shown.layer_table->rows[*clicked][0].number.value);
        }
    } else if (shown.device_table) {
        devices_.draw(ctx,
                      {.id = "###placement.devices_table",
                       .table = shown.device_table,
                       .file = run.name + "-placement-devices",
                       .rows_clickable = false},
                      room);
    }
    ImGui::EndChild();
}

void PlacementPanel::draw_views(Context& ctx, const TrainingRun& run, const PlacementShown& shown) {
    // In a small place the views keep a size in which they can be read, and the panel scrolls.
    const float em = ctx.em;
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (room.x >= kBeside * em) {
        const float height = std::max(room.y, kLeastChart * em), charts = 0.58f * room.x;
        draw_charts(ctx, run, shown, {charts, height}, true);
        ImGui::SameLine(0, em);
        draw_table(ctx, run, shown, {room.x - charts - em, height});
        return;
    }
    const bool beside = room.x >= kChartsBeside * em;
    const float least = (beside ? 1 : 2) * kLeastChart * em;
    const float spacing = ImGui::GetStyle().ItemSpacing.y;
    const float height = std::max(least, room.y - kLeastTable * em - spacing);
    draw_charts(ctx, run, shown, {room.x, height}, beside);
    draw_table(ctx, run, shown, {room.x, kLeastTable * em});
}

void PlacementPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (!has_load(run)) {
        ui::empty_state(ctx, ui::icon::server, run == nullptr ? "placement.empty" : "load.waiting",
                        run == nullptr && ctx.connected() ? "training.run.start" : nullptr, "run.start");
        return;
    }
    auto& old_steps = ctx.shared.get<OldSteps>();
    ShownSteps shown_steps = old_steps.up_to(ctx, *run, ctx.selection.pinned_step, kLoadWindows[choice_.window]);
    draw_toolbar(ctx, *run, shown_steps);
    watch(ctx);
    if (draw_problem(ctx, *run)) {
        if (shown_.shown()) {
            shown_.clear();  // nothing of what was chosen before is copied now
        }
        return;
    }
    update(ctx, *run, std::move(shown_steps));
    if (!shown_.problem().empty()) {
        ui::banner(ctx, ui::Tone::error, ctx.text.message(shown_.problem()));
        return;
    }
    // It may be of an older choice for a frame or two.
    if (const std::shared_ptr<const PlacementShown> shown = shown_.shown()) {
        draw_sentences(ctx, *run, *shown);
        draw_views(ctx, *run, *shown);
    }
}

void PlacementPanel::watch(Context& ctx) {
    const auto number = [](const std::optional<std::size_t>& value) {
        return value ? nlohmann::json(*value) : nlohmann::json();
    };
    nlohmann::json state = {{"devices", choice_.devices},
                            {"nodes", choice_.nodes},
                            {"groups", number(choice_.groups)},
                            {"extra", number(choice_.extra)}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](Context&, const nlohmann::json& now) {
        const auto chosen = [&](const char* key) {
            return now.at(key).is_null() ? std::nullopt : std::optional(now.at(key).get<std::size_t>());
        };
        choice_.devices = now.at("devices");
        choice_.nodes = now.at("nodes");
        choice_.groups = chosen("groups");
        choice_.extra = chosen("extra");
    });
}

void PlacementPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const PlacementPanel&>(before);
    choice_ = old.choice_;
    table_ = old.table_;
}

/// As `moescope-node place --json` prints it.
void PlacementPanel::copy(Context& ctx) const {
    if (const std::shared_ptr<const PlacementShown> shown = shown_.shown()) {
        ctx.copy_text([shown]() -> std::string {
            try {
                return base::dump_json(routing::placement_to_json(shown->placement));
            } catch (const base::Error& error) {
                return error.what();  // a table that nobody could read
            }
        });
    }
}

bool PlacementPanel::act(const std::string& action, Context& ctx) {
    if (action == "placement.copy") {
        copy(ctx);
        return true;
    }
    return false;
}

ui::PanelDescription describe_placement() {
    return {.key = "placement",
            .make = ui::make_panel<PlacementPanel>,
            .stands = {{"training", ui::Place::lower, 5}},
            .commands = {{.key = "placement.copy",
                          .menu = {"menu.experts", 3},
                          .available = [](const Context& ctx) { return has_load(selected_run(ctx)); },
                          .while_open = true}}};
}

}  // namespace moescope::panels
