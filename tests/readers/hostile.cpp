#include "tests/readers/hostile.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/nodes/service/program.hpp"

namespace moescope::test {

namespace {

constexpr Hostile kAll[] = {Hostile::pipe,  Hostile::device,     Hostile::full_device, Hostile::folder,
                            Hostile::giant, Hostile::long_giant, Hostile::nested,      Hostile::cut};
constexpr std::uintmax_t kGiantBytes = std::uintmax_t{1} << 40;
constexpr unsigned kHangs = 60;  // seconds of the clock, on a busy machine
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMostSeconds = 30;
constexpr long kMostMemory = 0;  // KiB; a sanitizer takes its own
#else
constexpr double kMostSeconds = 2;
constexpr long kMostMemory = 400 << 10;
#endif

struct Outcome {
    bool said = false;  ///< it threw
    std::string text;
    int status = 0;  ///< of the process, as wait gives it
    double seconds = 0;
    long memory = 0;  ///< KiB
};

/// Writes what the reader says into a pipe and ends without cleaning up.
[[noreturn]] void read_in_child(const std::function<void(const fs::path&)>& read, const fs::path& folder, int out) {
    ::alarm(kHangs);
    std::string text = "-";
    try {
        read(folder);
    } catch (const std::exception& error) {
        text = std::string("+") + error.what();
    }
    text = text.substr(0, 30000);
    (void)!::write(out, text.data(), text.size());
    ::_exit(0);
}

Outcome try_reader(const std::function<void(const fs::path&)>& read, const fs::path& folder) {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe(pipe.data()), 0);
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        read_in_child(read, folder, pipe[1]);
    }
    ::close(pipe[1]);
    Outcome outcome;
    std::array<char, 4096> part{};
    for (ssize_t count = 0; (count = ::read(pipe[0], part.data(), part.size())) > 0;) {
        outcome.text.append(part.data(), static_cast<std::size_t>(count));
    }
    ::close(pipe[0]);
    rusage usage{};
    ::wait4(child, &outcome.status, 0, &usage);
    outcome.seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    outcome.memory = usage.ru_maxrss;
    outcome.said = outcome.text.starts_with('+');
    outcome.text.erase(0, 1);
    return outcome;
}

void expect_well_behaved(const Outcome& outcome) {
    ASSERT_FALSE(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGALRM) << "it hangs";
    ASSERT_EQ(outcome.status, 0) << "it died";
    EXPECT_LT(outcome.seconds, kMostSeconds);
    if (kMostMemory > 0) {
        EXPECT_LT(outcome.memory, kMostMemory);
    }
    EXPECT_LT(outcome.text.size(), 600u) << outcome.text;
    for (const char* raw : {"json.exception", "filesystem error", "basic_string", "std::", "vector::", "[json"}) {
        EXPECT_EQ(outcome.text.find(raw), std::string::npos) << outcome.text;
    }
}

}  // namespace

const char* name_of(Hostile kind) {
    constexpr const char* kNames[] = {"a pipe",           "/dev/zero",      "/dev/full",
                                      "a folder",         "a sparse giant", "a good beginning and a sparse giant",
                                      "100,000 brackets", "a cut file"};
    return kNames[static_cast<int>(kind)];
}

void make_hostile(Hostile kind, const fs::path& path, const std::string& good) {
    switch (kind) {
        case Hostile::pipe:
            ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
            break;
        case Hostile::device:
            fs::create_symlink("/dev/zero", path);
            break;
        case Hostile::full_device:
            fs::create_symlink("/dev/full", path);
            break;
        case Hostile::folder:
            fs::create_directory(path);
            break;
        case Hostile::giant:
        case Hostile::long_giant:
            write_text(path, kind == Hostile::giant ? "" : good);
            fs::resize_file(path, kGiantBytes);
            break;
        case Hostile::nested:
            write_text(path, std::string(100'000, '[') + std::string(100'000, ']'));
            break;
        case Hostile::cut:
            write_text(path, good.substr(0, good.size() / 2));
            break;
    }
}

void expect_guarded(const std::vector<Reader>& readers) {
    for (const Reader& reader : readers) {
        SCOPED_TRACE(reader.name);
        const TemporaryFolder folder;
        const fs::path file = folder / reader.place;
        fs::create_directories(file.parent_path());
        if (reader.prepare) {
            reader.prepare(folder.path());
        }
        write_text(file, reader.good);
        {
            SCOPED_TRACE("what is right");
            const Outcome right = try_reader(reader.read, folder.path());
            expect_well_behaved(right);
            EXPECT_FALSE(right.said) << right.text;
        }
        for (const Hostile kind : kAll) {
            const bool giant = kind == Hostile::giant || kind == Hostile::long_giant;
            if (giant && reader.endless) {
                continue;
            }
            SCOPED_TRACE(name_of(kind));
            fs::remove_all(file);
            make_hostile(kind, file, reader.good);
            const Outcome outcome = try_reader(reader.read, folder.path());
            expect_well_behaved(outcome);
            const bool no_file = kind == Hostile::pipe || kind == Hostile::device || kind == Hostile::full_device ||
                                 kind == Hostile::folder;
            EXPECT_TRUE(outcome.said || reader.tolerant || !no_file) << "it was taken for a file";
        }
    }
}

}  // namespace moescope::test
