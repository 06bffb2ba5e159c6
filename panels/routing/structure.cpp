// The structure view: what a trace says of all experts together. Load, co-activation, transitions, saturation across
// checkpoints, differences between groups of texts, entropy and margins. Only the figures of the tab on show are made.
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <string>

#include "panels/panels.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/flow_view.hpp"
#include "panels/routing/read_again.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/routing/structure_model.hpp"
#include "panels/routing/tab_action.hpp"
#include "panels/routing/trace_head.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/map_view.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/table_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using routing::CoActivation;
using routing::Transitions;
using ui::Context;

constexpr std::array<const char*, 6> kTabs = {"load", "together", "transitions", "saturation", "differences", "spread"};
constexpr std::array<std::size_t, 4> kBands = {50, 100, 200, 400};
constexpr float kLeastMap = 14, kLeastTable = 9, kBeside = 56;  ///< em

struct FlowShown {
    std::shared_ptr<const Flow> flow;
    std::shared_ptr<const Table> table;
};

class StructurePanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(Context& ctx) override;
    /// structure.tab=load, together, transitions, saturation, differences or spread.
    bool act(const std::string& action, Context& ctx) override;

 private:
    enum Tab { kLoad, kTogether, kTransitions, kSaturation, kDifferences, kSpread };
    struct View {
        Context& ctx;
        const RoutedRun& run;
        const routing::RouterSpec& spec;
        routing::Shape shape;
        std::size_t place;  ///< of the layer of the selection
    };
    /// A plot and the table beside or below it.
    struct Split {
        ImVec2 plot, table;
        bool beside = false;
    };

    void draw_load(const View& view);
    void draw_together(const View& view);
    void draw_transitions(const View& view);
    std::pair<std::size_t, std::size_t> flow_layers(const View& view);
    void draw_flow_sentence(const View& view, const Flow& flow) const;
    void draw_saturation(const View& view);
    void draw_read_buttons(const View& view, const CheckpointSeries* series) const;
    void update_saturation(const View& view, const CheckpointSeries& series);
    void draw_differences(const View& view);
    void choose_groups(const View& view, const routing::GroupLoad& load);
    void draw_group_combo(const View& view, const char* id, const routing::GroupLoad& load, std::size_t& group,
                          bool with_all);
    void draw_spread(const View& view);
    void draw_table(const View& view, const Split& split, TableView& table, TableView::Spec spec) const;
    void select(const View& view, const MapView::Hit& hit, bool rows_are_layers);
    static Split split(const Context& ctx);

    // Of the person:
    int tab_ = kLoad, pairs_ = 0, pair_value_ = 0, ranks_ = 0, best_ = 0, by_ = 0, spread_of_ = 0;
    std::size_t bands_ = 1;  ///< in kBands
    // Of the trace on show:
    int flow_from_ = -1, flow_to_ = -1;  ///< layers of the transitions on show; -1: none yet
    std::shared_ptr<const routing::TraceSource> groups_of_;
    std::optional<GroupChoice> groups_;  ///< chosen by the person
    /// Of the saturation on show; others that come later do not take its place by themselves.
    struct SeriesName {
        std::uint32_t training = 0;
        nlohmann::json text;
    };
    std::optional<SeriesName> series_;
    std::uint32_t series_of_ = 0;  ///< the chosen routing that series_ was taken with

    FigureView<routing::Load, LoadMapShown> load_;
    FigureView<CoActivation, PairMapShown> pairs_view_;
    FigureView<Transitions, FlowShown> flow_;
    FigureView<routing::GroupLoad, DifferenceShown> differences_;
    FigureView<SpreadFigure, SpreadShown> spread_;
    MapView load_map_, pair_map_, difference_map_, spread_map_;
    FlowView flow_view_;
    ChartView saturation_chart_;
    TableView load_table_, pair_table_, flow_table_, saturation_table_, difference_table_, spread_table_;

    struct Saturation {
        std::vector<std::shared_ptr<const routing::TraceSource>> traces;  ///< by step
        std::vector<std::uint64_t> steps;
        std::size_t pieces = 0;  ///< of all of them, as they were when the job began
        double begun_at = 0;     ///< Context::now
        std::unique_ptr<routing::ComparisonJob> job;
        std::shared_ptr<const routing::ComparisonJob::State> state;
        Derived<SaturationShown> shown;
    } saturation_;
};

FigureKey key(std::size_t a = 0, std::size_t b = 0, std::size_t c = 0) {
    return {static_cast<std::int64_t>(a), static_cast<std::int64_t>(b), static_cast<std::int64_t>(c), 0};
}

/// Names and values in a tooltip that is open.
void tip_table(const Context& ctx, const std::vector<std::pair<const char*, std::string>>& rows) {
    if (!ImGui::BeginTable("values", 2, ImGuiTableFlags_SizingFixedFit)) {
        return;
    }
    for (const auto& [name, value] : rows) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ui::text_dim(ctx, ctx.text(name));
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(value.c_str());
    }
    ImGui::EndTable();
}

std::string cell_title(const Context& ctx, int layer, std::size_t expert) {
    return ctx.text.format("load.cell", {{"layer", std::to_string(layer)}, {"expert", std::to_string(expert)}});
}

