// The ranks panel: what each process of a training run of several did. How many tokens its experts worked on, how long
// it waited for the others, and what they sent each other, rank by rank. What is shown is made in ranks_model.hpp, in
// the background.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "panels/experts/load_model.hpp"
#include "panels/experts/load_toolbar.hpp"
#include "panels/experts/ranks_model.hpp"
#include "panels/panels.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/map_view.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/table_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::TrainingRun;
using ui::Context;

constexpr float kLeastChart = 10, kLeastTraffic = 12, kBeside = 46, kChartsBeside = 26;  ///< em

/// What the map is of; the last one is the table.
enum View { tokens, bytes, everything, numbers };

class RanksPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(Context& ctx) override;
    /// ranks.all_layers
    bool act(const std::string& action, Context& ctx) override;

 private:
    /// What is shown of; never changes.
    struct Request {
        std::uint32_t run = 0;
        RankRecords records;
        std::optional<std::size_t> layer;
        std::size_t experts = 0;
    };

    void draw_toolbar(Context& ctx, const TrainingRun& run);
    void update(Context& ctx, const TrainingRun& run);
    void draw_sentences(const Context& ctx, const RanksShown& shown) const;
    void draw_views(Context& ctx, const TrainingRun& run, const RanksShown& shown);
    void draw_charts(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size, bool beside);
    void draw_traffic(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size);
    void draw_map(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size);

    // Of the person:
    std::size_t window_ = 1;  ///< index into kLoadWindows
    int view_ = tokens;
    // Of the run on show:
    std::shared_ptr<const Request> request_;
    Derived<RanksShown> shown_;
    ChartView load_, waiting_;
    MapView map_;
    TableView table_;
};

bool has_ranks(const TrainingRun* run) {
    return run != nullptr && !run->ranks.empty();
}

std::optional<std::size_t> chosen_layer(const ui::Selection& selection, const TrainingRun& run) {
    return selection.layer < 0 ? std::nullopt : std::optional(shown_layer(selection, run));
}

std::string milliseconds(const Context& ctx, double value) {
    return ctx.text.format("ranks.ms", {{"ms", ctx.text.number(value, 3)}});
}

std::string bytes_of(const Context& ctx, double value) {
    return ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::clamp(value, 0.0, 1e18)));
}

/// "layer 2" or "all layers"
std::string layer_name(const Context& ctx, const std::optional<std::size_t>& layer) {
    return layer ? ctx.text.format("ranks.layer.one", {{"layer", std::to_string(*layer)}})
                 : std::string(ctx.text("ranks.layer.all"));
}

void draw_layers(Context& ctx, const TrainingRun& run) {
    const std::optional<std::size_t> chosen = chosen_layer(ctx.selection, run);
    ui::next_field(8 * ctx.em);
    if (ui::begin_combo("###ranks.layer", layer_name(ctx, chosen))) {
        if (ImGui::Selectable((layer_name(ctx, {}) + "###all").c_str(), !chosen)) {
            ctx.selection.layer = ctx.selection.expert = -1;
        }
        for (std::size_t layer = 0; layer < run.layers; ++layer) {
            const std::string label = layer_name(ctx, layer) + "###" + std::to_string(layer);
            if (ImGui::Selectable(label.c_str(), layer == chosen)) {
                ctx.selection.layer = static_cast<int>(layer);
            }
        }
        ImGui::EndCombo();
    }
    ui::command_tooltip(ctx, ctx.text("ranks.layer.help"), "load.layer_next");
}

}  // namespace

void RanksPanel::draw_toolbar(Context& ctx, const TrainingRun& run) {
    draw_layers(ctx, run);
    ui::flow(window_choice_width(ctx));
    draw_window_choice(ctx, window_);
    if (!run.counts.empty()) {
        ui::flow(shown_step_width(ctx));
        draw_shown_step(ctx, run, ctx.shared.get<OldSteps>().up_to(ctx, run, ctx.selection.pinned_step, 1));
    }
}

