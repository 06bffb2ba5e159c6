// What a day of training costs: writes a session of so many steps whose expert counts are those of a real run, and
// opens one through a node as the window does.
//   long_session write FOLDER REAL_SESSION STEPS       the counts come from the steps of REAL_SESSION, in mixed order;
//                                                      measured values get noise in all their digits
//   long_session open MOESCOPE_NODE FOLDER             time to the first steps and to all of them, memory, zooming
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "nodes/client/client.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/history/record_parts.hpp"
#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"

namespace {

namespace fs = std::filesystem;
using namespace moescope;
using protocol::RecordType;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Megabytes of a line of /proc/PROCESS/status.
double memory_of(int process, const std::string& line) {
    std::ifstream file("/proc/" + std::to_string(process) + "/status");
    for (std::string text; std::getline(file, text);) {
        if (text.starts_with(line)) {
            return std::atof(text.c_str() + line.size() + 1) / 1024;
        }
    }
    return 0;
}

double megabytes(const fs::path& folder) {
    double bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        bytes += entry.is_regular_file() ? static_cast<double>(entry.file_size()) : 0;
    }
    return bytes / 1e6;
}

std::vector<protocol::StepRecord> steps_of(const fs::path& folder) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    std::vector<protocol::StepRecord> steps;
    history::for_each_record(session->journal(), protocol::Channel::metrics, {}, [&](const sessions::Record& record) {
        if (static_cast<RecordType>(record.type) == RecordType::step) {
            if (auto step = protocol::decode_step(record.body)) {
                steps.push_back(std::move(*step));
            }
        }
        return true;
    });
    if (steps.size() < 100) {
        throw std::runtime_error("the real session needs at least 100 steps");
    }
    return steps;
}

class Writer {
 public:
    explicit Writer(sessions::Journal& journal) : journal_(journal) {}
    void put(RecordType type, const std::vector<std::byte>& body) {
        journal_.append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)),
                        time_ns_, body);
    }
    void put(RecordType type, const nlohmann::json& body) { put(type, protocol::encode_json(body)); }
    void pass(double seconds) { time_ns_ += static_cast<std::uint64_t>(seconds * 1e9); }

 private:
    sessions::Journal& journal_;
    std::uint64_t time_ns_ = 1'790'000'000'000'000'000;
};

int write(const fs::path& folder, const fs::path& real, std::uint64_t count) {
    const auto pool = steps_of(real);
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
    sessions::Journal& journal = session->journal();
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal;
    const std::uint32_t run = session->new_run("train", "a day");
    Writer out(journal);
    out.put(RecordType::run_started,
            {{"run", run},
             {"kind", "train"},
             {"name", "a day"},
             {"manifest",
              {{"planned_steps", count},
               {"config", {{"model", {{"layers", pool[0].layers}, {"experts", pool[0].experts}}}}}}}});
    const auto begin = Clock::now();
    double pack_seconds = 0, scalars = 0, counts = 0;
    for (std::uint64_t i = 1; i <= count; ++i) {
        protocol::StepRecord step = pool[random() % pool.size()];
        step.run = run;
        step.step = i;
        const double tokens =
            static_cast<double>(step.tokens_total) / static_cast<double>(std::max<std::uint64_t>(1, pool.back().step));
        step.tokens_total = i * static_cast<std::uint64_t>(std::max(1.0, tokens));
        for (const base::StepValue& row : base::kStepValues) {
            double& value = value_of(static_cast<base::StepValues&>(step), row);
            const bool is_set = row.member == &base::StepValues::balance_coefficient ||
                                row.member == &base::StepValues::z_coefficient ||
                                row.member == &base::StepValues::memory_bytes ||
                                row.member == &base::StepValues::dropped;
            if (!std::isnan(value)) {
                ++scalars;
                value *= is_set ? 1 : 1 + 0.01 * normal(random);
            }
        }
        step.learning_rate = 1e-3 * (1 + std::cos(3.14159 * static_cast<double>(i) / static_cast<double>(count)));
        counts += static_cast<double>(step.counts.size());
        out.pass(0.1 + 0.001 * normal(random));
        out.put(RecordType::step, protocol::encode_step(step));
        if (i % 600 == 0) {
            out.put(RecordType::evaluation,
                    {{"run", run}, {"step", i}, {"loss", {{"en", step.loss}, {"zh", step.loss}}}});
        }
        if (i % 3000 == 0) {
            out.put(RecordType::sample, {{"run", run},
                                         {"step", i},
                                         {"language", "en"},
                                         {"prompt", "The"},
                                         {"text", std::string(200, static_cast<char>('a' + i % 26))}});
        }
        if (i % 6000 == 0) {
            out.put(
                RecordType::event,
                {{"run", run}, {"step", i}, {"kind", "knob"}, {"name", "learning_rate"}, {"old", 1e-3}, {"new", 2e-3}});
        }
        if (i % 500 == 0) {
            const auto before = Clock::now();
            journal.pack_now(history::record_parts);
            pack_seconds += seconds_since(before);
        }
        if (i % 100'000 == 0) {
            std::printf("%llu steps, %.0f s, %.0f MB\n", static_cast<unsigned long long>(i), seconds_since(begin),
                        static_cast<double>(journal.bytes()) / 1e6);
            std::fflush(stdout);
        }
    }
    out.put(RecordType::run_ended, {{"run", run}, {"state", "done"}, {"step", count}});
    journal.sync();
    journal.pack_now(history::record_parts);
    const double bytes = static_cast<double>(journal.bytes());
    std::printf("%.0f scalars and %.0f counts; %.1f s, of these %.1f s of packing\n", scalars, counts,
                seconds_since(begin), pack_seconds);
    std::printf("%.0f MB in segments: %.3f bytes a sample; %.0f bytes a step\n", bytes / 1e6,
                bytes / (scalars + counts), bytes / static_cast<double>(count));
    return 0;
}

