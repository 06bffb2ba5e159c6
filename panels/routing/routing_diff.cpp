// The diff of two routings of the same text: two checkpoints, two quantisations, a model with and without changes.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <utility>

#include "panels/node/library.hpp"
#include "panels/panels.hpp"
#include "panels/routing/diff_model.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/read_again.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/routing/tab_action.hpp"
#include "panels/routing/trace_head.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/map_view.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/table_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using ui::Context;

constexpr std::array<const char*, 6> kTabs = {"layers", "ranks", "classes", "margins", "load", "tokens"};
constexpr float kLeastPlot = 12, kLeastTable = 10, kBeside = 56;  ///< em

class RoutingDiffPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(Context& ctx) override;
    void draw_above(Context& ctx) override { take_reading(ctx); }
    /// routing_diff.tab=layers, ranks, classes, margins, load or tokens; routing_diff.second=RUN;
    /// routing_diff.read=MODEL (the text of the first).
    bool act(const std::string& action, Context& ctx) override;

 private:
    enum Tab { kLayers, kRanks, kClasses, kMargins, kLoad, kTokens };
    struct View {
        Context& ctx;
        const RoutedRun& first;
        const RoutedRun& second;
        const routing::RouterSpec& spec;
        std::string file() const { return fmt::format("diff-{}-{}", first.run(), second.run()); }
    };

    void take_reading(Context& ctx);
    void choose_second(std::uint32_t run);
    void draw_second(Context& ctx, const std::vector<RoutedRun>& runs, const RoutedRun& first, const RoutedRun* second);
    void draw_reading(Context& ctx, const RoutedRun& first);
    void model_list(Context& ctx, const RoutedRun& first);
    void update(const View& view);
    void draw_numbers(const View& view, const DiffShown& shown) const;
    void draw_menu(const View& view, const DiffShown& shown) const;
    void draw_part(const View& view, const DiffShown::Part& part, const char* name);
    void draw_load(const View& view, const DiffShown& shown);
    void draw_tokens(const View& view, const DiffShown& shown);

    int tab_ = kLayers;         ///< of the person
    std::uint32_t second_ = 0;  ///< run; 0: the one that fits the first best
    ui::FieldWatch watch_;
    std::string model_;              ///< to read the text of the first with
    bool asked_ = false;             ///< to be read by a command
    client::CommandId reading_ = 0;  ///< the route.start that has no answer yet
    std::uint32_t reading_of_ = 0;   ///< the first when it was sent

    std::array<std::shared_ptr<const routing::TraceSource>, 2> traces_;
    std::array<std::size_t, 2> pieces_{};  ///< of the traces, as they were when the job began
    double begun_at_ = 0;                  ///< Context::now
    std::unique_ptr<routing::ComparisonJob> job_;
    std::shared_ptr<const routing::ComparisonJob::State> state_;
    Derived<DiffShown> shown_;
    ChartView chart_;
    MapView map_;
    TableView table_, load_table_, token_table_;
};

int number_in(const Table::Row& row, std::size_t column) {
    return static_cast<int>(row[column].number.value);
}

}  // namespace

/// The run that was started to be compared with, unless somebody has chosen another pair meanwhile.
void RoutingDiffPanel::take_reading(Context& ctx) {
    if (const client::CommandResult* answer = ui::take_answer(ctx, reading_)) {
        const auto first = shown_routing(ctx);
        if (answer->state == client::CommandResult::State::done && first && first->run == reading_of_) {
            choose_second(base::run_of(answer->value));
        }
    }
}

void RoutingDiffPanel::choose_second(std::uint32_t run) {
    second_ = run;
    reading_ = 0;
}

