// What a node carries: records at full speed through the ring and the journal of a run, to viewers in processes of
// their own. Each process is this program; the node's is the server, the sink and the session of `moescope-node serve`
// with a job that only writes.
//   node_traffic unix|stdio|tls scalars|counts VIEWERS [seconds]    samples/s, bytes on the wire and on disk, processor
//   node_traffic cut unix|tls [rounds]                              from a cut connection to the next record, ms
//   node_traffic frozen MOESCOPE_NODE [rounds] [seconds] [viewers]  what stopped viewers (SIGSTOP) cost a training run
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/scratch_folder.hpp"
#include "nodes/client/client.hpp"
#include "nodes/history/record_parts.hpp"
#include "nodes/security/identity.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "nodes/transport/node_server.hpp"
#include "sessions/session.hpp"

namespace {

namespace fs = std::filesystem;
using namespace moescope;
using protocol::RecordType;

constexpr std::uint16_t kLayers = 48, kExperts = 128;

double now() {
    return client::now_seconds();
}
void wait_seconds(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Processor seconds of a process so far.
double processor_seconds(int process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
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

void write_text(const fs::path& file, const std::string& text) {
    std::ofstream(file.string() + ".new") << text;
    fs::rename(file.string() + ".new", file);
}
std::string read_text(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}
std::string wait_for_text(const fs::path& file, double seconds) {
    for (const double until = now() + seconds; now() < until; wait_seconds(0.01)) {
        if (fs::exists(file)) {
            return read_text(file);
        }
    }
    throw std::runtime_error("nothing came in " + file.string());
}

volatile std::sig_atomic_t told_to_stop = 0;

/// Commands are none of this program's business; viewers are counted.
class Counter final : public transport::RequestHandler {
 public:
    void on_request(const transport::Asker&, std::string, std::string, nlohmann::json,
                    std::function<void(nlohmann::json)> reply) override {
        reply({{"state", "done"}, {"value", nlohmann::json::object()}});
    }
    void on_viewers(std::size_t count) override { viewers = count; }
    std::atomic<std::size_t> viewers{0};
};

protocol::StepRecord step_of(bool with_counts, std::mt19937_64& random) {
    protocol::StepRecord step;
    step.run = 1;
    step.layers = kLayers;
    step.experts = kExperts;
    step.top_k = 8;
    for (const base::StepValue& row : base::kStepValues) {
        value_of(static_cast<base::StepValues&>(step), row) = 1 + static_cast<double>(random() % 1'000'000) * 1e-7;
    }
    if (with_counts) {
        step.counts.resize(std::size_t{2} * kLayers * kExperts);
        for (std::uint32_t& count : step.counts) {
            count = static_cast<std::uint32_t>(200 + random() % 60);
        }
        step.router_entropy.assign(kLayers, 0.9F);
    }
    return step;
}
std::size_t samples_of(const protocol::StepRecord& step) {
    return base::kStepValueCount + step.counts.size() + step.router_entropy.size();
}

/// The node: waits for `viewers`, writes for `seconds` (as fast as the journal takes it, or `rate` steps/s), waits
/// until all of them have gone.
int serve(const fs::path& work, const std::string& way, bool counts, std::size_t viewers, double seconds, double rate) {
    std::signal(SIGTERM, [](int) { told_to_stop = 1; });
    const auto session = sessions::Session::open(work / "session", sessions::Journal::Mode::read_write);
    Counter counter;
    transport::NodeServerOptions options;
    if (way == "unix") {
        options.socket = work / "run" / "node.sock";
    } else if (way == "tls") {
        options.listener = transport::TlsListener{
            {"127.0.0.1", 0}, security::load_or_make_identity(work / "node" / "identity.pem"), work / "node"};
    }
    node::JournalWriter writer(session->journal());
    transport::NodeServer server(options, session->journal(), counter);
    if (way == "tls") {
        security::PairingBook book(work / "node");
        const auto unix_now = static_cast<std::int64_t>(std::time(nullptr));
        std::string invitations;
        for (std::size_t i = 0; i < viewers; ++i) {
            invitations +=
                security::to_text(security::Invitation{"127.0.0.1", server.port(), options.listener->identity.hash,
                                                       book.invite(protocol::Right::viewer, unix_now)}) +
                "\n";
        }
        write_text(work / "invitations", invitations);
    }
    write_text(work / "ready", std::to_string(getpid()));
    writer.write_json(RecordType::run_started,
                      {{"run", 1}, {"kind", "train"}, {"name", "traffic"}, {"manifest", nlohmann::json::object()}});
    for (const double until = now() + 60; counter.viewers < viewers && now() < until;) {
        wait_seconds(0.01);
    }
    if (counter.viewers < viewers) {
        throw std::runtime_error("not all viewers came");
    }
    wait_seconds(1);
    std::mt19937_64 random(1);
    std::vector<protocol::StepRecord> pool;
    for (int i = 0; i < 64; ++i) {
        pool.push_back(step_of(counts, random));
    }
    const std::atomic<bool> never{false};
    const double cpu = processor_seconds(getpid()), begin = now();
    std::uint64_t steps = 0;
    std::size_t body = 0;
    while (now() - begin < seconds && told_to_stop == 0) {
        protocol::StepRecord& step = pool[steps % pool.size()];
        step.step = ++steps;
        step.loss = 5 + std::sin(static_cast<double>(steps));
        auto bytes = protocol::encode_step(step);
        body = bytes.size();
        writer.write_waiting(RecordType::step, std::move(bytes), never);
        if (rate > 0) {
            wait_seconds(std::max(0.0, begin + static_cast<double>(steps) / rate - now()));
        }
    }
    writer.flush();
    writer.write_json(RecordType::run_ended, {{"run", 1}, {"state", "done"}, {"step", steps}});
    writer.flush();
    const double took = now() - begin;
    while (counter.viewers > 0 && told_to_stop == 0) {
        wait_seconds(0.01);
    }
    const double used = processor_seconds(getpid()) - cpu;
    session->journal().pack_now(history::record_parts);
    const double samples = static_cast<double>(steps) * static_cast<double>(samples_of(pool[0]));
    nlohmann::json result = {{"steps", steps},
                             {"samples", samples},
                             {"written_per_second", samples / took},
                             {"seconds", took},
                             {"processor_seconds", used},
                             {"dropped", writer.dropped()},
                             {"wire_bytes_per_sample", static_cast<double>(protocol::kHeaderBytes + body) /
                                                           static_cast<double>(samples_of(pool[0]))},
                             {"disk_bytes_per_sample", static_cast<double>(session->journal().bytes()) / samples}};
    write_text(work / "node.json", result.dump());
    return 0;
}

client::ClientOptions viewer_options(const fs::path& work, const std::string& way, std::size_t number) {
    client::ClientOptions options;
    if (way == "unix") {
        options.socket = work / "run" / "node.sock";
    } else if (way == "tls") {
        std::ifstream list(work / "invitations");
        for (std::size_t i = 0; i <= number; ++i) {
            std::getline(list, options.node);
        }
        options.keys = work / ("viewer" + std::to_string(number));
        fs::create_directories(options.keys);
    } else {
        options.node = "ssh://localhost";
        options.ssh = work / "ssh";
    }
    return options;
}

std::size_t steps_in(const client::Snapshot& snapshot) {
    const auto run = snapshot.training.find(1);
    return run == snapshot.training.end() ? 0 : run->second->step.size();
}

/// A viewer: until the run has ended and all its steps are there.
int view(const fs::path& work, const std::string& way, std::size_t number) {
    client::NodeClient viewer(viewer_options(work, way, number), [] {});
    double first = 0, last = 0;
    std::size_t steps = 0;
    for (const double until = now() + 300; now() < until; wait_seconds(0.01)) {
        const auto snapshot = viewer.snapshot();
        const std::size_t known = steps_in(*snapshot);
        if (known > steps) {
            last = now();
            first = first == 0 ? last : first;
            steps = known;
        }
        const auto run = snapshot->training.find(1);
        if (run != snapshot->training.end() && run->second->state == history::RunState::done && now() - last > 1) {
            break;
        }
    }
    write_text(
        work / ("viewer" + std::to_string(number) + ".json"),
        nlohmann::json{{"steps", steps}, {"seconds", last - first}, {"processor_seconds", processor_seconds(getpid())}}
            .dump());
    return 0;
}

/// Ends every connection of this process to a node.
int cut() {
    int count = 0;
    for (int file = 3; file < 256; ++file) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        if (getpeername(file, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
            (peer.ss_family == AF_UNIX || peer.ss_family == AF_INET)) {
            count += shutdown(file, SHUT_RDWR) == 0 ? 1 : 0;
        }
    }
    return count;
}

int view_cuts(const fs::path& work, const std::string& way, int rounds) {
    client::NodeClient viewer(viewer_options(work, way, 0), [] {});
    std::vector<double> times;
    const auto steps = [&] { return steps_in(*viewer.snapshot()); };
    for (const double until = now() + 30; steps() == 0 && now() < until;) {
        wait_seconds(0.01);
    }
    for (int round = 0; round < rounds; ++round) {
        wait_seconds(3);
        if (cut() == 0) {
            throw std::runtime_error("there is no connection to cut");
        }
        const double begin = now();
        // What was read before the cut may still come for a moment: live is a record that was written after it.
        while (viewer.snapshot()->link.state == client::Link::State::connected && now() - begin < 5) {
            wait_seconds(0.0005);
        }
        const std::size_t known = steps();
        while (steps() <= known && now() - begin < 30) {
            wait_seconds(0.0005);
        }
        times.push_back(1000 * (now() - begin));
    }
    std::sort(times.begin(), times.end());
    std::printf("%s: from the cut to the next record: median %.0f ms, most %.0f ms (%zu cuts)\n", way.c_str(),
                times[times.size() / 2], times.back(), times.size());
    return 0;
}

pid_t start(const std::vector<std::string>& arguments) {
    const pid_t child = fork();
    if (child == 0) {
        std::vector<char*> raw;
        for (const std::string& argument : arguments) {
            raw.push_back(const_cast<char*>(argument.c_str()));
        }
        raw.push_back(nullptr);
        execv("/proc/self/exe", raw.data());
        _exit(127);
    }
    return child;
}

int measure(const std::string& way, const std::string& what, std::size_t viewers, double seconds) {
    const base::ScratchFolder scratch;
    const std::string work = scratch.path();
    const std::string count = std::to_string(viewers), time = std::to_string(seconds);
    const std::vector<std::string> node = {"node_traffic", "-node", work, way, what, count, time, "0"};
    if (way == "stdio") {
        std::ofstream script(work + "/ssh");
        script << "#!/bin/sh\nexec '" << fs::read_symlink("/proc/self/exe").string() << "'";
        for (std::size_t i = 1; i < node.size(); ++i) {
            script << " '" << node[i] << "'";
        }
        script << "\n";
        script.close();
        fs::permissions(work + "/ssh", fs::perms::owner_all);
    } else {
        start(node);
        wait_for_text(work + "/ready", 20);
    }
    std::vector<pid_t> children;
    for (std::size_t i = 0; i < viewers; ++i) {
        children.push_back(start({"node_traffic", "-view", work, way, std::to_string(i)}));
    }
    for (const pid_t child : children) {
        waitpid(child, nullptr, 0);
    }
    const auto result = nlohmann::json::parse(wait_for_text(work + "/node.json", 60));
    if (way != "stdio") {
        wait(nullptr);
    }
    const double each = result["samples"].get<double>() / result["steps"].get<double>();
    std::vector<double> speeds;
    bool whole = true;
    for (std::size_t i = 0; i < viewers; ++i) {
        const auto seen = nlohmann::json::parse(read_text(work + "/viewer" + std::to_string(i) + ".json"));
        speeds.push_back(seen["steps"].get<double>() * each / seen["seconds"].get<double>());
        whole = whole && seen["steps"] == result["steps"];
    }
    std::sort(speeds.begin(), speeds.end());
    const double samples = result["samples"];
    std::printf(
        "%s, %s, %zu viewers: written %.0f samples/s (%.0f records/s), seen by each viewer %.0f (slowest %.0f)%s; wire "
        "%.2f and disk %.2f "
        "bytes/sample; node %.3f s of processor per 100,000 samples to each viewer, %.2f cores\n",
        way.c_str(), what.c_str(), viewers, result["written_per_second"].get<double>(),
        result["written_per_second"].get<double>() / each, speeds[speeds.size() / 2], speeds.front(),
        whole ? "" : ", NOT ALL OF THEM", result["wire_bytes_per_sample"].get<double>(),
        result["disk_bytes_per_sample"].get<double>(), result["processor_seconds"].get<double>() / samples * 1e5,
        result["processor_seconds"].get<double>() / result["seconds"].get<double>());
    return whole ? 0 : 1;
}

int measure_cuts(const std::string& way, int rounds) {
    const base::ScratchFolder scratch;
    const std::string work = scratch.path();
    const pid_t node =
        start({"node_traffic", "-node", work, way, "scalars", "1", std::to_string(4 * rounds + 60), "500"});
    wait_for_text(work + "/ready", 20);
    const int result = view_cuts(work, way, rounds);
    kill(node, SIGTERM);
    waitpid(node, nullptr, 0);
    return result;
}

/// Looks at a node until it is ended.
int watch(const fs::path& socket) {
    client::ClientOptions options;
    options.socket = socket;
    client::NodeClient viewer(options, [] {});
    for (;;) {
        wait_seconds(10);
    }
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// Step times beside viewers that run and beside viewers that are stopped, in turns.
void compare_frozen(client::NodeClient& viewer, const std::vector<pid_t>& children, int rounds, double seconds) {
    std::vector<double> ratios;
    std::array<std::vector<double>, 2> all;
    for (int round = 0; round < rounds; ++round) {
        std::array<double, 2> medians{};
        for (int part = 0; part < 2; ++part) {
            const auto stopped = static_cast<std::size_t>((part + round) % 2);
            for (const pid_t child : children) {
                kill(child, stopped != 0 ? SIGSTOP : SIGCONT);
            }
            wait_seconds(0.5);  // the step that was begun before
            const std::size_t first = steps_in(*viewer.snapshot());
            wait_seconds(seconds);
            const auto run = viewer.snapshot()->training.at(1);
            std::vector<double> times;
            for (std::size_t i = first + 1; i < run->step.size(); ++i) {
                times.push_back((*run)[&base::StepValues::step_ms][i]);
            }
            if (times.empty()) {
                throw std::runtime_error("no step was done; give more seconds");
            }
            all[stopped].insert(all[stopped].end(), times.begin(), times.end());
            medians[stopped] = median(times);
        }
        ratios.push_back(medians[1] / medians[0]);
    }
    std::printf(
        "%zu viewers: median step %.1f ms beside running ones (%zu steps), %.1f ms beside stopped ones (%zu "
        "steps); median of %zu pairs %+.1f %%\n",
        children.size(), median(all[0]), all[0].size(), median(all[1]), all[1].size(), ratios.size(),
        100 * (median(ratios) - 1));
}

int measure_frozen(const std::string& program, int rounds, double seconds, std::size_t viewers) {
    const base::ScratchFolder scratch;
    const fs::path work = scratch.path();
    const fs::path socket = work / "s", session = work / "session";
    std::vector<pid_t> children;
    const pid_t node = fork();
    if (node == 0) {
        execl(program.c_str(), program.c_str(), "serve", "--socket", socket.c_str(), "--session", session.c_str(),
              nullptr);
        _exit(127);
    }
    for (const double until = now() + 20; !fs::exists(socket) && now() < until;) {
        wait_seconds(0.05);
    }
    {
        client::ClientOptions options;
        options.socket = socket;
        client::NodeClient viewer(options, [] {});
        const auto id = viewer.send("train.start", {{"preset", "workshop"}});
        for (const double until = now() + 120; steps_in(*viewer.snapshot()) < 3 && now() < until;) {
            wait_seconds(0.1);
        }
        const auto results = viewer.snapshot()->results;
        if (steps_in(*viewer.snapshot()) < 3) {
            const auto result = results.find(id);
            kill(node, SIGTERM);
            throw std::runtime_error("no run began: " +
                                     (result == results.end() ? "no answer" : result->second.error.english()));
        }
        for (std::size_t i = 0; i < viewers; ++i) {
            children.push_back(start({"node_traffic", "-watch", socket.string()}));
        }
        wait_seconds(3);
        compare_frozen(viewer, children, rounds, seconds);
    }
    children.push_back(node);
    for (const pid_t child : children) {
        kill(child, SIGCONT);
        kill(child, SIGTERM);
        waitpid(child, nullptr, 0);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv, argv + argc);
    const auto number = [&](std::size_t at, double otherwise) {
        return words.size() > at ? std::atof(words[at].c_str()) : otherwise;
    };
    try {
        if (argc == 8 && words[1] == "-node") {
            return serve(words[2], words[3], words[4] == "counts", static_cast<std::size_t>(number(5, 1)), number(6, 5),
                         number(7, 0));
        }
        if (argc == 5 && words[1] == "-view") {
            return view(words[2], words[3], static_cast<std::size_t>(number(4, 0)));
        }
        if (argc == 3 && words[1] == "-watch") {
            return watch(words[2]);
        }
        if (argc >= 3 && words[1] == "frozen") {
            return measure_frozen(words[2], static_cast<int>(number(3, 5)), number(4, 6),
                                  static_cast<std::size_t>(number(5, 1)));
        }
        if (argc >= 3 && words[1] == "cut") {
            return measure_cuts(words[2], static_cast<int>(number(3, 10)));
        }
        if (argc >= 4) {
            return measure(words[1], words[2], static_cast<std::size_t>(number(3, 1)), number(4, 5));
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    std::fprintf(stderr,
                 "usage: node_traffic unix|stdio|tls scalars|counts VIEWERS [seconds] | cut unix|tls [rounds] | frozen "
                 "MOESCOPE_NODE\n");
    return 2;
}
