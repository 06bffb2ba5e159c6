// Runs the fuzz targets without libFuzzer: every seed, then inputs made from them by mutation.cpp, in processes of
// their own, so that one that breaks is named and the others go on. Built with AddressSanitizer and
// UndefinedBehaviorSanitizer, which also count memory.
//
//   fuzz_parsers [--target NAME]... [--inputs N] [--seed S] [--index I [--write FILE]] [--jobs N] [--list]
//                [--write-seeds FOLDER]
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/files.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/mutation.hpp"
#include "tests/fuzz/seeds.hpp"

// CMakeLists.txt has the table: X(name, megabytes that one input may have at a time).
#define X(name, megabytes) extern "C" int moescope_fuzz_##name(const std::uint8_t* data, std::size_t size);
MOESCOPE_FUZZ_TARGETS
#undef X

// Of AddressSanitizer's run-time library; GCC does not bring the header that declares them.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
extern "C" std::size_t __sanitizer_get_allocated_size(const volatile void* place);

// What AddressSanitizer asks for. Leaks are counted by the driver.
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0:abort_on_error=1:handle_abort=1:malloc_context_size=4:quarantine_size_mb=8:"
           "detect_stack_use_after_return=0:allocator_may_return_null=0:allocator_release_to_os_interval_ms=-1";
}
extern "C" const char* __ubsan_default_options() {
    return "print_stacktrace=1";
}

namespace moescope::fuzz {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kSlice = 10'000;           // inputs of one process
constexpr std::uint64_t kLeak = 1 << 20;           // bytes that such a process may have more at its end
constexpr auto kHangs = std::chrono::seconds(60);  // of the clock, on a busy machine
constexpr double kSlow = 1.0;                      // seconds of processor time for one input
constexpr std::uint64_t kWarm = 200;               // inputs until tables that stay are made
constexpr int kMostFindings = 3;                   // of one target

struct Row {
    const char* name;
    Target target;
    std::uint64_t most_bytes;
};
constexpr Row kTargets[] = {
#define X(name, megabytes) {#name, &moescope_fuzz_##name, std::uint64_t{megabytes} << 20},
    MOESCOPE_FUZZ_TARGETS
#undef X
};

/// Memory that is in use, as the allocator's hooks tell it.
struct Memory {
    std::atomic<std::int64_t> now{0}, before{0};
    std::atomic<std::int64_t> most{0};   ///< above `before`
    std::atomic<std::int64_t> limit{0};  ///< 0: none
};
Memory& memory() {
    static Memory counted;
    return counted;
}
void on_malloc(const volatile void* /*place*/, std::size_t size) {
    Memory& m = memory();
    const std::int64_t used = (m.now += static_cast<std::int64_t>(size)) - m.before;
    if (used > m.most) {
        m.most = used;
    }
    if (m.limit > 0 && used > m.limit) {
        m.limit = 0;
        std::fprintf(stderr, "fuzz: an input takes %lld bytes of memory\n", static_cast<long long>(used));
        std::abort();
    }
}
void on_free(const volatile void* place) {
    if (place != nullptr) {
        memory().now -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(place));
    }
}

/// What processes tell the one that started them.
struct Told {
    std::atomic<std::uint64_t> index{0}, runs{0}, nanoseconds{0}, worst_nanoseconds{0}, worst_index{0}, accepted{0},
        accepted_seeds{0};
    std::atomic<std::int64_t> most_bytes{0};
};

std::string input_of(const std::vector<std::string>& seeds, std::uint64_t number, std::uint64_t index) {
    return index < seeds.size() ? seeds[index] : mutated(seeds, number, index);
}

double processor_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// An exception that leaves a target ends the process where it was thrown.
void run_one(const Row& row, const std::string& input, Told& told, bool is_seed) noexcept {
    // A copy without room behind it, so that the first byte too far is seen.
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[input.size()]);
    if (!input.empty()) {
        std::memcpy(exact.get(), input.data(), input.size());
    }
    Memory& m = memory();
    m.before = m.now.load();
    m.most = 0;
    m.limit = static_cast<std::int64_t>(row.most_bytes);
    const std::uint64_t before = accepted_so_far();
    const auto start = Clock::now();
    const double processor = processor_seconds();
    row.target(exact.get(), input.size());
    const auto took = static_cast<std::uint64_t>((Clock::now() - start) / std::chrono::nanoseconds(1));
    m.limit = 0;
    if (processor_seconds() - processor > kSlow) {
        std::fprintf(stderr, "fuzz: an input of %zu bytes takes %.1f s\n", input.size(),
                     processor_seconds() - processor);
        std::abort();
    }
    const bool took_it = accepted_so_far() > before;
    ++told.runs;
    told.accepted += took_it ? 1 : 0;
    told.accepted_seeds += took_it && is_seed ? 1 : 0;
    told.nanoseconds += took;
    if (took > told.worst_nanoseconds) {
        told.worst_nanoseconds = took;
        told.worst_index = told.index.load();
    }
    told.most_bytes = std::max(told.most_bytes.load(), m.most.load());
}

