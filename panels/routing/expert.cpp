// The expert view: of one expert of a trace its load, the tokens and texts that it is chosen for, and the experts
// around it. It says numbers with what they are compared with, and never what an expert is "for".
#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <string>

#include "panels/panels.hpp"
#include "panels/routing/expert_model.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/routing/tab_action.hpp"
#include "panels/routing/trace_head.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/table_view.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using routing::Vocabulary;
using ui::Context;

constexpr std::size_t kMostTokens = 300, kHistoryPoints = 256;
constexpr std::array<std::uint64_t, 5> kLeast = {1, 3, 10, 30, 100};
constexpr float kLeastPart = 11, kBeside = 44;  ///< em: height of a part, width from which parts stand side by side
constexpr std::array<const char*, 4> kTabs = {"load", "tokens", "texts", "neighbours"};

class ExpertPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(Context& ctx) override;
    void draw_above(Context& ctx) override { show_found(ctx); }
    /// expert.tab=load, tokens, texts or neighbours.
    bool act(const std::string& action, Context& ctx) override;

 private:
    enum Tab { kLoad, kTokens, kTexts, kNeighbours };
    /// What a frame draws of.
    struct View {
        Context& ctx;
        const RoutedRun& run;
        const routing::RouterSpec& spec;
        routing::Shape shape;
        ExpertPlace expert;
        std::string file() const {
            return run.file_name() + "-layer" + std::to_string(expert.layer) + "-expert" +
                   std::to_string(expert.expert);
        }
    };

    void draw_choice(const View& view);
    void draw_numbers(const View& view) const;
    void draw_load(const View& view);
    void update_history(const View& view);
    void draw_tokens(const View& view);
    void find(const View& view, std::int32_t token);
    void show_found(Context& ctx);
    void draw_texts(const View& view);
    void draw_texts_part(const View& view, const char* key, const ExpertTextsShown::Part& part, ChartView& chart,
                         TableView& table, float height);
    void draw_neighbours(const View& view);
    void draw_neighbour_table(const View& view, const char* key, TableView& table,
                              const std::shared_ptr<const Table>& rows, int layer, ImVec2 size);

    // Of the person:
    int tab_ = kLoad, by_ = 0, ranks_ = 0;
    std::size_t least_ = 1;  ///< in kLeast

    FigureView<ExpertLoadFigure, ExpertLoadShown> load_;
    FigureView<Vocabulary, ExpertTokensShown> tokens_;
    FigureView<TextGroups, ExpertTextsShown> texts_;
    FigureView<NeighbourPairs, ExpertNeighboursShown> neighbours_;
    ChartView layers_chart_, time_chart_, history_chart_, language_chart_, group_chart_;
    TableView tokens_table_, language_table_, group_table_, together_table_, before_table_, after_table_;

    struct HistoryKey {
        std::uint32_t run = 0;
        std::size_t steps = 0;
        std::uint64_t newest = 0;
        ExpertPlace expert;
        bool operator==(const HistoryKey&) const = default;
    } history_key_;
    std::shared_ptr<const Chart> history_;
    std::string history_name_;

    struct Found {
        std::uint32_t run = 0;
        std::optional<std::uint64_t> token;
    };
    std::optional<Found> found_;  ///< a place in the trace that was looked for
    bool finding_ = false;
};

FigureKey key(std::size_t a, std::size_t b = 0, std::size_t c = 0) {
    return {static_cast<std::int64_t>(a), static_cast<std::int64_t>(b), static_cast<std::int64_t>(c), 0};
}

std::string percent(const Context& ctx, double share) {
    return value_text(ctx.text, share, Unit::percent);
}

}  // namespace