void RoutingDiffPanel::draw_second(Context& ctx, const std::vector<RoutedRun>& runs, const RoutedRun& first,
                                   const RoutedRun* second) {
    field_word(ctx, "routing_diff.with");
    ui::next_field(22 * ctx.em);
    const std::string shown =
        second != nullptr ? routing_name(ctx, *second->routing) : std::string(ctx.text("routing_diff.choose"));
    if (ui::begin_combo("###routing_diff.second", shown.c_str(), ImGuiComboFlags_HeightLarge)) {
        for (const RoutedRun& run : runs) {
            if (run.run() == first.run()) {
                continue;
            }
            std::string label = routing_name(ctx, *run.routing);
            if (!same_shape(run, first)) {
                label += std::string(" \u00b7 ") + ctx.text("routing_diff.other_shape");
            } else if (same_text(run, first)) {
                label += std::string(" \u00b7 ") + ctx.text("routing_diff.same_text");
            }
            label += "###second" + std::to_string(run.run());
            if (ImGui::Selectable(label.c_str(), second != nullptr && run.run() == second->run())) {
                choose_second(run.run());
            }
        }
        ImGui::EndCombo();
    } else if (ui::tooltip_due()) {
        ui::tooltip(shown);
    }
    const std::string swap = std::string(ui::icon::swap) + "###routing_diff.swap";
    ui::flow(ui::button_width(swap.c_str()));
    if (ui::button(swap.c_str(), second != nullptr)) {
        choose_second(first.run());
        ctx.selection.routing_run = second->run();
        ctx.selection.routing_token = -1;
    }
    ui::tooltip(ctx.text("routing_diff.swap.help"));
}

/// Models with a router, and every kept checkpoint of the runs trained here.
void RoutingDiffPanel::model_list(Context& ctx, const RoutedRun& first) {
    const std::string shown = model_.empty() ? std::string(ctx.text("routing_diff.model")) : model_title(ctx, model_);
    ui::next_field(16 * ctx.em);
    if (!ui::begin_combo("###routing_diff.model", shown.c_str(), ImGuiComboFlags_HeightLarge)) {
        return;
    }
    const auto entry = [&](const std::string& name, bool available) {
        const std::string label = model_title(ctx, name) + "###" + name;
        if (ImGui::Selectable(label.c_str(), name == model_, available ? 0 : ImGuiSelectableFlags_Disabled)) {
            model_ = name;
        }
    };
    // Of the same run first: they have the same tokenizer and shape.
    for (const bool same : {true, false}) {
        for (auto run = ctx.snapshot.training.rbegin(); run != ctx.snapshot.training.rend(); ++run) {
            if ((run->first == first.training) != same) {
                continue;
            }
            for (const std::uint64_t step : run->second->checkpoints) {
                entry(
                    history::to_text({.run = run->first, .which = history::CheckpointName::Which::step, .step = step}),
                    true);
            }
        }
    }
    for (const client::ModelEntry& model : ctx.snapshot.models) {
        if (!is_routed(model) || model.trained_here) {
            continue;
        }
        entry(model.name, model.available);
        for (const auto& [set, items] : *ctx.snapshot.intervention_sets) {
            entry(history::to_text(history::ModelWithSet{model.name, set}), model.available);
        }
    }
    ImGui::EndCombo();
}

void RoutingDiffPanel::draw_reading(Context& ctx, const RoutedRun& first) {
    field_word(ctx, "routing_diff.read.word");
    model_list(ctx, first);
    const char* label = ctx.text.label("routing_diff.read");
    const char* why_not = !ctx.connected()       ? "runs.offline"
                          : first.text.is_null() ? "routing_diff.read.no_text"
                          : model_.empty()       ? "routing_diff.read.no_model"
                          : reading_ != 0        ? "routing_diff.read.busy"
                                                 : nullptr;
    ui::flow(ui::button_width(label));
    const bool pressed = ui::button(label, why_not == nullptr, why_not != nullptr ? ctx.text(why_not) : "");
    if (pressed || (std::exchange(asked_, false) && why_not == nullptr)) {
        nlohmann::json parameters = first.text;
        parameters["model"] = model_;
        const routing::RouterSpec& spec = first.routing->trace->spec();
        parameters["detail"] =
            reading_detail(spec.routed_layers.size() * static_cast<std::size_t>(spec.experts), first.routing->tokens);
        reading_ = ctx.client.send("route.start", std::move(parameters));
        reading_of_ = first.run();
    }
    ui::tooltip(ctx.text("routing_diff.read.help"));
}

