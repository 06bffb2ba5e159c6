// moescope-node logits: logits of every position of a token sequence.
#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>

#include "base/sentence.hpp"
#include "engine/files/npy.hpp"
#include "nodes/service/cli/asked_model.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_pool.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;

namespace {

int logits_command(const Paths& paths, const std::string& model, const std::string& device, const std::string& tokens,
                   const std::string& out, sessions::Existing existing) {
    HeldSignals signals;
    const fs::path path = PrintedLibrary(paths).resolve(model);
    sessions::Sources sources = files_of_model(path);
    sources.emplace_back(tokens);
    FileOutput output(out, existing, sources);
    engine::read_npy_tokens(tokens);  // a bad file is named before a model is loaded
    WorkerPool workers(paths.program);
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        ModelSource source = on_device(path, device);
        source.output = output.temporary().parent_path();
        auto lease = workers.acquire(model, source, stop);
        print_why_processor(lease.open(cores(), stop));
        lease->ask(
            {{"op", "logits"}, {"tokens", fs::absolute(tokens).string()}, {"out", output.temporary().string()}},
            base::say("computing logits with {}", model), [](WorkerMessageKind, std::span<const std::byte>) {}, stop);
    });
    output.commit();
    return 0;
}

}  // namespace

void add_logits(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string model, device, tokens, out;
        bool force = false;
    };
    const auto options = std::make_shared<Options>();
    auto* logits = app.add_subcommand("logits", "Logits of every position of a token sequence");
    add_model_option(*logits, options->model);
    add_device_option(*logits, options->device);
    logits->add_option("--tokens", options->tokens, "NumPy file, int32 [T]")->required()->check(filled());
    logits->add_option("--out", options->out, "NumPy file to write, float32 [T, V]; - for standard output")
        ->required()
        ->check(filled());
    logits->add_flag("--force", options->force, "Replace a file that is there");
    logits->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return logits_command(paths, options->model, options->device, options->tokens, options->out,
                                  sessions::existing_files(options->force, "--force"));
        };
    });
}

}  // namespace moescope::node
