// moescope-node import: what other programs recorded of a router, as a trace.
#include "routing/imports/import.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "engine/exchange/imatrix.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/trace_export.hpp"
#include "routing/trace_file.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

struct ImportOptions {
    std::string format, file, out, config, model;
    int layers = 0, experts = 0, per_token = 0;
    bool force = false, json = false;
};

routing::ModelShape shape_of(const ImportOptions& options) {
    routing::ModelShape shape;
    if (!options.config.empty()) {
        shape = routing::read_model_shape(options.config);
    }
    if (options.layers > 0 && options.layers != shape.layers) {
        shape.layers = options.layers;
        shape.routed_layers.clear();
    }
    shape.experts = options.experts > 0 ? options.experts : shape.experts;
    shape.per_token = options.per_token > 0 ? options.per_token : shape.per_token;
    if (options.model.size() > base::kNameBytes) {
        throw base::Error(
            base::say("a name of {} bytes is too long; use one of at most {}", options.model.size(), base::kNameBytes));
    }
    shape.model = options.model.empty() ? options.file : options.model;
    return shape;
}

routing::Import read(const ImportOptions& options) {
    const routing::ModelShape shape = shape_of(options);
    if (options.format == "vllm") {
        return routing::import_vllm(options.file, shape);
    }
    if (options.format == "sglang") {
        return routing::import_sglang(options.file, shape);
    }
    return options.format == "megatron" ? routing::import_megatron(options.file, shape)
                                        : engine::import_imatrix(options.file, shape);
}

int import_command(const ImportOptions& options) {
    sessions::OutputFile output(options.out, sessions::existing_files(options.force, "--force"),
                                {options.file, options.config});
    HeldSignals signals;
    const auto read_one = std::make_shared<routing::Import>();
    run_or_leave(signals, [options, read_one] { *read_one = read(options); });
    const routing::RouterSpec& spec = read_one->spec;
    std::size_t tokens = 0, counts = 0;
    const bool as_text = std::filesystem::path(options.out).extension() == ".jsonl";
    std::vector<std::shared_ptr<const routing::Chunk>> chunks;
    std::optional<routing::TraceWriter> writer;
    if (!as_text) {
        writer.emplace(output.temporary(), spec);
    }
    read_one->each([&](std::shared_ptr<const routing::Chunk> chunk) {
        signals.stop_if_taken();
        tokens += chunk->tokens;
        counts += chunk->loads.size();
        if (writer) {
            writer->append(*chunk);
        } else {
            chunks.push_back(std::move(chunk));
        }
    });
    if (as_text) {
        write_trace_lines(output.temporary(),
                          {std::make_shared<routing::MemoryTrace>(spec, std::move(chunks)), nullptr});
    }
    const std::uint64_t bytes = std::filesystem::file_size(output.temporary());
    output.commit();
    print_warnings(spec.doubts);
    if (options.json) {
        print_json({{"file", options.file},
                    {"out", options.out},
                    {"tokens", tokens},
                    {"counts", counts},
                    {"bytes", bytes},
                    {"router", routing::router_to_json(spec)}});
    } else {
        fmt::print("{}: {} layers of {} experts, {} per token; {}\n", base::one_line(options.out),
                   spec.routed_layers.size(), spec.experts, spec.experts_per_token,
                   tokens > 0 ? fmt::format("{} tokens", tokens) : fmt::format("{} times the counts", counts));
    }
    return 0;
}

}  // namespace

void add_import(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ImportOptions>();
    auto* command = app.add_subcommand("import", "What another program recorded of a router, as a trace");
    command->add_option("file", options->file, "Answers of a server, counts of a training run, or an importance matrix")
        ->required()
        ->check(filled());
    command->add_option("--format", options->format, "vllm, sglang, megatron or imatrix")
        ->required()
        ->check(CLI::IsMember({"vllm", "sglang", "megatron", "imatrix"}));
    command->add_option("--out", options->out, "Trace to write: columns, or text when the name ends with .jsonl")
        ->required()
        ->check(filled());
    command->add_flag("--force", options->force, "Replace a file that is there");
    command->add_option("--config", options->config, "config.json of the model: its layers and experts")
        ->check(filled());
    command->add_option("--model", options->model, "Its name, for people")->check(filled());
    command->add_option("--layers", options->layers, "Layers of the model, those without experts too")
        ->check(whole_number(1, routing::kMostLayers));
    command->add_option("--experts", options->experts, "Experts of a layer")
        ->check(whole_number(1, routing::kMostExperts));
    command->add_option("--experts-per-token", options->per_token, "Experts that are chosen for a token")
        ->check(whole_number(1, routing::kMostExperts));
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return import_command(*options); }; });
}

}  // namespace moescope::node
