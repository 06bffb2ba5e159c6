// moescope-node models: the library of models.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "base/foreign_text.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/workers/asked_server.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

int models_list_command(const Paths& paths, bool as_json) {
    const PrintedLibrary library(paths);
    for (const auto& model : library.models()) {
        if (as_json) {
            print_json(protocol::to_json(model));
        } else {
            const std::string message = fit_to_show(model.message).english();
            fmt::print("{:<22} {:>9.1f} MB  {:<8}  {}, {}; {}{}\n", base::shown_name(model.name),
                       static_cast<double>(model.bytes) / 1e6,
                       model.state ? protocol::model_state_name(*model.state) : "",
                       model.maker.empty() ? model.title : model.maker,
                       model.country.empty() ? model.origin.english() : model.country, model.licence,
                       message.empty() ? "" : "\n    " + message);
        }
    }
    return 0;
}

struct ModelsOptions {
    std::string file, key_variable, config, dialect;
    std::optional<int> silence;
    bool remote = false, json = false;
};

/// The options as parameters of the command that a window sends.
json parameters_of(const ModelsOptions& options) {
    json value = {{"path", options.file}};
    if (!options.key_variable.empty()) {
        value["key_variable"] = options.key_variable;
    }
    if (!options.config.empty()) {
        value["config"] = options.config;
    }
    if (!options.dialect.empty()) {
        value["dialect"] = options.dialect;
    }
    if (options.silence) {
        value["silence"] = *options.silence;
    }
    if (options.remote) {
        value["remote"] = true;
    }
    return value;
}

/// The server of an address, or of a model in the library.
servers::Server server_of(const ModelLibrary& library, const ModelsOptions& options) {
    if (const auto model = library.find(options.file); model && model->served_by) {
        return *model->served_by;
    }
    const json value = parameters_of(options);
    return server_in(Parameters(value, kServerParameters));
}

int models_add_command(const Paths& paths, const ModelsOptions& options, bool as_json) {
    PrintedLibrary library(paths);
    std::string name;
    if (servers::is_address(options.file)) {
        HeldSignals signals;
        WorkerPool workers(paths.program);
        const json value = parameters_of(options);
        servers::Server server = server_in(Parameters(value, kServerParameters));
        run_until_signal(signals,
                         [&](const std::atomic<bool>& stop) { server = with_its_model(workers, server, stop); });
        name = library.add_server(server);
    } else {
        const json value = parameters_of(options);
        name = library.add(Parameters(value, {"path"}).path("path"));
    }
    print_warnings(library.take_warnings());
    if (as_json) {
        print_json({{"name", name}});
    } else {
        fmt::print("{}\n", name);
    }
    return 0;
}

int models_ask_command(const Paths& paths, const ModelsOptions& options) {
    const PrintedLibrary library(paths);
    const servers::Server server = server_of(library, options);
    HeldSignals signals;
    WorkerPool workers(paths.program);
    AskedServer asked;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) { asked = ask_for_models(workers, server, stop); });
    if (options.json) {
        json notes = json::array();
        for (const base::Sentence& note : asked.notes) {
            notes.push_back(note.english());
        }
        print_json({{"models", asked.models}, {"dialect", asked.dialect}, {"notes", std::move(notes)}});
        return 0;
    }
    print_warnings(asked.notes);
    for (const std::string& name : asked.models) {
        fmt::print("{}\n", base::one_line(name));
    }
    return 0;
}

void add_server_options(CLI::App& command, ModelsOptions& options) {
    command
        .add_option("--key-variable", options.key_variable,
                    "Of a server: the variable of the environment that holds its key; MOESCOPE_API_KEY when left out")
        ->check(filled());
    command.add_flag("--allow-remote", options.remote,
                     "Of a server: it may be on another machine; prompts, answers and the key then leave this one");
    command.add_option("--dialect", options.dialect, "Of a server: auto, vllm, sglang, llama.cpp or openai")
        ->check(CLI::IsMember({"auto", "vllm", "sglang", "llama.cpp", "openai"}));
    command.add_option("--silence", options.silence, "Of a server: seconds without a byte after which it is given up")
        ->check(whole_number(1, servers::kLongestSilence));
}

}  // namespace

void add_models(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ModelsOptions>();
    auto* models = app.add_subcommand("models", "The library of models");
    models->require_subcommand(1);
    auto* list = models->add_subcommand("list", "All models and whether they are there");
    list->add_flag("--json", options->json, "One JSON object per model");
    list->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return models_list_command(paths, options->json); };
    });
    auto* add = models->add_subcommand("add", "Add a GGUF file, a folder, or a model on a server");
    add->add_option("file", options->file,
                    "The file, which stays where it is; or http://HOST:PORT/v1#NAME of an OpenAI-compatible server")
        ->required()
        ->check(filled());
    add_server_options(*add, *options);
    add->add_option("--config", options->config,
                    "Of a server: config.json of its model, with its layers and experts (SGLang's routing needs it)")
        ->check(filled());
    add->add_flag("--json", options->json, "The name as a JSON object");
    add->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return models_add_command(paths, *options, options->json); };
    });
    auto* ask = models->add_subcommand("ask", "Which models a server has");
    ask->add_option("server", options->file, "http://HOST:PORT/v1, or a model on a server by its name in the library")
        ->required()
        ->check(filled());
    add_server_options(*ask, *options);
    ask->add_flag("--json", options->json, "{\"models\", \"dialect\", \"notes\"} as a JSON object");
    ask->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return models_ask_command(paths, *options); };
    });
}

}  // namespace moescope::node
