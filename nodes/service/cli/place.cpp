// moescope-node place: where the experts of each layer stand on several devices, by how much each of them has to do.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/lines.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/history/load_sums.hpp"
#include "nodes/history/run_layers.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "routing/expert_loads.hpp"
#include "routing/placement.hpp"

namespace moescope::node {
using base::say;
using routing::DeviceBalance;
using routing::ExpertLoads;
using routing::Placement;
using routing::WorkOverSteps;

namespace {

struct PlaceOptions {
    std::string loads, session;
    std::uint32_t run = 0;  ///< 0: the latest training run
    std::size_t steps = 64;
    routing::PlacementOrder order;
    bool json = false;
};

/// Throws Error, a sentence that begins with "standard input".
ExpertLoads loads_of_standard_input() {
    std::string text;
    try {
        base::Lines lines("-", routing::kLoadsBytes);
        for (std::string line; lines.next(line);) {
            if (line.size() >= routing::kLoadsBytes - text.size()) {
                throw base::Error(say("has more than the {} bytes that are read", routing::kLoadsBytes));
            }
            text += line + "\n";
        }
        return routing::parse_expert_loads(text);
    } catch (const base::Error& error) {
        throw base::Error(say("standard input {}", error));
    }
}

/// What experts are placed by, and what they would cost so.
struct Loads {
    ExpertLoads loads;                           ///< the sum of `steps`, where there are any
    std::vector<history::LoadSums::Step> steps;  ///< of a run; empty: `loads` are of a file

    std::vector<WorkOverSteps::Layer> work(const Placement& placement) const {
        WorkOverSteps work(placement);
        if (steps.empty()) {
            work.add(loads.load);
        }
        for (const history::LoadSums::Step& step : steps) {
            work.add(history::tokens(*step, loads.layers, loads.experts));
        }
        return work.layers();
    }
};

/// Tokens of both languages over the latest steps of a training run.
Loads loads_of_session(const PlaceOptions& options) {
    const auto session = sessions::Session::open(options.session, sessions::Journal::Mode::read_only);
    print_warnings(session->problems());
    std::uint32_t number = options.run;
    if (number == 0) {
        const auto latest = latest_run(session->journal(), protocol::RunKind::train);
        if (!latest) {
            throw base::Error(say("the session {} has no training run", options.session));
        }
        number = latest->id;
    }
    const history::Session history = history::read_run(*session, number);
    const auto found = history.trainings().find(number);
    if (found == history.trainings().end()) {
        throw base::Error(say("the session {} has no training run {}", options.session, number));
    }
    const history::TrainingRun& run = found->second.value;
    if (run.counts.empty() || run.layers == 0 || run.experts == 0) {
        throw base::Error(say("run {} of {} has no counts of experts", number, options.session));
    }
    const std::size_t first = run.counts.size() - std::min(options.steps, run.counts.size());
    std::vector<history::LoadSums::Step> window;
    for (std::size_t step = first; step < run.counts.size(); ++step) {
        window.push_back(run.counts[step]);
    }
    history::LoadSums sums;
    sums.update(std::move(window), run.layers, run.experts);
    Loads placed{{run.layers, run.experts, history::tokens(sums.loads())}, sums.steps()};
    placed.loads.dense.assign(run.layers, 0);
    std::fill_n(placed.loads.dense.begin(), history::dense_layers(run), std::uint8_t{1});
    if (history::has_prediction_module(run)) {
        print_warnings(
            {say("the experts of the prediction module (layer {}) are not placed: the steps of a run record "
                 "no load of them",
                 run.layers)});
    }
    return placed;
}

std::string times(double ratio) {
    return std::isnan(ratio) ? "-" : fmt::format("{:.3f}", ratio);
}

/// "1 (2), 5 (3)": the experts with several places.
std::string doubled(const Placement& placement, std::size_t layer) {
    std::string list;
    const auto counts = placement.counts(layer);
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
        if (counts[expert] > 1) {
            list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", expert, counts[expert]);
        }
    }
    return list.empty() ? "-" : list;
}

void print_balance(const std::string& name, const DeviceBalance& before, const DeviceBalance& after,
                   const std::string& experts) {
    fmt::print("{:<8} {:>8} {:>8} {:>8}   {}\n", name, times(before.ratio()), times(after.ratio()),
               times(after.fullest / before.fullest), experts);
}

void print_tables(const Loads& loads, const Placement& placement) {
    const routing::PlacementOrder& order = placement.order;
    fmt::print("experts {}, places {}, devices {}, nodes {}, groups {}: {}\n\n", placement.experts, order.replicas,
               order.devices, order.nodes, order.groups,
               order.hierarchical() ? "hierarchical, each group stays on one node"
                                    : "global, as the nodes do not divide the groups");
    fmt::print("{:<8} {:>8} {:>8} {:>8}   {}\n", "layer", "before", "after", "time", "experts with several places");
    const std::vector<WorkOverSteps::Layer> work = loads.work(placement);
    DeviceBalance before, after;
    for (std::size_t layer = 0; layer < placement.layers; ++layer) {
        if (!placement.has_experts(layer)) {
            fmt::print("{:<8} dense, without experts\n", layer);
            continue;
        }
        before += work[layer].before.balance;
        after += work[layer].after.balance;
        print_balance(fmt::to_string(layer), work[layer].before.balance, work[layer].after.balance,
                      doubled(placement, layer));
    }
    print_balance("all", before, after, "");
    fmt::print(
        "\nbefore, after: load of the fullest device of a step / mean, with neighbouring experts side by side and as\n"
        "placed{}\n"
        "time: of the experts' work, after / before, as in each step every device waits for the fullest one; an\n"
        "estimate from the load alone, without what it costs to send tokens between devices\n\n"
        "{:<8} {:<8} {:>12}   {}\n",
        loads.steps.empty() ? "; the loads of the file count as one step, and a sum over several looks more even than "
                              "each\nof them was"
                            : "",
        "layer", "device", "load/step", "experts");
    for (std::size_t layer = 0; layer < placement.layers; ++layer) {
        for (std::size_t device = 0; placement.has_experts(layer) && device < order.devices; ++device) {
            fmt::print("{:<8} {:<8} {:>12.6g}  ", layer, device, work[layer].after.load[device]);
            for (const std::int32_t expert :
                 placement.places(layer).subspan(device * placement.per_device(), placement.per_device())) {
                fmt::print(" {}", expert);
            }
            fmt::print("\n");
        }
    }
}

int place_command(const PlaceOptions& options) {
    const Loads loads = !options.session.empty() ? loads_of_session(options)
                        : options.loads == "-"   ? Loads{loads_of_standard_input(), {}}
                                                 : Loads{routing::read_expert_loads(options.loads), {}};
    const Placement placement = routing::place_experts(loads.loads, options.order);
    if (options.json) {
        print_json(routing::placement_to_json(placement));
    } else {
        print_tables(loads, placement);
    }
    return 0;
}

}  // namespace

