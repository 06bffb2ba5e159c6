// moescope-node export: a model for other programs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/gguf_precisions.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_process.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct ExportOptions {
    std::string model, format = "huggingface", out, precision = "f32", router = "f32";
    bool json = false, force = false;

    const engine::GgufPrecision& chosen() const { return *engine::find_gguf_precision(precision); }
    bool router_too() const { return router == "quantised"; }
};

/// What a folder in Hugging Face's layout consists of.
bool is_of_hugging_face(const std::string& name) {
    const std::string_view ending = std::string_view(name).substr(std::min(name.find_last_of('.'), name.size()));
    return ending == ".safetensors" || ending == ".json" || ending == ".jinja" || name == "tokenizer.model" ||
           name == "README.md";
}

struct Exported {
    engine::ExportReport report;
    std::vector<std::string> notes;
    json details = json::object();  ///< of a GGUF file, for --json
};

/// A file on the way, which is gone at the end, written or not.
class Scratch {
 public:
    explicit Scratch(fs::path path) : path_(std::move(path)) {}
    ~Scratch() {
        std::error_code error;
        fs::remove(path_, error);
        fs::remove(fs::path(path_) += ".part", error);  // of who has not written it to its end
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const fs::path& path() const { return path_; }

 private:
    fs::path path_;
};

/// Notes of reading, then those of writing that reading has not told already.
void take_notes(const engine::OpenedWeights& weights, Exported& exported) {
    exported.notes = weights.notes;
    for (const auto& note : exported.report.notes) {
        const bool told = std::find(weights.notes.begin(), weights.notes.end(), note) != weights.notes.end();
        if (!told && (note != engine::kNoTokenizer || weights.model->no_tokenizer.empty())) {
            exported.notes.push_back(note);
        }
    }
}

void write_gguf(const fs::path& from, engine::GgufFloat type, const fs::path& to, Exported& exported) {
    const engine::OpenedWeights weights = engine::open_weights(from);
    const auto& model = *weights.model;
    engine::GgufExportOptions settings;
    settings.type = type;
    settings.name = model.config.name;
    settings.vocabulary = model.vocabulary.get();
    settings.rules = model.text;
    exported.report =
        engine::export_gguf(to, model.config.model, model.layout, model.parameters, model.tokenizer.get(), settings);
    take_notes(weights, exported);
}

void write_hugging_face(const fs::path& from, const fs::path& to, Exported& exported) {
    const engine::OpenedWeights weights = engine::open_weights(from);
    const auto& model = *weights.model;
    exported.report =
        engine::export_hugging_face(to, model.config.model, model.layout, model.parameters, model.tokenizer.get(), {},
                                    engine::kMaxShardBytes, model.vocabulary.get(), model.text);
    take_notes(weights, exported);
}

/// "blk.0.attn_k.weight and 3 others are Q5_0 instead of Q4_K: ...", one sentence for each pair of types.
void note_fallbacks(const json& fell_back, std::vector<std::string>& notes) {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_types;
    for (const json& one : fell_back) {
        by_types[{base::text_of(one, "wanted"), base::text_of(one, "type")}].push_back(base::text_of(one, "tensor"));
    }
    for (const auto& [types, tensors] : by_types) {
        const std::size_t others = tensors.size() - 1;
        notes.push_back(fmt::format("{}{} {} instead of {}: the length of {} rows is no multiple of its blocks.",
                                    tensors.front(), others == 0 ? "" : fmt::format(" and {} others", others),
                                    others == 0 ? "is " + types.second : "are " + types.second, types.first,
                                    others == 0 ? "its" : "their"));
    }
}

/// By llama.cpp's quantiser, in a process of its own: a signal ends it at once.
void quantise(HeldSignals& signals, const Paths& paths, const ExportOptions& options, const fs::path& from,
              const fs::path& to, Exported& exported) {
    const Scratch scratch(base::temporary_beside(to));
    const json request = {{"op", "quantise"},
                          {"from", fs::absolute(from).string()},
                          {"to", fs::absolute(to).string()},
                          {"scratch", fs::absolute(scratch.path()).string()},
                          {"precision", options.precision},
                          {"router_too", options.router_too()},
                          {"threads", cores()}};
    const bool terminal = !options.json && isatty(STDERR_FILENO) != 0;
    json answer;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        WorkerProcess worker(paths.program);
        answer = worker.ask(
            request, base::say("quantising {}", options.model),
            [&](WorkerMessageKind, std::span<const std::byte> body) {
                if (terminal) {
                    show_progress(body);
                }
            },
            stop, std::chrono::milliseconds(0));
    });
    if (terminal) {
        fmt::print(stderr, "\r\n");
    }
    if (exported.report.type.empty()) {
        exported.report.type = base::text_of(answer, "architecture");
    }
    if (const std::string source = base::text_of(answer, "source"); !source.empty()) {
        exported.notes.push_back("The weights were " + source + " before; what that lost does not come back.");
    }
    note_fallbacks(base::member(answer, "fell_back"), exported.notes);
    for (const char* key : {"types", "fell_back", "router"}) {
        exported.details[key] = base::member(answer, key);
    }
}