void RoutingDiffPanel::update(const View& view) {
    const std::array<std::shared_ptr<const routing::TraceSource>, 2> traces = {view.first.routing->trace,
                                                                               view.second.routing->trace};
    // Pieces come on a way of their own, some of them behind the end of their run.
    const std::array<std::size_t, 2> pieces = {traces[0]->chunks(), traces[1]->chunks()};
    const bool grown = pieces != pieces_ && view.ctx.now - begun_at_ > 1;
    if (pieces != pieces_) {
        view.ctx.draw_within(0.5);
    }
    if (traces != traces_ || grown) {
        dispose(view.ctx, job_);
        state_.reset();
        shown_.clear();
        traces_ = traces;
        pieces_ = pieces;
        begun_at_ = view.ctx.now;
        job_ = std::make_unique<routing::ComparisonJob>(
            traces[0], std::vector<std::shared_ptr<const routing::TraceSource>>{traces[1]});
    }
    if (job_) {
        state_ = job_->latest();
        if (state_->finished) {
            dispose(view.ctx, job_);
        } else {
            view.ctx.draw_within(0.1);
        }
    }
    if (state_ && state_->results.front()) {
        shown_.update(view.ctx, state_->results.front(), {},
                      [result = state_->results.front(), spec = view.spec] { return diff_of(*result, spec); });
    }
}

/// What is true of the whole: flips, perplexities, what was left out.
void RoutingDiffPanel::draw_numbers(const View& view, const DiffShown& shown) const {
    const Context& ctx = view.ctx;
    ui::text_wrapped(ctx.text.format(
        "routing_diff.numbers", {{"tokens", ctx.text.number(shown.tokens)},
                                 {"rate", estimate_text(ctx.text, shown.rate, Unit::percent)},
                                 {"slots", ctx.text.number(shown.all.slots)},
                                 {"moved", value_text(ctx.text,
                                                      shown.all.slots > 0 ? static_cast<double>(shown.all.moved) /
                                                                                static_cast<double>(shown.all.slots)
                                                                          : kNoValue,
                                                      Unit::percent)}}));
    ui::tooltip(ctx.text("routing_diff.numbers.help"));
    const routing::Comparison::Perplexity& perplexity = shown.perplexity;
    if (perplexity.tokens > 0) {
        ui::text_wrapped(ctx.text.format(
            "routing_diff.perplexity",
            {{"first", value_text(ctx.text, perplexity.first, Unit::number)},
             {"second", value_text(ctx.text, perplexity.second, Unit::number)},
             {"tokens", ctx.text.number(perplexity.tokens)},
             {"difference", estimate_text(ctx.text, Estimate(perplexity.difference), Unit::signed_number)}}));
        ui::tooltip(ctx.text("routing_diff.perplexity.help"));
    }
    if (const auto& [first, second] = shown.missing; first + second > 0) {
        ui::text_wrapped(ctx.text.format("routing_diff.missing",
                                         {{"first", ctx.text.number(first)}, {"second", ctx.text.number(second)}}),
                         ctx.theme.warning);
    }
    if (shown.undecided > 0) {
        ui::text_dim(ctx, ctx.text.format("routing_diff.undecided", {{"n", ctx.text.number(shown.undecided)}}));
    }
}

void RoutingDiffPanel::draw_menu(const View& view, const DiffShown& shown) const {
    Context& ctx = view.ctx;
    const char* label = ctx.text.label("routing_diff.menu");
    ui::flow(ui::button_width(label));
    if (ImGui::Button(label)) {
        ImGui::OpenPopup("all");
    }
    ui::tooltip(ctx.text("routing_diff.menu.help"));
    if (!ImGui::BeginPopup("all")) {
        return;
    }
    const auto make = [json = shown.json] { return *json; };
    if (ImGui::MenuItem(ctx.text.label("routing_diff.menu.save"))) {
        ctx.save_as(view.file() + ".json", make);
    }
    if (ImGui::MenuItem(ctx.text.label("routing_diff.menu.copy"))) {
        ctx.copy_text(make);
    }
    ImGui::EndPopup();
}