void RanksPanel::update(Context& ctx, const TrainingRun& run) {
    const std::optional<std::uint64_t> position = ctx.selection.pinned_step;
    Request now{run.id, latest_ranks(run, position, kLoadWindows[window_]), chosen_layer(ctx.selection, run),
                run.experts};
    if (position && *position < run.ranks.front()->step) {
        // Of one step alone: those before it are held no more.
        const std::optional<std::size_t> row = row_up_to(run, *position);
        if (auto record =
                row ? ctx.shared.get<OldSteps>().ranks_at(run, static_cast<std::uint64_t>(run.step[*row])) : nullptr) {
            now.records = {std::move(record)};
        }
    }
    if (request_ && request_->run != run.id) {
        shown_.clear();
    }
    if (!request_ || request_->run != now.run || request_->records != now.records || request_->layer != now.layer) {
        request_ = std::make_shared<const Request>(std::move(now));
    }
    shown_.update(ctx, request_, {},
                  [request = request_] { return show_ranks(request->records, request->layer, request->experts); });
}

void RanksPanel::draw_sentences(const Context& ctx, const RanksShown& shown) const {
    const ui::Language& text = ctx.text;
    const auto rank = [](std::size_t number) { return std::to_string(number); };
    if (shown.ranks > 1) {
        const std::string sentence = text.format(shown.uneven() ? "ranks.slowest" : "ranks.even",
                                                 {{"slowest", rank(shown.slowest)},
                                                  {"work", milliseconds(ctx, shown.work_ms[shown.slowest])},
                                                  {"fastest", rank(shown.fastest)},
                                                  {"least", milliseconds(ctx, shown.work_ms[shown.fastest])},
                                                  {"waiting", milliseconds(ctx, shown.waiting_ms[shown.fastest])}});
        ui::text_wrapped(sentence);
        ui::tooltip(text("ranks.slowest.help"));
    }
    const char* key = shown.expert_ranks == 1 ? "ranks.sent.copies"
                      : shown.tokens_travel   ? "ranks.sent.tokens"
                                              : "ranks.sent.results";
    ui::text_wrapped(text.format(key, {{"layer", layer_name(ctx, shown.layer)},
                                       {"rows", value_text(text, shown.rows, Unit::whole)},
                                       {"bytes", bytes_of(ctx, shown.row_bytes)},
                                       {"all", bytes_of(ctx, shown.bytes)}}),
                     ctx.theme.text_dim);
    ui::tooltip(text(std::string(key) + ".help"));
}

void RanksPanel::draw_charts(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size, bool beside) {
    const ImVec2 each{beside ? 0.5f * (size.x - ctx.em) : size.x, beside ? size.y : 0.5f * size.y};
    load_.draw(ctx,
               {.id = "###ranks.load",
                .title = ctx.text.format("ranks.chart.load", {{"layer", layer_name(ctx, shown.layer)}}),
                .unit = ctx.text("ranks.chart.load.unit"),
                .chart = shown.load,
                .file = run.name + "-ranks-load",
                .colors = {ctx.theme.series_color(2)}},
               each);
    if (beside) {
        ImGui::SameLine(0, ctx.em);
    }
    waiting_.draw(ctx,
                  {.id = "###ranks.waiting",
                   .title = ctx.text("ranks.chart.waiting"),
                   .unit = ctx.text("ranks.chart.waiting.unit"),
                   .chart = shown.waiting,
                   .file = run.name + "-ranks-waiting",
                   .colors = {ctx.theme.series_color(4)}},
                  each);
}

void RanksPanel::draw_map(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size) {
    const bool rows = view_ == tokens, all = view_ == everything;
    const auto& map = rows ? shown.tokens_map : all ? shown.all_map : shown.bytes_map;
    if (!all && shown.expert_ranks == 1) {
        ui::text_wrapped(ctx.text("ranks.map.none"), ctx.theme.text_dim);
        return;
    }
    map_.draw(ctx,
              {.id = "###ranks.traffic",
               .title = all ? std::string(ctx.text("ranks.map.all"))
                            : ctx.text.format(shown.tokens_travel ? "ranks.map.title" : "ranks.map.results",
                                              {{"layer", layer_name(ctx, shown.layer)}}),
               .unit = ctx.text(rows ? "ranks.map.tokens.unit" : "ranks.map.megabytes.unit"),
               .map = map,
               .file = run.name + (all ? "-ranks-sent" : "-ranks-traffic"),
               .high = round_up(map->highest),
               .unit_of_value = Unit::number,
               .tooltip =
                   [&](MapCell cell) {
                       const double value = static_cast<double>(map->at(cell.row, cell.column));
                       ImGui::TextUnformatted(ctx.text
                                                  .format(rows ? "ranks.map.tokens.tip" : "ranks.map.megabytes.tip",
                                                          {{"from", std::to_string(cell.row)},
                                                           {"to", std::to_string(cell.column)},
                                                           {"value", value_text(ctx.text, value, Unit::number)}})
                                                  .c_str());
                   }},
              size);
}

