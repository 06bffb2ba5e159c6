#include "panels/experts/placement_model.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <span>

namespace moescope::panels {
namespace {

using routing::Placement;
using routing::PlacementOrder;
using routing::WorkOverSteps;

constexpr std::size_t kMostInCell = 12;  ///< experts that a cell of a table names

/// "1, 2, 3", what is too long with the number of those left out: "1, 2, 3, ... (+40)".
std::string listed(const std::vector<std::string>& names, std::size_t most) {
    std::string list;
    const std::size_t shown = names.size() > most ? most - 1 : names.size();
    for (std::size_t i = 0; i < shown; ++i) {
        list += (i == 0 ? "" : ", ") + names[i];
    }
    return shown < names.size() ? fmt::format("{}, \u2026 (+{})", list, names.size() - shown) : list;
}

std::vector<std::string> doubled_of(const Placement& placement, std::size_t layer) {
    std::vector<std::string> names;
    const auto counts = placement.counts(layer);
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
        if (counts[expert] > 1) {
            names.push_back(fmt::format("{} \u00d7{}", expert, counts[expert]));
        }
    }
    return names;
}

/// Bars of the devices with their mean and the fullest of each step, which is above them where it is not always the
/// same one; `reach`: how far the scale goes, which the other chart has as well.
std::shared_ptr<const Chart> chart_of(const char* series, const WorkOverSteps::Devices& devices, double reach) {
    auto chart = std::make_shared<Chart>();
    chart->x_key = "placement.axis.device";
    chart->unit = Unit::whole;
    chart->labels = numbered(devices.load.size());
    chart->series = {{series, {}, {}}};
    for (std::size_t device = 0; device < devices.load.size(); ++device) {
        chart->x.push_back(static_cast<double>(device));
        chart->series[0].y.emplace_back(devices.load[device]);
    }
    chart->levels = {{"placement.level.mean", devices.balance.mean},
                     {"placement.level.fullest", devices.balance.fullest}};
    chart->reach = reach;
    return chart;
}

std::shared_ptr<const Table> table_of_layers(const PlacementShown& shown) {
    auto table = std::make_shared<Table>();
    table->columns = {{"placement.column.layer", Unit::place},
                      {"placement.column.before", Unit::times},
                      {"placement.column.after", Unit::times},
                      {"placement.column.time", Unit::percent},
                      {"placement.column.doubled", Unit::text}};
    for (std::size_t layer = 0; layer < shown.layers.size(); ++layer) {
        if (!shown.placement.has_experts(layer)) {
            continue;
        }
        const PlacementShown::Balance& balance = shown.layers[layer];
        // What has no load has nobody to double, whatever the balancer does with so many equals.
        const bool loaded = balance.before.fullest > 0;
        table->rows.push_back({static_cast<double>(layer), balance.before.ratio(), balance.after.ratio(),
                               balance.time(),
                               loaded ? listed(doubled_of(shown.placement, layer), kMostInCell) : std::string()});
    }
    return table;
}

std::shared_ptr<const Table> table_of_devices(const PlacementShown& shown, const std::vector<double>& before,
                                              const std::vector<double>& after) {
    const PlacementOrder& order = shown.placement.order;
    auto table = std::make_shared<Table>();
    table->columns = {{"placement.column.device", Unit::place},
                      {"placement.column.node", Unit::place},
                      {"placement.column.load_before", Unit::whole},
                      {"placement.column.load_after", Unit::whole},
                      {"placement.column.experts", Unit::text}};
    for (std::size_t device = 0; device < order.devices; ++device) {
        std::vector<std::string> experts;
        for (const std::int32_t expert :
             shown.placement.places(shown.layer)
                 .subspan(device * shown.placement.per_device(), shown.placement.per_device())) {
            experts.push_back(std::to_string(expert));
        }
        table->rows.push_back({static_cast<double>(device), static_cast<double>(device / (order.devices / order.nodes)),
                               before[device], after[device], listed(experts, kMostInCell)});
    }
    return table;
}

}  // namespace

std::size_t fitting_extra(std::size_t experts, std::size_t devices, std::size_t least) {
    const std::size_t over = (experts + least) % devices;
    return over == 0 ? least : least + devices - over;
}

PlacementOrder placement_order(const PlacementChoice& choice, std::size_t experts, std::size_t router_groups) {
    const std::size_t devices = std::max<std::size_t>(1, choice.devices);
    const std::size_t extra = choice.extra.value_or(fitting_extra(experts, devices, devices));
    return {.replicas = experts + extra,
            .groups = choice.groups.value_or(std::max<std::size_t>(1, router_groups)),
            .nodes = choice.nodes,
            .devices = choice.devices};
}

PlacementShown show_placement(const PlacementInput& input, const PlacementOrder& order, std::size_t layer) {
    history::LoadSums sums;
    sums.update(input.steps, input.layers, input.experts);
    PlacementShown shown;
    shown.first_step = sums.loads().first_step;
    shown.last_step = sums.loads().last_step;
    shown.layer = layer;
    routing::ExpertLoads loads{input.layers, input.experts, history::tokens(sums.loads()),
                               std::vector<std::uint8_t>(input.layers, 0)};
    std::fill_n(loads.dense.begin(), std::min(input.dense, input.layers), std::uint8_t{1});
    shown.placement = routing::place_experts(loads, order);
    WorkOverSteps over_steps(shown.placement);
    for (const history::LoadSums::Step& step : input.steps) {
        over_steps.add(history::tokens(*step, input.layers, input.experts));
    }
    const std::vector<WorkOverSteps::Layer> work = over_steps.layers();
    for (const WorkOverSteps::Layer& each : work) {
        shown.layers.push_back({each.before.balance, each.after.balance});
        shown.all.before += each.before.balance;
        shown.all.after += each.after.balance;
    }
    shown.layer_table = table_of_layers(shown);
    if (!shown.placement.has_experts(layer)) {
        return shown;
    }
    const auto& [before, after] = work[layer];
    const double reach = std::max(before.balance.fullest, after.balance.fullest);
    shown.before = chart_of("placement.series.before", before, reach);
    shown.after = chart_of("placement.series.after", after, reach);
    shown.device_table = table_of_devices(shown, before.load, after.load);
    if (reach > 0) {
        const std::vector<std::string> doubled = doubled_of(shown.placement, layer);
        shown.doubled = listed(doubled, doubled.size());
    }
    return shown;
}

}  // namespace moescope::panels