const history::TrainingRun* longest(const client::Snapshot& snapshot) {
    const history::TrainingRun* run = nullptr;
    for (const auto& [id, one] : snapshot.training) {
        run = run == nullptr || one->step.size() > run->step.size() ? one.get() : run;
    }
    return run;
}

/// A plot of 1,000 columns of pixels over a part of all curves, as the window draws it; mean and most, ms.
void zoom(const history::TrainingRun& run) {
    std::mt19937_64 random(3);
    const std::size_t size = run.step.size();
    double sum = 0, most = 0;
    constexpr int kRounds = 50;
    for (int round = 0; round < kRounds; ++round) {
        const std::size_t width = std::max<std::size_t>(1000, size >> (random() % 10)),
                          first = random() % (size - std::min(size - 1, width));
        const auto begin = Clock::now();
        double drawn = 0;
        for (const history::Column& column : run.values) {
            for (std::size_t pixel = 0; pixel < 1000; ++pixel) {
                const auto range = column.range(first + pixel * width / 1000, first + (pixel + 1) * width / 1000);
                drawn += range.empty() ? 0 : range.max - range.min;
            }
        }
        const double ms = 1000 * seconds_since(begin) + (drawn < 0 ? 1 : 0);
        sum += ms;
        most = std::max(most, ms);
    }
    std::printf("extremes of 1,000 pixel columns of all %zu curves: mean %.2f ms, most %.2f ms\n", run.values.size(),
                sum / kRounds, most);
}

int open(const std::string& node, const fs::path& folder) {
    const auto begin = Clock::now();
    client::ClientOptions options;
    options.node_program = node;
    options.session = folder;
    client::NodeClient viewer(options, [] {});
    double connected = 0, first = 0, all = 0;
    std::size_t steps = 0, first_steps = 0;
    // All is there when nothing has come for a while; that while does not count.
    for (double last = 0; all == 0;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        const auto snapshot = viewer.snapshot();
        const double now = seconds_since(begin);
        if (connected == 0 && snapshot->link.state == client::Link::State::connected) {
            connected = now;
        }
        const auto* run = longest(*snapshot);
        const std::size_t known = run == nullptr ? 0 : run->step.size();
        if (known > 0 && first == 0) {
            first = now;
            first_steps = known;
        }
        if (known != steps) {
            steps = known;
            last = now;
        }
        if (steps > 0 && now - last > 2) {
            all = last;
        }
        if (now > 300) {
            throw std::runtime_error("nothing came in 300 s");
        }
    }
    const auto snapshot = viewer.snapshot();
    const auto& run = *longest(*snapshot);
    std::printf("connected after %.2f s, first %zu steps after %.2f s, all %zu after %.2f s\n", connected, first_steps,
                first, steps, all);
    std::printf(
        "counts of %zu steps; memory of the viewer %.0f MB (at most %.0f), of the node %.0f MB (at most %.0f)\n",
        run.counts.size(), memory_of(getpid(), "VmRSS:"), memory_of(getpid(), "VmHWM:"),
        memory_of(viewer.node_process(), "VmRSS:"), memory_of(viewer.node_process(), "VmHWM:"));
    std::printf("session %.0f MB on disk\n", megabytes(folder));
    zoom(run);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    try {
        if (what == "write" && argc == 5) {
            return write(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10));
        }
        if (what == "open" && argc == 4) {
            return open(argv[2], argv[3]);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: long_session write FOLDER REAL_SESSION STEPS | open MOESCOPE_NODE FOLDER\n");
    return 2;
}