/// A list of choices in a row of fields; true when `current` changed.
bool combo(const Context& ctx, const char* id, float width, const std::vector<std::string>& names,
           std::size_t& current) {
    bool changed = false;
    ui::next_field(width * ctx.em);
    const std::string shown = current < names.size() ? names[current] : std::string();
    if (ui::begin_combo(id, shown.c_str(), ImGuiComboFlags_HeightLarge)) {
        for (std::size_t i = 0; i < names.size(); ++i) {
            ImGui::PushID(static_cast<int>(i));
            if (ImGui::Selectable(names[i].c_str(), i == current)) {
                changed = i != current;
                current = i;
            }
            ImGui::PopID();
        }
        ImGui::EndCombo();
    } else if (ui::tooltip_due()) {
        ui::tooltip(shown);
    }
    return changed;
}

float segments_width(const Context& ctx, std::initializer_list<const char*> keys) {
    float width = 0;
    for (const char* one : keys) {
        width += ui::button_width(ctx.text(one)) + 0.1f * ctx.em;
    }
    return width;
}

/// Rows of a table that begin with layer and expert.
int place_in(const Table::Row& row, std::size_t column) {
    return static_cast<int>(row[column].number.value);
}

}  // namespace

StructurePanel::Split StructurePanel::split(const Context& ctx) {
    const ImVec2 room = ImGui::GetContentRegionAvail();
    Split split;
    split.beside = room.x >= kBeside * ctx.em;
    if (split.beside) {
        const float height = std::max(kLeastMap * ctx.em, room.y);
        split.plot = {0.56f * room.x, height};
        split.table = {room.x - split.plot.x - ctx.em, height};
    } else {
        const float height = std::max((kLeastMap + kLeastTable) * ctx.em, room.y - 0.4f * ctx.em);
        split.plot = {room.x, 0.6f * height};
        split.table = {room.x, 0.4f * height};
    }
    return split;
}

void StructurePanel::draw_table(const View& view, const Split& split, TableView& table, TableView::Spec spec) const {
    if (split.beside) {
        ImGui::SameLine(0, view.ctx.em);
    }
    table.draw(view.ctx, spec, split.table);
}

void StructurePanel::select(const View& view, const MapView::Hit& hit, bool rows_are_layers) {
    Context& ctx = view.ctx;
    const std::optional<MapCell>& cell = hit.opened ? hit.opened : hit.clicked;
    if (!cell) {
        return;
    }
    const int layer = view.spec.routed_layers[rows_are_layers ? cell->row : view.place];
    const auto expert = static_cast<int>(rows_are_layers ? cell->column : cell->row);
    if (hit.opened) {
        show_expert(ctx, layer, expert);
    } else {
        toggle_expert(ctx.selection, layer, expert);
    }
}

void StructurePanel::draw_load(const View& view) {
    Context& ctx = view.ctx;
    load_.update(
        ctx, view.run.routing->trace, view.run.alive, key(), [&] { return routing::Load(view.shape); }, key(),
        [spec = view.spec](const routing::Load& load) { return load_map(load, spec); });
    draw_progress(ctx, load_.progress());
    const std::shared_ptr<const LoadMapShown> shown = load_.shown();
    if (!shown) {
        return;
    }
    const double even = 1 / static_cast<double>(view.shape.experts);
    const Split places = split(ctx);
    const auto tooltip = [&](MapCell cell) {
        const double share = shown->map->at(cell.row, cell.column);
        ImGui::TextUnformatted(cell_title(ctx, view.spec.routed_layers[cell.row], cell.column).c_str());
        tip_table(ctx,
                  {{"load.cell.count", ctx.text.number(shown->counts[cell.row * view.shape.experts + cell.column])},
                   {"load.cell.share", value_text(ctx.text, share, Unit::percent)},
                   {"load.cell.even", value_text(ctx.text, even, Unit::percent)},
                   {"load.cell.ratio", value_text(ctx.text, share / even, Unit::times)}});
    };
    const MapView::Hit hit = load_map_.draw(ctx,
                                            {.id = "###structure.load",
                                             .title = ctx.text("structure.load"),
                                             .unit = ctx.text("structure.load.unit"),
                                             .map = shown->map,
                                             .file = view.run.file_name() + "-load",
                                             .high = round_up(std::max(shown->map->highest, 2 * even)),
                                             .ticks = {{even, "1/N"}},
                                             .row = view.place,
                                             .column = chosen_expert(ctx.selection, view.spec, view.place),
                                             .tooltip = tooltip,
                                             .menu =
                                                 [&](MapCell cell) {
                                                     draw_expert_items(ctx, view.spec.routed_layers[cell.row],
                                                                       static_cast<int>(cell.column), view.run.model);
                                                 }},
                                            places.plot);
    select(view, hit, true);
    draw_table(view, places, load_table_,
               {.id = "###structure.load.table",
                .table = shown->table,
                .file = view.run.file_name() + "-load-layers",
                .chosen = [&](const Table::Row& row) { return place_in(row, 0) == ctx.selection.layer; },
                .rows_clickable = false});
}

