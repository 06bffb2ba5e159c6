// moescope-node trace: what a trace of routing holds, and the same as a file that other programs read.
#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/trace_export.hpp"
#include "routing/figures/load.hpp"
#include "routing/figures/spread.hpp"
#include "routing/load_metrics.hpp"
#include "routing/trace_lines.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

struct TraceOptions {
    std::string file, out, format;
    bool force = false, json = false;
};

json number(double value) {
    return std::isfinite(value) ? json(value) : json(nullptr);
}

/// Figures of every layer. `damaged`: chunks that were left out.
json summary_of(const routing::LoadedTrace& trace, const std::function<void()>& check, std::size_t& damaged) {
    const routing::RouterSpec& spec = trace.source->spec();
    const routing::Shape shape = routing::shape_of(spec);
    routing::Load load(shape);
    routing::RouterEntropy entropy(shape);
    routing::Margins margins(shape);
    std::uint64_t tokens = 0, counts = 0, chosen = 0, undecided = 0;
    for (std::size_t i = 0; i < trace.source->chunks(); ++i) {
        check();
        const auto chunk = trace.source->chunk(i, routing::kAllColumns);  // all, or damage would be passed over
        if (!chunk) {
            ++damaged;
            continue;
        }
        tokens += chunk->tokens;
        counts += chunk->loads.size();
        for (const std::uint16_t here : chunk->chosen) {
            chosen += here;
            undecided += here == 0 ? 1 : 0;
        }
        load.add(*chunk);
        entropy.add(*chunk);
        margins.add(*chunk);
    }
    json layers = json::array();
    for (std::size_t place = 0; place < shape.layers; ++place) {
        const routing::LoadMetrics metrics = routing::load_metrics(load.load(place));
        layers.push_back({{"layer", spec.routed_layers[place]},
                          {"max_violation", number(metrics.max_violation)},
                          {"variation", number(metrics.variation)},
                          {"gini", number(metrics.gini)},
                          {"load_entropy", number(metrics.entropy)},
                          {"dead", metrics.dead},
                          {"router_entropy", number(entropy.normalised_mean(place))},
                          {"median_margin", number(std::exp2(margins.layer(place).quantile(0.5)))}});
    }
    return {{"tokens", tokens},
            {"counts", counts},
            {"chosen", chosen},
            {"undecided", undecided},
            {"chunks", trace.source->chunks()},
            {"router", routing::router_with_changes(spec, trace.interventions)},
            {"layers", layers}};
}

void print_summary(const json& summary) {
    fmt::print("{} tokens, {} chosen experts, {} times counts; {} pieces, {} damaged places\n",
               summary["tokens"].get<std::uint64_t>(), summary["chosen"].get<std::uint64_t>(),
               summary["counts"].get<std::uint64_t>(), summary["chunks"].get<std::uint64_t>(),
               summary["damaged"].get<std::uint64_t>());
    if (const auto undecided = summary["undecided"].get<std::uint64_t>(); undecided > 0) {
        fmt::print("{} decisions of a layer for a token are missing, or chose no expert\n", undecided);
    }
    const auto shown = [](const json& value) {
        return value.is_null() ? std::string("-") : fmt::format("{:.4g}", value.get<double>());
    };
    fmt::print("{:<8} {:>10} {:>10} {:>10} {:>14} {:>8} {:>16} {:>16}\n", "layer", "MaxVio", "CV", "Gini",
               "load entropy", "dead", "router entropy", "median margin");
    for (const json& layer : summary["layers"]) {
        fmt::print("{:<8} {:>10} {:>10} {:>10} {:>14} {:>8} {:>16} {:>16}\n", layer["layer"].get<int>(),
                   shown(layer["max_violation"]), shown(layer["variation"]), shown(layer["gini"]),
                   shown(layer["load_entropy"]), layer["dead"].get<std::uint64_t>(), shown(layer["router_entropy"]),
                   shown(layer["median_margin"]));
    }
}

struct Format {
    const char* name;
    const char* ending;
    std::size_t (*write)(const std::filesystem::path&, const routing::LoadedTrace&, const std::function<void()>&);
};
constexpr std::array kFormats = {Format{"safetensors", ".safetensors", write_trace_safetensors},
                                 Format{"csv", ".csv", write_trace_csv}, Format{"jsonl", ".jsonl", write_trace_lines},
                                 Format{"columns", ".trace", write_trace_columns}};

const Format& format_of(const TraceOptions& options) {
    const std::string ending = std::filesystem::path(options.out).extension().string();
    for (const Format& format : kFormats) {
        if (options.format.empty() ? ending == format.ending : options.format == format.name) {
            return format;
        }
    }
    throw base::Error(base::say("the name {} does not end as one of the formats does; say --format", options.out));
}

int trace_command(const TraceOptions& options) {
    HeldSignals signals;
    const auto check = [&] { signals.stop_if_taken(); };
    if (options.out.empty()) {
        const routing::LoadedTrace trace = routing::load_trace(options.file, check);
        std::size_t damaged = 0;
        json summary = summary_of(trace, check, damaged);
        const std::vector<base::Sentence> problems = trace.source->problems(damaged);
        put_damage(summary, damaged + trace.source->damaged_places(), problems);
        print_warnings(problems);
        print_warnings(trace.source->spec().doubts);
        if (options.json) {
            summary["file"] = options.file;
            print_json(summary);
        } else {
            print_summary(summary);
        }
        return 0;
    }
    const Format& format = format_of(options);
    FileOutput output(options.out, sessions::existing_files(options.force, "--force"), {options.file});
    const routing::LoadedTrace trace = routing::load_trace(options.file, check);
    const std::size_t damaged = format.write(output.temporary(), trace, check);
    output.commit();
    const std::vector<base::Sentence> problems = trace.source->problems(damaged);
    print_warnings(problems);
    if (options.json && output.is_file()) {
        json value = {{"file", options.file}, {"out", options.out}, {"format", format.name}};
        put_damage(value, damaged + trace.source->damaged_places(), problems);
        print_json(value);
    }
    return 0;
}

}  // namespace

void add_trace(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TraceOptions>();
    auto* trace = app.add_subcommand(
        "trace", "What a trace of routing holds; or the same as arrays, as a table or in its other form");
    trace->add_option("file", options->file, "Trace, as text or in columns")->required()->check(filled());
    trace
        ->add_option("--out", options->out,
                     "File to write it into, - for standard output (with --format); nothing: a summary")
        ->check(filled());
    trace
        ->add_option("--format", options->format,
                     "safetensors, csv, jsonl (text) or columns (.trace); nothing: as the name of --out ends")
        ->check(CLI::IsMember({"safetensors", "csv", "jsonl", "columns"}));
    trace->add_flag("--force", options->force, "Replace a file that is there");
    trace->add_flag("--json", options->json, "One JSON object on standard output");
    trace->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return trace_command(*options); }; });
}

}  // namespace moescope::node
