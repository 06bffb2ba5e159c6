#include "panels/routing/diff_model.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/intervals.hpp"
#include "panels/routing/structure_model.hpp"
#include "panels/routing/token_pages.hpp"
#include "routing/load_metrics.hpp"

namespace moescope::panels {

using routing::Comparison;
using routing::Flips;

namespace {

Estimate rate_of(const Flips& flips) {
    return flips.slots == 0 ? Estimate() : Estimate(base::wilson(flips.flipped, flips.slots));
}

double moved_of(const Flips& flips) {
    return flips.slots == 0 ? kNoValue : static_cast<double>(flips.moved) / static_cast<double>(flips.slots);
}

std::shared_ptr<Chart> rates_chart(const char* x_key, double all) {
    auto chart = std::make_shared<Chart>();
    chart->x_key = x_key;
    chart->series = {{"routing_diff.series.flipped", {}, {}}};
    chart->levels = {{"routing_diff.level.all", all}};
    return chart;
}

void add_bar(Chart& chart, std::string label, const Flips& flips) {
    chart.x.push_back(static_cast<double>(chart.x.size()));
    chart.labels.push_back(std::move(label));
    chart.series.front().y.push_back(rate_of(flips));
}

DiffShown::Part layers_part(const Comparison& comparison) {
    auto chart = rates_chart("structure.axis.layer", comparison.all().rate());
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.layer", Unit::place},
                      {"routing_diff.column.flipped", Unit::percent, true},
                      {"routing_diff.column.moved", Unit::percent},
                      {"structure.column.saturation", Unit::percent},
                      {"structure.column.saturation_of_best", Unit::percent},
                      {"routing_diff.column.load_distance", Unit::percent},
                      {"routing_diff.column.violation_first"},
                      {"routing_diff.column.violation_second"},
                      {"routing_diff.column.changed_expert", Unit::place},
                      {"routing_diff.column.changed_by", Unit::points}};
    for (const Comparison::Layer& layer : comparison.layers()) {
        add_bar(*chart, std::to_string(layer.layer), layer.flips);
        table->rows.push_back({static_cast<double>(layer.layer), rate_of(layer.flips), moved_of(layer.flips),
                               layer.saturation, layer.saturation_of_best, layer.load_distance, layer.violation_first,
                               layer.violation_second,
                               layer.changed_expert < 0 ? kNoValue : static_cast<double>(layer.changed_expert),
                               layer.changed_expert < 0 ? kNoValue : layer.changed_by});
    }
    return {std::move(chart), std::move(table)};
}

/// Name, flipped, moved, slots.
std::vector<Table::Column> flip_columns(Table::Column name) {
    return {name,
            {"routing_diff.column.flipped", Unit::percent, true},
            {"routing_diff.column.moved", Unit::percent},
            {"routing_diff.column.slots", Unit::whole}};
}

DiffShown::Part ranks_part(const Comparison& comparison) {
    auto chart = rates_chart("routing_diff.axis.rank", comparison.all().rate());
    auto table = std::make_shared<Table>();
    table->columns = flip_columns({"routing_diff.column.rank", Unit::place});
    for (std::size_t rank = 0; rank < comparison.ranks().size(); ++rank) {
        const Flips& flips = comparison.ranks()[rank];
        add_bar(*chart, std::to_string(rank + 1), flips);
        table->rows.push_back(
            {static_cast<double>(rank + 1), rate_of(flips), moved_of(flips), static_cast<double>(flips.slots)});
    }
    return {std::move(chart), std::move(table)};
}

DiffShown::Part classes_part(const Comparison& comparison) {
    auto chart = rates_chart("routing_diff.axis.class", comparison.all().rate());
    chart->prefix = "routing_diff.class.";
    auto table = std::make_shared<Table>();
    table->columns = flip_columns({"routing_diff.column.class", Unit::text, false, "routing_diff.class."});
    std::vector<routing::TokenClass> kinds(routing::kTokenClasses.begin(), routing::kTokenClasses.end());
    const auto flips_of = [&](routing::TokenClass kind) -> const Flips& {
        return comparison.classes()[static_cast<std::size_t>(kind)];
    };
    kinds.erase(std::remove_if(kinds.begin(), kinds.end(), [&](auto kind) { return flips_of(kind).slots == 0; }),
                kinds.end());
    std::stable_sort(kinds.begin(), kinds.end(),
                     [&](auto a, auto b) { return flips_of(a).rate() > flips_of(b).rate(); });
    for (const routing::TokenClass kind : kinds) {
        const Flips& flips = flips_of(kind);
        add_bar(*chart, routing::token_class_name(kind), flips);
        table->rows.push_back({std::string(routing::token_class_name(kind)), rate_of(flips), moved_of(flips),
                               static_cast<double>(flips.slots)});
    }
    return {std::move(chart), std::move(table)};
}

DiffShown::Part margins_part(const Comparison& comparison) {
    auto chart = rates_chart("routing_diff.axis.margin", comparison.all().rate());
    auto table = std::make_shared<Table>();
    table->columns = {{"routing_diff.column.margin_from"},
                      {"routing_diff.column.margin_to"},
                      {"routing_diff.column.decisions", Unit::whole},
                      {"routing_diff.column.with_flip", Unit::percent, true},
                      {"routing_diff.column.flipped", Unit::percent, true},
                      {"routing_diff.column.slots", Unit::whole}};
    for (const Comparison::MarginBin& bin : comparison.margins()) {
        if (bin.decisions == 0) {
            continue;
        }
        add_bar(*chart, short_number(bin.from), bin.flips);
        table->rows.push_back({bin.from, std::isfinite(bin.to) ? bin.to : kNoValue, static_cast<double>(bin.decisions),
                               Estimate(base::wilson(bin.changed, bin.decisions)), rate_of(bin.flips),
                               static_cast<double>(bin.flips.slots)});
    }
    if (table->rows.empty()) {
        return {};
    }
    return {std::move(chart), std::move(table)};
}

void add_loads(const Comparison& comparison, const routing::RouterSpec& spec, DiffShown& shown) {
    const auto experts = static_cast<std::size_t>(spec.experts);
    Map map;
    map.rows = spec.routed_layers.size();
    map.columns = experts;
    map.row_names = layer_names(spec);
    map.column_names = numbered(experts);
    map.row_key = "structure.axis.layer";
    map.column_key = "structure.axis.expert";
    map.value_key = "structure.value.difference";
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.layer", Unit::place},
                      {"structure.column.expert", Unit::place},
                      {"routing_diff.column.share_first", Unit::percent},
                      {"routing_diff.column.share_second", Unit::percent},
                      {"routing_diff.column.change", Unit::points}};
    for (std::size_t layer = 0; layer < map.rows; ++layer) {
        const std::vector<double> first = comparison.load(0, layer), second = comparison.load(1, layer);
        const double all_first = std::accumulate(first.begin(), first.end(), 0.0),
                     all_second = std::accumulate(second.begin(), second.end(), 0.0);
        for (std::size_t expert = 0; expert < experts; ++expert) {
            const routing::ShareDifference change =
                routing::share_difference(second[expert], all_second, first[expert], all_first);
            map.value.push_back(static_cast<float>(change.difference));
            map.quiet.push_back(change.beyond_chance ? 0 : 1);
            if (!std::isnan(change.difference)) {
                table->rows.push_back({static_cast<double>(spec.routed_layers[layer]), static_cast<double>(expert),
                                       first[expert] / all_first, second[expert] / all_second, change.difference});
            }
        }
    }
    std::stable_sort(table->rows.begin(), table->rows.end(), [](const Table::Row& a, const Table::Row& b) {
        return std::abs(a[4].number.value) > std::abs(b[4].number.value);
    });
    map.find_extent();
    shown.load = std::make_shared<const Map>(std::move(map));
    shown.loads = std::move(table);
}

