// moescope-node export: a model for other programs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/model_export.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

struct ExportOptions {
    std::string model, out;
    ModelExport order;
    bool json = false, force = false;
};

void print_export(const ExportOptions& options, const ExportedModel& exported) {
    if (options.json) {
        json line = exported.details, notes = json::array();
        for (const base::Sentence& note : exported.notes) {
            notes.push_back(note.english());
        }
        line.update(
            {{"type", exported.type}, {"out", options.out}, {"files", exported.files}, {"notes", std::move(notes)}});
        return print_json(line);
    }
    fmt::print("{}: {}, {} files\n", base::one_line(options.out), exported.type, exported.files.size());
    std::string types;
    for (const auto& [type, count] : base::member(exported.details, "types").items()) {
        types += fmt::format("{}{} {}", types.empty() ? "" : ", ", count.dump(), type);
    }
    if (!types.empty()) {
        fmt::print("tensors: {}; routers: {}\n", types, base::text_of(exported.details, "router"));
    }
    for (const base::Sentence& note : exported.notes) {
        fmt::print("{}\n", base::one_line(note.english()));
    }
}

int export_command(const Paths& paths, const ExportOptions& options) {
    sessions::refuse_standard_output(options.out);
    HeldSignals signals;
    ModelExport order = options.order;
    order.model = PrintedLibrary(paths).resolve(options.model);
    order.title = options.model;
    order.out = options.out;
    order.existing = sessions::existing_files(options.force, "--force");
    std::optional<ProgressLine> line;
    if (!options.json) {
        line.emplace();
    }
    ExportedModel exported;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        exported = export_model(paths.program, order, stop, [&](std::uint64_t done, std::uint64_t total) {
            if (line) {
                line->show_bytes(done, total);
            }
        });
    });
    line.reset();
    print_export(options, exported);
    return 0;
}

std::vector<std::string> names_of(std::span<const char* const> names) {
    return {names.begin(), names.end()};
}

}  // namespace

void add_export(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ExportOptions>();
    auto* command = app.add_subcommand("export", "Write a model for other programs");
    command
        ->add_option("--model,--session", options->model,
                     "Library name, checkpoint, session, Hugging Face folder or GGUF file")
        ->required()
        ->check(filled());
    ModelExport& order = options->order;
    command->add_option("--format", order.format, "huggingface (hf) or gguf")
        ->capture_default_str()
        ->transform(CLI::Transformer(std::map<std::string, std::string>{{"hf", "huggingface"}}))
        ->check(CLI::IsMember(names_of(kExportFormats)));
    auto* precision =
        command->add_option("--precision", order.precision, "Of the matrices in a GGUF file, by llama.cpp's quantiser")
            ->capture_default_str()
            ->check(CLI::IsMember(export_precisions()));
    auto* router =
        command->add_option("--router", order.router, "Of the routers' matrices in a GGUF file: f32, or quantised too")
            ->capture_default_str()
            ->check(CLI::IsMember(names_of(kExportRouters)));
    command->add_option("--out", options->out, "Folder (huggingface) or file (gguf) to write")
        ->required()
        ->check(filled());
    command->add_flag("--force", options->force, "Replace a file, or a folder that holds such a model, that is there");
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options, precision, router] {
        if (!options->order.is_gguf() && (precision->count() > 0 || router->count() > 0)) {
            throw CLI::ValidationError("--precision and --router are for --format gguf");
        }
        chosen.command = [options](const Paths& paths) { return export_command(paths, *options); };
    });
}

}  // namespace moescope::node
