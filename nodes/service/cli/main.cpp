// moescope-node: the jobs of Moescope on this machine, as a node for workbenches or as a command line tool.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <signal.h>
#include <string>
#include <unistd.h>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "nodes/service/cli/command_line.hpp"
#include "nodes/service/workers/worker_main.hpp"

namespace {

using namespace moescope::node;

struct Chosen {
    std::function<int(const Paths&)> command;
};

void add_serve(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string socket, session;
        bool stdio = false;
    };
    const auto options = std::make_shared<Options>();
    auto* serve = app.add_subcommand("serve", "Run jobs for workbenches");
    auto* where = serve->add_option_group("where");
    where->add_option("--socket", options->socket, "Unix socket to listen on");
    where->add_flag("--stdio", options->stdio, "One workbench over standard input and output (ssh)");
    where->require_option(1);
    serve->add_option("--session", options->session, "Session folder; created when missing")->required();
    serve->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return serve_command(paths, options->socket, options->session);
        };
    });
}

void add_train(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TrainOptions>();
    auto* train = app.add_subcommand("train", "Train a mixture-of-experts model");
    auto* what = train->add_option_group("what");
    what->add_option("--preset", options->preset, "Name of a preset");
    what->add_option("--config", options->config, "Configuration file (JSON)");
    what->require_option(0, 1);
    train->add_option("--init", options->init,
                      "Weights to start from: library name, checkpoint, session, Hugging Face folder or GGUF file");
    train->add_option("--replay", options->replay, "Session whose latest training run is run again and compared");
    train
        ->add_option("--data", options->data,
                     "manpages, a text file, a folder of .txt or .jsonl (.zst) files, or token ids in a .npy file")
        ->capture_default_str();
    train->add_option("--steps", options->steps, "Optimizer steps");
    train->add_option("--out", options->out, "Session folder; created when missing");
    train->add_option("--seed", options->seed, "Seed of parameters and data order");
    train->add_option("--threads", options->threads, "Compute threads; as many as the machine has when left out");
    train->add_flag("--resume", options->resume, "Go on from the last complete checkpoint in the session");
    train->add_flag("--json", options->json, "JSON Lines on standard output");
    train->callback([&chosen, options] {
        const int sources = static_cast<int>(!options->preset.empty()) + static_cast<int>(!options->config.empty()) +
                            static_cast<int>(!options->init.empty());
        if (options->replay.empty() ? sources == 0 || options->out.empty() : sources > 0 || options->resume)
            throw CLI::ValidationError(options->replay.empty()
                                           ? "train needs --out, and --preset, --config or --init"
                                           : "train --replay takes its settings from the session; only --out, "
                                             "--threads and --json go with it");
        chosen.command = [options](const Paths& paths) {
            return options->replay.empty() ? train_command(paths, *options) : replay_command(paths, *options);
        };
    });
}

void add_export(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ExportOptions>();
    auto* command = app.add_subcommand("export", "Write a model for other programs");
    command
        ->add_option("--model", options->model, "Library name, checkpoint, session, Hugging Face folder or GGUF file")
        ->required();
    command->add_option("--format", options->format, "huggingface or gguf")
        ->capture_default_str()
        ->check(CLI::IsMember({"huggingface", "gguf"}));
    command->add_option("--precision", options->precision, "Of the matrices in a GGUF file: f32, f16 or bf16")
        ->capture_default_str()
        ->check(CLI::IsMember({"f32", "f16", "bf16"}));
    command->add_option("--out", options->out, "Folder (huggingface) or file (gguf) to write; must not exist")
        ->required();
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return export_command(paths, *options); };
    });
}

void add_generate(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<GenerateOptions>();
    auto* generate = app.add_subcommand("generate", "Answer one prompt");
    generate->add_option("--model", options->model, "Library name, GGUF file, checkpoint or session folder")
        ->required();
    generate->add_option("--prompt", options->prompt, "What to ask, UTF-8")->required();
    generate->add_option("--max-tokens", options->max_tokens, "Longest answer")->capture_default_str();
    generate->add_option("--count", options->count, "Answers, drawn with the seed and those that follow it")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    generate->add_option("--seed", options->seed, "Seed of sampling")->capture_default_str();
    generate->add_option("--temperature", options->temperature, "0 is greedy")->capture_default_str();
    generate->add_option("--top-k", options->top_k, "Draw from so many tokens; 0: all")->capture_default_str();
    generate->add_option("--top-p", options->top_p, "Draw from the fewest that hold this share")->capture_default_str();
    generate->add_option("--min-p", options->min_p, "Leave out what is rarer than this share of the likeliest")
        ->capture_default_str();
    generate->add_option("--alternatives", options->alternatives,
                         "With --json: log-probabilities of each token and of so many others (0 to 20)");
    generate->add_option("--threads", options->threads, "Compute threads; all cores when left out");
    generate->add_flag("--json", options->json, "One JSON object on standard output");
    generate->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            if (moescope::base::first_invalid_utf8(options->prompt) != options->prompt.size())
                throw base::Error(base::say("the prompt is not valid UTF-8; convert the text to UTF-8 first"));
            return generate_command(paths, *options);
        };
    });
}

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

