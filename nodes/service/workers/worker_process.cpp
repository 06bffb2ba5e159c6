#include "nodes/service/workers/worker_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <regex>
#include <signal.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/workers/lent_files.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::say;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kPollMs = 20;
constexpr std::size_t kTailBytes = 16384;
constexpr std::size_t kLongestLine = 2000;  // that is looked at closely
constexpr std::size_t kLongestWords = 200;

struct Pipe {
    int read = -1, write = -1;
    Pipe() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) {
            throw WorkerError(say("cannot start a model process: {}", base::system_sentence(errno)), false);
        }
        read = ends[0];
        write = ends[1];
    }
    ~Pipe() {
        close_end(read);
        close_end(write);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    static void close_end(int& end) {
        if (end >= 0) {
            ::close(end);
        }
        end = -1;
    }
    static int release(int& end) {
        const int value = end;
        end = -1;
        return value;
    }
};

/// Between fork and exec only async-signal-safe calls are allowed.
[[noreturn]] void become_worker(const char* program, int input, int output, int errors, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    // The pipe ends could themselves be 0, 1 or 2; lift them above before they are put in place.
    const int in = fcntl(input, F_DUPFD, 10), out = fcntl(output, F_DUPFD, 10), err = fcntl(errors, F_DUPFD, 10);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
        _exit(127);
    }
    close_range(3, ~0U, 0);
    const char* arguments[] = {program, "worker", nullptr};
    execv(program, const_cast<char* const*>(arguments));
    _exit(127);
}

/// The end of what the process wrote to its standard error.
std::string tail_of(int descriptor) {
    struct stat status {};
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || status.st_size == 0) {
        return {};
    }
    std::string tail(kTailBytes, '\0');
    const off_t start = std::max<off_t>(0, status.st_size - static_cast<off_t>(tail.size()));
    const ssize_t got = pread(descriptor, tail.data(), tail.size(), start);
    tail.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return tail;
}

}  // namespace

std::vector<base::Sentence> sentences_in(const json& answer, const char* key) {
    std::vector<base::Sentence> sentences;
    for (const json& one : base::member(answer, key)) {
        sentences.push_back(base::sentence_from_json(one, {}));
    }
    return sentences;
}

std::string last_words(const std::string& log) {
    std::string thrown, said, last;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        constexpr std::string_view kThrown = "terminate called after throwing an instance of ", kSaid = "  what():  ";
        // "/where/it/was/built/x.cpp:66: GGML_ASSERT(a == b) failed"
        static const std::regex kPlace(R"((?:\S*/)?([^\s/:]+\.[A-Za-z]+:[0-9]+): (.+))");
        std::smatch place;
        if (line.starts_with(kThrown)) {
            thrown = line.substr(kThrown.size());
        } else if (line.starts_with(kSaid)) {
            said = line.substr(kSaid.size());
        } else if (line.size() < kLongestLine && std::regex_match(line, place, kPlace)) {
            last = place[2].str() + " (" + place[1].str() + ")";
        } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
            last = line;
        }
    }
    if (!thrown.empty()) {
        last = said.empty() ? thrown : said + " (" + thrown + ")";
    }
    return base::one_line(last, kLongestWords);
}

WorkerProcess::WorkerProcess(const std::filesystem::path& program) {
    Pipe request, answer;
    errors_ = memfd_create("moescope-worker-errors", MFD_CLOEXEC);
    const std::string file = program.string();
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ < 0) {
        ::close(errors_);
        throw WorkerError(say("cannot start a model process: {}", base::system_sentence(errno)), false);
    }
    if (process_ == 0) {
        become_worker(file.c_str(), request.read, answer.write, errors_, parent);
    }
    to_ = Pipe::release(request.write);
    from_ = Pipe::release(answer.read);
    writer_ = std::make_unique<WorkerWriter>(to_);
    reader_ = std::make_unique<WorkerReader>(from_);
    alive_ = true;
}