std::shared_ptr<const Table> tokens_table(const std::vector<routing::FlippedTokens::Token>& tokens) {
    auto table = std::make_shared<Table>();
    table->columns = {{"expert.column.piece", Unit::text},
                      {"expert.column.token", Unit::place},
                      {"routing_diff.column.number", Unit::place},
                      {"routing_diff.column.text", Unit::place},
                      {"routing_diff.column.position", Unit::place},
                      {"routing_diff.column.flipped", Unit::percent},
                      {"routing_diff.column.slots", Unit::whole},
                      {"routing_diff.column.log_first"},
                      {"routing_diff.column.log_second"},
                      {"routing_diff.column.log_change", Unit::signed_number}};
    for (const routing::FlippedTokens::Token& token : tokens) {
        table->rows.push_back(
            {shown_piece(token.piece, token.token), token.token < 0 ? kNoValue : static_cast<double>(token.token),
             static_cast<double>(token.number), static_cast<double>(token.document) + 1,
             static_cast<double>(token.position), token.flips.rate(), static_cast<double>(token.flips.slots),
             token.first, token.second, token.second - token.first});
    }
    return table;
}

}  // namespace

DiffShown diff_of(const routing::ComparisonJob::Result& result, const routing::RouterSpec& spec) {
    const Comparison& comparison = result.comparison;
    DiffShown shown;
    shown.tokens = comparison.tokens();
    shown.undecided = comparison.undecided();
    shown.missing = comparison.missing();
    shown.all = comparison.all();
    shown.rate = rate_of(shown.all);
    shown.perplexity = comparison.perplexity();
    shown.layers = layers_part(comparison);
    shown.ranks = ranks_part(comparison);
    shown.classes = classes_part(comparison);
    shown.margins = margins_part(comparison);
    add_loads(comparison, spec, shown);
    shown.tokens_flipped = tokens_table(result.flipped);
    shown.number_column = 2;
    shown.json = std::make_shared<const std::string>(
        routing::to_json(comparison).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return shown;
}

}  // namespace moescope::panels