void ExpertPanel::draw_choice(const View& view) {
    Context& ctx = view.ctx;
    std::size_t place = view.expert.place;
    field_word(ctx, "load.layer");
    if (layer_combo(ctx, "###expert.layer", view.spec, place)) {
        ctx.selection.layer = view.spec.routed_layers[place];
        ctx.selection.expert = static_cast<int>(view.expert.expert);
    }
    flow_field(ctx, "expert.expert", 9 * ctx.em);
    const auto choose = [&](std::size_t expert) {
        ctx.selection.layer = view.expert.layer;
        ctx.selection.expert = static_cast<int>(expert);
    };
    const std::size_t experts = view.shape.experts, expert = view.expert.expert;
    if (ImGui::Button((std::string(ui::icon::left) + "###expert.previous").c_str())) {
        choose((expert + experts - 1) % experts);
    }
    ui::tooltip(ctx.text("expert.previous.help"));
    ImGui::SameLine(0, 0.2f * ctx.em);
    ui::next_field(4.5f * ctx.em);
    if (ui::begin_combo("###expert.expert", std::to_string(expert).c_str(), ImGuiComboFlags_HeightLarge)) {
        ImGuiListClipper clipper;
        clipper.Begin(static_cast<int>(experts));
        while (clipper.Step()) {
            for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
                const auto one = static_cast<std::size_t>(i);
                if (ImGui::Selectable(std::to_string(one).c_str(), one == expert)) {
                    choose(one);
                }
            }
        }
        ImGui::EndCombo();
    }
    ImGui::SameLine(0, 0.2f * ctx.em);
    if (ImGui::Button((std::string(ui::icon::right) + "###expert.next").c_str())) {
        choose((expert + 1) % experts);
    }
    ui::tooltip(ctx.text("expert.next.help"));
    const char* menu = ctx.text.label("expert.menu");
    ui::flow(ui::button_width(menu));
    if (ImGui::Button(menu)) {
        ImGui::OpenPopup("expert");
    }
    ui::tooltip(ctx.text("expert.menu.help"));
    if (ImGui::BeginPopup("expert")) {
        draw_expert_items(ctx, view.expert.layer, static_cast<int>(view.expert.expert), view.run.model);
        ImGui::EndPopup();
    }
    std::vector<const char*> labels;
    for (const char* tab : kTabs) {
        labels.push_back(ctx.text.label(std::string("expert.tab.") + tab));
    }
    ui::segmented(ctx, "expert.tabs", labels, tab_);
}

/// What stands above each tab: how often it is chosen, against an even share.
void ExpertPanel::draw_numbers(const View& view) const {
    const Context& ctx = view.ctx;
    const auto& shown = load_.shown();
    if (!shown || shown->tokens == 0) {
        ui::text_dim(ctx, ctx.text("expert.no_decisions"));
        return;
    }
    ui::text_wrapped(
        ctx.text.format("expert.numbers", {{"layer", std::to_string(shown->expert.layer)},
                                           {"expert", std::to_string(shown->expert.expert)},
                                           {"share", estimate_text(ctx.text, shown->share, Unit::percent)},
                                           {"tokens", ctx.text.number(shown->tokens)},
                                           {"uniform", percent(ctx, shown->uniform)},
                                           {"rank", ctx.text.number(std::uint64_t{shown->rank})},
                                           {"experts", ctx.text.number(std::uint64_t{view.shape.experts})}}));
    ui::tooltip(ctx.text("expert.numbers.help"));
}

void ExpertPanel::update_history(const View& view) {
    const auto found = view.ctx.snapshot.training.find(view.run.training);
    if (found == view.ctx.snapshot.training.end() || found->second->counts.empty()) {
        history_.reset();
        history_key_ = {};
        return;
    }
    const history::TrainingRun& run = *found->second;
    const HistoryKey now{run.id, run.counts.size(), run.counts.back()->step, view.expert};
    if (now == history_key_) {
        return;
    }
    history_key_ = now;
    history_name_ = run.name;
    history_ = training_history(run, view.expert.layer, view.expert.expert, kHistoryPoints);
}

