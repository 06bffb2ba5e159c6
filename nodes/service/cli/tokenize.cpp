// moescope-node tokenize: what a model is shown for a prompt, as text and as tokens.
#include <CLI/CLI.hpp>
#include <atomic>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

struct TokenizeOptions {
    std::string model, prompt;
    std::optional<std::string> system;
    bool chat = false, json = false;
};

int tokenize_command(const Paths& paths, const TokenizeOptions& options) {
    base::require_utf8(options.prompt, base::marked("the prompt"));
    base::require_utf8(options.system.value_or(""), base::marked("the system text"));
    const std::filesystem::path path = PrintedLibrary(paths).resolve(options.model);
    json request = {{"op", "tokenize"}, {"prompt", options.prompt}, {"chat", options.chat}};
    if (options.system) {
        request["system"] = *options.system;
    }
    WorkerPool workers(paths.program);
    const std::atomic<bool> never{false};
    auto lease = workers.acquire(options.model, path, never);
    lease.open(cores(), never);
    const json shown = lease->ask(
        request, base::say("reading a prompt with {}", options.model),
        [](WorkerMessageKind, std::span<const std::byte>) {}, never);
    const json ids = shown.value("ids", json::array());
    if (options.json) {
        print_json({{"text", shown.value("text", "")}, {"ids", ids}});
    } else {
        fmt::print("{}\n{}\n", shown.value("text", ""), ids.dump());
    }
    return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TokenizeOptions>();
    auto* tokenize = app.add_subcommand("tokenize", "What a model is shown for a prompt: the text and its tokens");
    add_model_option(*tokenize, options->model);
    tokenize->add_option("--prompt", options->prompt, "UTF-8")->required();
    auto* chat = tokenize->add_flag("--chat", options->chat, "In the model's chat template");
    tokenize->add_option("--system", options->system, kSystemHelp)->needs(chat);
    tokenize->add_flag("--json", options->json, "One JSON object on standard output");
    tokenize->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return tokenize_command(paths, *options); };
    });
}

}  // namespace moescope::node