struct Slice {
    std::size_t target = 0;
    std::uint64_t begin = 0, end = 0;
};

[[noreturn]] void run_slice(const Slice& slice, const std::vector<std::string>& seeds, std::uint64_t number,
                            Told& told) noexcept {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    std::int64_t warm = 0;
    for (std::uint64_t index = slice.begin; index < slice.end; ++index) {
        told.index = index;
        {
            const std::string input = input_of(seeds, number, index);
            run_one(kTargets[slice.target], input, told, index < seeds.size());
        }
        if (index - slice.begin == kWarm) {
            warm = memory().now;
        }
    }
    if (slice.end - slice.begin > 2 * kWarm && memory().now - warm > static_cast<std::int64_t>(kLeak)) {
        std::fprintf(stderr, "fuzz: %lld bytes are left behind by %llu inputs\n",
                     static_cast<long long>(memory().now - warm),
                     static_cast<unsigned long long>(slice.end - slice.begin));
        std::abort();
    }
    std::exit(0);
}

struct Options {
    std::vector<std::string> targets;
    std::uint64_t inputs = 100'000, number = 1;
    std::optional<std::uint64_t> index;
    unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
    fs::path write, write_seeds;
    bool list = false;
};

std::uint64_t whole_number(const std::string& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw std::runtime_error("'" + text + "' is no whole number");
    }
    return value;
}

Options options_of(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string option = arguments[i];
        if (option == "--list") {
            options.list = true;
            continue;
        }
        if (i + 1 == count) {
            throw std::runtime_error("unknown option '" + option + "', or it lacks its value");
        }
        const std::string value = arguments[++i];
        if (option == "--target") {
            options.targets.push_back(value);
        } else if (option == "--inputs") {
            options.inputs = whole_number(value);
        } else if (option == "--seed") {
            options.number = whole_number(value);
        } else if (option == "--index") {
            options.index = whole_number(value);
        } else if (option == "--jobs") {
            options.jobs = static_cast<unsigned>(std::clamp<std::uint64_t>(whole_number(value), 1, 256));
        } else if (option == "--write") {
            options.write = value;
        } else if (option == "--write-seeds") {
            options.write_seeds = value;
        } else {
            throw std::runtime_error("unknown option '" + option + "'");
        }
    }
    for (const std::string& name : options.targets) {
        if (std::none_of(std::begin(kTargets), std::end(kTargets), [&](const Row& row) { return name == row.name; })) {
            throw std::runtime_error("there is no target '" + name + "'; --list names them");
        }
    }
    return options;
}

class Run {
 public:
    explicit Run(Options options) : options_(std::move(options)) {
        for (std::size_t target = 0; target < std::size(kTargets); ++target) {
            const std::string name = kTargets[target].name;
            if (options_.targets.empty() || std::count(options_.targets.begin(), options_.targets.end(), name) > 0) {
                seeds_[target] = seeds_of(name);
            }
        }
    }

    /// The exit status.
    int all() {
        std::vector<Slice> slices;
        for (const auto& [target, seeds] : seeds_) {
            const std::uint64_t end = seeds.size() + options_.inputs;
            for (std::uint64_t begin = 0; begin < end; begin += kSlice) {
                slices.push_back({target, begin, std::min(end, begin + kSlice)});
            }
        }
        std::reverse(slices.begin(), slices.end());
        while (!slices.empty() || !running_.empty()) {
            if (!slices.empty() && running_.size() < options_.jobs) {
                const Slice slice = slices.back();
                slices.pop_back();
                start(slice);
            } else {
                wait_for_one(slices);
            }
        }
        return report();
    }

    int one() {
        const std::size_t target = seeds_.begin()->first;
        const std::string input = input_of(seeds_.at(target), options_.number, *options_.index);
        std::printf("%zu bytes\n", input.size());
        if (!options_.write.empty()) {
            std::ofstream(options_.write, std::ios::binary) << input;
        }
        std::fflush(stdout);
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
        run_one(kTargets[target], input, told_[target], false);
        std::printf("%s, %.0f us\n", told_[target].accepted > 0 ? "taken" : "refused",
                    1e-3 * static_cast<double>(told_[target].nanoseconds));
        return 0;
    }

    void write_seeds() const {
        for (const auto& [target, seeds] : seeds_) {
            for (std::size_t i = 0; i < seeds.size(); ++i) {
                test::write_text(options_.write_seeds / kTargets[target].name / ("seed-" + std::to_string(i)),
                                 seeds[i]);
            }
        }
    }

