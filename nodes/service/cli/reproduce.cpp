// moescope-node reproduce: a recorded training once more, and what is other here than where it was recorded.
#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/replay.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/cli/training_output.hpp"

namespace moescope::node {

void add_reproduce(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<TrainOptions>();
    const auto check = std::make_shared<bool>(false);
    auto* command = app.add_subcommand("reproduce", "Run a recorded training again and compare every step with it");
    command->add_option("session", options->replay, "Session folder")->required()->check(filled());
    command->add_option("--run", options->replay_run, "Number of the run; the latest training run when left out")
        ->check(whole_number(1, std::numeric_limits<std::uint32_t>::max()));
    auto* only = command->add_flag("--check", *check,
                                   "Run nothing; say what is other here: program, machine, device, environment, data. "
                                   "3 when anything is");
    command->add_option("--data", options->replay_data, "Where its data lie here; left out: where they were")
        ->check(filled());
    command->add_option("--threads", options->threads, "Compute threads; as many as it had when left out")
        ->check(range_of("threads"));
    command->add_option("--device", options->device, "What computes; left out: where the run was")->check(filled());
    command->add_option("--out", options->out, "Session folder for the new run; nothing: it is not kept")
        ->check(filled())
        ->excludes(only);
    auto* out = command->get_option("--out");
    command->add_flag("--resume", options->resume, "Go on with the latest run in --out, which repeats this one")
        ->needs(out);
    command->add_flag("--json", options->json, "One JSON object on standard output");
    command->callback([&chosen, options, check] {
        chosen.command = [options, check](const Paths& paths) {
            return *check ? check_replay_command(paths, *options) : replay_command(paths, *options);
        };
    });
}

}  // namespace moescope::node
