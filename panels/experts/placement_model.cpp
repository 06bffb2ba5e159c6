#include "panels/experts/placement_model.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <span>

namespace moescope::panels {
namespace {

using routing::Placement;
using routing::PlacementOrder;

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

/// Bars of the devices with their mean; `other`: the height of the fullest bar of the other chart, which has the same
/// scale.
std::shared_ptr<const Chart> chart_of(const char* series, const std::vector<double>& devices,
                                      const routing::DeviceBalance& balance, const char* other_key, double other) {
    auto chart = std::make_shared<Chart>();
    chart->x_key = "placement.axis.device";
    chart->unit = Unit::whole;
    chart->labels = numbered(devices.size());
    chart->series = {{series, {}, {}}};
    for (std::size_t device = 0; device < devices.size(); ++device) {
        chart->x.push_back(static_cast<double>(device));
        chart->series[0].y.emplace_back(devices[device]);
    }
    chart->levels.push_back({"placement.level.mean", balance.mean});
    if (other > balance.fullest) {
        chart->levels.push_back({other_key, other});
    }
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

PlacementShown show_placement(const history::Loads& loads, const PlacementOrder& order, std::size_t layer) {
    const routing::ExpertLoads tokens{loads.layers, loads.experts, history::tokens(loads)};
    PlacementShown shown;
    shown.first_step = loads.first_step;
    shown.last_step = loads.last_step;
    shown.layer = layer;
    shown.placement = routing::place_experts(tokens, order);
    for (std::size_t each = 0; each < tokens.layers; ++each) {
        const std::vector<double> before = routing::contiguous_loads(tokens.layer(each), order.devices),
                                  after = routing::device_loads(shown.placement, each, tokens.layer(each));
        const PlacementShown::Balance balance{routing::device_balance(before), routing::device_balance(after)};
        shown.layers.push_back(balance);
        shown.all.before += balance.before;
        shown.all.after += balance.after;
        if (each == layer) {
            shown.before = chart_of("placement.series.before", before, balance.before, "placement.level.after",
                                    balance.after.fullest);
            shown.after = chart_of("placement.series.after", after, balance.after, "placement.level.before",
                                   balance.before.fullest);
            shown.device_table = table_of_devices(shown, before, after);
            if (balance.before.fullest > 0) {
                const std::vector<std::string> doubled = doubled_of(shown.placement, layer);
                shown.doubled = listed(doubled, doubled.size());
            }
        }
    }
    shown.layer_table = table_of_layers(shown);
    return shown;
}

}  // namespace moescope::panels