void StructurePanel::draw_together(const View& view) {
    Context& ctx = view.ctx;
    std::size_t place = view.place;
    field_word(ctx, "load.layer");
    if (layer_combo(ctx, "###structure.layer", view.spec, place)) {
        ctx.selection.layer = view.spec.routed_layers[place];
    }
    ui::flow(segments_width(ctx, {"structure.pairs.all", "structure.pairs.adjacent"}));
    ui::segmented(ctx, "structure.pairs",
                  {ctx.text.label("structure.pairs.all"), ctx.text.label("structure.pairs.adjacent")}, pairs_);
    ui::tooltip(ctx.text("structure.pairs.help"));
    ui::flow(segments_width(ctx, {"structure.pair.share", "structure.pair.above"}));
    ui::segmented(ctx, "structure.pair",
                  {ctx.text.label("structure.pair.share"), ctx.text.label("structure.pair.above")}, pair_value_);
    ui::tooltip(ctx.text("structure.pair.help"));
    const auto pairs = static_cast<CoActivation::Pairs>(pairs_);
    const auto value = static_cast<PairValue>(pair_value_);
    pairs_view_.update(
        ctx, view.run.routing->trace, view.run.alive, key(view.place, static_cast<std::size_t>(pairs_)),
        [&] { return CoActivation(view.shape, view.place, pairs); }, key(static_cast<std::size_t>(pair_value_)),
        [experts = view.shape.experts, at = view.place, layer = view.spec.routed_layers[view.place],
         value](const CoActivation& figure) { return pair_map(figure, experts, at, layer, value); });
    draw_progress(ctx, pairs_view_.progress());
    const std::shared_ptr<const PairMapShown> shown = pairs_view_.shown();
    const CoActivation* figure = pairs_view_.figure();
    if (!shown || figure == nullptr) {
        return;
    }
    const Split places = split(ctx);
    const bool above = shown->value == PairValue::above;
    const double reach = round_up(std::max(std::abs(shown->map->lowest), std::abs(shown->map->highest)));
    const auto tooltip = [&](MapCell cell) {
        ImGui::TextUnformatted(ctx.text
                                   .format("structure.together.cell", {{"layer", std::to_string(shown->layer)},
                                                                       {"given", std::to_string(cell.row)},
                                                                       {"other", std::to_string(cell.column)}})
                                   .c_str());
        const double given = figure->conditional(cell.row, cell.column), baseline = figure->baseline(cell.column);
        tip_table(ctx, {{"structure.column.together", ctx.text.number(figure->together(cell.row, cell.column))},
                        {"structure.together.given", ctx.text.number(figure->count(cell.row))},
                        {"structure.pair.share", value_text(ctx.text, given, Unit::percent)},
                        {"structure.column.baseline", value_text(ctx.text, baseline, Unit::percent)},
                        {"structure.column.ratio", value_text(ctx.text, given / baseline, Unit::times)}});
        if (above && shown->map->is_quiet(cell.row * shown->map->columns + cell.column)) {
            ui::text_dim(ctx, ctx.text("structure.within_chance"));
        }
    };
    const std::optional<std::size_t> chosen = chosen_expert(ctx.selection, view.spec, shown->place);
    const MapView::Hit hit = pair_map_.draw(
        ctx,
        {.id = "###structure.together",
         .title = ctx.text.format("structure.together", {{"layer", std::to_string(shown->layer)}}),
         .unit = ctx.text(above ? "structure.together.above" : "structure.together.share"),
         .map = shown->map,
         .file = fmt::format("{}-together-layer{}{}", view.run.file_name(), shown->layer,
                             pairs == CoActivation::Pairs::adjacent ? "-adjacent" : ""),
         .low = above ? -reach : 0,
         .high = reach,
         .diverging = above,
         .unit_of_value = above ? Unit::points : Unit::percent,
         .row = chosen,
         .tooltip = tooltip,
         .menu =
             [&](MapCell cell) { draw_expert_items(ctx, shown->layer, static_cast<int>(cell.row), view.run.model); }},
        places.plot);
    select(view, hit, false);
    if (places.beside) {
        ImGui::SameLine(0, ctx.em);
    }
    const auto clicked = pair_table_.draw(
        ctx,
        {.id = "###structure.together.table",
         .table = shown->table,
         .file = fmt::format("{}-pairs-layer{}", view.run.file_name(), shown->layer),
         .chosen =
             [&](const Table::Row& row) {
                 return ctx.selection.layer == shown->layer &&
                        (place_in(row, 0) == ctx.selection.expert || place_in(row, 1) == ctx.selection.expert);
             },
         .tip = ctx.text("structure.together.tip")},
        places.table);
    if (clicked) {
        toggle_expert(ctx.selection, shown->layer, place_in(shown->table->rows[*clicked], 0));
    }
}

void StructurePanel::draw_flow_sentence(const View& view, const Flow& flow) const {
    const FlowLayout layout = lay_out(flow, kBands[bands_]);
    const auto percent = [&](double share) { return value_text(view.ctx.text, share, Unit::percent); };
    const std::optional<double> rest = rest_besides(layout.drawn);
    ui::text_wrapped(view.ctx.text.format(rest ? "structure.flow.sentence" : "structure.flow.sentence.all",
                                          {{"n", view.ctx.text.number(std::uint64_t{layout.strips.size()})},
                                           {"threshold", percent(layout.threshold)},
                                           {"drawn", percent(layout.drawn)},
                                           {"rest", percent(rest.value_or(0))}}),
                     view.ctx.theme.text_dim);
    ui::tooltip(view.ctx.text("structure.flow.help"));
}