/// A chart of rates and its table.
void RoutingDiffPanel::draw_part(const View& view, const DiffShown::Part& part, const char* name) {
    Context& ctx = view.ctx;
    if (!part.chart) {
        if (view.first.routing->detail == routing::Detail::scores) {
            ui::text_wrapped(ctx.text("structure.spread.by_token"), ctx.theme.text_dim);
        } else {
            draw_lack_of_scores(ctx, *view.first.routing, ctx.text("routing_diff.margins.none"));
        }
        return;
    }
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const bool beside = room.x >= kBeside * ctx.em;
    const float all = std::max((beside ? kLeastPlot : kLeastPlot + kLeastTable) * ctx.em, room.y - 0.4f * ctx.em);
    const ImVec2 plot = beside ? ImVec2(0.45f * room.x, all) : ImVec2(room.x, 0.55f * all);
    const std::string title = std::string("routing_diff.tab.") + name;
    const bool layers = tab_ == kLayers;
    std::optional<std::size_t> chosen;
    if (const int place = routing::routed_place(view.spec, ctx.selection.layer); layers && place >= 0) {
        chosen = static_cast<std::size_t>(place);
    }
    const ChartView::Hit hit = chart_.draw(ctx,
                                           {.id = "###routing_diff.chart",
                                            .title = ctx.text(title),
                                            .unit = ctx.text("routing_diff.unit"),
                                            .chart = part.chart,
                                            .file = view.file() + "-" + name,
                                            .chosen = chosen},
                                           plot);
    if (layers && hit.clicked) {
        ctx.selection.layer = view.spec.routed_layers[*hit.clicked];
    }
    if (beside) {
        ImGui::SameLine(0, ctx.em);
    }
    // Of the layers a click goes to the expert whose load changed most.
    constexpr std::size_t kChanged = 8;
    TableView::Spec spec{.id = "###routing_diff.table",
                         .table = part.table,
                         .file = view.file() + "-" + name + "-table",
                         .rows_clickable = layers};
    if (layers) {
        spec.chosen = [&](const Table::Row& row) { return number_in(row, 0) == ctx.selection.layer; };
        spec.menu = [&](const Table::Row& row) {
            if (std::isfinite(row[kChanged].number.value)) {
                draw_expert_items(ctx, number_in(row, 0), number_in(row, kChanged), view.second.model);
            }
        };
        spec.tip = ctx.text("routing_diff.layers.tip");
    }
    const auto clicked = table_.draw(ctx, spec, {ImGui::GetContentRegionAvail().x, beside ? all : 0.45f * all});
    if (clicked) {
        const Table::Row& row = part.table->rows[*clicked];
        ctx.selection.layer = number_in(row, 0);
        if (std::isfinite(row[kChanged].number.value)) {
            ctx.selection.expert = number_in(row, kChanged);
        }
    }
}

