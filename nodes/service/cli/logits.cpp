// moescope-node logits: logits of every position of a token sequence.
#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>

#include "base/sentence.hpp"
#include "engine/files/npy.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {
namespace fs = std::filesystem;

namespace {

int logits_command(const Paths& paths, const std::string& model, const std::string& tokens, const std::string& out) {
    const ModelLibrary models(paths);
    const fs::path path = models.resolve(model);
    engine::read_npy_tokens(tokens);  // a bad file is named before a model is loaded
    WorkerPool workers(paths.program);
    const std::atomic<bool> never{false};
    auto lease = workers.acquire(model, path, never);
    lease.open(cores(), never);
    lease->ask(
        {{"op", "logits"}, {"tokens", fs::absolute(tokens).string()}, {"out", fs::absolute(out).string()}},
        base::say("computing logits with {}", model), [](std::span<const std::byte>) {}, never);
    return 0;
}

}  // namespace

void add_logits(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string model, tokens, out;
    };
    const auto options = std::make_shared<Options>();
    auto* logits = app.add_subcommand("logits", "Logits of every position of a token sequence");
    logits->add_option("--model", options->model, "Library name, GGUF file, checkpoint or session folder")->required();
    logits->add_option("--tokens", options->tokens, "NumPy file, int32 [T]")->required();
    logits->add_option("--out", options->out, "NumPy file to write, float32 [T, V]")->required();
    logits->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return logits_command(paths, options->model, options->tokens, options->out);
        };
    });
}

}  // namespace moescope::node