bool is_gguf(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && engine::inspect_file(path).kind == engine::FileKind::gguf;
}

void export_gguf_file(const Paths& paths, HeldSignals& signals, const ExportOptions& options, const fs::path& path,
                      const fs::path& to, const std::shared_ptr<Exported>& exported) {
    const engine::GgufPrecision& precision = options.chosen();
    exported->details = {{"precision", options.precision}, {"router", "F32"}};
    if (is_gguf(path)) {
        return quantise(signals, paths, options, path, to, *exported);
    }
    if (precision.is_float() && !options.router_too()) {
        const auto type = precision.name == "f16"    ? engine::GgufFloat::f16
                          : precision.name == "bf16" ? engine::GgufFloat::bf16
                                                     : engine::GgufFloat::f32;
        const Scratch unfinished(fs::path(to) += ".part");
        return run_or_leave(signals, [path, type, exported, to] { write_gguf(path, type, to, *exported); });
    }
    const Scratch whole(base::temporary_beside(to));
    run_or_leave(signals, [path, exported, between = whole.path()] {
        write_gguf(path, engine::GgufFloat::f32, between, *exported);
    });
    quantise(signals, paths, options, whole.path(), to, *exported);
}

void print_export(const ExportOptions& options, const Exported& exported) {
    const engine::ExportReport& report = exported.report;
    if (options.json) {
        json line = exported.details;
        line.update({{"type", report.type}, {"out", options.out}, {"files", report.files}, {"notes", exported.notes}});
        return print_json(line);
    }
    fmt::print("{}: {}, {} files\n", base::one_line(options.out), report.type, report.files.size());
    std::string types;
    for (const auto& [type, count] : base::member(exported.details, "types").items()) {
        types += fmt::format("{}{} {}", types.empty() ? "" : ", ", count.dump(), type);
    }
    if (!types.empty()) {
        fmt::print("tensors: {}; routers: {}\n", types, base::text_of(exported.details, "router"));
    }
    for (const auto& note : exported.notes) {
        fmt::print("{}\n", base::one_line(note));
    }
}

int export_command(const Paths& paths, const ExportOptions& options) {
    HeldSignals signals;
    const fs::path path = PrintedLibrary(paths).resolve(options.model);
    const sessions::Sources sources = files_of_model(path);
    const auto existing = sessions::existing_files(options.force, "--force");
    const auto exported = std::make_shared<Exported>();
    if (options.format == "gguf") {
        sessions::OutputFile output(options.out, existing, sources);
        export_gguf_file(paths, signals, options, path, output.temporary(), exported);
        exported->report.files = {fs::path(options.out).filename().string()};
        output.commit();
    } else {
        sessions::OutputFolder output(options.out, existing, is_of_hugging_face, sources);
        run_or_leave(signals, [path, exported, to = output.temporary()] { write_hugging_face(path, to, *exported); });
        output.commit();
    }
    print_export(options, *exported);
    return 0;
}

std::vector<std::string> precision_names() {
    std::vector<std::string> names;
    for (const engine::GgufPrecision& one : engine::kGgufPrecisions) {
        names.emplace_back(one.name);
    }
    return names;
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
    auto* precision =
        command
            ->add_option("--precision", options->precision, "Of the matrices in a GGUF file, by llama.cpp's quantiser")
            ->capture_default_str()
            ->check(CLI::IsMember(precision_names()));
    auto* router =
        command
            ->add_option("--router", options->router, "Of the routers' matrices in a GGUF file: f32, or quantised too")
            ->capture_default_str()
            ->check(CLI::IsMember({"f32", "quantised"}));
    command->add_option("--out", options->out, "Folder (huggingface) or file (gguf) to write")
        ->required()
        ->check(filled());
    command->add_flag("--force", options->force, "Replace a file, or a folder that holds such a model, that is there");
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options, precision, router] {
        if (options->format != "gguf" && (precision->count() > 0 || router->count() > 0)) {
            throw CLI::ValidationError("--precision and --router are for --format gguf");
        }
        chosen.command = [options](const Paths& paths) { return export_command(paths, *options); };
    });
}

}  // namespace moescope::node