/// Places of the two layers: those on show as long as the selection is in one of them, so that a click on either side
/// leaves the picture; else the layer of the selection and the next one, or of the last layer the one before.
std::pair<std::size_t, std::size_t> StructurePanel::flow_layers(const View& view) {
    const int from = routing::routed_place(view.spec, flow_from_), to = routing::routed_place(view.spec, flow_to_);
    const int layer = view.ctx.selection.layer;
    const bool stays = layer < 0 || layer == flow_from_ || layer == flow_to_;
    if (from >= 0 && to >= 0 && from != to && stays) {
        return {static_cast<std::size_t>(from), static_cast<std::size_t>(to)};
    }
    const bool last = view.place + 1 >= view.shape.layers;
    const std::pair<std::size_t, std::size_t> places = {last ? view.place - 1 : view.place,
                                                        last ? view.place : view.place + 1};
    flow_from_ = view.spec.routed_layers[places.first];
    flow_to_ = view.spec.routed_layers[places.second];
    return places;
}

void StructurePanel::draw_transitions(const View& view) {
    Context& ctx = view.ctx;
    if (view.shape.layers < 2) {
        ui::text_wrapped(ctx.text("structure.flow.one_layer"), ctx.theme.text_dim);
        return;
    }
    auto [from, to] = flow_layers(view);
    field_word(ctx, "structure.flow.from");
    const bool other_from = layer_combo(ctx, "###structure.from", view.spec, from);
    flow_field(ctx, "structure.flow.to", 4.2f * ctx.em);
    if (layer_combo(ctx, "###structure.to", view.spec, to) || other_from) {
        flow_from_ = view.spec.routed_layers[from];
        flow_to_ = view.spec.routed_layers[to];
        ctx.selection.layer = flow_from_;
    }
    ui::flow(segments_width(ctx, {"structure.ranks.all", "structure.ranks.first", "structure.ranks.same"}));
    ui::segmented(ctx, "structure.ranks",
                  {ctx.text.label("structure.ranks.all"), ctx.text.label("structure.ranks.first"),
                   ctx.text.label("structure.ranks.same")},
                  ranks_);
    ui::tooltip(ctx.text("structure.ranks.help"));
    flow_field(ctx, "structure.bands", 5 * ctx.em);
    std::vector<std::string> counts;
    for (const std::size_t count : kBands) {
        counts.push_back(ctx.text.number(std::uint64_t{count}));
    }
    combo(ctx, "###structure.bands", 5, counts, bands_);
    if (from == to) {
        return;  // from a layer to itself there is nothing; the next frame shows the one after it
    }
    const auto ranks = static_cast<Transitions::Ranks>(ranks_);
    flow_.update(
        ctx, view.run.routing->trace, view.run.alive, key(from, to, static_cast<std::size_t>(ranks_)),
        [&] { return Transitions(view.shape, from, to, ranks); }, key(),
        [experts = view.shape.experts, a = view.spec.routed_layers[from],
         b = view.spec.routed_layers[to]](const Transitions& figure) {
            FlowShown shown;
            shown.flow = std::make_shared<const Flow>(make_flow(figure, experts, a, b));
            shown.table = std::make_shared<const Table>(flow_table(*shown.flow));
            return shown;
        });
    draw_progress(ctx, flow_.progress());
    const std::shared_ptr<const FlowShown> shown = flow_.shown();
    if (!shown) {
        return;
    }
    draw_flow_sentence(view, *shown->flow);
    const Split places = split(ctx);
    const auto menu = [&](int layer, int expert) { draw_expert_items(ctx, layer, expert, view.run.model); };
    const std::string file =
        fmt::format("{}-transitions-{}-{}", view.run.file_name(), shown->flow->from_layer, shown->flow->to_layer);
    const FlowView::Hit hit =
        flow_view_.draw(ctx,
                        {.title = ctx.text.format("structure.flow", {{"from", std::to_string(shown->flow->from_layer)},
                                                                     {"to", std::to_string(shown->flow->to_layer)}}),
                         .unit = ctx.text("structure.flow.unit"),
                         .flow = shown->flow,
                         .most = kBands[bands_],
                         .file = file,
                         .layer = ctx.selection.layer,
                         .expert = ctx.selection.expert,
                         .menu = menu},
                        places.plot);
    if (hit.opened) {
        show_expert(ctx, hit.opened->layer, hit.opened->expert);
    } else if (hit.clicked) {
        toggle_expert(ctx.selection, hit.clicked->layer, hit.clicked->expert);
    }
    if (places.beside) {
        ImGui::SameLine(0, ctx.em);
    }
    const auto clicked = flow_table_.draw(
        ctx,
        {.id = "###structure.flow.table",
         .table = shown->table,
         .file = file + "-table",
         .chosen =
             [&](const Table::Row& row) {
                 return ctx.selection.layer == shown->flow->from_layer && ctx.selection.expert == place_in(row, 0);
             },
         .menu = [&](const Table::Row& row) { menu(shown->flow->from_layer, place_in(row, 0)); },
         .tip = ctx.text("structure.flow.tip")},
        places.table);
    if (clicked) {
        toggle_expert(ctx.selection, shown->flow->from_layer, place_in(shown->table->rows[*clicked], 0));
    }
}

