// moescope-node report: a session as one HTML file.
#include "nodes/service/commands/report.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
namespace fs = std::filesystem;

namespace {

struct ReportOptions {
    std::string session, out, language = "en";
    bool force = false;
};

int report_command(const Paths& paths, const ReportOptions& options) {
    const auto session = sessions::Session::open(options.session, sessions::Journal::Mode::read_only);
    const base::Messages messages = report_messages(paths, options.language);
    HeldSignals signals;
    const auto progress = [&](double) { return !signals.taken(0); };
    try {
        if (sessions::is_standard_output(options.out)) {
            sessions::write_standard_output(report_page(*session, options.language, messages, progress));
        } else {
            write_report(*session, options.out, sessions::existing_files(options.force, "--force"), options.language,
                         messages, progress);
        }
    } catch (const CommandError&) {
        if (signals.first() != 0) {
            throw Stopped(signals.first(), base::say("before it was done; nothing was written"));
        }
        throw;
    }
    print_warnings(session->problems());
    return 0;
}

}  // namespace

void add_report(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ReportOptions>();
    auto* report = app.add_subcommand("report", "Write a session as one HTML file");
    report->add_option("session", options->session, "Session folder")->required()->check(filled());
    report->add_option("--out", options->out, "HTML file to write; - or /dev/stdout: standard output")
        ->required()
        ->check(filled());
    report->add_flag("--force", options->force, "Replace a file that is there");
    report->add_option("--language", options->language, "en or zh")
        ->capture_default_str()
        ->check(CLI::IsMember({"en", "zh"}));
    report->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return report_command(paths, *options); };
    });
}

}  // namespace moescope::node