WorkerProcess::~WorkerProcess() {
    Pipe::close_end(to_);
    if (alive_) {
        // The child leaves by itself when its input ends.
        const auto deadline = Clock::now() + std::chrono::milliseconds(200);
        while (waitpid(process_, nullptr, WNOHANG) == 0) {
            if (Clock::now() > deadline) {
                kill(process_, SIGKILL);
                waitpid(process_, nullptr, 0);
                break;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
    Pipe::close_end(from_);
    Pipe::close_end(errors_);
}

base::Sentence WorkerProcess::end_of_process() {
    int status = 0;
    // Its end of the pipe is closed; if it still lives it is of no use any more.
    const auto deadline = Clock::now() + std::chrono::milliseconds(500);
    pid_t gone = 0;
    while ((gone = waitpid(process_, &status, WNOHANG)) == 0 && Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (gone == 0) {
        kill(process_, SIGKILL);
        waitpid(process_, &status, 0);
    }
    alive_ = false;
    if (WIFSIGNALED(status)) {
        return say("ended by signal {}", WTERMSIG(status));
    }
    return say("ended with exit status {}", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

void WorkerProcess::throw_dead(const base::Sentence& doing) {
    const base::Sentence how = end_of_process();
    if (killed_by_us_) {
        throw WorkerError(say("the model process was ended because it did not stop in time while it was {}", doing),
                          true);
    }
    base::Sentence message =
        say("the model process {} while it was {}; training and everything else are not affected", how, doing);
    if (const auto line = last_words(tail_of(errors_)); !line.empty()) {
        message = say("{} (its last words: {})", message, line);
    }
    throw WorkerError(message, true);
}

json WorkerProcess::open(const ModelSource& source, int threads, const std::atomic<bool>& cancel) {
    json request = {{"op", "open"}, {"path", source.string()}, {"threads", threads}};
    if (source.is_server()) {
        request["server"] = source.server;
    }
    if (!source.device.empty()) {
        request["device"] = source.device;
    }
    if (!source.is_server()) {
        try {
            // One of the same name takes away what a node that was killed has left.
            const fs::path folder = fs::temp_directory_path() / fmt::format("moescope-lent-{}", ::getuid());
            request["lent"] = lent_.emplace(folder).path().string();
        } catch (const std::runtime_error&) {
            // Only who asks with files will miss it.
        }
    }
    if (!source.output.empty()) {
        request["output"] = fs::absolute(source.output).string();
    }
    // Loading cannot be interrupted and nothing is lost with it: no patience.
    return ask(
        request, say("opening {}", source.path), [](WorkerMessageKind, std::span<const std::byte>) {}, cancel,
        std::chrono::milliseconds(0));
}

json WorkerProcess::ask(const json& wanted, const base::Sentence& doing, const OnPart& on_part,
                        const std::atomic<bool>& cancel, std::chrono::milliseconds patience) {
    json request = wanted;
    const LentFiles lent(lent_ ? lent_->path() : fs::path(), request);
    const std::vector<std::byte> body = protocol::encode_json(request);
    if (body.size() > protocol::kDataBodyLimit) {
        throw base::Error(
            say("{}: a request of {} bytes is more than the {} that a model process takes; give it less text", doing,
                body.size(), protocol::kDataBodyLimit));
    }
    if (!writer_->write(WorkerMessageKind::json, body)) {
        throw_dead(doing);
    }
    // Whoever leaves in the middle must not leave the rest of the answer to the next one who asks.
    struct Guard {
        WorkerProcess& process;
        bool complete = false;
        ~Guard() {
            if (!complete && process.alive_) {
                kill(process.process_, SIGKILL);
                process.end_of_process();
            }
        }
    } guard{*this};
    std::optional<Clock::time_point> deadline;
    WorkerMessage message;
    for (;;) {
        const auto status = reader_->read(message, kPollMs);
        if (status == WorkerReader::Status::ended) {
            throw_dead(doing);
        }
        if (cancel && !deadline) {
            writer_->write(json{{"op", "cancel"}});
            deadline = Clock::now() + patience;
        }
        if (status == WorkerReader::Status::nothing) {
            if (deadline && Clock::now() > *deadline) {
                killed_by_us_ = true;
                kill(process_, SIGKILL);
                throw_dead(doing);
            }
            continue;
        }
        if (message.kind != WorkerMessageKind::json) {
            on_part(message.kind, message.body);
            continue;
        }
        const auto answer = protocol::decode_json(message.body);
        if (!answer) {
            kill(process_, SIGKILL);
            throw_dead(doing);
        }
        guard.complete = true;
        if (answer->value("op", "") == "failed") {
            const base::Sentence why = lent.told(base::sentence_in(*answer, "message"));
            const bool leaves = base::flag_of(*answer, "leaves");
            if (leaves) {
                end_of_process();
            }
            throw WorkerError(why.empty() ? say("the model process failed without saying why") : why, leaves);
        }
        return *answer;
    }
}

}  // namespace moescope::node