/// Reads a text with every checkpoint that is kept and was not read with it yet.
void StructurePanel::draw_read_buttons(const View& view, const CheckpointSeries* series) const {
    Context& ctx = view.ctx;
    const auto of_trace = ctx.snapshot.training.find(view.run.training);
    const history::TrainingRun* run =
        of_trace != ctx.snapshot.training.end() ? of_trace->second.get() : selected_run(ctx);
    if (run == nullptr) {
        ui::text_wrapped(ctx.text("structure.saturation.no_run"), ctx.theme.text_dim);
        return;
    }
    const bool enough = run->checkpoints.size() > 1;
    const char* why_not = ctx.text(!ctx.connected() ? "runs.offline" : "structure.saturation.few");
    const auto offer = [&](const char* label_key, const char* label_of_one, const nlohmann::json& text,
                           std::uint64_t tokens) {
        const std::size_t count = run->checkpoints.size();
        const std::string label = ctx.text.format(count == 1 ? label_of_one : label_key,
                                                  {{"run", run->name}, {"n", ctx.text.number(std::uint64_t{count})}}) +
                                  "###" + label_key;
        ui::flow(ui::button_width(label.c_str()));
        if (ui::button(label.c_str(), enough && ctx.connected(), why_not)) {
            std::set<std::uint64_t> there;
            if (series != nullptr && series->training == run->id && series->runs.front().text == text) {
                for (const RoutedRun& read : series->runs) {
                    there.insert(read.checkpoint->step);
                }
            }
            const std::string group = fmt::format("checkpoints-{}-{}", run->id, ctx.snapshot.version);
            for (nlohmann::json& command : read_checkpoints(*run, text, tokens, group)) {
                const auto named = history::checkpoint_named(command["model"].get<std::string>());
                if (named && !there.contains(named->step)) {
                    ctx.client.send("route.start", std::move(command));
                }
            }
        }
    };
    if (!view.run.text.is_null() && view.run.training == run->id) {
        offer("structure.saturation.read_this", "structure.saturation.read_this.one", view.run.text,
              view.run.routing->tokens);
    }
    offer("structure.saturation.read", "structure.saturation.read.one", built_in_text(), kBuiltInTokens);
    if (!enough) {
        ui::text_wrapped(ctx.text("structure.saturation.few"), ctx.theme.text_dim);
    }
}

void StructurePanel::update_saturation(const View& view, const CheckpointSeries& series) {
    std::vector<std::shared_ptr<const routing::TraceSource>> traces;
    std::vector<std::uint64_t> steps;
    std::size_t pieces = 0;
    for (const RoutedRun& run : series.runs) {
        if (!run.alive) {  // the others come when they have been read
            traces.push_back(run.routing->trace);
            steps.push_back(run.checkpoint->step);
            pieces += run.routing->trace->chunks();
        }
    }
    // Pieces come on a way of their own, some of them behind the end of their run.
    const bool grown = pieces != saturation_.pieces && view.ctx.now - saturation_.begun_at > 1;
    if (pieces != saturation_.pieces) {
        view.ctx.draw_within(0.5);
    }
    if (traces != saturation_.traces || grown) {
        dispose(view.ctx, saturation_.job);
        saturation_.state.reset();
        saturation_.shown.clear();
        saturation_.traces = traces;
        saturation_.steps = steps;
        saturation_.pieces = pieces;
        saturation_.begun_at = view.ctx.now;
        if (traces.size() > 1) {
            const auto last = traces.back();
            traces.pop_back();
            saturation_.job = std::make_unique<routing::ComparisonJob>(last, std::move(traces));
        }
    }
    if (saturation_.job) {
        saturation_.state = saturation_.job->latest();
        if (saturation_.state->finished) {
            dispose(view.ctx, saturation_.job);
        } else {
            view.ctx.draw_within(0.1);
        }
    }
    if (!saturation_.state) {
        return;
    }
    saturation_.shown.update(view.ctx, saturation_.state, key(static_cast<std::size_t>(best_)),
                             [state = saturation_.state, at = saturation_.steps,
                              spec = series.runs.back().routing->trace->spec(), best = best_ == 1] {
                                 std::vector<SaturationPoint> points;
                                 for (std::size_t i = 0; i < state->results.size(); ++i) {
                                     if (state->results[i]) {
                                         points.push_back({at[i], state->results[i]});
                                     }
                                 }
                                 return saturation(std::move(points), at.back(), spec, best);
                             });
}