void add_probe(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ProbeOptions>();
    auto* probe = app.add_subcommand("probe", "Ask two or more models the questions of a set");
    probe->add_option("--set", options->set, "Name of a probe set, or a file")->required();
    probe->add_option("--models", options->models, "Models, separated by commas")->required()->delimiter(',');
    probe->add_option("--out", options->out, "Session folder; created when missing")->required();
    probe->add_option("--limit", options->limit, "Only so many items, from both groups in turn");
    probe->add_option("--max-tokens", options->max_tokens, "Longest answer")->capture_default_str();
    probe->add_flag("--resume", options->resume, "Go on with the latest probe run in the session");
    probe->add_flag("--json", options->json, "JSON Lines on standard output");
    probe->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return probe_command(paths, *options); };
    });
}

void add_report(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string session, out, language = "en";
    };
    const auto options = std::make_shared<Options>();
    auto* report = app.add_subcommand("report", "Write a session as one HTML file");
    report->add_option("session", options->session, "Session folder")->required();
    report->add_option("--out", options->out, "HTML file to write")->required();
    report->add_option("--language", options->language, "en or zh")
        ->capture_default_str()
        ->check(CLI::IsMember({"en", "zh"}));
    report->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return report_command(paths, options->session, options->out, options->language);
        };
    });
}

void add_inspect(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* inspect = app.add_subcommand("inspect", "What a model file is, and whether it is safe to open");
    inspect->add_option("file", options->file, "File or checkpoint folder")->required();
    inspect->add_flag("--json", options->json, "One JSON object on standard output");
    inspect->callback([&chosen, options] {
        chosen.command = [options](const Paths&) { return inspect_command(options->file, options->json); };
    });
}

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
    add->add_option("file", options->file, "The file; it stays where it is")->required();
    add->add_flag("--json", options->json, "The name as a JSON object");
    add->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return models_add_command(paths, options->file, options->json);
        };
    });
}

/// Threads of OpenMP that wait for each other spin for milliseconds by default, and when anything else runs on the same
/// cores (a window that draws, a second model) most of the time goes into spinning. A short spin costs nothing when the
/// cores are ours alone. The runtime reads this once, before main, so the program starts itself again.
void wait_politely(char** argv) {
    if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr)
        return;
    setenv("GOMP_SPINCOUNT", "2000", 1);
    execv("/proc/self/exe", argv);
    // Could not: everything works without it.
}

/// Exactly one line, whatever the message holds.
void print_error(std::string message) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    fmt::print(stderr, "moescope-node: {}\n", message);
}

}  // namespace

int main(int argc, char** argv) {
    wait_politely(argv);
    // A closed pipe and a file that reached its allowed size are error codes, not the end of the program.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    // Started by a node only; not a command for people.
    if (argc == 2 && std::string(argv[1]) == "worker")
        return worker_main(STDIN_FILENO, STDOUT_FILENO);
    CLI::App app("Trains, runs and probes language models; serves Moescope workbenches", "moescope-node");
    app.set_version_flag("--version", MOESCOPE_VERSION);
    app.require_subcommand(1);
    Chosen chosen;
    for (const auto add :
         {add_serve, add_train, add_export, add_generate, add_logits, add_probe, add_report, add_inspect, add_models})
        add(app, chosen);
    const auto named = [&](const CLI::App* command) { return argc > 1 && command->check_name(argv[1]); };
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(named).empty()) {
        print_error(fmt::format("there is no command '{}'; --help lists the commands", argv[1]));
        return 2;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0)
            return app.exit(error);
        print_error(std::string(error.what()) + "; --help shows how it is used");
        return 2;
    }
    try {
        return chosen.command(find_paths());
    } catch (const std::bad_alloc&) {
        print_error("there is not enough memory for this");
    } catch (const std::exception& error) {
        print_error(error.what());
    }
    return 1;
}