 private:
    struct Child {
        Slice slice;
        std::uint64_t index = 0;
        Clock::time_point seen = Clock::now();
        Told* told = nullptr;
    };

    void start(const Slice& slice) {
        std::fflush(nullptr);
        // One place for each process that runs, as their targets may be the same.
        void* place = ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED) {
            throw std::runtime_error("no shared memory");
        }
        Child child{slice, slice.begin, Clock::now(), new (place) Told};
        const pid_t process = ::fork();
        if (process < 0) {
            throw std::runtime_error("no process can be started");
        }
        if (process == 0) {
            run_slice(slice, seeds_.at(slice.target), options_.number, *child.told);
        }
        running_[process] = child;
    }

    void wait_for_one(std::vector<Slice>& slices) {
        int status = 0;
        const pid_t process = ::waitpid(-1, &status, WNOHANG);
        if (process <= 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            for (auto& [id, child] : running_) {
                if (const std::uint64_t index = child.told->index; index != child.index) {
                    child.index = index;
                    child.seen = Clock::now();
                } else if (Clock::now() - child.seen > kHangs) {
                    std::fprintf(stderr, "fuzz: an input does not end\n");
                    ::kill(id, SIGKILL);
                }
            }
            return;
        }
        const Child child = running_.at(process);
        running_.erase(process);
        add(told_[child.slice.target], *child.told);
        if (status != 0) {
            const std::uint64_t index = child.told->index;
            const char* name = kTargets[child.slice.target].name;
            std::fprintf(stderr, "fuzz: %s broke; once more: fuzz_parsers --target %s --seed %llu --index %llu\n", name,
                         name, static_cast<unsigned long long>(options_.number),
                         static_cast<unsigned long long>(index));
            if (++findings_[child.slice.target] < kMostFindings && index + 1 < child.slice.end) {
                slices.push_back({child.slice.target, index + 1, child.slice.end});
            } else if (findings_[child.slice.target] >= kMostFindings) {
                std::erase_if(slices, [&](const Slice& slice) { return slice.target == child.slice.target; });
            }
        }
        ::munmap(child.told, sizeof(Told));
    }

    static void add(Told& to, const Told& from) {
        to.runs += from.runs;
        to.nanoseconds += from.nanoseconds;
        to.accepted += from.accepted;
        to.accepted_seeds += from.accepted_seeds;
        to.most_bytes = std::max(to.most_bytes.load(), from.most_bytes.load());
        if (from.worst_nanoseconds > to.worst_nanoseconds) {
            to.worst_nanoseconds = from.worst_nanoseconds.load();
            to.worst_index = from.worst_index.load();
        }
    }

    int report() {
        int status = 0;
        std::printf("%-20s %6s %8s %7s %7s %9s %10s\n", "target", "seeds", "inputs", "taken", "us each", "worst ms",
                    "most KiB");
        for (const auto& [target, seeds] : seeds_) {
            const Told& told = told_[target];
            const double runs = static_cast<double>(std::max<std::uint64_t>(1, told.runs));
            std::printf("%-20s %6zu %8llu %6.1f%% %7.1f %9.1f %10lld\n", kTargets[target].name, seeds.size(),
                        static_cast<unsigned long long>(told.runs), 100 * static_cast<double>(told.accepted) / runs,
                        1e-3 * static_cast<double>(told.nanoseconds) / runs,
                        1e-6 * static_cast<double>(told.worst_nanoseconds),
                        static_cast<long long>(told.most_bytes / 1024));
            if (told.accepted_seeds == 0) {
                std::fprintf(stderr, "fuzz: %s takes none of its seeds\n", kTargets[target].name);
                status = 1;
            }
        }
        for (const auto& [target, count] : findings_) {
            std::fprintf(stderr, "fuzz: %s: %d findings\n", kTargets[target].name, count);
            status = 1;
        }
        return status;
    }

    const Options options_;
    std::map<std::size_t, Told> told_;  ///< by target
    std::map<std::size_t, std::vector<std::string>> seeds_;
    std::map<pid_t, Child> running_;
    std::map<std::size_t, int> findings_;
};

int main_of(int count, char** arguments) {
    const Options options = options_of(count, arguments);
    if (options.list) {
        for (const Row& row : kTargets) {
            std::printf("%s %llu\n", row.name, static_cast<unsigned long long>(row.most_bytes >> 20));
        }
        return 0;
    }
    const test::TemporaryFolder folder(scratch());
    ::setenv("TMPDIR", folder.path().c_str(), 1);
    Run run(options);
    if (!options.write_seeds.empty()) {
        run.write_seeds();
        return 0;
    }
    return options.index ? run.one() : run.all();
}

}  // namespace
}  // namespace moescope::fuzz

int main(int count, char** arguments) {
    try {
        return moescope::fuzz::main_of(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fuzz: %s\n", error.what());
        return 2;
    }
}