void ExpertPanel::draw_load(const View& view) {
    Context& ctx = view.ctx;
    update_history(view);
    const auto& shown = load_.shown();
    if (!shown || !shown->over_layers) {
        return;
    }
    const std::string expert = std::to_string(shown->expert.expert);
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const bool beside = room.x >= kBeside * ctx.em;
    const float gap = ctx.em;
    const int parts = 1 + (shown->over_time ? 1 : 0) + (history_ ? 1 : 0);
    // Side by side the first two share a row; the history of the training run has one of its own.
    const int rows = beside ? (history_ ? 2 : 1) : parts;
    const float height = std::max(kLeastPart * ctx.em, room.y / static_cast<float>(rows) - 0.3f * ctx.em);
    const float width = beside && shown->over_time ? (room.x - gap) / 2 : room.x;
    const ChartView::Hit hit =
        layers_chart_.draw(ctx,
                           {.id = "###expert.over_layers",
                            .title = ctx.text.format("expert.over_layers", {{"expert", expert}}),
                            .unit = ctx.text("expert.over_layers.unit"),
                            .chart = shown->over_layers,
                            .file = view.run.file_name() + "-expert" + expert + "-layers",
                            .chosen = view.expert.place,
                            .tip = ctx.text("expert.over_layers.tip"),
                            .menu =
                                [&](std::size_t place) {
                                    draw_expert_items(ctx, view.spec.routed_layers[place],
                                                      static_cast<int>(view.expert.expert), view.run.model);
                                }},
                           {width, height});
    if (hit.clicked) {
        ctx.selection.layer = view.spec.routed_layers[*hit.clicked];
        ctx.selection.expert = static_cast<int>(view.expert.expert);
    }
    if (shown->over_time) {
        if (beside) {
            ImGui::SameLine(0, gap);
        }
        time_chart_.draw(
            ctx,
            {.id = "###expert.over_time",
             .title = ctx.text("expert.over_time"),
             .unit = ctx.text.format("expert.over_time.unit", {{"n", ctx.text.number(shown->tokens_of_point)}}),
             .chart = shown->over_time,
             .file = view.file() + "-time"},
            {width, height});
    }
    if (history_) {
        history_chart_.draw(ctx,
                            {.id = "###expert.history",
                             .title = ctx.text("expert.history"),
                             .unit = ctx.text.format("expert.history.unit", {{"run", history_name_}}),
                             .chart = history_,
                             .file = history_name_ + "-layer" + std::to_string(view.expert.layer) + "-expert" +
                                     std::to_string(view.expert.expert),
                             .colors = {ctx.theme.series_color(4), ctx.theme.english, ctx.theme.chinese}},
                            {room.x, height});
    }
}

