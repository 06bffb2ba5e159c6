// moescope-node archive and open: a session as one file, and back.
#include "sessions/archive.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "sessions/session.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct ArchiveOptions {
    std::string what, out;
    bool force = false, without_checkpoints = false, json = false;
};

sessions::ArchiveProgress progress_until(HeldSignals& signals, ProgressLine& line) {
    return [&signals, &line](std::uint64_t done, std::uint64_t total) {
        if (signals.taken(0)) {
            throw Stopped(signals.first(), base::say("before it was done; nothing was written"));
        }
        line.show_bytes(done, total);
    };
}

int archive_command(const ArchiveOptions& options) {
    HeldSignals signals;
    sessions::OutputFile out(options.out, sessions::existing_files(options.force, "--force"), {options.what},
                             sessions::Readers::owner);
    const auto summary = [&] {
        ProgressLine line;
        return sessions::write_archive(
            options.what, out.temporary(), progress_until(signals, line),
            options.without_checkpoints ? sessions::Checkpoints::left_out : sessions::Checkpoints::packed);
    }();
    out.commit();
    std::error_code ignored;
    const auto packed = fs::file_size(options.out, ignored);
    if (options.json) {
        print_json({{"archive", options.out}, {"files", summary.files}, {"bytes", summary.bytes}, {"packed", packed}});
    } else {
        fmt::print("{}: {} files, {} bytes, packed {}\n", options.out, summary.files, summary.bytes, packed);
    }
    return 0;
}

json runs_of(sessions::Session& session) {
    json runs = json::array();
    const history::Session history = history::read_runs(session.journal());
    for (const auto& [id, run] : history.runs()) {
        runs.push_back({{"run", id},
                        {"kind", protocol::run_kind_name(run->kind)},
                        {"name", run->name},
                        {"state", protocol::run_state_name(history::present_state(session, run->state))}});
    }
    return runs;
}

/// "S.moescope" beside itself as "S".
fs::path folder_for(const ArchiveOptions& options) {
    if (!options.out.empty()) {
        return options.out;
    }
    fs::path folder = options.what;
    if (folder.extension() == ".moescope") {
        return folder.replace_extension();
    }
    return folder += ".session";
}

int open_command(const ArchiveOptions& options) {
    HeldSignals signals;
    fs::path folder = options.what;
    json opened = {{"unpacked", false}};
    if (!fs::is_directory(folder)) {
        folder = folder_for(options);
        const auto summary = [&] {
            ProgressLine line;
            return sessions::unpack_archive(options.what, folder, progress_until(signals, line));
        }();
        opened = {{"unpacked", true}, {"files", summary.files}, {"bytes", summary.bytes}};
        if (summary.without_checkpoints) {
            opened["left_out"] = {"checkpoints"};
        }
    }
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    opened.update({{"session", folder.string()}, {"runs", runs_of(*session)}});
    json problems = json::array();
    for (const base::Sentence& problem : session->problems()) {
        problems.push_back(problem.english());
    }
    opened["problems"] = problems;
    if (options.json) {
        print_json(opened);
        return 0;
    }
    fmt::print("{}\n", folder.string());
    for (const json& run : opened["runs"]) {
        fmt::print("{:>4}  {:<9} {:<12} {}\n", run["run"].get<std::uint32_t>(), run["kind"].get<std::string>(),
                   run["state"].get<std::string>(), for_terminal(run["name"].get<std::string>()));
    }
    print_warnings(session->problems());
    if (opened.contains("left_out")) {
        print_warnings(
            {base::say("the checkpoints were left out of this archive; its runs can be looked at and not be "
                       "continued or asked")});
    }
    return 0;
}

}  // namespace

void add_archive(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ArchiveOptions>();
    auto* archive = app.add_subcommand("archive", "Pack a session into one file");
    archive->add_option("session", options->what, "Session folder")->required()->check(filled());
    archive->add_option("--out", options->out, "File to write, by custom NAME.moescope")->required()->check(filled());
    archive->add_flag("--force", options->force, "Replace a file that is there");
    archive->add_flag("--without-checkpoints", options->without_checkpoints,
                      "Leave the models out, which are most of it: curves, answers and reports stay, no run can be "
                      "continued");
    archive->add_flag("--json", options->json, "JSON on standard output");
    archive->callback(
        [&chosen, options] { chosen.command = [options](const Paths&) { return archive_command(*options); }; });
}

void add_open(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ArchiveOptions>();
    auto* open = app.add_subcommand("open", "Unpack an archive, and list the runs of a session");
    open->add_option("what", options->what, "Archive, or session folder")->required()->check(filled());
    open->add_option("--out", options->out, "New folder for what is unpacked; left out: NAME beside NAME.moescope")
        ->check(filled());
    open->add_flag("--json", options->json, "JSON on standard output");
    open->callback([&chosen, options] { chosen.command = [options](const Paths&) { return open_command(*options); }; });
}

}  // namespace moescope::node
