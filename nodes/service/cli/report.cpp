// moescope-node report: a session as one HTML file.
#include "nodes/service/commands/report.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"

namespace moescope::node {
namespace fs = std::filesystem;

namespace {

int report_command(const Paths& paths, const std::string& session, const std::string& out,
                   const std::string& language) {
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    write_report(*opened, fs::absolute(out), language, report_messages(paths, language));
    return 0;
}

}  // namespace

void add_report(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string session, out, language = "en";
    };
    const auto options = std::make_shared<Options>();
    auto* report = app.add_subcommand("report", "Write a session as one HTML file");
    report->add_option("session", options->session, "Session folder")->required()->check(filled());
    report->add_option("--out", options->out, "HTML file to write")->required()->check(filled());
    report->add_option("--language", options->language, "en or zh")
        ->capture_default_str()
        ->check(CLI::IsMember({"en", "zh"}));
    report->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) {
            return report_command(paths, options->session, options->out, options->language);
        };
    });
}

}  // namespace moescope::node
