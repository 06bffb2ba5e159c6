// The subcommands of moescope-node: one file each, which declares its options and carries it out. Add one here.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <functional>

#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// What the command line asks for; gives the exit status, throws to fail (main prints the one sentence).
struct Chosen {
    std::function<int(const Paths&)> command;
    bool shares_work = false;  ///< may be started as several processes by mpirun or srun
};

void add_serve(CLI::App& app, Chosen& chosen);
void add_train(CLI::App& app, Chosen& chosen);
void add_experiment(CLI::App& app, Chosen& chosen);
void add_reproduce(CLI::App& app, Chosen& chosen);
void add_export(CLI::App& app, Chosen& chosen);
void add_generate(CLI::App& app, Chosen& chosen);
void add_tokenize(CLI::App& app, Chosen& chosen);
void add_logits(CLI::App& app, Chosen& chosen);
void add_route(CLI::App& app, Chosen& chosen);
void add_sweep(CLI::App& app, Chosen& chosen);
void add_probe(CLI::App& app, Chosen& chosen);
void add_report(CLI::App& app, Chosen& chosen);
void add_merge(CLI::App& app, Chosen& chosen);
void add_label(CLI::App& app, Chosen& chosen);
void add_notes(CLI::App& app, Chosen& chosen);
void add_inspect(CLI::App& app, Chosen& chosen);
void add_import(CLI::App& app, Chosen& chosen);
void add_curves(CLI::App& app, Chosen& chosen);
void add_trace(CLI::App& app, Chosen& chosen);
void add_diff(CLI::App& app, Chosen& chosen);
void add_place(CLI::App& app, Chosen& chosen);
void add_models(CLI::App& app, Chosen& chosen);
void add_devices(CLI::App& app, Chosen& chosen);
void add_install(CLI::App& app, Chosen& chosen);
void add_pair(CLI::App& app, Chosen& chosen);
void add_archive(CLI::App& app, Chosen& chosen);
void add_open(CLI::App& app, Chosen& chosen);
void add_status(CLI::App& app, Chosen& chosen);
void add_pull(CLI::App& app, Chosen& chosen);
void add_push(CLI::App& app, Chosen& chosen);

/// In the order of --help.
inline constexpr std::array kSubcommands = {
    add_serve,  add_train,  add_experiment, add_reproduce, add_export,  add_generate, add_tokenize, add_logits,
    add_route,  add_sweep,  add_probe,      add_merge,     add_label,   add_notes,    add_report,   add_inspect,
    add_import, add_curves, add_trace,      add_diff,      add_place,   add_models,   add_devices,  add_status,
    add_pull,   add_push,   add_pair,       add_install,   add_archive, add_open};

}  // namespace moescope::node
