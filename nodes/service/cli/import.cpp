// moescope-node import: what other programs recorded of a router, as a trace.
#include "routing/imports/import.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "engine/exchange/imatrix.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
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
    sessions::OutputFile output(options.out, options.force ? sessions::Existing::replace : sessions::Existing::refuse);
    HeldSignals signals;
    const auto made = std::make_shared<routing::Import>();
    run_or_leave(signals, [options, made] { *made = read(options); });
    const routing::Import& import = *made;
    routing::TraceWriter writer(output.temporary(), import.spec);
    std::size_t tokens = 0, counts = 0;
    import.each([&](const std::shared_ptr<const routing::Chunk>& chunk) {
        signals.stop_if_taken();
    tokens += chunk->tokens;
    counts += chunk->loads.size();
    writer.append(*chunk);
});
output.commit();
print_warnings(import.spec.doubts);
if (options.json) {
    print_json({{"file", options.file},
                {"out", options.out},
                {"tokens", tokens},
                {"counts", counts},
                {"bytes", writer.bytes()},
                {"router", routing::router_to_json(import.spec)}});
} else {
    fmt::print("{}: {} layers of {} experts, {} per token; {}\n", base::one_line(options.out),
               import.spec.routed_layers.size(), import.spec.experts, import.spec.experts_per_token,
               tokens > 0 ? fmt::format("{} tokens", tokens) : fmt::format("{} times the counts", counts));
}
return 0;
}  // namespace

}  // namespace moescope::node

void add_import(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ImportOptions>();
    auto* import = app.add_subcommand("import", "What another program recorded of a router, as a trace");
    import->add_option("file", options->file, "Answers of a server, counts of a training run, or an importance matrix")
        ->required()
        ->check(filled());
    import->add_option("--format", options->format, "vllm, sglang, megatron or imatrix")
        ->required()
        ->check(CLI::IsMember({"vllm", "sglang", "megatron", "imatrix"}));
    import->add_option("--out", options->out, "Trace file to write")->required()->check(filled());
    import->add_flag("--force", options->force, "Replace a file that is there");
    import->add_option("--config", options->config, "config.json of the model: its layers and experts")
        ->check(filled());
    import->add_option("--model", options->model, "Its name, for people")->check(filled());
    import->add_option("--layers", options->layers, "Layers of the model, those without experts too")
        ->check(whole_number(1, routing::kMostLayers));
    import->add_option("--experts", options->experts, "Experts of a layer")
        ->check(whole_number(1, routing::kMostExperts));
    import->add_option("--experts-per-token", options->per_token, "Experts that are chosen for a token")
        ->check(whole_number(1, routing::kMostExperts));
    import->add_flag("--json", options->json, "One JSON object on standard output");
    import->callback([&chosen, options] {
        chosen.command = [options](const Paths&) { return import_command(*options);
};
});
}

}  // namespace moescope::node
