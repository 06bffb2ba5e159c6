// moescope-node: the jobs of Moescope on this machine, as a node for workbenches or as a command line tool.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <fmt/format.h>
#include <iostream>
#include <signal.h>
#include <span>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/file_io.hpp"
#include "base/foreign_text.hpp"
#include "base/installation.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "engine/text/dataset.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/workers/worker_main.hpp"

namespace {

using namespace moescope::node;
using moescope::base::fit_to_show;
using moescope::base::sentence_of;

/// Threads of OpenMP that wait for each other spin for milliseconds by default, and when anything else runs on the same
/// cores (a window that draws, a second model) most of the time goes into spinning. A short spin costs nothing when the
/// cores are ours alone. The runtime reads this once, before main, so the program starts itself again.
void wait_politely(char** argv) {
    if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) {
        return;
    }
    setenv("GOMP_SPINCOUNT", "2000", 1);
    execv(moescope::base::own_program().c_str(), argv);
    // Could not: everything works without it.
}

constexpr std::size_t kLongestError = 2000;  // bytes

/// Exactly one line of bounded length, whatever the message holds.
void print_error(const std::string& message) {
    fmt::print(stderr, "moescope-node: {}\n", moescope::base::one_line(message, kLongestError));
}

/// Once Ctrl-C has reached mpirun too, it passes nothing on any more: what a person has to know goes to their terminal.
void tell_terminal(const std::string& message) {
    if (moescope::engine::comm::launched_ranks() == 1 || isatty(STDERR_FILENO) != 0) {
        return;
    }
    // Ours is no process group of the foreground: without this, a terminal may stop us for it.
    signal(SIGTTOU, SIG_IGN);
    const moescope::base::Descriptor terminal(open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (terminal) {
        const std::string line = "\r\nmoescope-node: " + moescope::base::one_line(message, kLongestError) + "\r\n";
        (void)moescope::base::write_all(terminal.get(), std::as_bytes(std::span(line)));
    }
}

bool is_pipe(int file) {
    struct stat status {};
    return fstat(file, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

/// What was printed onto a full disk is not there, whatever the command thinks. Who closes a pipe has seen enough.
int status_with_output(int status) {
    if ((std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || is_pipe(STDOUT_FILENO)) {
        return status;
    }
    print_error("not everything could be written to standard output");
    return status == 0 ? 1 : status;
}

}  // namespace

int main(int argc, char** argv) {
    wait_politely(argv);
    moescope::base::take_own_name();
    // A closed pipe and a file that reached its allowed size are error codes, not the end of the program.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    // Started by a node only; not a command for people.
    if (argc == 2 && std::string(argv[1]) == "worker") {
        return worker_main(STDIN_FILENO, STDOUT_FILENO);
    }
    // The same: a rank of a run that several processes train.
    if (argc == 3 && std::string(argv[1]) == "rank") {
        try {
            return rank_main(find_paths(), argv[2]);
        } catch (const std::exception& error) {
            print_error(fit_to_show(sentence_of(error)).english());
            return 1;
        }
    }
    CLI::App app("Trains, runs and probes language models; serves Moescope workbenches", "moescope-node");
    app.set_version_flag("--version", MOESCOPE_VERSION);
    app.require_subcommand(1);
    app.footer(
        "moescope-node SUBCOMMAND --help says more. A first run: moescope-node train --preset workshop --steps 100 "
        "--out "
        "S");
    Chosen chosen;
    for (const auto add : kSubcommands) {
        add(app, chosen);
    }
    const auto named = [&](const CLI::App* command) { return argc > 1 && command->check_name(argv[1]); };
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(named).empty()) {
        print_error(
            fmt::format("there is no command '{}'; --help lists the commands", moescope::base::shown_name(argv[1])));
        return 2;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            const int shown = app.exit(error);
            std::cout.flush();
            return std::cout.good() ? status_with_output(shown) : status_with_output(1);
        }
        print_error(moescope::base::one_line(error.what(), moescope::base::kValueBytes) +
                    "; --help shows how it is used");
        return 2;
    }
    if (const int ranks = moescope::engine::comm::launched_ranks(); ranks > 1 && !chosen.shares_work) {
        // Each would do all of it, and into one place. One of them says so: a launcher ends
        // all at the first that fails, so the others must not fail before it.
        const bool speaks = moescope::engine::comm::launched_rank() == 0;
        if (speaks) {
            print_error(
                fmt::format("{} of these were started together, and only train (without --replay and --node) shares "
                            "its work among processes; start this command once, without mpirun or srun",
                            ranks));
        }
        return speaks ? 2 : 0;
    }
    int status = 1;
    try {
        status = chosen.command(find_paths());
    } catch (const Stopped& stopped) {
        std::fflush(stdout);
        print_error(fit_to_show(stopped.sentence()).english());
        tell_terminal(fit_to_show(stopped.sentence()).english());
        _exit(stopped.status());
    } catch (const std::bad_alloc&) {
        print_error("there is not enough memory for this");
    } catch (const std::exception& error) {
        print_error(fit_to_show(sentence_of(error)).english());
    }
    status = status_with_output(status);
    if (moescope::engine::trains_tokenizer()) {
        std::fflush(nullptr);
        _exit(status);
    }
    return status;
}
