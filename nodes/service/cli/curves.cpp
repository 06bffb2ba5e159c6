// moescope-node curves: the curves of a run for other tools, and those of other tools as runs of a session.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/foreign_text.hpp"
#include "nodes/curves/read_curves.hpp"
#include "nodes/curves/run_curves.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/curve_import.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct CurvesOptions {
    std::string session, out, format, name;
    std::vector<std::string> files;
    std::uint32_t run = 0;
    bool force = false, json = false;
};

/// As the name of --out says where no format is given.
bool wants_table(const CurvesOptions& options) {
    return options.format.empty()
               ? sessions::is_standard_output(options.out) || fs::path(options.out).extension() == ".csv"
               : options.format == "csv";
}

int export_command(const CurvesOptions& options) {
    HeldSignals signals;
    const auto check = [&] { signals.stop_if_taken(); };
    const auto existing = sessions::existing_files(options.force, "--force");
    const auto session = sessions::Session::open(options.session, sessions::Journal::Mode::read_only);
    curves::RunCurves curves;
    bool is_file = true;
    if (wants_table(options)) {
        FileOutput output(options.out, existing, {options.session});
        curves = curves::curves_of_run(session->journal(), options.run, check);
        curves::write_curve_table(output.temporary(), curves, check);
        output.commit();
        is_file = output.is_file();
    } else {
        sessions::refuse_standard_output(options.out);
        curves = curves::curves_of_run(session->journal(), options.run, check);
        curves::write_event_folder(options.out, curves, existing, check);
    }
    print_warnings(session->problems());
    if (options.json && is_file) {
        print_json({{"out", options.out},
                    {"run", curves.run},
                    {"curves", curves.curves.size()},
                    {"points", curves.points()},
                    {"lost_records", session->journal().lost()}});
    } else if (is_file) {
        fmt::print("{}: {} curves of run {} with {} values\n", base::one_line(options.out), curves.curves.size(),
                   curves.run, curves.points());
    }
    return 0;
}

int import_command(const Paths& paths, const CurvesOptions& options) {
    HeldSignals signals;
    const auto check = [&] { signals.stop_if_taken(); };
    const std::vector<curves::ReadRun> runs = curves::read_curves({options.files.begin(), options.files.end()}, check);
    std::vector<AddedRun> added;
    try {
        LocalNode node(paths, options.session, [](protocol::RecordType, const std::vector<std::byte>&) {});
        added = add_imported_runs(*node.session, node.sink, runs, options.name, [&] { return signals.taken(0); });
        node.journal.flush();
        if (const auto problem = node.journal.problem(); !problem.empty()) {
            throw base::Error(problem);
        }
        node.session->journal().sync();
    } catch (const sessions::InUse& error) {
        throw base::Error(base::say("{}; where it is open in a window, import the curves there: File, Import curves",
                                    error.sentence()));
    }
    if (added.back().stopped) {
        throw Stopped(signals.first(), base::say("before run {} was whole", added.back().run));
    }
    print_warnings(curves::notes_of(runs));
    if (options.json) {
        json line = to_json(added);
        line["session"] = options.session;
        print_json(line);
        return 0;
    }
    for (const AddedRun& run : added) {
        fmt::print("run {}: {}, {} curves with {} values\n", run.run, base::one_line(run.name), run.curves, run.points);
    }
    return 0;
}

}  // namespace

void add_curves(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<CurvesOptions>();
    auto* command = app.add_subcommand("curves", "Curves of a run for other tools, and those of other tools as runs");
    command->require_subcommand(1);
    auto* write = command->add_subcommand("export", "The curves of a run as a table, or for TensorBoard");
    write->add_option("session", options->session, "Session folder")->required()->check(filled());
    write->add_option("--run", options->run, "Number of the run; the latest training run when left out")
        ->check(whole_number(1, std::numeric_limits<std::uint32_t>::max()));
    write
        ->add_option("--out", options->out,
                     "NAME.csv to write (- for the standard output), or a new folder for TensorBoard's event file")
        ->required()
        ->check(filled());
    write->add_option("--format", options->format, "csv or tensorboard; csv where --out ends with .csv")
        ->check(CLI::IsMember({"csv", "tensorboard"}));
    write->add_flag("--force", options->force, "Replace what is there");
    write->add_flag("--json", options->json, "One JSON object on standard output");
    write->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return export_command(*options); }; });
    auto* read = command->add_subcommand("import", "Event files of TensorBoard and tables as runs of a session");
    read->add_option("files", options->files,
                     "Event files, folders with event files (each is a run), and CSV files with a row of names")
        ->required()
        ->check(filled());
    read->add_option("--session", options->session, "Session folder; created when it is not there")
        ->required()
        ->check(filled());
    read->add_option("--name", options->name, "What the run is called; of several, the first part of their names")
        ->check(filled());
    read->add_flag("--json", options->json, "One JSON object on standard output");
    read->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return import_command(paths, *options); };
    });
}

}  // namespace moescope::node