void StructurePanel::draw_saturation(const View& view) {
    Context& ctx = view.ctx;
    const std::vector<CheckpointSeries> all = checkpoint_series(ctx.snapshot, view.run.run());
    ui::segmented(ctx, "structure.best",
                  {ctx.text.label("structure.saturation.all"), ctx.text.label("structure.saturation.best")}, best_);
    ui::tooltip(ctx.text("structure.saturation.help"));
    if (const std::uint32_t chosen = ctx.selection.routing_run; chosen != series_of_) {
        series_of_ = chosen;
        series_.reset();  // another routing was chosen: the series that it is in comes first
    }
    const auto known = std::find_if(all.begin(), all.end(), [&](const CheckpointSeries& one) {
        return series_ && one.training == series_->training && one.runs.front().text == series_->text;
    });
    std::size_t place = known == all.end() ? 0 : static_cast<std::size_t>(known - all.begin());
    const CheckpointSeries* series = all.empty() ? nullptr : &all[place];
    std::string what_is_read;
    if (series != nullptr) {
        series_ = SeriesName{series->training, series->runs.front().text};
        what_is_read = text_name(ctx.text, series_->text);
        std::vector<std::string> names;
        for (const CheckpointSeries& one : all) {
            const auto run = ctx.snapshot.training.find(one.training);
            names.push_back(ctx.text.format(
                "structure.saturation.series",
                {{"run", run != ctx.snapshot.training.end() ? run->second->name : std::to_string(one.training)},
                 {"n", ctx.text.number(std::uint64_t{one.runs.size()})},
                 {"first", ctx.text.number(one.runs.front().checkpoint->step)},
                 {"last", ctx.text.number(one.runs.back().checkpoint->step)},
                 {"text", text_name(ctx.text, one.runs.front().text)}}));
        }
        ui::flow(20 * ctx.em);
        if (combo(ctx, "###structure.series", 20, names, place)) {
            series_ = SeriesName{all[place].training, all[place].runs.front().text};
            ctx.draw_within(0);
        }
    }
    draw_read_buttons(view, series);
    if (series == nullptr) {
        ui::text_wrapped(ctx.text("structure.saturation.empty"), ctx.theme.text_dim);
        return;
    }
    update_saturation(view, *series);
    const auto waiting =
        std::count_if(series->runs.begin(), series->runs.end(), [](const auto& run) { return run.alive; });
    if (waiting > 0) {
        ui::text_dim(ctx, ctx.text.format("structure.saturation.waiting",
                                          {{"n", ctx.text.number(static_cast<std::uint64_t>(waiting))}}));
    }
    const auto& state = saturation_.state;
    FigureProgress progress;
    if (state) {
        progress = {state->done, state->of, 0, !state->finished, saturation_.shown.problem()};
        for (const base::Sentence& failed : state->failed) {
            progress.problem = failed.empty() ? progress.problem : failed;
        }
    }
    draw_progress(ctx, progress);
    const std::shared_ptr<const SaturationShown> shown = saturation_.shown.shown();
    if (!shown || shown->points == 0) {
        return;
    }
    const Split places = split(ctx);
    // The layer of the selection stands out among the others.
    std::vector<ImVec4> colors;
    ChartSpec spec{.id = "###structure.saturation",
                   .title = std::string(ctx.text("structure.saturation")) + " \u00b7 " + what_is_read,
                   .unit = ctx.text.format(best_ == 1 ? "structure.saturation.unit_best" : "structure.saturation.unit",
                                           {{"step", ctx.text.number(saturation_.steps.back())}}),
                   .chart = shown->chart,
                   .file = fmt::format("run-{}-saturation", series->training)};
    for (std::size_t s = 0; s < shown->chart->series.size(); ++s) {
        const bool chosen = s == view.place + 1 && ctx.selection.layer >= 0;
        colors.push_back(s == 0 ? ctx.theme.text : chosen ? ctx.theme.accent : series_color(ctx.theme, spec, s));
    }
    spec.colors = std::move(colors);
    saturation_chart_.draw(ctx, spec, places.plot);
    if (places.beside) {
        ImGui::SameLine(0, ctx.em);
    }
    const auto clicked = saturation_table_.draw(
        ctx,
        {.id = "###structure.saturation.table",
         .table = shown->table,
         .file = fmt::format("run-{}-saturation-table", series->training),
         .chosen = [&](const Table::Row& row) { return place_in(row, 1) == ctx.selection.layer; },
         .tip = ctx.text("structure.saturation.tip")},
        places.table);
    if (clicked) {
        ctx.selection.layer = place_in(shown->table->rows[*clicked], 1);
    }
}

void StructurePanel::draw_group_combo(const View& view, const char* id, const routing::GroupLoad& load,
                                      std::size_t& group, bool with_all) {
    const char* prefix = by_ == 0 ? "structure.language." : "structure.group.";
    std::vector<std::string> names;
    for (const std::string& name : load.groups()) {
        names.push_back(view.ctx.text.named(prefix, name.empty() ? "unknown" : name));
    }
    std::size_t current = group == kAllTexts ? names.size() : group;
    if (with_all) {
        names.emplace_back(view.ctx.text("structure.group.all"));
    }
    if (combo(view.ctx, id, 9, names, current)) {
        group = with_all && current + 1 == names.size() ? kAllTexts : current;
        view.ctx.draw_within(0);
    }
}

/// Two lists of the groups of the trace.
void StructurePanel::choose_groups(const View& view, const routing::GroupLoad& load) {
    Context& ctx = view.ctx;
    if (groups_of_ != view.run.routing->trace) {
        groups_of_ = view.run.routing->trace;
        groups_.reset();
    }
    GroupChoice choice = groups_.value_or(default_groups(load));
    const auto beyond = [&](std::size_t group) { return group != kAllTexts && group >= load.groups().size(); };
    if (beyond(choice.first) || beyond(choice.second)) {
        choice = default_groups(load);
    }
    const GroupChoice before = choice;
    flow_field(ctx, "structure.difference.first", 9 * ctx.em);
    draw_group_combo(view, "###structure.first", load, choice.first, false);
    flow_field(ctx, "structure.difference.second", 9 * ctx.em);
    draw_group_combo(view, "###structure.second", load, choice.second, true);
    if (choice.first != before.first || choice.second != before.second) {
        groups_ = choice;
    }
}