void add_place(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<PlaceOptions>();
    auto* place = app.add_subcommand(
        "place", "Where the experts of each layer stand on several devices, the busiest in more than one place (EPLB)");
    auto* source = place->add_option_group("loads")->require_option(1);
    source
        ->add_option(
            "--loads", options->loads,
            "JSON [layers][experts] of loads, null for a dense layer, or an object with this as \"loads\"; \"-\": "
            "standard input")
        ->check(filled());
    auto* session = source->add_option("--session", options->session, "Session folder: the loads of a training run")
                        ->check(filled());
    place->add_option("--run", options->run, "Number of that run; left out: the latest training run")
        ->check(whole_number(1, UINT32_MAX))
        ->needs(session);
    place->add_option("--steps", options->steps, "How many of its latest steps are added up")
        ->check(whole_number(1, UINT32_MAX))
        ->capture_default_str()
        ->needs(session);
    const auto number = [&](const char* name, std::size_t& value, const char* help) {
        return place->add_option(name, value, help)->check(whole_number(1, routing::kMostReplicas));
    };
    number("--replicas", options->order.replicas, "Places for experts in each layer, on all devices together")
        ->required();
    number("--groups", options->order.groups, "Groups of neighbouring experts that a router chooses among")
        ->capture_default_str();
    number("--nodes", options->order.nodes,
           "Machines; where they divide the groups, each group stays on one of them, else groups are not looked at")
        ->capture_default_str();
    number("--gpus", options->order.devices, "Devices on all nodes together")->required();
    place->add_flag("--json", options->json,
                    "One JSON object {\"physical_to_logical\",\"logical_to_physical\",\"logical_count\"}");
    place->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return place_command(*options); }; });
}

}  // namespace moescope::node
