// moescope-node export: a model for other programs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct ExportOptions {
    std::string model, format = "huggingface", out, precision = "f32";
    bool json = false, force = false;
};

/// What a folder in Hugging Face's layout consists of.
bool is_of_hugging_face(const std::string& name) {
    const std::string_view ending = std::string_view(name).substr(std::min(name.find_last_of('.'), name.size()));
    return ending == ".safetensors" || ending == ".json" || ending == ".jinja" || name == "tokenizer.model" ||
           name == "README.md";
}

struct Exported {
    engine::OpenedWeights weights;
    engine::ExportReport report;
};

void write_gguf(const fs::path& from, const ExportOptions& options, const fs::path& to, Exported& exported) {
    exported.weights = engine::open_weights(from);
    const auto& model = *exported.weights.model;
    engine::GgufExportOptions settings;
    settings.type = options.precision == "f16"    ? engine::GgufFloat::f16
                    : options.precision == "bf16" ? engine::GgufFloat::bf16
                                                  : engine::GgufFloat::f32;
    settings.name = model.config.name;
    exported.report =
        engine::export_gguf(to, model.config.model, model.layout, model.parameters, model.tokenizer.get(), settings);
}

void write_hugging_face(const fs::path& from, const fs::path& to, Exported& exported) {
    exported.weights = engine::open_weights(from);
    const auto& model = *exported.weights.model;
    exported.report =
        engine::export_hugging_face(to, model.config.model, model.layout, model.parameters, model.tokenizer.get());
}

int export_command(const Paths& paths, const ExportOptions& options) {
    HeldSignals signals;
    const fs::path path = PrintedLibrary(paths).resolve(options.model);
    const sessions::Sources sources = files_of_model(path);
    const auto existing = sessions::existing_files(options.force, "--force");
    const auto exported = std::make_shared<Exported>();
    if (options.format == "gguf") {
        sessions::OutputFile output(options.out, existing, sources);
        run_or_leave(signals,
                     [path, options, exported, to = output.temporary()] { write_gguf(path, options, to, *exported); });
        exported->report.files = {fs::path(options.out).filename().string()};
        output.commit();
    } else {
        sessions::OutputFolder output(options.out, existing, is_of_hugging_face, sources);
        run_or_leave(signals, [path, exported, to = output.temporary()] { write_hugging_face(path, to, *exported); });
        output.commit();
    }
    const engine::ExportReport& report = exported->report;
    auto notes = exported->weights.notes;
    for (const auto& note : report.notes) {
        // Reading has said why already.
        if (note != engine::kNoTokenizer || exported->weights.model->no_tokenizer.empty()) {
            notes.push_back(note);
        }
    }
    if (options.json) {
        print_json({{"type", report.type}, {"out", options.out}, {"files", report.files}, {"notes", notes}});
        return 0;
    }
    fmt::print("{}: {}, {} files\n", base::one_line(options.out), report.type, report.files.size());
    for (const auto& note : notes) {
        fmt::print("{}\n", base::one_line(note));
    }
    return 0;
}

}  // namespace

void add_export(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ExportOptions>();
    auto* command = app.add_subcommand("export", "Write a model for other programs");
    command
        ->add_option("--model", options->model, "Library name, checkpoint, session, Hugging Face folder or GGUF file")
        ->required()
        ->check(filled());
    command->add_option("--format", options->format, "huggingface or gguf")
        ->capture_default_str()
        ->check(CLI::IsMember({"huggingface", "gguf"}));
    command->add_option("--precision", options->precision, "Of the matrices in a GGUF file: f32, f16 or bf16")
        ->capture_default_str()
        ->check(CLI::IsMember({"f32", "f16", "bf16"}));
    command->add_option("--out", options->out, "Folder (huggingface) or file (gguf) to write")
        ->required()
        ->check(filled());
    command->add_flag("--force", options->force, "Replace a file, or a folder that holds such a model, that is there");
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return export_command(paths, *options); };
    });
}

}  // namespace moescope::node