void StructurePanel::draw_differences(const View& view) {
    Context& ctx = view.ctx;
    const int by_before = by_;
    ui::segmented(ctx, "structure.by", {ctx.text.label("structure.by.language"), ctx.text.label("structure.by.group")},
                  by_);
    ui::tooltip(ctx.text("structure.by.help"));
    if (by_ != by_before) {
        groups_.reset();
    }
    const auto by = static_cast<routing::GroupLoad::By>(by_);
    const routing::GroupLoad* figure = by_ == by_before ? differences_.figure() : nullptr;
    if (figure != nullptr && knows_groups(*figure)) {
        choose_groups(view, *figure);
    }
    const bool chosen = groups_.has_value() && groups_of_ == view.run.routing->trace;
    const GroupChoice groups = groups_.value_or(GroupChoice());
    differences_.update(
        ctx, view.run.routing->trace, view.run.alive, key(static_cast<std::size_t>(by_)),
        [&] { return routing::GroupLoad(view.shape, by); }, key(chosen ? 1 : 0, groups.first, groups.second),
        [spec = view.spec, chosen, groups](const routing::GroupLoad& load) {
            const GroupChoice choice = chosen ? groups : default_groups(load);
            return difference_map(load, spec, choice.first, choice.second);
        });
    draw_progress(ctx, differences_.progress());
    const std::shared_ptr<const DifferenceShown> shown = differences_.shown();
    if (!shown || !shown->map) {
        return;
    }
    if (const routing::GroupLoad* now = differences_.figure(); now != nullptr && !knows_groups(*now)) {
        ui::text_wrapped(ctx.text("expert.texts.unknown"), ctx.theme.text_dim);
        return;
    }
    const char* prefix = by_ == 0 ? "structure.language." : "structure.group.";
    const auto name_of = [&](const std::string& name) {
        return ctx.text.named(prefix, name.empty() ? "unknown" : name);
    };
    const std::string first = name_of(shown->first_name), second = shown->second == kAllTexts
                                                                       ? std::string(ctx.text("structure.group.all"))
                                                                       : name_of(shown->second_name);
    ui::text_wrapped(ctx.text.format("structure.difference.chance",
                                     {{"beyond", ctx.text.number(std::uint64_t{shown->beyond})},
                                      {"cells", ctx.text.number(std::uint64_t{shown->cells})},
                                      {"expected", ctx.text.number(0.05 * static_cast<double>(shown->cells), 2)}}) +
                         (shown->single ? std::string(" ") + ctx.text("structure.difference.single") : std::string()),
                     ctx.theme.text_dim);
    ui::tooltip(ctx.text("structure.difference.help"));
    const Split places = split(ctx);
    const double reach = round_up(std::max(std::abs(shown->map->lowest), std::abs(shown->map->highest)));
    const auto tooltip = [&](MapCell cell) {
        const std::size_t at = cell.row * shown->map->columns + cell.column;
        const DifferenceShown::Cell& detail = shown->details[at];
        ImGui::TextUnformatted(cell_title(ctx, view.spec.routed_layers[cell.row], cell.column).c_str());
        const auto row = [&](const std::string& name, const std::string& value) {
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ui::text_dim(ctx, name);
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(value.c_str());
        };
        if (ImGui::BeginTable("values", 2, ImGuiTableFlags_SizingFixedFit)) {
            row(first, estimate_text(ctx.text, detail.first.share, Unit::percent));
            row(second, estimate_text(ctx.text, detail.second.share, Unit::percent));
            row(ctx.text("structure.column.difference"), estimate_text(ctx.text, detail.difference, Unit::points));
            row(ctx.text("structure.column.uniform"), value_text(ctx.text, detail.first.uniform, Unit::percent));
            ImGui::EndTable();
        }
        ui::text_wrapped(ctx.text(shown->map->is_quiet(at) ? "structure.within_chance" : "structure.beyond_chance"),
                         ctx.theme.text_dim, 20 * ctx.em);
    };
    const MapView::Hit hit =
        difference_map_.draw(ctx,
                             {.id = "###structure.differences",
                              .title = ctx.text.format("structure.difference", {{"first", first}, {"second", second}}),
                              .unit = ctx.text("structure.difference.unit"),
                              .map = shown->map,
                              .file = view.run.file_name() + "-differences",
                              .low = -reach,
                              .high = reach,
                              .diverging = true,
                              .unit_of_value = Unit::points,
                              .row = view.place,
                              .column = chosen_expert(ctx.selection, view.spec, view.place),
                              .tooltip = tooltip,
                              .menu =
                                  [&](MapCell cell) {
                                      draw_expert_items(ctx, view.spec.routed_layers[cell.row],
                                                        static_cast<int>(cell.column), view.run.model);
                                  }},
                             places.plot);
    select(view, hit, true);
    if (places.beside) {
        ImGui::SameLine(0, ctx.em);
    }
    const auto clicked = difference_table_.draw(
        ctx,
        {.id = "###structure.differences.table",
         .table = shown->table,
         .file = view.run.file_name() + "-differences-table",
         .chosen =
             [&](const Table::Row& row) {
                 return place_in(row, 0) == ctx.selection.layer && place_in(row, 1) == ctx.selection.expert;
             },
         .menu =
             [&](const Table::Row& row) { draw_expert_items(ctx, place_in(row, 0), place_in(row, 1), view.run.model); },
         .tip = ctx.text("structure.select.tip")},
        places.table);
    if (clicked) {
        const Table::Row& row = shown->table->rows[*clicked];
        toggle_expert(ctx.selection, place_in(row, 0), place_in(row, 1));
    }
}