void RanksPanel::draw_traffic(Context& ctx, const TrainingRun& run, const RanksShown& shown, ImVec2 size) {
    begin_view("traffic", size);
    ui::segmented(ctx, "view",
                  {ctx.text.label("ranks.view.tokens"), ctx.text.label("ranks.view.bytes"),
                   ctx.text.label("ranks.view.everything"), ctx.text.label("ranks.view.numbers")},
                  view_);
    ui::tooltip(ctx.text("ranks.view.help"));
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (view_ == numbers) {
        table_.draw(
            ctx, {.id = "###ranks.table", .table = shown.table, .file = run.name + "-ranks", .rows_clickable = false},
            room);
    } else {
        draw_map(ctx, run, shown, room);
    }
    ImGui::EndChild();
}

void RanksPanel::draw_views(Context& ctx, const TrainingRun& run, const RanksShown& shown) {
    // In a small place the views keep a size in which they can be read, and the panel scrolls.
    const float em = ctx.em;
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (room.x >= kBeside * em) {
        const float height = std::max(room.y, kLeastTraffic * em), charts = 0.52f * room.x;
        draw_charts(ctx, run, shown, {charts, height}, true);
        ImGui::SameLine(0, em);
        draw_traffic(ctx, run, shown, {room.x - charts - em, height});
        return;
    }
    const bool beside = room.x >= kChartsBeside * em;
    const float least = static_cast<float>(beside ? 1 : 2) * kLeastChart * em;
    const float spacing = ImGui::GetStyle().ItemSpacing.y;
    draw_charts(ctx, run, shown, {room.x, std::max(least, room.y - kLeastTraffic * em - spacing)}, beside);
    draw_traffic(ctx, run, shown, {room.x, kLeastTraffic * em});
}

void RanksPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (!has_ranks(run)) {
        const double processes = run == nullptr ? 1 : config_number(run->manifest, "train", "processes").value_or(1);
        ui::empty_state(ctx, ui::icon::server,
                        run == nullptr                 ? "ranks.empty"
                        : processes > 1 && alive(*run) ? "ranks.waiting"
                        : processes > 1                ? "ranks.nothing"
                                                       : "ranks.one",
                        ctx.connected() && !(processes > 1) ? "ranks.start" : nullptr, "runs.new");
        return;
    }
    draw_toolbar(ctx, *run);
    update(ctx, *run);
    if (!shown_.problem().empty()) {
        ui::banner(ctx, ui::Tone::error, ctx.text.message(shown_.problem()));
        return;
    }
    // It may be of an older choice for a frame or two.
    if (const std::shared_ptr<const RanksShown> shown = shown_.shown()) {
        draw_sentences(ctx, *shown);
        draw_views(ctx, *run, *shown);
    }
}

void RanksPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const RanksPanel&>(before);
    window_ = old.window_;
    view_ = old.view_;
}

bool RanksPanel::act(const std::string& action, Context& ctx) {
    if (action == "ranks.all_layers") {
        ctx.selection.layer = ctx.selection.expert = -1;
        return true;
    }
    return false;
}

ui::PanelDescription describe_ranks() {
    return {
        .key = "ranks",
        .make = ui::make_panel<RanksPanel>,
        .stands = {{"training", ui::Place::lower, 6}},
        .commands = {
            {.key = "ranks.all_layers",
             .menu = {"menu.experts", 3, 1},
             .available = [](const Context& ctx) { return ctx.selection.layer >= 0 && has_ranks(selected_run(ctx)); },
             .while_open = true}}};
}

}  // namespace moescope::panels