void ExpertPanel::draw_tokens(const View& view) {
    Context& ctx = view.ctx;
    const auto by = static_cast<Vocabulary::By>(by_);
    const auto ranks = static_cast<Vocabulary::Ranks>(ranks_);
    const ExpertPlace expert = view.expert;
    const std::uint64_t least = kLeast[least_];
    tokens_.update(
        ctx, view.run.routing->trace, view.run.alive,
        key(expert.place, static_cast<std::size_t>(by_), static_cast<std::size_t>(ranks_)),
        [&] { return Vocabulary(view.shape, expert.place, by, ranks); }, key(expert.expert, least_),
        [expert, least](const Vocabulary& figure) { return expert_tokens(figure, expert, least, kMostTokens); });
    ui::segmented(
        ctx, "expert.by",
        {ctx.text.label("expert.by.input"), ctx.text.label("expert.by.next"), ctx.text.label("expert.by.predicted")},
        by_);
    ui::tooltip(ctx.text("expert.by.help"));
    const float ranks_width = ui::button_width(ctx.text("expert.ranks.all")) +
                              ui::button_width(ctx.text("expert.ranks.first")) + 0.1f * ctx.em;
    ui::flow(ranks_width);
    ui::segmented(ctx, "expert.ranks", {ctx.text.label("expert.ranks.all"), ctx.text.label("expert.ranks.first")},
                  ranks_);
    ui::tooltip(ctx.text("expert.ranks.help"));
    flow_field(ctx, "expert.least", 5 * ctx.em);
    ui::next_field(5 * ctx.em);
    if (ui::begin_combo("###expert.least", ctx.text.number(least).c_str())) {
        for (std::size_t i = 0; i < kLeast.size(); ++i) {
            if (ImGui::Selectable(ctx.text.number(kLeast[i]).c_str(), i == least_)) {
                least_ = i;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("expert.least.help"));
    draw_progress(ctx, tokens_.progress());
    const auto& shown = tokens_.shown();
    if (!shown) {
        return;
    }
    ui::text_wrapped(ctx.text.format(shown->table->rows.empty() ? "expert.tokens.none" : "expert.tokens.title",
                                     {{"layer", std::to_string(shown->expert.layer)},
                                      {"expert", std::to_string(shown->expert.expert)},
                                      {"baseline", percent(ctx, shown->baseline)}}),
                     ctx.theme.text_dim);
    ui::tooltip(ctx.text("expert.tokens.help"));
    const float height = std::max(kLeastPart * ctx.em, ImGui::GetContentRegionAvail().y);
    const auto clicked = tokens_table_.draw(ctx,
                                            {.id = "###expert.tokens",
                                             .table = shown->table,
                                             .file = view.file() + "-tokens",
                                             .tip = ctx.text("expert.tokens.tip")},
                                            {ImGui::GetContentRegionAvail().x, height});
    if (clicked) {
        find(view, static_cast<std::int32_t>(shown->table->rows[*clicked][shown->token_column].number.value));
    }
}

/// Looks in the background for the next place where the expert takes that token.
void ExpertPanel::find(const View& view, std::int32_t token) {
    if (finding_) {
        return;
    }
    finding_ = true;
    const std::int64_t after = view.ctx.selection.routing_run == view.run.run() ? view.ctx.selection.routing_token : -1;
    view.ctx.in_background([this, trace = view.run.routing->trace, expert = view.expert,
                            by = static_cast<Vocabulary::By>(by_), token, after,
                            run = view.run.run()]() -> std::function<void()> {
        Found found{run, {}};
        try {
            found.token = find_token(*trace, expert, by, token, after);
        } catch (const std::exception&) {
            // The figures say that the trace can't be read.
        }
        return [this, found] {
            finding_ = false;
            found_ = found;
        };
    });
}

void ExpertPanel::show_found(Context& ctx) {
    if (!found_) {
        return;
    }
    const Found found = *found_;
    found_.reset();
    if (const auto shown = shown_routing(ctx); !shown || shown->run != found.run) {
        return;  // whoever has gone on to another routing does not want to be taken back
    }
    if (found.token) {
        show_routing(ctx, found.run);
        ctx.selection.routing_token = static_cast<std::int64_t>(*found.token);
    } else {
        ctx.notify(ctx.text("expert.tokens.not_found"), false);
    }
}

void ExpertPanel::draw_texts_part(const View& view, const char* name, const ExpertTextsShown::Part& part,
                                  ChartView& chart, TableView& table, float height) {
    Context& ctx = view.ctx;
    ImGui::PushID(name);
    const std::string prefix = std::string("expert.texts.") + name;
    ui::section(ctx, ctx.text(prefix));
    if (!part.known) {
        ui::text_wrapped(ctx.text("expert.texts.unknown"), ctx.theme.text_dim);
        ImGui::PopID();
        return;
    }
    if (part.single) {
        ui::text_wrapped(ctx.text("expert.texts.single"), ctx.theme.text_dim);
    }
    if (part.left_out > 0) {
        ui::text_wrapped(ctx.text.format("expert.texts.left_out", {{"n", ctx.text.number(part.left_out)}}),
                         ctx.theme.warning);
    }
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const bool beside = room.x >= kBeside * ctx.em;
    const float width = beside ? 0.42f * room.x : room.x;
    chart.draw(ctx,
               {.id = "###expert.texts.chart",
                .title = ctx.text("expert.series.share"),
                .unit = ctx.text("expert.texts.unit"),
                .chart = part.chart,
                .file = view.file() + "-" + name},
               {width, height});
    if (beside) {
        ImGui::SameLine(0, ctx.em);
    }
    table.draw(
        ctx,
        {.id = "###expert.texts.table", .table = part.table, .file = view.file() + "-" + name, .rows_clickable = false},
        {ImGui::GetContentRegionAvail().x, height});
    ImGui::PopID();
}

void ExpertPanel::draw_texts(const View& view) {
    Context& ctx = view.ctx;
    const ExpertPlace expert = view.expert;
    texts_.update(
        ctx, view.run.routing->trace, view.run.alive, key(0), [&] { return TextGroups(view.shape); },
        key(expert.place, expert.expert), [expert](const TextGroups& figure) { return expert_texts(figure, expert); });
    draw_progress(ctx, texts_.progress());
    const auto& shown = texts_.shown();
    if (!shown) {
        return;
    }
    ui::text_wrapped(ctx.text.format("expert.texts.title", {{"layer", std::to_string(shown->expert.layer)},
                                                            {"expert", std::to_string(shown->expert.expert)}}),
                     ctx.theme.text_dim);
    ui::tooltip(ctx.text("expert.texts.help"));
    const float height = std::max(kLeastPart * ctx.em, ImGui::GetContentRegionAvail().y / 2 - 4 * ctx.em);
    draw_texts_part(view, "languages", shown->languages, language_chart_, language_table_, height);
    draw_texts_part(view, "groups", shown->groups, group_chart_, group_table_, height);
}

void ExpertPanel::draw_neighbour_table(const View& view, const char* name, TableView& table,
                                       const std::shared_ptr<const Table>& rows, int layer, ImVec2 size) {
    Context& ctx = view.ctx;
    ImGui::BeginChild(name, size);
    const std::string title = std::string("expert.neighbours.") + name;
    ui::section(ctx, ctx.text.format(title, {{"layer", std::to_string(layer)}}));
    ui::tooltip(ctx.text(title + ".help"));
    const auto clicked = table.draw(
        ctx,
        {.id = "###expert.neighbours",
         .table = rows,
         .file = view.file() + "-" + name,
         .chosen =
             [&](const Table::Row& row) {
                 return ctx.selection.layer == layer && ctx.selection.expert == static_cast<int>(row[0].number.value);
             },
         .menu =
             [&](const Table::Row& row) {
                 draw_expert_items(ctx, layer, static_cast<int>(row[0].number.value), view.run.model);
             },
         .tip = ctx.text("expert.neighbours.tip")},
        ImGui::GetContentRegionAvail());
    ImGui::EndChild();
    if (clicked) {
        ctx.selection.layer = layer;
        ctx.selection.expert = static_cast<int>(rows->rows[*clicked][0].number.value);
    }
}

void ExpertPanel::draw_neighbours(const View& view) {
    Context& ctx = view.ctx;
    const ExpertPlace expert = view.expert;
    neighbours_.update(
        ctx, view.run.routing->trace, view.run.alive, key(expert.place),
        [&] { return NeighbourPairs(view.shape, expert.place); }, key(expert.expert),
        [expert, spec = view.spec](const NeighbourPairs& figure) { return expert_neighbours(figure, spec, expert); });
    draw_progress(ctx, neighbours_.progress());
    const std::shared_ptr<const ExpertNeighboursShown> shown = neighbours_.shown();
    if (!shown) {
        return;
    }
    ui::text_wrapped(ctx.text.format("expert.neighbours.title", {{"layer", std::to_string(shown->expert.layer)},
                                                                 {"expert", std::to_string(shown->expert.expert)}}),
                     ctx.theme.text_dim);
    ui::tooltip(ctx.text("expert.neighbours.help"));
    struct Part {
        const char* name;
        TableView& view;
        const std::shared_ptr<const Table>& rows;
        int layer;
    };
    std::vector<Part> parts;
    parts.push_back({"together", together_table_, shown->together, shown->expert.layer});
    if (shown->before) {
        parts.push_back({"before", before_table_, shown->before, shown->layer_before});
    }
    if (shown->after) {
        parts.push_back({"after", after_table_, shown->after, shown->layer_after});
    }
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const auto count = static_cast<float>(parts.size());
    const bool beside = room.x >= 26 * ctx.em * count;
    const float gap = 0.8f * ctx.em;
    const ImVec2 size = {
        beside ? (room.x - gap * (count - 1)) / count : room.x,
        beside ? std::max(kLeastPart * ctx.em, room.y) : std::max(kLeastPart * ctx.em, room.y / count - 0.3f * ctx.em)};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (beside && i > 0) {
            ImGui::SameLine(0, gap);
        }
        draw_neighbour_table(view, parts[i].name, parts[i].view, parts[i].rows, parts[i].layer, size);
    }
}

void ExpertPanel::draw(Context& ctx) {
    const std::optional<RoutedRun> run = draw_trace_head(ctx, "expert.empty");
    if (!run) {
        return;
    }
    const routing::RouterSpec& spec = run->routing->trace->spec();
    const View view{ctx, *run, spec, routing::shape_of(spec), selected_place_of_expert(ctx.selection, spec)};
    const ExpertPlace expert = view.expert;
    load_.update(
        ctx, run->routing->trace, run->alive, key(expert.place),
        [&] { return ExpertLoadFigure(routing::Load(view.shape), routing::LoadOverTime(view.shape, expert.place)); },
        key(expert.expert),
        [expert, spec](const ExpertLoadFigure& figure) { return expert_load(figure, spec, expert); });
    draw_choice(view);
    draw_progress(ctx, load_.progress());
    draw_numbers(view);
    const auto& load = load_.shown();
    if ((tab_ == kTokens || tab_ == kNeighbours) && load && load->tokens > 0 && load->chosen == 0) {
        return ui::text_wrapped(ctx.text("expert.never_chosen"), ctx.theme.text_dim);
    }
    switch (tab_) {
        case kTokens:
            return draw_tokens(view);
        case kTexts:
            return draw_texts(view);
        case kNeighbours:
            return draw_neighbours(view);
        default:
            return draw_load(view);
    }
}

void ExpertPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const ExpertPanel&>(before);
    tab_ = old.tab_;
    by_ = old.by_;
    ranks_ = old.ranks_;
    least_ = old.least_;
}

bool ExpertPanel::act(const std::string& action, Context& ctx) {
    (void)ctx;
    return take_tab(action, "expert.tab", kTabs, tab_);
}

ui::PanelDescription describe_expert() {
    return {.key = "expert",
            .make = ui::make_panel<ExpertPanel>,
            .stands = {{"routing", ui::Place::upper, 1, ui::Stand::Show::open}}};
}

}  // namespace moescope::panels