void RoutingDiffPanel::draw_load(const View& view, const DiffShown& shown) {
    Context& ctx = view.ctx;
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const bool beside = room.x >= kBeside * ctx.em;
    const float all = std::max((beside ? kLeastPlot : kLeastPlot + kLeastTable) * ctx.em, room.y - 0.4f * ctx.em);
    const ImVec2 plot = beside ? ImVec2(0.56f * room.x, all) : ImVec2(room.x, 0.55f * all);
    const std::size_t place = selected_place(ctx.selection, view.spec);
    const double reach = round_up(std::max(std::abs(shown.load->lowest), std::abs(shown.load->highest)));
    const auto tooltip = [&](MapCell cell) {
        ImGui::TextUnformatted(ctx.text
                                   .format("load.cell", {{"layer", std::to_string(view.spec.routed_layers[cell.row])},
                                                         {"expert", std::to_string(cell.column)}})
                                   .c_str());
        ImGui::TextUnformatted(
            ctx.text
                .format("routing_diff.load.cell",
                        {{"change", value_text(ctx.text, shown.load->at(cell.row, cell.column), Unit::points)}})
                .c_str());
        ui::text_wrapped(
            ctx.text(shown.load->is_quiet(cell.row * shown.load->columns + cell.column) ? "structure.within_chance"
                                                                                        : "structure.beyond_chance"),
            ctx.theme.text_dim, 20 * ctx.em);
    };
    const MapView::Hit hit = map_.draw(ctx,
                                       {.id = "###routing_diff.load",
                                        .title = ctx.text("routing_diff.tab.load"),
                                        .unit = ctx.text("routing_diff.load.unit"),
                                        .map = shown.load,
                                        .file = view.file() + "-load",
                                        .low = -reach,
                                        .high = reach,
                                        .diverging = true,
                                        .unit_of_value = Unit::points,
                                        .row = place,
                                        .column = chosen_expert(ctx.selection, view.spec, place),
                                        .tooltip = tooltip,
                                        .menu =
                                            [&](MapCell cell) {
                                                draw_expert_items(ctx, view.spec.routed_layers[cell.row],
                                                                  static_cast<int>(cell.column), view.second.model);
                                            }},
                                       plot);
    if (hit.opened) {
        show_expert(ctx, view.spec.routed_layers[hit.opened->row], static_cast<int>(hit.opened->column));
    } else if (hit.clicked) {
        toggle_expert(ctx.selection, view.spec.routed_layers[hit.clicked->row], static_cast<int>(hit.clicked->column));
    }
    if (beside) {
        ImGui::SameLine(0, ctx.em);
    }
    const auto clicked = load_table_.draw(
        ctx,
        {.id = "###routing_diff.loads",
         .table = shown.loads,
         .file = view.file() + "-load-table",
         .chosen =
             [&](const Table::Row& row) {
                 return number_in(row, 0) == ctx.selection.layer && number_in(row, 1) == ctx.selection.expert;
             },
         .menu =
             [&](const Table::Row& row) {
                 draw_expert_items(ctx, number_in(row, 0), number_in(row, 1), view.second.model);
             },
         .tip = ctx.text("structure.select.tip")},
        {ImGui::GetContentRegionAvail().x, beside ? all : 0.45f * all});
    if (clicked) {
        toggle_expert(ctx.selection, number_in(shown.loads->rows[*clicked], 0),
                      number_in(shown.loads->rows[*clicked], 1));
    }
}

void RoutingDiffPanel::draw_tokens(const View& view, const DiffShown& shown) {
    Context& ctx = view.ctx;
    ui::text_wrapped(
        ctx.text(shown.tokens_flipped->rows.empty() ? "routing_diff.tokens.none" : "routing_diff.tokens.title"),
        ctx.theme.text_dim);
    const auto clicked = token_table_.draw(
        ctx,
        {.id = "###routing_diff.tokens",
         .table = shown.tokens_flipped,
         .file = view.file() + "-tokens",
         .chosen =
             [&](const Table::Row& row) {
                 return row[shown.number_column].number.value == static_cast<double>(ctx.selection.routing_token);
             },
         .tip = ctx.text("routing_diff.tokens.tip")},
        {ImGui::GetContentRegionAvail().x, std::max(kLeastTable * ctx.em, ImGui::GetContentRegionAvail().y)});
    if (clicked) {
        show_routing(ctx, view.first.run());
        ctx.selection.routing_token =
            static_cast<std::int64_t>(shown.tokens_flipped->rows[*clicked][shown.number_column].number.value);
    }
}

