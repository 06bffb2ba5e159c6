// moescope-node inspect: what a model file is, and whether it is safe to open.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/sentence.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/workers/inspected_file.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

int inspect_command(const Paths& paths, const std::string& file, bool as_json) {
    HeldSignals signals;
    WorkerPool workers(paths.program);
    engine::FileReport report;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) { report = inspect_apart(workers, file, stop); });
    if (as_json) {
        print_json({{"file", file},
                    {"format", report.format()},
                    {"safe", report.safe},
                    {"problem", report.problem.english()},
                    {"details", report.details}});
    } else if (report.safe) {
        fmt::print("{}: {}, safe to open\n{}\n", base::one_line(file), report.format(),
                   for_terminal(report.details.dump(2, ' ', false, json::error_handler_t::replace)));
    }
    if (!report.safe) {
        throw base::Error(report.problem.empty() ? base::say("{} is not safe to open", file) : report.problem);
    }
    return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    auto* inspect = app.add_subcommand("inspect", "What a model file is, and whether it is safe to open");
    inspect->add_option("file", options->file, "File or checkpoint folder")->required()->check(filled());
    inspect->add_flag("--json", options->json, "One JSON object on standard output");
    inspect->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return inspect_command(paths, options->file, options->json); };
    });
}

}  // namespace moescope::node
