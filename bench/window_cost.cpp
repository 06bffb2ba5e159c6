// What an open window costs the trainer: tokens per second of the preset `workshop` by `moescope-node train` alone, by
// a node without a viewer, and under the window, in turns on the same machine. Also the processor time of the window,
// so that its own drawing can be told from what it takes from the trainer. Needs a display for the window (Xvfb
// serves). Usage: window_cost MOESCOPE MOESCOPE_NODE [seconds] [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <signal.h>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/scratch_folder.hpp"
#include "nodes/client/client.hpp"
#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"

namespace {

namespace fs = std::filesystem;
using namespace moescope;

void wait_seconds(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A child process, ended and waited for with the object.
class Child {
 public:
    explicit Child(std::vector<std::string> arguments) {
        std::vector<char*> raw;
        for (std::string& argument : arguments) {
            raw.push_back(argument.data());
        }
        raw.push_back(nullptr);
        if (posix_spawn(&process_, raw[0], nullptr, nullptr, raw.data(), environ) != 0) {
            throw std::runtime_error("cannot start " + arguments[0]);
        }
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// Processor seconds so far, of this process alone.
    double processor_seconds() const {
        std::ifstream file("/proc/" + std::to_string(process_) + "/stat");
        std::string text;
        std::getline(file, text);
        const auto after = text.rfind(')');
        unsigned long long user = 0, system = 0;
        if (after == std::string::npos ||
            std::sscanf(text.c_str() + after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                        &system) != 2) {
            return 0;
        }
        return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
    void end() {
        if (process_ <= 0) {
            return;
        }
        kill(process_, SIGTERM);
        waitpid(process_, nullptr, 0);
        process_ = 0;
    }

 private:
    pid_t process_ = 0;
};

/// Median tokens/s of the steps after the first ten of a session's training run.
double median_speed(const fs::path& folder) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    std::vector<double> speeds;
    sessions::Position from;
    for (;;) {
        const auto records = session->journal().read(static_cast<std::uint8_t>(protocol::Channel::metrics), from, 512,
                                                     std::size_t{4} << 20);
        if (records.empty()) {
            break;
        }
        for (const auto& record : records) {
            if (static_cast<protocol::RecordType>(record.type) == protocol::RecordType::step) {
                if (const auto step = protocol::decode_step(record.body); step && step->step > 10) {
                    speeds.push_back(step->tokens_per_second);
                }
            }
        }
        from = sessions::Position{records.back().epoch, records.back().sequence};
    }
    if (speeds.empty()) {
        throw std::runtime_error("no step after the tenth was recorded in " + folder.string() + "; give more seconds");
    }
    std::nth_element(speeds.begin(), speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2), speeds.end());
    return speeds[speeds.size() / 2];
}

double alone(const std::string& node, const fs::path& folder, double seconds) {
    Child train({node, "train", "--preset", "workshop", "--data", "manpages", "--steps", "100000", "--seed", "7",
                 "--out", folder.string(), "--json"});
    wait_seconds(seconds);
    train.end();
    return median_speed(folder);
}

/// A node that nobody looks at: a viewer starts the run and leaves.
double without_window(const std::string& node, const fs::path& folder, double seconds) {
    const fs::path socket = folder.string() + ".socket";
    Child serve({node, "serve", "--socket", socket.string(), "--session", folder.string()});
    {
        for (int i = 0; i < 100 && !fs::exists(socket); ++i) {
            wait_seconds(0.1);
        }
        client::ClientOptions options;
        options.node_program = node;
        options.session = folder;
        options.socket = socket;
        client::NodeClient viewer(options, [] {});
        for (int i = 0; i < 100 && viewer.snapshot()->link.state != client::Link::State::connected; ++i) {
            wait_seconds(0.1);
        }
        viewer.send("train.start", {{"preset", "workshop"}});
        for (int i = 0; i < 300 && viewer.snapshot()->results.empty(); ++i) {
            wait_seconds(0.1);
        }
    }
    wait_seconds(seconds);
    serve.end();
    return median_speed(folder);
}

struct Shown {
    double speed = 0, cores = 0;  ///< of the window's process
};
Shown with_window(const std::string& moescope, const fs::path& folder, double seconds) {
    Child window({moescope, folder.string(), "--command", "view.layout_training", "--command", "run.start"});
    wait_seconds(seconds / 2);
    const double before = window.processor_seconds();
    wait_seconds(seconds / 2);
    const double cores = (window.processor_seconds() - before) / (seconds / 2);
    window.end();
    return {median_speed(folder), cores};
}

int measure(const std::string& moescope, const std::string& node, double seconds, int rounds) {
    const base::ScratchFolder scratch;
    const fs::path& work = scratch.path();
    std::vector<double> bare, closed, open, cores;
    for (int round = 0; round < rounds; ++round) {
        const std::string number = std::to_string(round);
        bare.push_back(alone(node, work / ("alone" + number), seconds));
        closed.push_back(without_window(node, work / ("closed" + number), seconds));
        const Shown shown = with_window(moescope, work / ("open" + number), seconds);
        open.push_back(shown.speed);
        cores.push_back(shown.cores);
        std::printf("round %d: alone %.0f, no viewer %.0f, window %.0f tokens/s; the window used %.2f cores\n",
                    round + 1, bare.back(), closed.back(), open.back(), cores.back());
        std::fflush(stdout);
    }
    wait_seconds(2);  // the last window's node is still saving
    const auto best = [](const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); };
    const double machine = static_cast<double>(std::thread::hardware_concurrency());
    const double used = *std::min_element(cores.begin(), cores.end());
    std::printf("best of %d: alone %.0f, no viewer %.0f, window %.0f tokens/s\n", rounds, best(bare), best(closed),
                best(open));
    std::printf("the window takes %.1f %% of the speed, %.1f %% beyond the cores that it uses itself (%.2f of %.0f)\n",
                100 * (1 - best(open) / best(closed)), 100 * (1 - best(open) / best(closed) - used / machine), used,
                machine);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: window_cost MOESCOPE MOESCOPE_NODE [seconds] [rounds]\n");
        return 2;
    }
    try {
        return measure(argv[1], argv[2], argc > 3 ? std::atof(argv[3]) : 30, argc > 4 ? std::atoi(argv[4]) : 3);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