void RoutingDiffPanel::draw(Context& ctx) {
    const std::optional<RoutedRun> first = draw_trace_head(ctx, "routing_diff.empty");
    if (!first) {
        return;
    }
    const std::vector<RoutedRun> runs = routed_runs(ctx.snapshot);
    std::uint32_t wanted = second_ != first->run() ? second_ : 0;
    if (wanted == 0) {
        wanted = default_second(runs, *first).value_or(0);
    }
    const auto found =
        std::find_if(runs.begin(), runs.end(), [&](const RoutedRun& run) { return run.run() == wanted; });
    const RoutedRun* second = found == runs.end() ? nullptr : &*found;
    draw_second(ctx, runs, *first, second);
    draw_reading(ctx, *first);
    watch_.follow(ctx, {{"model", model_}}, ui::form_field,
                  [this](Context&, const nlohmann::json& now) { model_ = now.at("model"); });
    if (second == nullptr) {
        const bool coming = second_ != 0 && second_ != first->run();
        const auto read = ctx.snapshot.routes.find(second_);
        if (coming && read != ctx.snapshot.routes.end() && protocol::ended(read->second->state) &&
            read->second->state != history::RunState::done) {
            const history::RouteRun& run = *read->second;  // nothing will come of it
            ui::banner(ctx, run.state == history::RunState::failed ? ui::Tone::error : ui::Tone::warning,
                       run.message.empty() ? ctx.text.format("routing.no_routing", {{"run", std::to_string(run.id)}})
                                           : ctx.text.message(run.message));
            return;
        }
        ui::text_wrapped(ctx.text(coming ? "routing_diff.waiting" : "routing_diff.none"), ctx.theme.text_dim);
        return;
    }
    if (first->alive || second->alive) {
        ui::text_wrapped(ctx.text("routing_diff.waiting"), ctx.theme.text_dim);
        return;
    }
    constexpr std::size_t kWholeReason = 300;  // bytes
    for (const auto& [run, key] :
         {std::pair(&*first, "routing_diff.first_cut"), std::pair(second, "routing_diff.second_cut")}) {
        if (run->cut) {
            ui::text_wrapped(ctx.text.format(key, {{"cut", cut_off_text(ctx.text, *run->cut, kWholeReason)}}),
                             ctx.theme.warning);
        }
    }
    const View view{ctx, *first, *second, first->routing->trace->spec()};
    update(view);
    FigureProgress progress;
    if (state_) {
        progress = {state_->done, state_->of, 0, !state_->finished,
                    state_->failed.front().empty() ? shown_.problem() : state_->failed.front()};
    }
    draw_progress(ctx, progress);
    const std::shared_ptr<const DiffShown> shown = shown_.shown();
    if (!shown) {
        return;
    }
    if (state_ && state_->results.front()) {
        for (const base::Sentence& problem : state_->results.front()->problems) {
            ui::text_wrapped(ctx.text.message(problem), ctx.theme.warning);
        }
    }
    draw_numbers(view, *shown);
    std::vector<const char*> labels;
    for (const char* tab : kTabs) {
        labels.push_back(ctx.text.label(std::string("routing_diff.tab.") + tab));
    }
    ui::segmented(ctx, "routing_diff.tabs", labels, tab_);
    draw_menu(view, *shown);
    switch (tab_) {
        case kRanks:
            return draw_part(view, shown->ranks, kTabs[kRanks]);
        case kClasses:
            return draw_part(view, shown->classes, kTabs[kClasses]);
        case kMargins:
            return draw_part(view, shown->margins, kTabs[kMargins]);
        case kLoad:
            return draw_load(view, *shown);
        case kTokens:
            return draw_tokens(view, *shown);
        default:
            return draw_part(view, shown->layers, kTabs[kLayers]);
    }
}

void RoutingDiffPanel::take_over(ui::Panel& before) {
    tab_ = dynamic_cast<const RoutingDiffPanel&>(before).tab_;
}

bool RoutingDiffPanel::act(const std::string& action, Context& ctx) {
    (void)ctx;
    if (const char* run = ui::action_value(action, "routing_diff.second")) {
        choose_second(static_cast<std::uint32_t>(std::strtoul(run, nullptr, 10)));
        return true;
    }
    if (const char* model = ui::action_value(action, "routing_diff.read")) {
        model_ = model;
        asked_ = true;
        return true;
    }
    return take_tab(action, "routing_diff.tab", kTabs, tab_);
}

ui::PanelDescription describe_routing_diff() {
    return {.key = "routing_diff",
            .make = ui::make_panel<RoutingDiffPanel>,
            .stands = {{"routing", ui::Place::left_upper, 2, ui::Stand::Show::open}}};
}

}  // namespace moescope::panels
