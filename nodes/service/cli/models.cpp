// moescope-node models: the library of models.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/cli/subcommands.hpp"

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

int models_add_command(const Paths& paths, const std::string& file, bool as_json) {
    PrintedLibrary library(paths);
    const std::string name = library.add(file);
    print_warnings(library.take_warnings());
    if (as_json) {
        print_json({{"name", name}});
    } else {
        fmt::print("{}\n", name);
    }
    return 0;
}

}  // namespace

void add_models(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* models = app.add_subcommand("models", "The library of models");
    models->require_subcommand(1);
    auto* list = models->add_subcommand("list", "All models and whether they are there");
    list->add_flag("--json", options->json, "One JSON object per model");
    list->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return models_list_command(paths, options->json); };
    });
    auto* add = models->add_subcommand("add", "Add a GGUF file or a checkpoint folder");
    add->add_option("file", options->file, "The file; it stays where it is")->required()->check(filled());
    add->add_flag("--json", options->json, "The name as a JSON object");
    add->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return models_add_command(paths, options->file, options->json);
        };
    });
}

}  // namespace moescope::node
