// moescope-node diff: how the routing of two traces of the same tokens differs.
#include <CLI/CLI.hpp>
#include <cmath>
#include <fmt/format.h>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "routing/figures/comparison.hpp"

namespace moescope::node {
using nlohmann::json;
using routing::Comparison;
using routing::Flips;

namespace {

std::string percent(double share) {
    return std::isnan(share) ? "-" : fmt::format("{:.2f} %", 100 * share);
}
std::string decimal(double value, int places) {
    return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, places);
}
double moved(const Flips& flips) {
    return flips.slots == 0 ? NAN : static_cast<double>(flips.moved) / static_cast<double>(flips.slots);
}

void print_row(const std::string& name, const Flips& flips) {
    fmt::print("{:<24} {:>10} {:>10} {:>12}\n", name, percent(flips.rate()), percent(moved(flips)), flips.slots);
}

void print_tables(const Comparison& comparison) {
    fmt::print("{} tokens\n\n{:<24} {:>10} {:>10} {:>12}\n", comparison.tokens(), "", "flipped", "moved", "slots");
    print_row("all", comparison.all());
    for (std::size_t rank = 0; rank < comparison.ranks().size(); ++rank) {
        print_row(fmt::format("rank {}", rank + 1), comparison.ranks()[rank]);
    }
    for (const routing::TokenClass kind : routing::kTokenClasses) {
        const Flips& flips = comparison.classes()[static_cast<std::size_t>(kind)];
        if (flips.slots > 0) {
            print_row(routing::token_class_name(kind), flips);
        }
    }
    for (const Comparison::MarginBin& bin : comparison.margins()) {
        if (bin.decisions > 0) {
            print_row(fmt::format("margin from {:.3g}", bin.from), bin.flips);
        }
    }
    fmt::print("\n{:<8} {:>10} {:>10} {:>12} {:>14} {:>20} {:>18}\n", "layer", "flipped", "moved", "saturation",
               "load distance", "MaxVio", "expert that changed");
    for (const Comparison::Layer& layer : comparison.layers()) {
        fmt::print("{:<8} {:>10} {:>10} {:>12} {:>14} {:>20} {:>18}\n", layer.layer, percent(layer.flips.rate()),
                   percent(moved(layer.flips)), decimal(layer.saturation, 4), decimal(layer.load_distance, 4),
                   decimal(layer.violation_first, 3) + " -> " + decimal(layer.violation_second, 3),
                   layer.changed_expert < 0
                       ? std::string("-")
                       : fmt::format("{} ({:+.2f} %)", layer.changed_expert, 100 * layer.changed_by));
    }
    const Comparison::Perplexity perplexity = comparison.perplexity();
    if (perplexity.tokens > 0) {
        fmt::print("\nperplexity {:.4f} -> {:.4f} over {} tokens; log-probability {:+.5f} nats [{:+.5f}, {:+.5f}]\n",
                   perplexity.first, perplexity.second, perplexity.tokens, perplexity.difference.estimate,
                   perplexity.difference.low, perplexity.difference.high);
    }
    if (const auto& [first, second] = comparison.missing(); first + second > 0) {
        fmt::print("{} tokens that only the second trace has and {} that only the first has are left out\n", first,
                   second);
    }
    if (comparison.undecided() > 0) {
        fmt::print("{} decisions that only one of the traces has are left out\n", comparison.undecided());
    }
}

json described(const std::string& file, const routing::TraceStream& trace) {
    json value = {{"file", file}, {"router", routing::router_to_json(trace.spec())}};
    if (trace.interventions().is_array()) {
        value["interventions"] = trace.interventions();
    }
    put_damage(value, trace.damaged(), trace.problems());
    return value;
}

int diff_command(const std::string& first, const std::string& second, bool as_json) {
    HeldSignals signals;
    const auto a = routing::open_trace(first), b = routing::open_trace(second);
    const Comparison comparison = routing::compare_traces(*a, *b, [&] { signals.stop_if_taken(); });
    for (const auto* trace : {&a, &b}) {
        print_warnings((*trace)->problems());
    }
    if (as_json) {
        json value = routing::to_json(comparison);
        value["first"] = described(first, *a);
        value["second"] = described(second, *b);
        print_json(value);
    } else {
        print_tables(comparison);
    }
    return 0;
}

}  // namespace

void add_diff(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string first, second;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* diff = app.add_subcommand("diff", "How the routing of two traces of the same tokens differs");
    diff->add_option("first", options->first, "Trace, as text or in columns")->required()->check(filled());
    diff->add_option("second", options->second, "Trace of the same tokens and of a model of the same shape")
        ->required()
        ->check(filled());
    diff->add_flag("--json", options->json, "One JSON object on standard output");
    diff->callback([&chosen, options] {
        chosen.command = [options](const Paths&) {
            return diff_command(options->first, options->second, options->json);
        };
    });
}

}  // namespace moescope::node