void StructurePanel::draw_spread(const View& view) {
    Context& ctx = view.ctx;
    ui::segmented(ctx, "structure.spread",
                  {ctx.text.label("structure.spread.entropy"), ctx.text.label("structure.spread.margin")}, spread_of_);
    ui::tooltip(ctx.text("structure.spread.help"));
    spread_.update(
        ctx, view.run.routing->trace, view.run.alive, key(),
        [&] { return SpreadFigure(routing::RouterEntropy(view.shape), routing::Margins(view.shape)); }, key(),
        [spec = view.spec](const SpreadFigure& figure) { return spread_map(figure, spec); });
    draw_progress(ctx, spread_.progress());
    const std::shared_ptr<const SpreadShown> shown = spread_.shown();
    if (!shown) {
        return;
    }
    const bool entropy = spread_of_ == 0;
    const std::shared_ptr<const Map>& map = entropy ? shown->entropy : shown->margin;
    const std::vector<double>& medians = entropy ? shown->entropy_median : shown->margin_median;
    const char* name = entropy ? "structure.spread.entropy" : "structure.spread.margin";
    if (!map) {
        const bool recorded = view.run.routing->detail == routing::Detail::scores;
        if (recorded && view.run.alive) {
            ui::text_wrapped(ctx.text("figure.waiting"), ctx.theme.text_dim);
        } else if (recorded) {
            ui::text_wrapped(ctx.text("structure.spread.by_token"), ctx.theme.text_dim);
        } else {
            draw_lack_of_scores(ctx, *view.run.routing, ctx.text("structure.spread.none"));
        }
        return;
    }
    const Split places = split(ctx);
    const auto over = [&](ImDrawList& draw, const Area& area) {
        // The median of each layer: a line through its row.
        const float height = area.height() / static_cast<float>(map->rows);
        for (std::size_t row = 0; row < map->rows; ++row) {
            if (!std::isfinite(medians[row])) {
                continue;
            }
            const float x =
                area.min.x + static_cast<float>(medians[row] / static_cast<double>(map->columns)) * area.width();
            const float top = area.min.y + static_cast<float>(row) * height;
            draw.AddLine({x, top}, {x, top + height}, ui::packed(ctx.theme.accent), 2.0f);
        }
    };
    const auto tooltip = [&](MapCell cell) {
        ImGui::TextUnformatted(ctx.text
                                   .format("structure.spread.cell", {{"layer", map->row_names[cell.row]},
                                                                     {"from", map->column_names[cell.column]}})
                                   .c_str());
        tip_table(ctx,
                  {{"structure.value.share", value_text(ctx.text, map->at(cell.row, cell.column), Unit::percent)}});
    };
    const MapView::Hit hit =
        spread_map_.draw(ctx,
                         {.id = "###structure.spread",
                          .title = ctx.text(name),
                          .unit = ctx.text(entropy ? "structure.spread.entropy.unit" : "structure.spread.margin.unit"),
                          .map = map,
                          .file = view.run.file_name() + (entropy ? "-entropy" : "-margin"),
                          .high = round_up(map->highest),
                          .row = view.place,
                          .tooltip = tooltip,
                          .over = over},
                         places.plot);
    if (hit.clicked) {
        ctx.selection.layer = view.spec.routed_layers[hit.clicked->row];
    }
    draw_table(view, places, spread_table_,
               {.id = "###structure.spread.table",
                .table = shown->table,
                .file = view.run.file_name() + "-spread",
                .chosen = [&](const Table::Row& row) { return place_in(row, 0) == ctx.selection.layer; },
                .rows_clickable = false});
}

void StructurePanel::draw(Context& ctx) {
    const std::optional<RoutedRun> run = draw_trace_head(ctx, "structure.empty");
    if (!run) {
        return;
    }
    const routing::RouterSpec& spec = run->routing->trace->spec();
    const View view{ctx, *run, spec, routing::shape_of(spec), selected_place(ctx.selection, spec)};
    std::vector<const char*> labels;
    for (const char* tab : kTabs) {
        labels.push_back(ctx.text.label(std::string("structure.tab.") + tab));
    }
    ui::segmented(ctx, "structure.tabs", labels, tab_);
    switch (tab_) {
        case kTogether:
            return draw_together(view);
        case kTransitions:
            return draw_transitions(view);
        case kSaturation:
            return draw_saturation(view);
        case kDifferences:
            return draw_differences(view);
        case kSpread:
            return draw_spread(view);
        default:
            return draw_load(view);
    }
}

void StructurePanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const StructurePanel&>(before);
    tab_ = old.tab_;
    pairs_ = old.pairs_;
    pair_value_ = old.pair_value_;
    ranks_ = old.ranks_;
    best_ = old.best_;
    by_ = old.by_;
    spread_of_ = old.spread_of_;
    bands_ = old.bands_;
}

bool StructurePanel::act(const std::string& action, Context& ctx) {
    (void)ctx;
    return take_tab(action, "structure.tab", kTabs, tab_);
}

ui::PanelDescription describe_structure() {
    return {.key = "structure",
            .make = ui::make_panel<StructurePanel>,
            .stands = {{"routing", ui::Place::left_upper, 1, ui::Stand::Show::open}}};
}

}  // namespace moescope::panels
